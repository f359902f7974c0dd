//! The derive macro behind `shared::slim`. Use it through that module, which re-exports it beside the trait.

mod bounds;
mod expand;
mod field;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `shared::slim::Slim` for a struct with named fields. `shared::slim` says how.
//
// The examples stand there: they need that crate, and what the tests of a macro need is compiled a second time, for the host.
#[proc_macro_derive(Slim, attributes(slim))]
pub fn derive_slim(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
