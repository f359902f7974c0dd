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

/// The table of products. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Products {
    log: ChangeLog<Product>,
}

impl Products {
    /// Products in this table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { log: ChangeLog::new(client, table).eventually_consistent() }
    }

    /// The change log underneath.
    pub fn log(&self) -> &ChangeLog<Product> {
        &self.log
    }

    /// A product that is not deleted.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get(&self, id: &Id) -> Result<Option<Record<Product>>, ApiError> {
        let record = self.log.get(SCOPE, id).await?;
        Ok(record.filter(|record| record.value.is_some()))
    }

    /// A page of the catalogue or of one category.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, category: Option<&str>, page: &PageRequest) -> Result<Page<Record<Product>>, ApiError> {
        match category {
            Some(category) => self.log.list_by(BY_CATEGORY, category, page).await,
            None => self.log.list(SCOPE, page).await,
        }
    }

    /// Up to `limit` products for the home screen.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn featured(&self, limit: u16) -> Result<Vec<Record<Product>>, ApiError> {
        Ok(self.log.list_by(FEATURED, "1", &PageRequest { limit, after: None }).await?.items)
    }
}
