//! Reads one field of the struct and its attributes.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::{Error, Ident, LitStr, Result, Type};

/// A field as the generated code needs it.
pub(crate) struct SlimField<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) ty: &'a Type,
    pub(crate) name: String,
    /// Where to point when the name is at fault: at `rename` if there is one.
    pub(crate) name_span: Span,
    pub(crate) level: Level,
    pub(crate) nested: bool,
}

/// The levels of `shared::slim::Level`, which this crate cannot depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Minimal,
    Detail,
    Full,
}

impl Level {
    pub(crate) fn path(self) -> TokenStream {
        match self {
            Self::Minimal => quote!(::shared::slim::Level::Minimal),
            Self::Detail => quote!(::shared::slim::Level::Detail),
            Self::Full => quote!(::shared::slim::Level::Full),
        }
    }
}

/// What the attributes of one field say.
#[derive(Default)]
struct Options {
    level: Option<Level>,
    nested: bool,
    rename: Option<LitStr>,
}

impl<'a> SlimField<'a> {
    pub(crate) fn read(field: &'a syn::Field) -> Result<Self> {
        let ident = field.ident.as_ref().ok_or_else(|| Error::new_spanned(field, "Slim needs named fields"))?;
        let mut options = Options::default();
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("slim")) {
            attribute.parse_nested_meta(|meta| options.read(&meta))?;
        }
        let (name, name_span) = match options.rename {
            Some(rename) => (rename.value(), rename.span()),
            None => (camel_case(&ident.unraw().to_string()), ident.span()),
        };
        check_name(&name, name_span)?;
        Ok(Self {
            ident,
            ty: &field.ty,
            name,
            name_span,
            level: options.level.unwrap_or(Level::Minimal),
            nested: options.nested,
        })
    }
}

impl Options {
    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("minimal") {
            self.set_level(Level::Minimal, meta)
        } else if meta.path.is_ident("detail") {
            self.set_level(Level::Detail, meta)
        } else if meta.path.is_ident("full") {
            self.set_level(Level::Full, meta)
        } else if meta.path.is_ident("nested") {
            if self.nested {
                return Err(meta.error("`nested` is given twice"));
            }
            self.nested = true;
            Ok(())
        } else if meta.path.is_ident("rename") {
            if self.rename.is_some() {
                return Err(meta.error("`rename` is given twice"));
            }
            self.rename = Some(meta.value()?.parse()?);
            Ok(())
        } else {
            Err(meta.error("unknown attribute: use `minimal`, `detail`, `full`, `nested` or `rename = \"...\"`"))
        }
    }

    fn set_level(&mut self, level: Level, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if self.level.is_some() {
            return Err(meta.error("a field has one level: `minimal`, `detail` or `full`"));
        }
        self.level = Some(level);
        Ok(())
    }
}

/// Refuses a name that `fields=` could never ask for.
fn check_name(name: &str, span: Span) -> Result<()> {
    if name.is_empty() {
        return Err(Error::new(span, "the name in the output is empty"));
    }
    if name.contains(['.', ',']) {
        return Err(Error::new(span, "a name cannot contain a dot or a comma: `fields=` separates by them"));
    }
    Ok(())
}

/// The same rule as serde's `rename_all = "camelCase"`, so that a type keeps its names when it moves from that derive.
fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut capital = false;
    for c in name.chars() {
        if c == '_' {
            capital = !camel.is_empty();
        } else if capital {
            camel.push(c.to_ascii_uppercase());
            capital = false;
        } else if camel.is_empty() {
            camel.push(c.to_ascii_lowercase());
        } else {
            camel.push(c);
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn error(field: &syn::Field) -> String {
        SlimField::read(field).err().expect("the field is refused").to_string()
    }

    #[test]
    fn names_are_camel_case() {
        for (field, wire) in [
            ("id", "id"),
            ("full_image", "fullImage"),
            ("a_b_c", "aBC"),
            ("line_2", "line2"),
            ("_hidden", "hidden"),
            ("trailing_", "trailing"),
            ("Upper", "upper"),
            ("two__lines", "twoLines"),
        ] {
            assert_eq!(camel_case(field), wire, "{field}");
        }
    }

    #[test]
    fn a_raw_identifier_loses_its_prefix() {
        let field = parse_quote!(r#type: String);
        assert_eq!(SlimField::read(&field).map(|field| field.name).ok().as_deref(), Some("type"));
    }

    #[test]
    fn without_attributes_a_field_is_a_minimal_leaf() {
        let field = parse_quote!(full_image: String);
        let field = SlimField::read(&field).expect("the field is valid");
        assert_eq!((field.level, field.nested, field.name.as_str()), (Level::Minimal, false, "fullImage"));
    }

    #[test]
    fn attributes_may_be_split() {
        let field = parse_quote!(#[slim(full)] #[slim(nested, rename = "home")] address: Address);
        let field = SlimField::read(&field).expect("the field is valid");
        assert_eq!((field.level, field.nested, field.name.as_str()), (Level::Full, true, "home"));
    }

    #[test]
    fn wrong_attributes_are_refused() {
        for (field, message) in [
            (parse_quote!(#[slim(details)] a: u8), "unknown attribute: use `minimal`"),
            (parse_quote!(#[slim(detail, full)] a: u8), "a field has one level"),
            (parse_quote!(#[slim(full)] #[slim(full)] a: u8), "a field has one level"),
            (parse_quote!(#[slim(nested, nested)] a: u8), "`nested` is given twice"),
            (parse_quote!(#[slim(rename = "x", rename = "y")] a: u8), "`rename` is given twice"),
            (parse_quote!(#[slim(rename = "")] a: u8), "is empty"),
            (parse_quote!(__: u8), "is empty"),
            (parse_quote!(#[slim(rename = "x.y")] a: u8), "a dot or a comma"),
            (parse_quote!(#[slim(rename = "x,y")] a: u8), "a dot or a comma"),
            (parse_quote!(#[slim(rename = 1)] a: u8), "expected string literal"),
            (parse_quote!(#[slim(rename)] a: u8), "expected `=`"),
            (parse_quote!(#[slim(full = true)] a: u8), "expected `,`"),
            (parse_quote!(#[slim] a: u8), "expected attribute arguments in parentheses"),
            (parse_quote!(#[slim = "full"] a: u8), "expected parentheses"),
        ] {
            let actual = error(&field);
            assert!(actual.contains(message), "{actual}");
        }
    }
}
