//! Users: profiles, in as much detail as a screen needs, and the caller's own settings.

mod model;
mod routes;
mod store;
mod view;

pub use model::{Editable, Metadata, Preferences, User};
pub use routes::{State, router};
pub use store::Users;
pub use view::{UserV1, UserV2};
