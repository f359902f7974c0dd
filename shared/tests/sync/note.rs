//! The entity of these tests.

use serde::{Deserialize, Serialize};
use shared::delta::Entity;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) text: String,
}

impl Entity for Note {}
