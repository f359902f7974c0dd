use serde::Serializer;

use super::{Level, Selected};

/// The most fields that a type may have: one bit each in a selection's mask.
pub(super) const MAX_FIELDS: usize = 64;

/// A type whose fields are sent by level or by name.
///
/// Derive it with [`derive@crate::slim::Slim`]. Lists, options, references and boxes of such a type implement it too.
///
/// Written by hand, an implementation lists its fields in [`FIELDS`](Self::FIELDS) and writes each of them, by its
/// place in that list, through an [`ObjectWriter`](super::ObjectWriter).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be slimmed",
    label = "`{Self}` does not implement `Slim`",
    note = "derive `Slim` for it, or remove `nested` from the field to send it as a plain value"
)]
pub trait Slim {
    /// The fields in the order in which they are written. At most 64.
    const FIELDS: &'static [Field];

    /// Writes the selected fields.
    ///
    /// Application code calls [`Slimmed`](super::Slimmed) instead.
    ///
    /// # Errors
    ///
    /// What the serializer reports. Also when the selection was parsed for another type.
    fn serialize_slim<S: Serializer>(&self, selected: Selected<'_>, serializer: S) -> Result<S::Ok, S::Error>;
}

/// One field of a [`trait@Slim`] type.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    name: &'static str,
    level: Level,
    /// A function, not the list itself, so that a type can contain itself.
    nested: Option<fn() -> &'static [Field]>,
}

impl Field {
    /// A field that is written as a plain value.
    pub const fn leaf(name: &'static str, level: Level) -> Self {
        Self { name, level, nested: None }
    }

    /// A field with fields of its own: those of `T`.
    pub const fn nested<T: Slim + ?Sized>(name: &'static str, level: Level) -> Self {
        Self { name, level, nested: Some(fields_of::<T>) }
    }

    /// The name in the output.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The lowest level that has the field.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The fields inside, if the field is nested.
    pub fn fields(&self) -> Option<&'static [Field]> {
        self.nested.map(|fields| fields())
    }
}

/// The fields of a type. A type with more than 64 of them does not compile.
pub(super) fn fields_of<T: Slim + ?Sized>() -> &'static [Field] {
    const {
        assert!(T::FIELDS.len() <= MAX_FIELDS, "a type that implements Slim has at most 64 fields");
    };
    T::FIELDS
}

/// Whether two lists describe the same fields.
pub(super) fn same_fields(a: &'static [Field], b: &'static [Field]) -> bool {
    // The compiler may keep more than one copy of a constant, so an unequal address proves nothing.
    std::ptr::eq(a, b)
        || a.len() == b.len()
            && a.iter()
                .zip(b)
                .all(|(a, b)| a.name == b.name && a.level == b.level && a.nested.is_some() == b.nested.is_some())
}
