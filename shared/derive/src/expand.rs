//! Writes the implementation.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Result};

use crate::bounds::with_bounds;
use crate::field::SlimField;

/// One bit each in the mask of a selection.
const MAX_FIELDS: usize = 64;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    if let Some(attribute) = input.attrs.iter().find(|attribute| attribute.path().is_ident("slim")) {
        return Err(Error::new_spanned(attribute, "`slim` attributes belong on fields, not on the struct"));
    }
    let fields = read_fields(input)?;
    let ident = &input.ident;
    let generics = with_bounds(&input.ident, &input.generics, &fields);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let table = fields.iter().map(table_entry);
    let writes = fields.iter().enumerate().map(|(index, field)| write_call(index, field));

    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::shared::slim::Slim for #ident #ty_generics #where_clause {
            const FIELDS: &'static [::shared::slim::Field] = &[#(#table),*];

            fn serialize_slim<__S: ::shared::slim::__private::Serializer>(
                &self,
                selected: ::shared::slim::Selected<'_>,
                serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                #[allow(unused_mut)]
                let mut out = ::shared::slim::ObjectWriter::begin(
                    <Self as ::shared::slim::Slim>::FIELDS,
                    selected,
                    serializer,
                )?;
                #(#writes)*
                out.end()
            }
        }
    })
}

/// Reads every field and reports all that is wrong at once.
fn read_fields(input: &DeriveInput) -> Result<Vec<SlimField<'_>>> {
    let named = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(named) => named,
            Fields::Unnamed(_) | Fields::Unit => {
                return Err(Error::new_spanned(
                    &input.ident,
                    "Slim needs a struct with named fields: their names are what `fields=` asks for",
                ));
            }
        },
        Data::Enum(_) | Data::Union(_) => {
            return Err(Error::new_spanned(&input.ident, "Slim can be derived for structs only"));
        }
    };

    let mut fields: Vec<SlimField<'_>> = Vec::with_capacity(named.named.len());
    let mut errors: Option<Error> = None;
    let mut report = |error: Error| match &mut errors {
        Some(errors) => errors.combine(error),
        None => errors = Some(error),
    };
    for field in &named.named {
        match SlimField::read(field) {
            Ok(field) => match fields.iter().find(|other| other.name == field.name) {
                Some(other) => report(Error::new(
                    field.name_span,
                    format!("the name \"{}\" is already taken by the field `{}`", field.name, other.ident),
                )),
                None => fields.push(field),
            },
            Err(error) => report(error),
        }
    }
    if let Some(field) = fields.get(MAX_FIELDS) {
        report(Error::new(field.ident.span(), format!("Slim allows at most {MAX_FIELDS} fields")));
    }
    errors.map_or(Ok(fields), Err)
}

fn table_entry(field: &SlimField<'_>) -> TokenStream {
    let SlimField { ty, name, .. } = field;
    let level = field.level.path();
    if field.nested {
        quote!(::shared::slim::Field::nested::<#ty>(#name, #level))
    } else {
        quote!(::shared::slim::Field::leaf(#name, #level))
    }
}

fn write_call(index: usize, field: &SlimField<'_>) -> TokenStream {
    let ident = field.ident;
    // A missing implementation is reported at the field's type, while `self` and `out` stay those of this expansion
    // even when the struct itself comes out of another macro.
    let span = field.ty.span().resolved_at(Span::call_site());
    if field.nested {
        quote_spanned!(span=> out.nested(#index, &self.#ident)?;)
    } else {
        quote_spanned!(span=> out.leaf(#index, &self.#ident)?;)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::format_ident;
    use syn::parse_quote;

    fn errors(input: &DeriveInput) -> Vec<String> {
        expand(input).expect_err("the input is refused").into_iter().map(|error| error.to_string()).collect()
    }

    fn struct_of(count: usize) -> DeriveInput {
        let names = (0..count).map(|index| format_ident!("f{index}"));
        parse_quote!(struct Wide { #(#names: u8),* })
    }

    #[test]
    fn only_structs_with_named_fields_are_accepted() {
        let structs_only = "Slim can be derived for structs only";
        assert_eq!(
            errors(&parse_quote!(
                enum A {
                    B,
                }
            )),
            [structs_only]
        );
        assert_eq!(errors(&parse_quote!(union A { a: u8 })), [structs_only]);
        for input in [
            parse_quote!(
                struct A(u8);
            ),
            parse_quote!(
                struct A;
            ),
        ] {
            assert!(errors(&input)[0].starts_with("Slim needs a struct with named fields"));
        }
        assert!(
            expand(&parse_quote!(
                struct A {}
            ))
            .is_ok()
        );
    }

    #[test]
    fn an_attribute_on_the_struct_is_refused() {
        let input = parse_quote!(
            #[slim(full)]
            struct A {
                a: u8,
            }
        );
        assert_eq!(errors(&input), ["`slim` attributes belong on fields, not on the struct"]);
    }

    #[test]
    fn a_name_can_be_used_once() {
        let input = parse_quote!(
            struct A {
                a_b: u8,
                #[slim(rename = "aB")]
                c: u8,
            }
        );
        assert_eq!(errors(&input), ["the name \"aB\" is already taken by the field `a_b`"]);
    }

    #[test]
    fn all_errors_are_reported_together() {
        let input = parse_quote!(
            struct A {
                #[slim(x)]
                a: u8,
                b: u8,
                #[slim(rename = "")]
                c: u8,
            }
        );
        assert_eq!(errors(&input).len(), 2);
    }

    #[test]
    fn sixty_four_fields_are_the_limit() {
        assert!(expand(&struct_of(64)).is_ok());
        assert_eq!(errors(&struct_of(65)), ["Slim allows at most 64 fields"]);
    }

    #[test]
    fn fields_keep_their_order() {
        let code = expand(&parse_quote!(
            struct A {
                b: u8,
                #[slim(nested)]
                a: B,
            }
        ))
        .expect("valid")
        .to_string();
        let positions: Vec<_> =
            ["leaf (0usize , & self . b)", "nested (1usize , & self . a)"].iter().map(|call| code.find(call)).collect();
        assert!(positions[0].is_some() && positions[0] < positions[1], "{code}");
    }
}
