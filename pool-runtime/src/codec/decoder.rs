//! Reads what bincode writes as `legacy()`, and believes no length: a count is held against the bytes that are left before
//! anything is allocated for it.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::cursor::In;
use super::naming;
use super::variant::Variant;
use crate::error::{Error, ErrorKind};

/// How many elements of no bytes (`()`, a unit struct) one value may hold: enough for any use, and few enough to
/// be counted in a moment when the number is forged.
pub(crate) const MOST_WITHOUT_BYTES: usize = 1 << 24;

/// How deep a value may be nested: a node of a list is two levels, the struct and its `Option`. Forged bytes could otherwise nest
/// until the stack ends, which no process survives. Measured without optimisation: a list overflows the 2 MiB of a thread
/// between 2000 and 3000 levels.
const DEEPEST: u32 = 1000;

/// Reads one value.
pub(crate) struct Decoder<'i, 'de> {
    input: &'i mut In<'de>,
    depth: u32,
    without_bytes: usize,
}

/// Serde's errors carry only words; ours are made of them.
#[derive(Debug)]
pub(crate) struct Failure(pub(super) String);

impl<'i, 'de> Decoder<'i, 'de> {
    pub(crate) fn new(input: &'i mut In<'de>) -> Self {
        Self { input, depth: 0, without_bytes: 0 }
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let mut raw = [0; N];
        raw.copy_from_slice(self.bytes(N)?);
        Ok(raw)
    }

    #[inline]
    fn bytes(&mut self, len: usize) -> Result<&'de [u8], Failure> {
        let left = self.input.left();
        self.input.take(len).map_err(|_| short(len, left))
    }

    fn len(&mut self) -> Result<usize, Failure> {
        let len = u64::from_le_bytes(self.array()?);
        usize::try_from(len).map_err(|_| short(usize::MAX, self.input.left()))
    }

    fn counted_bytes(&mut self) -> Result<&'de [u8], Failure> {
        let len = self.len()?;
        self.bytes(len)
    }

    fn text(&mut self) -> Result<&'de str, Failure> {
        std::str::from_utf8(self.counted_bytes()?)
            .map_err(|_| Failure("a text is no UTF-8".to_owned()))
    }

    /// A `char` is the bytes of its UTF-8, whose first tells how many there are.
    fn char(&mut self) -> Result<char, Failure> {
        let mut start = *self.input;
        let first = start.take(1).map_err(|_| short(1, 0))?[0];
        let width = match first {
            0..0x80 => 1,
            0xC0..0xE0 => 2,
            0xE0..0xF0 => 3,
            _ => 4,
        };
        let text = std::str::from_utf8(self.bytes(width)?).ok();
        text.and_then(|text| text.chars().next())
            .ok_or_else(|| Failure("these bytes are no character".to_owned()))
    }

    /// Runs `read` one level deeper.
    #[inline]
    fn nested<R>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        if self.depth == DEEPEST {
            return Err(Failure(format!("the value is nested deeper than {DEEPEST} levels")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    pub(super) fn elements<V: Visitor<'de>>(
        &mut self,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.nested(|decoder| visitor.visit_seq(Elements { decoder, left }))
    }

    /// The fields of a struct, and the byte behind them. A struct with aliases is given more names than it has fields, and the byte
    /// says nothing about it.
    pub(super) fn fields<V: Visitor<'de>>(
        &mut self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.nested(|decoder| {
            let mut elements = Elements { decoder, left: names.len() };
            let value = visitor.visit_seq(&mut elements)?;
            let Elements { decoder, left } = elements;
            let [written] = decoder.array()?;
            if left == 0 && written != naming::of_fields(names) {
                return Err(other_fields(names));
            }
            Ok(value)
        })
    }

    /// Counts an element that took no bytes.
    #[inline]
    fn note(&mut self, left_before: usize) -> Result<(), Failure> {
        if self.input.left() == left_before {
            self.without_bytes += 1;
            if self.without_bytes > MOST_WITHOUT_BYTES {
                return Err(Failure(format!(
                    "more than {MOST_WITHOUT_BYTES} elements have no bytes"
                )));
            }
        }
        Ok(())
    }
}

#[cold]
fn short(wanted: usize, left: usize) -> Failure {
    Failure(format!("{wanted} bytes were expected and {left} are left"))
}

macro_rules! numbers {
    ($($deserialize:ident $visit:ident $number:ty;)*) => {$(
        #[inline]
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            visitor.$visit(<$number>::from_le_bytes(self.array()?))
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Decoder<'_, 'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Failure> {
        Err(Failure("the type needs a self-describing format; `Json<T>` carries it".to_owned()))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_any(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_any(visitor)
    }

    numbers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_i128 visit_i128 i128;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_u128 visit_u128 u128;
        deserialize_f32 visit_f32 f32;
        deserialize_f64 visit_f64 f64;
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.array::<1>()? {
            [0] => visitor.visit_bool(false),
            [1] => visitor.visit_bool(true),
            [other] => Err(Failure(format!("{other} is no bool"))),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_char(self.char()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_bytes(self.counted_bytes()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.array::<1>()? {
            [0] => visitor.visit_none(),
            [1] => self.nested(|decoder| visitor.visit_some(decoder)),
            [other] => Err(Failure(format!("{other} is no tag of an option"))),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.nested(|decoder| visitor.visit_newtype_struct(decoder))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let len = self.len()?;
        self.elements(len, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.elements(len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.elements(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let left = self.len()?;
        self.nested(|decoder| visitor.visit_map(Elements { decoder, left }))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.fields(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.nested(|decoder| visitor.visit_enum(Variant { decoder, names }))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// A sequence or a map of which `left` elements are still to come.
struct Elements<'a, 'i, 'de> {
    decoder: &'a mut Decoder<'i, 'de>,
    left: usize,
}

impl<'de> Elements<'_, '_, 'de> {
    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let before = self.decoder.input.left();
        let value = seed.deserialize(&mut *self.decoder)?;
        self.decoder.note(before)?;
        Ok(Some(value))
    }

    /// Never more than there are bytes, so that nobody allocates for more.
    fn hint(&self) -> usize {
        self.left.min(self.decoder.input.left())
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, '_, 'de> {
    type Error = Failure;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Failure> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

impl<'de> MapAccess<'de> for Elements<'_, '_, 'de> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Failure> {
        self.next(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        seed.deserialize(&mut *self.decoder)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

#[cold]
fn other_fields(names: &[&str]) -> Failure {
    Failure(format!(
        "a struct is written with other fields than it is read with, which are `{}`, as with `serde(skip_serializing)`; `Json<T>` carries it",
        names.join("`, `")
    ))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::new(ErrorKind::Decode, failure.0)
    }
}
