use serde::ser::{Error, Serialize, SerializeMap, Serializer};

use super::field::same_fields;
use super::node::Node;
use super::null::is_null;
use super::{Field, Level, Selection, Slim};

/// A value together with the selection of its fields: this is what gets serialized.
///
/// The value may be a view, a list of views, or an option of one.
///
/// Serializing fails if the selection was parsed for another type.
#[derive(Debug)]
pub struct Slimmed<'a, T: ?Sized> {
    value: &'a T,
    selected: Selected<'a>,
}

impl<'a, T: Slim + ?Sized> Slimmed<'a, T> {
    /// Pairs the two.
    pub const fn new(value: &'a T, selection: &'a Selection) -> Self {
        Self { value, selected: selection.selected() }
    }

    pub(super) const fn of_part(value: &'a T, selected: Selected<'a>) -> Self {
        Self { value, selected }
    }
}

impl<T: Slim + ?Sized> Serialize for Slimmed<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize_slim(self.selected, serializer)
    }
}

// Derived, these two would ask for the same of `T`, which is only borrowed here.
impl<T: ?Sized> Clone for Slimmed<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Slimmed<'_, T> {}

/// The part of a [`Selection`] that applies to one object.
#[derive(Clone, Copy, Debug)]
pub struct Selected<'s> {
    level: Level,
    /// Nothing when the object is sent whole, at that level.
    node: Option<&'s Node>,
}

impl<'s> Selected<'s> {
    pub(super) const fn new(level: Level, node: Option<&'s Node>) -> Self {
        Self { level, node }
    }

    fn includes(self, index: usize, field: &Field) -> bool {
        match self.node {
            None => field.level() <= self.level,
            Some(node) => node.picks(index),
        }
    }

    fn inside(self, index: usize) -> Self {
        Self { level: self.level, node: self.node.and_then(|node| node.child(index)) }
    }
}

/// Writes the selected fields of one object. This is for implementations of [`trait@Slim`].
///
/// Each field is written through its place in [`Slim::FIELDS`], in that order. What is not selected, or would be
/// written as null, is skipped.
#[derive(Debug)]
pub struct ObjectWriter<'s, M> {
    map: M,
    fields: &'static [Field],
    selected: Selected<'s>,
}

impl<'s, M: SerializeMap> ObjectWriter<'s, M> {
    /// Opens the object. `fields` is the type's [`Slim::FIELDS`].
    ///
    /// # Errors
    ///
    /// What the serializer reports. Also when the selection was parsed for another type: its bits would stand for other
    /// fields, perhaps for some that the caller may not see.
    #[inline]
    pub fn begin<S>(fields: &'static [Field], selected: Selected<'s>, serializer: S) -> Result<Self, S::Error>
    where
        S: Serializer<SerializeMap = M>,
    {
        if selected.node.is_some_and(|node| !same_fields(node.fields(), fields)) {
            return Err(S::Error::custom("the selection was parsed for another type"));
        }
        // The number of fields is known only after looking at each of them, so the length is left open.
        Ok(Self { map: serializer.serialize_map(None)?, fields, selected })
    }

    /// Writes a plain value.
    ///
    /// # Errors
    ///
    /// What the serializer reports.
    ///
    /// # Panics
    ///
    /// If the type has no field at `index`.
    #[inline]
    pub fn leaf<V: Serialize + ?Sized>(&mut self, index: usize, value: &V) -> Result<(), M::Error> {
        let field = &self.fields[index];
        if self.selected.includes(index, field) && !is_null(value) {
            self.map.serialize_entry(field.name(), value)?;
        }
        Ok(())
    }

    /// Writes a value that has fields of its own.
    ///
    /// # Errors
    ///
    /// What the serializer reports.
    ///
    /// # Panics
    ///
    /// If the type has no field at `index`.
    #[inline]
    pub fn nested<V: Slim + ?Sized>(&mut self, index: usize, value: &V) -> Result<(), M::Error> {
        let field = &self.fields[index];
        if self.selected.includes(index, field) {
            let part = Slimmed::of_part(value, self.selected.inside(index));
            if !is_null(&part) {
                self.map.serialize_entry(field.name(), &part)?;
            }
        }
        Ok(())
    }

    /// Closes the object.
    ///
    /// # Errors
    ///
    /// What the serializer reports.
    #[inline]
    pub fn end(self) -> Result<M::Ok, M::Error> {
        self.map.end()
    }
}
