//! The decoder against the standard, against damage, against hostile files and against its own limits.

mod damage;
mod decoding;
mod header;
mod support;
