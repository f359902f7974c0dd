//! The catalogue in DynamoDB: one scope of a change log, with two indexes.

use aws_sdk_dynamodb::Client;
use shared::{
    ApiError, Id,
    delta::{ChangeLog, Index, Record},
    http::page::{Page, PageRequest},
};

use crate::model::Product;

/// The scope of the catalogue, which is everybody's.
pub const SCOPE: &str = "CATALOG";

const BY_CATEGORY: Index = Index { name: "byCategory", attribute: "category" };
/// Sparse: only featured products have the attribute.
const FEATURED: Index = Index { name: "featured", attribute: "featured" };

/// The table. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Table {
    log: ChangeLog<Product>,
}

impl Table {
    pub(super) fn new(client: Client, table: impl Into<String>) -> Self {
        Self { log: ChangeLog::new(client, table).eventually_consistent() }
    }

    pub(super) fn log(&self) -> &ChangeLog<Product> {
        &self.log
    }

    pub(super) async fn get(&self, id: &Id) -> Result<Option<Record<Product>>, ApiError> {
        let record = self.log.get(SCOPE, id).await?;
        Ok(record.filter(|record| record.value.is_some()))
    }

    pub(super) async fn list(
        &self,
        category: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<Record<Product>>, ApiError> {
        match category {
            Some(category) => self.log.list_by(BY_CATEGORY, category, page).await,
            None => self.log.list(SCOPE, page).await,
        }
    }

    pub(super) async fn featured(&self, limit: u16) -> Result<Vec<Record<Product>>, ApiError> {
        Ok(self.log.list_by(FEATURED, "1", &PageRequest { limit, after: None }).await?.items)
    }
}
