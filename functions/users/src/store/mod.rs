//! Where users are: in a table of ours, or with a service that has them.

mod service;
mod table;

use aws_sdk_dynamodb::Client;
use shared::{ApiError, Id, config::ConfigError, http::call::Call, runtime::App};

use self::{service::Service, table::Table};
use crate::model::{Editable, User};

/// The users. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Users(Source);

#[derive(Clone, Debug)]
enum Source {
    Table(Table),
    Service(Service),
}

impl Users {
    /// Those of `BACKEND_USERS_URL`; without it, those of `USERS_TABLE`.
    ///
    /// # Errors
    /// When neither is set.
    pub fn of(app: &App) -> Result<Self, ConfigError> {
        Ok(Self(match &app.upstreams.users {
            Some(upstream) => Source::Service(Service::new(upstream.clone())),
            None => return Ok(Self::in_table(app.aws.dynamodb.clone(), app.env.required("USERS_TABLE")?)),
        }))
    }

    /// Those of a table.
    pub fn in_table(client: Client, name: &str) -> Self {
        Self(Source::Table(Table::new(client, name)))
    }

    /// The record of a user.
    ///
    /// # Errors
    /// When the store or the service fails.
    pub async fn get(&self, id: &Id, call: &Call) -> Result<Option<User>, ApiError> {
        match &self.0 {
            Source::Table(table) => table.get(id).await,
            Source::Service(service) => service.get(id, call).await,
        }
    }

    /// Stores an edit of this version of a record; `None` when the record is no longer at this version.
    ///
    /// # Errors
    /// When the store or the service fails.
    pub async fn update(&self, id: &Id, version: u64, edit: &Editable, call: &Call) -> Result<Option<User>, ApiError> {
        match &self.0 {
            Source::Table(table) => table.update(id, version, edit).await,
            Source::Service(service) => service.update(id, version, edit, call).await,
        }
    }
}
