//! Values from DynamoDB's JSON, in which each says its type: `{"name": {"S": "Desk"}, "stock": {"N": "7"}}`.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html>
//!
//! The SDK makes a map of strings to typed values of each item first, and `serde_dynamo` makes the entity of that. For a
//! page of 20 products this was half of all the work of a request, and most of its memory.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::MapAccessDeserializer,
    },
    forward_to_deserialize_any,
};

/// An item, whose attributes make a `T`.
#[derive(Debug)]
pub(super) struct Attributes<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Attributes<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(Attribute { tag: Some(Tag::M), value: deserializer }).map(Self)
    }
}

/// DynamoDB's names of types.
#[derive(Clone, Copy, Debug, Deserialize)]
enum Tag {
    S,
    N,
    B,
    #[serde(rename = "BOOL")]
    Bool,
    #[serde(rename = "NULL")]
    Null,
    M,
    L,
    #[serde(rename = "SS")]
    Strings,
    #[serde(rename = "NS")]
    Numbers,
    #[serde(rename = "BS")]
    Binaries,
}

/// A value, with its type around it unless that is known.
struct Attribute<D> {
    tag: Option<Tag>,
    value: D,
}

/// What a visitor asks for. Of most it takes what is there.
#[derive(Clone, Copy)]
enum Asked {
    Any,
    Option,
    Enum,
}

/// Takes the type off a value, and gives the value to the visitor.
struct Untag<V> {
    asked: Asked,
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Untag<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a value with its type")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<V::Value, A::Error> {
        let tag = map.next_key()?.ok_or_else(|| A::Error::custom("a value has no type"))?;
        map.next_value_seed(Value { tag: Some(tag), seed: self })
    }
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Untag<V> {
    type Value = V::Value;

    /// With the typed value itself.
    fn deserialize<D: Deserializer<'de>>(self, typed: D) -> Result<V::Value, D::Error> {
        match self.asked {
            Asked::Any => typed.deserialize_any(self.visitor),
            Asked::Option => typed.deserialize_option(self.visitor),
            Asked::Enum => typed.deserialize_enum("", &[], self.visitor),
        }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Attribute<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let Self { tag, value } = self;
        match tag {
            None => value.deserialize_map(Untag { asked: Asked::Any, visitor }),
            Some(Tag::S) => value.deserialize_str(visitor),
            Some(Tag::N) => value.deserialize_str(Number(visitor)),
            Some(Tag::B) => value.deserialize_str(Binary(visitor)),
            Some(Tag::Bool) => value.deserialize_bool(visitor),
            Some(Tag::Null) => IgnoredAny::deserialize(value).and_then(|_| visitor.visit_unit()),
            Some(Tag::M) => value.deserialize_map(Members { tag: None, visitor }),
            Some(Tag::L) => value.deserialize_seq(Members { tag: None, visitor }),
            Some(Tag::Strings) => value.deserialize_seq(Members { tag: Some(Tag::S), visitor }),
            Some(Tag::Numbers) => value.deserialize_seq(Members { tag: Some(Tag::N), visitor }),
            Some(Tag::Binaries) => value.deserialize_seq(Members { tag: Some(Tag::B), visitor }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        match self.tag {
            None => self.value.deserialize_map(Untag { asked: Asked::Option, visitor }),
            Some(Tag::Null) => IgnoredAny::deserialize(self.value).and_then(|_| visitor.visit_none()),
            Some(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        match self.tag {
            None => self.value.deserialize_map(Untag { asked: Asked::Enum, visitor }),
            Some(Tag::S) => self.value.deserialize_str(Variant(visitor)),
            Some(Tag::M) => self.value.deserialize_map(Variant(visitor)),
            Some(tag) => Err(D::Error::custom(format_args!("a value of the type {tag:?} is no variant"))),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.value.deserialize_ignored_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

/// A number, which comes as text.
struct Number<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Number<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a number as text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        if let Ok(number) = text.parse::<u64>() {
            self.0.visit_u64(number)
        } else if let Ok(number) = text.parse::<i64>() {
            self.0.visit_i64(number)
        } else if let Ok(number) = text.parse::<f64>() {
            self.0.visit_f64(number)
        } else {
            Err(E::custom(format_args!("{text:?} is no number")))
        }
    }
}

/// Bytes, which come in base64.
struct Binary<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Binary<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("bytes in base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        self.0.visit_byte_buf(BASE64_STANDARD.decode(text).map_err(E::custom)?)
    }
}

/// The name of a variant, or a map of the name to what the variant holds.
struct Variant<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Variant<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a variant")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<V::Value, E> {
        self.0.visit_enum(name.into_deserializer())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(MapAccessDeserializer::new(Inside { tag: None, access: map }))
    }
}

/// What a map, a list or a set holds; a set has one type for all.
struct Members<V> {
    tag: Option<Tag>,
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Members<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.visitor.expecting(formatter)
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Inside { tag: self.tag, access })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(Inside { tag: self.tag, access })
    }
}

struct Inside<A> {
    tag: Option<Tag>,
    access: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Inside<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.access.next_key_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.access.next_value_seed(Value { tag: self.tag, seed })
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Inside<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.access.next_element_seed(Value { tag: self.tag, seed })
    }

    fn size_hint(&self) -> Option<usize> {
        self.access.size_hint()
    }
}

/// A value for a seed, with its type around it unless that is known.
struct Value<T> {
    tag: Option<Tag>,
    seed: T,
}

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Value<T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<T::Value, D::Error> {
        self.seed.deserialize(Attribute { tag: self.tag, value })
    }
}
