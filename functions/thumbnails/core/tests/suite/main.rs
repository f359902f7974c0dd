//! Requests, thumbnails and limits from the outside.

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::expect_used)]

mod clock;
mod files;
mod hostile;
mod inputs;
mod output;
mod vectors;
mod webp;
