//! The catalogue of another service: `docs/backends.md` has its protocol.

use serde::Deserialize;
use shared::{
    ApiError, Id,
    backend::upstream::{Resource, Upstream},
    delta::Record,
    http::{
        call::Call,
        page::{Page, PageRequest, cursor_after},
    },
};

use crate::model::Product;

const PRODUCTS: &str = "products";

/// The service. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Service(Upstream);

/// A product as the service sends it: the stored one, with its id and version beside.
#[derive(Debug, Deserialize)]
struct Sent {
    id: Id,
    version: u64,
    #[serde(flatten)]
    product: Product,
}

/// A page as the service sends it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SentPage {
    items: Vec<Sent>,
    /// Where the next page begins, in the syntax of an id.
    #[serde(default)]
    next_cursor: Option<Id>,
}

impl Sent {
    fn into_record(self) -> Record<Product> {
        let Self { id, version, product } = self;
        // There is no log, so there is no number in one.
        Record { id, version, seq: 0, at: product.updated_at, value: Some(product) }
    }
}

impl Service {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self(upstream)
    }

    pub(super) async fn get(&self, id: &Id, call: &Call) -> Result<Option<Record<Product>>, ApiError> {
        let sent = self.0.read(&self.0.record(PRODUCTS, id), |sent: &Sent| sent.id == *id, call).await?;
        Ok(sent.map(Sent::into_record))
    }

    pub(super) async fn list(
        &self,
        category: Option<&str>,
        page: &PageRequest,
        call: &Call,
    ) -> Result<Page<Record<Product>>, ApiError> {
        let mut list = self.page_of(page.limit);
        if let Some(category) = category {
            list = list.with("category", category);
        }
        if let Some(cursor) = &page.after {
            list = list.with("cursor", cursor.as_str());
        }
        self.page(&list, page.limit, call).await
    }

    pub(super) async fn featured(&self, limit: u16, call: &Call) -> Result<Vec<Record<Product>>, ApiError> {
        Ok(self.page(&self.page_of(limit).with("featured", "true"), limit, call).await?.items)
    }

    fn page_of(&self, limit: u16) -> Resource {
        self.0.collection(PRODUCTS).with("limit", &limit.to_string())
    }

    async fn page(&self, list: &Resource, limit: u16, call: &Call) -> Result<Page<Record<Product>>, ApiError> {
        let fits = |page: &SentPage| page.items.len() <= usize::from(limit);
        let page = self.0.read(list, fits, call).await?;
        let SentPage { items, next_cursor } =
            page.ok_or_else(|| ApiError::backend("the upstream has no list of products"))?;
        let items = items.into_iter().map(Sent::into_record).collect();
        Ok(Page { items, next_cursor: next_cursor.as_ref().map(cursor_after) })
    }
}
