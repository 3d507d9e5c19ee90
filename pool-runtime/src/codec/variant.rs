//! Reading an enum: its variant by name, then what the variant holds.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, VariantAccess, Visitor};

use super::decoder::{Decoder, Failure};
use super::naming;

/// An enum: the tag of its variant in four bytes, then what the variant holds.
pub(super) struct Variant<'a, 'i, 'de> {
    pub(super) decoder: &'a mut Decoder<'i, 'de>,
    pub(super) names: &'static [&'static str],
}

impl<'de> EnumAccess<'de> for Variant<'_, '_, 'de> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Failure> {
        let tag = u32::from_le_bytes(self.decoder.array()?);
        let name = naming::of_tag(tag, self.names).ok_or_else(|| other_variants(self.names))?;
        Ok((seed.deserialize(BorrowedStrDeserializer::new(name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_, 'de> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Failure> {
        seed.deserialize(self.decoder)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Failure> {
        self.decoder.elements(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.decoder.fields(fields, visitor)
    }
}

#[cold]
fn other_variants(names: &[&str]) -> Failure {
    Failure(format!(
        "a variant is written with a name that is not, or not clearly, one of those that are read: `{}`",
        names.join("`, `")
    ))
}
