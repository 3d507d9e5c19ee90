//! Where a type is a parameter, of which only serde's traits are known: which types are known by themselves, and vectors of plain
//! numbers as one copy of their bytes.
//!
//! What is written is what bincode writes, a count and the numbers in little endian, so that either reads what the other wrote.
//! It is what `Level<VEC>` writes, too.
#![expect(unsafe_code, reason = "takes a value as the type that it was found to have")]

use std::any::TypeId;
use std::mem::ManuallyDrop;

use super::cursor::In;
use super::level::{Codec, Level, VEC};
use crate::error::Error;

/// Whether numbers lie in memory as they are written, those of the size of an address included.
const ALIKE: bool = cfg!(all(target_endian = "little", target_pointer_width = "64"));

fn is<T: ?Sized, A: 'static>() -> bool {
    typeid::of::<T>() == TypeId::of::<A>()
}

/// The value as an `A`, if it is one.
#[inline]
fn seen_as<T: ?Sized, A: 'static>(value: &T) -> Option<&A> {
    // SAFETY: `T` is `A`: they have one id, and `A` has no lifetimes, which are all that the id does not tell apart.
    is::<T, A>().then(|| unsafe { &*std::ptr::from_ref(value).cast::<A>() })
}

/// The value as a `T`, which its type must be.
#[inline]
fn turned<A: 'static, T>(value: A) -> T {
    assert!(is::<T, A>(), "it is another type");
    // SAFETY: `T` is `A`, as above; and the value is moved, since what it is copied from is not dropped.
    unsafe { std::mem::transmute_copy(&ManuallyDrop::new(value)) }
}

macro_rules! numbers {
    ($($number:ty)*) => {
        /// Whether values of the type are known to name nothing but themselves: no shared object, no descriptor, and no code of
        /// the user's encodes them. `false` says nothing.
        #[inline]
        pub(crate) fn names_nothing<T>() -> bool {
            is::<T, ()>() || is::<T, bool>() || is::<T, char>() || is::<T, String>()
                $(|| is::<T, $number>() || is::<T, Vec<$number>>())*
        }

        /// The count and the elements as they are written, if the value is a vector of numbers.
        #[inline]
        pub(super) fn parts<T: ?Sized>(value: &T) -> Option<([u8; 8], &[u8])> {
            // Most types are told apart by this alone, also where nothing is optimised.
            if !ALIKE || size_of_val(value) != size_of::<Vec<u8>>() {
                return None;
            }
            $(if let Some(values) = seen_as::<T, Vec<$number>>(value) {
                return Some(((values.len() as u64).to_le_bytes(), bytemuck::cast_slice(values)));
            })*
            None
        }

        /// Reads a `T`, if that is a vector of numbers.
        #[inline]
        pub(super) fn decode<T>(input: &mut In<'_>) -> Option<Result<T, Error>> {
            if !ALIKE || size_of::<T>() != size_of::<Vec<u8>>() {
                return None;
            }
            $(if is::<T, Vec<$number>>() {
                return Some(<Level<VEC> as Codec<Vec<$number>>>::decode(input).map(turned));
            })*
            None
        }
    };
}

numbers! { u8 f64 f32 u64 i64 u32 i32 u16 i16 i8 usize isize u128 i128 }
