//! Which bounds the type parameters of a generic struct need.

use std::collections::HashSet;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Generics, WherePredicate, parse_quote};

use crate::field::SlimField;

/// The struct's own generics, and one bound for each type of a field that depends on a type parameter.
///
/// A type that contains the struct itself gets none: the bound would send the compiler round in circles, and the other
/// fields ask for what it needs.
pub(crate) fn with_bounds(ident: &Ident, generics: &Generics, fields: &[SlimField<'_>]) -> Generics {
    let parameters: HashSet<String> = generics.type_params().map(|parameter| parameter.ident.to_string()).collect();
    let itself = HashSet::from(["Self".to_owned(), ident.to_string()]);
    let mut predicates: Vec<WherePredicate> = Vec::new();
    let mut seen = HashSet::new();
    for field in fields {
        let ty = field.ty.to_token_stream();
        if !mentions(&ty, &parameters) || mentions(&ty, &itself) {
            continue;
        }
        let predicate = if field.nested {
            quote!(#ty: ::shared::slim::Slim)
        } else {
            quote!(#ty: ::shared::slim::__private::Serialize)
        };
        if seen.insert(predicate.to_string()) {
            predicates.push(parse_quote!(#predicate));
        }
    }
    let mut generics = generics.clone();
    if !predicates.is_empty() {
        generics.make_where_clause().predicates.extend(predicates);
    }
    generics
}

fn mentions(tokens: &TokenStream, names: &HashSet<String>) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => names.contains(&ident.to_string()),
        TokenTree::Group(group) => mentions(&group.stream(), names),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::{Data, DeriveInput};

    /// The where clause for a struct, without spaces.
    fn bounds(input: &DeriveInput) -> String {
        let Data::Struct(data) = &input.data else { panic!("a struct is expected") };
        let fields: Vec<_> = data.fields.iter().map(|field| SlimField::read(field).expect("a valid field")).collect();
        let generics = with_bounds(&input.ident, &input.generics, &fields);
        generics.where_clause.to_token_stream().to_string().replace(' ', "")
    }

    #[test]
    fn a_leaf_asks_for_serialize_and_a_nested_field_for_slim() {
        let input = parse_quote!(
            struct Page<'a, T, U, V: Copy> {
                #[slim(nested)]
                items: &'a [T],
                first: [U; 2],
                last: [U; 2],
                size: u32,
            }
        );
        assert_eq!(bounds(&input), "where&'a[T]:::shared::slim::Slim,[U;2]:::shared::slim::__private::Serialize");
    }

    #[test]
    fn an_associated_type_depends_on_its_parameter() {
        let input = parse_quote!(
            struct Page<T: Source> {
                item: Option<T::Item>,
            }
        );
        assert_eq!(bounds(&input), "whereOption<T::Item>:::shared::slim::__private::Serialize");
    }

    #[test]
    fn a_type_that_contains_itself_gets_no_bound() {
        let input = parse_quote!(
            struct Chain<T> {
                #[slim(nested)]
                next: Option<Box<Chain<T>>>,
                #[slim(nested)]
                all: Vec<Self>,
            }
        );
        assert_eq!(bounds(&input), "");
    }

    #[test]
    fn a_type_without_parameters_gets_no_where_clause() {
        let input = parse_quote!(
            struct View<'a> {
                id: &'a str,
            }
        );
        assert_eq!(bounds(&input), "");
    }
}
