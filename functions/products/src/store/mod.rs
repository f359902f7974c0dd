//! Where the catalogue is: in a table of ours, or with a service that has it.

mod service;
mod table;

use shared::{
    ApiError, Id,
    config::ConfigError,
    delta::{ChangeLog, Record},
    http::{
        call::Call,
        page::{Page, PageRequest},
    },
    runtime::App,
};

use self::{service::Service, table::Table};
use crate::model::Product;

pub use self::table::SCOPE;

/// The catalogue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Products(Source);

#[derive(Clone, Debug)]
enum Source {
    Table(Table),
    Service(Service),
}

impl Products {
    /// That of `BACKEND_PRODUCTS_URL`; without it, that of `PRODUCTS_TABLE`.
    ///
    /// # Errors
    /// When neither is set.
    pub fn of(app: &App) -> Result<Self, ConfigError> {
        Ok(Self(match &app.upstreams.products {
            Some(upstream) => Source::Service(Service::new(upstream.clone())),
            None => Source::Table(Table::new(app.aws.dynamodb.clone(), app.env.required("PRODUCTS_TABLE")?)),
        }))
    }

    /// The change log, which only a table of ours has.
    pub fn log(&self) -> Option<&ChangeLog<Product>> {
        match &self.0 {
            Source::Table(table) => Some(table.log()),
            Source::Service(_) => None,
        }
    }

    /// A product that is not deleted.
    ///
    /// # Errors
    /// When the store or the service fails.
    pub async fn get(&self, id: &Id, call: &Call) -> Result<Option<Record<Product>>, ApiError> {
        match &self.0 {
            Source::Table(table) => table.get(id).await,
            Source::Service(service) => service.get(id, call).await,
        }
    }

    /// A page of the catalogue or of one category.
    ///
    /// # Errors
    /// When the store or the service fails.
    pub async fn list(
        &self,
        category: Option<&str>,
        page: &PageRequest,
        call: &Call,
    ) -> Result<Page<Record<Product>>, ApiError> {
        match &self.0 {
            Source::Table(table) => table.list(category, page).await,
            Source::Service(service) => service.list(category, page, call).await,
        }
    }

    /// Up to `limit` products for the home screen.
    ///
    /// # Errors
    /// When the store or the service fails.
    pub async fn featured(&self, limit: u16, call: &Call) -> Result<Vec<Record<Product>>, ApiError> {
        match &self.0 {
            Source::Table(table) => table.featured(limit).await,
            Source::Service(service) => service.featured(limit, call).await,
        }
    }
}
