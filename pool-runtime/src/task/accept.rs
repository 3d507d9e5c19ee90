//! What may be given for a parameter.
//!
//! The parameter is `Self` and the caller's type a parameter of the trait, not the other way round: an inference variable
//! as `Self` is always ambiguous, and so `None`, `0..4`, `"db".into()` and `.collect()` find their types.

use super::params::{Missing, Owned, Param, Ref, Slice, Str};
use crate::codec::{Codec, Out, SliceCodec, Stop};
use crate::error::Error;

/// Items of `par_map!` and `par_starmap!`.
#[derive(Debug)]
pub struct MapItems;
/// Items of the imap and async forms.
#[derive(Debug)]
pub struct Items;
/// Bound arguments of `par_map!` and `par_starmap!`.
#[derive(Debug)]
pub struct MapBound;
/// Arguments of `par_apply!`.
#[derive(Debug)]
pub struct Apply;
/// Every other argument: those that may outlive the call.
#[derive(Debug)]
pub struct Plain;

/// Where a `&T` may stand for a `T`. For items that is harmless; for arguments it would leave `"db".into()` two types to become.
pub trait ByRef {}
impl ByRef for MapItems {}
impl ByRef for Items {}

/// Where a part of a shared buffer may be read: the call ends before the part does.
#[diagnostic::on_unimplemented(
    message = "a part of a `SharedBuffer` cannot outlive the call",
    note = "only `par_map!`, `par_starmap!` and `par_apply!` take parts: they return when no process can touch them any more"
)]
pub trait LendsRead {}
impl LendsRead for MapItems {}
impl LendsRead for MapBound {}
impl LendsRead for Apply {}

/// Where a part of a shared buffer may be written: besides, no two calls of the function get the same part.
#[diagnostic::on_unimplemented(
    message = "a part that is written must be a `_` of a map, or an argument of `par_apply!`",
    note = "as a bound argument every item would write the same part"
)]
pub trait LendsWrite {}
impl LendsWrite for MapItems {}
impl LendsWrite for Apply {}

/// The parameter takes an `A`, in the place that `M` names.
#[diagnostic::on_unimplemented(
    message = "`{A}` cannot be given for a parameter `{Self}`",
    label = "not what the parameter takes",
    note = "for `T` give a `T` (as an item also a `&T`), for `&T` either, for `&[T]` any `AsRef<[T]>`, for `&str` any `AsRef<str>`, for `&mut [T]` a part of a `SharedBuffer`"
)]
pub trait Accepts<A, M>: Param {
    /// Whether the bytes point into memory that is lent for the call.
    const LENDS: bool = false;

    /// Writes the argument.
    ///
    /// # Errors
    /// As for [`Codec::encode`].
    fn encode(arg: &A, out: &mut Out<'_>) -> Result<(), Stop>;

    /// How many bytes `encode` writes, or a little more.
    ///
    /// # Errors
    /// As for [`Codec::size`].
    fn size(arg: &A) -> Result<usize, Error>;
}

impl<T: 'static, L: Codec<T>, M> Accepts<T, M> for Owned<T, L> {
    #[inline]
    fn encode(arg: &T, out: &mut Out<'_>) -> Result<(), Stop> {
        L::encode(arg, out)
    }

    fn size(arg: &T) -> Result<usize, Error> {
        L::size(arg)
    }
}

impl<T: 'static, L: Codec<T>, M: ByRef> Accepts<&T, M> for Owned<T, L> {
    #[inline]
    fn encode(arg: &&T, out: &mut Out<'_>) -> Result<(), Stop> {
        L::encode(arg, out)
    }

    fn size(arg: &&T) -> Result<usize, Error> {
        L::size(arg)
    }
}

impl<T: 'static, L: Codec<T>, M> Accepts<T, M> for Ref<T, L> {
    #[inline]
    fn encode(arg: &T, out: &mut Out<'_>) -> Result<(), Stop> {
        L::encode(arg, out)
    }

    fn size(arg: &T) -> Result<usize, Error> {
        L::size(arg)
    }
}

impl<T: 'static, L: Codec<T>, M> Accepts<&T, M> for Ref<T, L> {
    #[inline]
    fn encode(arg: &&T, out: &mut Out<'_>) -> Result<(), Stop> {
        L::encode(arg, out)
    }

    fn size(arg: &&T) -> Result<usize, Error> {
        L::size(arg)
    }
}

impl<T: 'static, L: SliceCodec<T>, A: AsRef<[T]>, M> Accepts<A, M> for Slice<T, L> {
    #[inline]
    fn encode(arg: &A, out: &mut Out<'_>) -> Result<(), Stop> {
        L::encode(arg.as_ref(), out)
    }

    fn size(arg: &A) -> Result<usize, Error> {
        L::size(arg.as_ref())
    }
}

impl<A: AsRef<str>, M> Accepts<A, M> for Str {
    #[inline]
    fn encode(arg: &A, out: &mut Out<'_>) -> Result<(), Stop> {
        let text = arg.as_ref();
        out.write(&(text.len() as u64).to_le_bytes())?;
        out.write(text.as_bytes())
    }

    fn size(arg: &A) -> Result<usize, Error> {
        Ok(8 + arg.as_ref().len())
    }
}

impl<A, M> Accepts<A, M> for Missing {
    fn encode(_: &A, _: &mut Out<'_>) -> Result<(), Stop> {
        Ok(())
    }

    fn size(_: &A) -> Result<usize, Error> {
        Ok(0)
    }
}
