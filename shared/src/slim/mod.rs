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

/// Implements [`Slim`](trait@Slim) for a struct with named fields.
///
/// ```
/// use shared::slim::{Level, Selection, Slim, Slimmed};
///
/// #[derive(Slim)]
/// struct UserView<'a> {
///     id: &'a str,
///     display_name: String,
///     #[slim(detail, rename = "mail")]
///     email: Option<&'a str>,
///     #[slim(full, nested)]
///     address: Option<AddressView>,
/// }
///
/// #[derive(Slim)]
/// struct AddressView {
///     city: String,
/// }
///
/// let user = UserView {
///     id: "u1",
///     display_name: "Ada".to_owned(),
///     email: Some("ada@example.com"),
///     address: None,
/// };
/// let selection = Selection::at(Level::Detail);
/// assert_eq!(
///     serde_json::to_string(&Slimmed::new(&user, &selection))?,
///     r#"{"id":"u1","displayName":"Ada","mail":"ada@example.com"}"#,
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Attributes of a field
///
/// | attribute | meaning |
/// | --- | --- |
/// | none, or `minimal` | sent at every level |
/// | `detail` | sent from level detail on |
/// | `full` | sent at level full only |
/// | `nested` | the type implements `Slim` itself, so `fields=address.city` can look inside (through `Option`, `Vec` and references too) |
/// | `rename = "x"` | the name in the output; without it, the field's name in camelCase |
///
/// A field without `nested` is a leaf and must implement `serde::Serialize`. For a generic struct the implementation
/// asks for `Serialize` or `Slim` of each field type that depends on a type parameter, except where that type contains
/// the struct itself.
///
/// # Errors at compile time
///
/// Only structs with named fields can be slimmed: an enum is refused.
///
/// ```compile_fail
/// use shared::slim::Slim;
///
/// #[derive(Slim)]
/// enum Shape {
///     Circle { radius: f64 },
/// }
/// ```
///
/// So is a tuple struct, whose fields have no names.
///
/// ```compile_fail
/// use shared::slim::Slim;
///
/// #[derive(Slim)]
/// struct Pair(u8, u8);
/// ```
///
/// An attribute that does not exist is refused, so a mistyped level cannot go unseen.
///
/// ```compile_fail
/// use shared::slim::Slim;
///
/// #[derive(Slim)]
/// struct UserView {
///     #[slim(details)]
///     email: String,
/// }
/// ```
///
/// A field has one level.
///
/// ```compile_fail
/// use shared::slim::Slim;
///
/// #[derive(Slim)]
/// struct UserView {
///     #[slim(detail, full)]
///     email: String,
/// }
/// ```
///
/// Two fields cannot share a name in the output.
///
/// ```compile_fail
/// use shared::slim::Slim;
///
/// #[derive(Slim)]
/// struct UserView {
///     name: String,
///     #[slim(rename = "name")]
///     full_name: String,
/// }
/// ```
///
/// A name with a dot or a comma is refused, since `fields=` could never ask for it.
///
/// ```compile_fail
/// use shared::slim::Slim;
///
/// #[derive(Slim)]
/// struct UserView {
///     #[slim(rename = "home.city")]
///     city: String,
/// }
/// ```
///
/// The type of a nested field must implement `Slim`.
///
/// ```compile_fail
/// use shared::slim::Slim;
///
/// #[derive(Slim)]
/// struct UserView {
///     #[slim(nested)]
///     name: String,
/// }
/// ```
///
/// More than 64 fields are refused as well.
pub use slim_derive::Slim;

/// What the derived code needs from serde, so that a crate with views need not depend on it.
#[doc(hidden)]
pub mod __private {
    pub use serde::{Serialize, Serializer};
}
