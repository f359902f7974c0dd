//! Users of another service: `docs/backends.md` has its protocol.

use shared::{ApiError, Id, backend::upstream::Upstream, http::call::Call};

use crate::model::{Editable, User};

const USERS: &str = "users";

/// The service. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Service(Upstream);

impl Service {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self(upstream)
    }

    pub(super) async fn get(&self, id: &Id, call: &Call) -> Result<Option<User>, ApiError> {
        self.0.read(&self.0.record(USERS, id), |user: &User| user.id == *id, call).await
    }

    pub(super) async fn update(
        &self,
        id: &Id,
        version: u64,
        edit: &Editable,
        call: &Call,
    ) -> Result<Option<User>, ApiError> {
        self.0.edit(&self.0.record(USERS, id), version, edit, |user: &User| user.id == *id, call).await
    }
}
