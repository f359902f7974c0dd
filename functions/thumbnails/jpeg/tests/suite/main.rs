//! The decoder against the standard, against damage, against hostile files and against its own limits.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]

mod damage;
mod decoding;
mod header;
mod reference;
mod support;
