//! The derive macro behind `shared::slim`. Use it through that module, which re-exports it beside the trait.

mod bounds;
mod expand;
mod field;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `shared::slim::Slim` for a struct with named fields.
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
#[proc_macro_derive(Slim, attributes(slim))]
pub fn derive_slim(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
