//! Products: the public catalogue, in pages and by category.

mod model;
mod routes;
mod store;
mod view;

pub use model::Product;
pub use routes::{State, router};
pub use store::{Products, SCOPE};
pub use view::{Context, ProductV1, ProductV2};
