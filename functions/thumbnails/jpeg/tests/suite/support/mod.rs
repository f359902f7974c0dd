//! What the tests are made with.

mod bits;
pub mod encoder;
pub mod random;
pub mod reference;
