//! A list, an option or a pointer has the fields of what it holds.

use std::sync::Arc;

use serde::Serializer;

use super::{Field, Selected, Slim, Slimmed};

/// Pointers write what they point at.
macro_rules! pointer {
    ($($pointer:ty),*) => {$(
        impl<T: Slim + ?Sized> Slim for $pointer {
            const FIELDS: &'static [Field] = T::FIELDS;

            fn serialize_slim<S: Serializer>(&self, selected: Selected<'_>, serializer: S) -> Result<S::Ok, S::Error> {
                (**self).serialize_slim(selected, serializer)
            }
        }
    )*};
}

pointer!(&T, Box<T>, Arc<T>);

impl<T: Slim> Slim for Option<T> {
    const FIELDS: &'static [Field] = T::FIELDS;

    fn serialize_slim<S: Serializer>(&self, selected: Selected<'_>, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => serializer.serialize_some(&Slimmed::of_part(value, selected)),
            None => serializer.serialize_none(),
        }
    }
}

impl<T: Slim> Slim for [T] {
    const FIELDS: &'static [Field] = T::FIELDS;

    fn serialize_slim<S: Serializer>(&self, selected: Selected<'_>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|item| Slimmed::of_part(item, selected)))
    }
}

impl<T: Slim, const N: usize> Slim for [T; N] {
    const FIELDS: &'static [Field] = T::FIELDS;

    fn serialize_slim<S: Serializer>(&self, selected: Selected<'_>, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize_slim(selected, serializer)
    }
}

impl<T: Slim> Slim for Vec<T> {
    const FIELDS: &'static [Field] = T::FIELDS;

    fn serialize_slim<S: Serializer>(&self, selected: Selected<'_>, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize_slim(selected, serializer)
    }
}
