//! The decoder against the standard, against damage, against hostile files and against its own limits.

mod decoding;
mod support;
