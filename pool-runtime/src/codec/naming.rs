//! What serde leaves out and the reader must know: the name of an enum's variant, and that no field is missing.
//!
//! Serde numbers the variants of an enum when it writes, all of them, and when it reads, without those that are never read
//! (`#[serde(skip)]`): by number alone one variant becomes another. So where bincode writes the number, [`tag`] stands, by which
//! [`of_tag`] finds the name. A field that is left out by its value (`skip_serializing_if`) would be read from the bytes of the next.

use std::fmt::Display;

use serde::Serialize;
use serde::ser::{
    Error, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// The number of a variant, its low 8 bits, and 24 bits of its name: as long as the number that it stands for.
#[inline]
fn tag(index: u32, name: &str) -> u32 {
    hash(name) << 8 | index & 0xff
}

/// FNV-1a. A vector of enums with short names takes 64 ns for each, there and back, where numbers alone took 43; to hash four letters
/// at once is no better.
#[inline]
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The name that a tag was made of, if it is one of these; and the number, for enums whose names differ on the two sides
/// (`rename(serialize = .., deserialize = ..)`).
#[inline]
pub(super) fn of_tag(tag: u32, names: &'static [&'static str]) -> (Option<&'static str>, u32) {
    let is_it = |name: &&&str| hash(name) << 8 == tag & !0xff;
    let number = tag & 0xff;
    let at_its_place = names.get(number as usize).filter(is_it);
    (at_its_place.or_else(|| names.iter().find(is_it)).copied(), number)
}

/// A value, to be written so.
pub(super) struct Named<'a, T: ?Sized>(pub(super) &'a T);

impl<T: Serialize + ?Sized> Serialize for Named<'_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Naming(serializer))
    }
}

/// Hands everything on to another serializer, variants by their tags.
struct Naming<S>(S);

macro_rules! hand_on {
    ($($method:ident $kind:ty;)*) => {$(
        #[inline]
        fn $method(self, value: $kind) -> Result<S::Ok, S::Error> {
            self.0.$method(value)
        }
    )*};
}

impl<S: Serializer> Serializer for Naming<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Naming<S::SerializeSeq>;
    type SerializeTuple = Naming<S::SerializeTuple>;
    type SerializeTupleStruct = Naming<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Naming<S::SerializeTupleVariant>;
    type SerializeMap = Naming<S::SerializeMap>;
    type SerializeStruct = Naming<S::SerializeStruct>;
    type SerializeStructVariant = Naming<S::SerializeStructVariant>;

    hand_on! {
        serialize_bool bool;
        serialize_i8 i8;
        serialize_i16 i16;
        serialize_i32 i32;
        serialize_i64 i64;
        serialize_i128 i128;
        serialize_u8 u8;
        serialize_u16 u16;
        serialize_u32 u32;
        serialize_u64 u64;
        serialize_u128 u128;
        serialize_f32 f32;
        serialize_f64 f64;
        serialize_char char;
        serialize_str &str;
        serialize_bytes &[u8];
        serialize_unit_struct &'static str;
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit()
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_none()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Named(value))
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Named(value))
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, tag(index, variant), variant)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_variant(name, tag(index, variant), variant, &Named(value))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.0.serialize_tuple_variant(name, tag(index, variant), variant, len).map(Naming)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.0.serialize_struct_variant(name, tag(index, variant), variant, len).map(Naming)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.0.serialize_seq(len).map(Naming)
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.0.serialize_tuple(len).map(Naming)
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.0.serialize_tuple_struct(name, len).map(Naming)
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.0.serialize_map(len).map(Naming)
    }

    #[inline]
    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, len).map(Naming)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.collect_str(value)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! parts {
    ($($kind:ident $method:ident;)*) => {$(
        impl<S: $kind> $kind for Naming<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.0.$method(&Named(value))
            }

            #[inline]
            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        }
    )*};
}

parts! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

impl<S: SerializeMap> SerializeMap for Naming<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.0.serialize_key(&Named(key))
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.0.serialize_value(&Named(value))
    }

    #[inline]
    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

macro_rules! fields {
    ($($kind:ident)*) => {$(
        impl<S: $kind> $kind for Naming<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), S::Error> {
                self.0.serialize_field(name, &Named(value))
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), S::Error> {
                Err(left_out(name))
            }

            #[inline]
            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        }
    )*};
}

fields! { SerializeStruct SerializeStructVariant }

#[cold]
fn left_out<E: Error>(name: &str) -> E {
    E::custom(format_args!(
        "its field `{name}` is left out, as with `serde(skip_serializing_if)`; `Json<T>` carries it"
    ))
}
