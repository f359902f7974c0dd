//! What the tests are made with.

mod bits;
pub(crate) mod encoder;
pub(crate) mod random;
