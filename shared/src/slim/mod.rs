//! Payload slimming: a client gets the fields that it asked for, and no others.
//!
//! Derive [`Slim`](derive@Slim) once on a view. Each field has a [`Level`]; a request picks a level, some fields, or
//! both. [`Selection::parse`] checks that choice against the type and against the highest level that the caller may
//! see, and [`Slimmed`] writes the chosen fields straight to the serializer.
//!
//! ```
//! use shared::slim::{Level, Selection, Slim, Slimmed};
//!
//! #[derive(Slim)]
//! struct UserView<'a> {
//!     id: &'a str,
//!     name: &'a str,
//!     #[slim(detail)]
//!     avatar: Option<&'a str>,
//!     #[slim(full, nested)]
//!     address: Option<AddressView<'a>>,
//! }
//!
//! #[derive(Slim)]
//! struct AddressView<'a> {
//!     city: &'a str,
//!     #[slim(full)]
//!     street: &'a str,
//! }
//!
//! let address = AddressView { city: "Oslo", street: "Storgata 1" };
//! let user = UserView { id: "u1", name: "Ada", avatar: None, address: Some(address) };
//!
//! // ?level=detail: `avatar` is empty, so it is left out.
//! let selection = Selection::parse::<UserView>(Some(Level::Detail), None, Level::Full)?;
//! assert_eq!(serde_json::to_string(&Slimmed::new(&user, &selection))?, r#"{"id":"u1","name":"Ada"}"#);
//!
//! // ?fields=address.city,id: the order of the names changes nothing.
//! let selection = Selection::parse::<UserView>(None, Some("address.city,id"), Level::Full)?;
//! let json = serde_json::to_string(&Slimmed::new(&user, &selection))?;
//! assert_eq!(json, r#"{"id":"u1","address":{"city":"Oslo"}}"#);
//! assert_eq!(selection.canonical(), "full:address.city,id");
//!
//! // A list is slimmed like a single object.
//! let selection = Selection::at(Level::Minimal);
//! let json = serde_json::to_string(&Slimmed::new(&[user], &selection))?;
//! assert_eq!(json, r#"[{"id":"u1","name":"Ada"}]"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules
//!
//! - A field without a value is left out, never sent as null. This covers `None`, `()` and floats that JSON has no
//!   number for. Inside a list an empty element stays null, since leaving it out would move the others.
//! - A nested object that is reached as a whole is sent at the level of the request: the levels of its own fields are
//!   compared with that same level.
//! - A type has at most 64 fields, and a request names at most [`Selection::MAX_NAMES`].

mod containers;
mod error;
mod field;
mod level;
mod node;
mod null;
mod selection;
mod write;

#[cfg(test)]
mod tests;

pub use self::error::SelectionError;
pub use self::field::{Field, Slim};
pub use self::level::Level;
pub use self::selection::Selection;
pub use self::write::{ObjectWriter, Selected, Slimmed};
pub use slim_derive::Slim;

/// What the derived code needs from serde, so that a crate with views need not depend on it.
#[doc(hidden)]
pub mod __private {
    pub use serde::{Serialize, Serializer};
}
