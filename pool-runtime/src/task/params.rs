//! The kinds of parameters, and how a worker makes each from bytes.

use std::marker::PhantomData;

use bytemuck::Pod;

use super::fill::plus;
use super::part;
use crate::codec::{Codec, In, SliceCodec};
use crate::error::{Error, ErrorKind};

/// One parameter: how the function gets it from an item, or from the bound arguments of the job.
pub trait Param: 'static {
    /// `Some(n)`: it takes exactly `n` bytes of an item.
    const STRIDE: Option<usize>;
    /// What the function is given.
    type Arg<'h>;
    /// What lives while the function runs.
    type Held<'a>;
    /// What lives as long as the job, when the parameter is bound.
    type Kept: 'static;
    /// What stands for it when it is filled later, by a value.
    type Value: 'static;

    /// Reads it from an item.
    ///
    /// # Errors
    /// Kind `Decode` for bytes that were not written for it.
    fn read<'a>(input: &mut In<'a>) -> Result<Self::Held<'a>, Error>;

    /// Gives it to the function.
    ///
    /// # Errors
    /// As for `read`.
    fn lend<'h>(held: &'h mut Self::Held<'_>) -> Result<Self::Arg<'h>, Error>;

    /// Reads what is worth reading once per job.
    ///
    /// # Errors
    /// As for `read`.
    fn keep(input: In<'_>) -> Result<Self::Kept, Error>;

    /// Gives it to the function from what was kept, or once more from the bytes.
    ///
    /// # Errors
    /// As for `read`.
    fn kept<'h>(kept: &'h Self::Kept, input: In<'h>) -> Result<Self::Arg<'h>, Error>;
}

/// `T`: a value of its own for every call.
#[derive(Debug)]
pub struct Owned<T, L>(PhantomData<(T, L)>);

/// `&T`: decoded once when it is bound.
#[derive(Debug)]
pub struct Ref<T, L>(PhantomData<(T, L)>);

/// `&[T]`: plain numbers are read where they lie.
#[derive(Debug)]
pub struct Slice<T, L>(PhantomData<(T, L)>);

/// `&mut [T]`: a part of a shared buffer, written where it lies.
#[derive(Debug)]
pub struct SliceMut<T>(PhantomData<T>);

/// `&str`: read where it lies.
#[derive(Debug)]
pub struct Str;

/// A parameter that the task does not have. It takes anything, so that the wrong number of arguments is one error and not many.
#[derive(Debug)]
pub struct Missing;

impl<T: 'static, L: Codec<T>> Param for Owned<T, L> {
    const STRIDE: Option<usize> = L::STRIDE;
    type Arg<'h> = T;
    type Held<'a> = Option<T>;
    type Kept = ();
    type Value = T;

    #[inline]
    fn read<'a>(input: &mut In<'a>) -> Result<Option<T>, Error> {
        L::decode(input).map(Some)
    }

    #[inline]
    fn lend(held: &mut Option<T>) -> Result<T, Error> {
        held.take().ok_or_else(twice)
    }

    fn keep(_: In<'_>) -> Result<(), Error> {
        Ok(())
    }

    #[inline]
    fn kept((): &(), mut input: In<'_>) -> Result<T, Error> {
        whole(L::decode(&mut input)?, input)
    }
}

impl<T: 'static, L: Codec<T>> Param for Ref<T, L> {
    const STRIDE: Option<usize> = L::STRIDE;
    type Arg<'h> = &'h T;
    type Held<'a> = T;
    type Kept = T;
    type Value = T;

    #[inline]
    fn read<'a>(input: &mut In<'a>) -> Result<T, Error> {
        L::decode(input)
    }

    #[inline]
    fn lend(held: &mut T) -> Result<&T, Error> {
        Ok(held)
    }

    fn keep(mut input: In<'_>) -> Result<T, Error> {
        whole(L::decode(&mut input)?, input)
    }

    #[inline]
    fn kept<'h>(kept: &'h T, _: In<'h>) -> Result<&'h T, Error> {
        Ok(kept)
    }
}

impl<T: 'static, L: SliceCodec<T>> Param for Slice<T, L> {
    const STRIDE: Option<usize> = None;
    type Arg<'h> = &'h [T];
    type Held<'a> = L::Held<'a>;
    type Kept = L::Kept;
    type Value = Vec<T>;

    #[inline]
    fn read<'a>(input: &mut In<'a>) -> Result<L::Held<'a>, Error> {
        L::read(input)
    }

    #[inline]
    fn lend<'h>(held: &'h mut L::Held<'_>) -> Result<&'h [T], Error> {
        Ok((*held).as_ref())
    }

    fn keep(input: In<'_>) -> Result<L::Kept, Error> {
        L::keep(input)
    }

    #[inline]
    fn kept<'h>(kept: &'h L::Kept, input: In<'h>) -> Result<&'h [T], Error> {
        L::kept(kept, input)
    }
}

impl<T: Pod> Param for SliceMut<T> {
    const STRIDE: Option<usize> = None;
    type Arg<'h> = &'h mut [T];
    type Held<'a> = &'a mut [T];
    type Kept = ();
    type Value = Vec<T>;

    fn read<'a>(input: &mut In<'a>) -> Result<&'a mut [T], Error> {
        part::slice_mut(input)
    }

    fn lend<'h>(held: &'h mut &mut [T]) -> Result<&'h mut [T], Error> {
        Ok(held)
    }

    fn keep(_: In<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn kept<'h>((): &'h (), mut input: In<'h>) -> Result<&'h mut [T], Error> {
        part::slice_mut(&mut input)
    }
}

impl Param for Str {
    const STRIDE: Option<usize> = None;
    type Arg<'h> = &'h str;
    type Held<'a> = &'a str;
    type Kept = String;
    type Value = String;

    #[inline]
    fn read<'a>(input: &mut In<'a>) -> Result<&'a str, Error> {
        let len = input.len()?;
        std::str::from_utf8(input.take(len)?).map_err(|_| no_text())
    }

    #[inline]
    fn lend<'h>(held: &'h mut &str) -> Result<&'h str, Error> {
        Ok(held)
    }

    /// Kept as a copy, because to look for UTF-8 in a long text for every few items costs more than the items.
    fn keep(mut input: In<'_>) -> Result<String, Error> {
        Self::read(&mut input).map(str::to_owned)
    }

    #[inline]
    fn kept<'h>(kept: &'h String, _: In<'h>) -> Result<&'h str, Error> {
        Ok(kept)
    }
}

impl Param for Missing {
    const STRIDE: Option<usize> = Some(0);
    type Arg<'h> = ();
    type Held<'a> = ();
    type Kept = ();
    type Value = ();

    fn read<'a>(_: &mut In<'a>) -> Result<(), Error> {
        Ok(())
    }

    fn lend(_: &mut ()) -> Result<(), Error> {
        Ok(())
    }

    fn keep(_: In<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn kept<'h>(_: &'h (), _: In<'h>) -> Result<(), Error> {
        Ok(())
    }
}

#[cold]
fn no_text() -> Error {
    Error::new(ErrorKind::Decode, "a text is no UTF-8")
}

#[cold]
fn twice() -> Error {
    Error::new(ErrorKind::Decode, "an argument was taken twice")
}

/// The value, when it was all there was.
#[inline]
pub(crate) fn whole<T>(value: T, rest: In<'_>) -> Result<T, Error> {
    if rest.is_empty() { Ok(value) } else { Err(too_long(rest.left())) }
}

#[cold]
fn too_long(left: usize) -> Error {
    Error::new(ErrorKind::Decode, format!("{left} bytes are left over"))
}

/// All parameters of a task, as `(First, (Second, .. ()))`.
pub trait Params: 'static {
    /// `Some(n)`: with none of them bound, an item is exactly `n` bytes.
    const STRIDE: Option<usize>;
    /// The arguments, in the same shape.
    type Args<'h>;
    /// What lives while the function runs; `None` for what is bound.
    type Held<'a>;
    /// Where the bound arguments lie.
    type Places<'a>;
    /// What lives as long as the job.
    type Kept: 'static;

    /// Finds the bound arguments.
    ///
    /// # Errors
    /// Kind `Decode` when there are not as many as `mask` says.
    fn places<'a>(mask: u32, bound: &mut In<'a>) -> Result<Self::Places<'a>, Error>;

    /// Reads what is worth reading once per job.
    ///
    /// # Errors
    /// Kind `Decode`.
    fn keep(mask: u32, places: &Self::Places<'_>) -> Result<Self::Kept, Error>;

    /// Reads what is not bound from an item.
    ///
    /// # Errors
    /// Kind `Decode`.
    fn read<'a>(mask: u32, item: &mut In<'a>) -> Result<Self::Held<'a>, Error>;

    /// All arguments.
    ///
    /// # Errors
    /// Kind `Decode`.
    fn lend<'h>(
        held: &'h mut Self::Held<'_>,
        places: &'h Self::Places<'_>,
        kept: &'h Self::Kept,
    ) -> Result<Self::Args<'h>, Error>;
}

impl Params for () {
    const STRIDE: Option<usize> = Some(0);
    type Args<'h> = ();
    type Held<'a> = ();
    type Places<'a> = ();
    type Kept = ();

    fn places<'a>(_: u32, bound: &mut In<'a>) -> Result<(), Error> {
        whole((), *bound)
    }

    fn keep(_: u32, (): &()) -> Result<(), Error> {
        Ok(())
    }

    #[inline]
    fn read<'a>(_: u32, _: &mut In<'a>) -> Result<(), Error> {
        Ok(())
    }

    #[inline]
    fn lend<'h>((): &'h mut (), (): &'h (), (): &'h ()) -> Result<(), Error> {
        Ok(())
    }
}

impl<P: Param, Rest: Params> Params for (P, Rest) {
    const STRIDE: Option<usize> = plus(P::STRIDE, Rest::STRIDE);
    type Args<'h> = (P::Arg<'h>, Rest::Args<'h>);
    type Held<'a> = (Option<P::Held<'a>>, Rest::Held<'a>);
    type Places<'a> = (In<'a>, Rest::Places<'a>);
    type Kept = (Option<P::Kept>, Rest::Kept);

    fn places<'a>(mask: u32, bound: &mut In<'a>) -> Result<Self::Places<'a>, Error> {
        let place = if mask & 1 == 1 { super::bound::place(bound)? } else { In::new(&[]) };
        Ok((place, Rest::places(mask >> 1, bound)?))
    }

    fn keep(mask: u32, (place, rest): &Self::Places<'_>) -> Result<Self::Kept, Error> {
        let kept = if mask & 1 == 1 { Some(P::keep(*place)?) } else { None };
        Ok((kept, Rest::keep(mask >> 1, rest)?))
    }

    // Always, because it stands in two loops of each task, and a call per item costs more than many a task.
    #[inline(always)]
    fn read<'a>(mask: u32, item: &mut In<'a>) -> Result<Self::Held<'a>, Error> {
        let held = if mask & 1 == 1 { None } else { Some(P::read(item)?) };
        Ok((held, Rest::read(mask >> 1, item)?))
    }

    #[inline(always)]
    fn lend<'h>(
        (held, held_rest): &'h mut Self::Held<'_>,
        (place, place_rest): &'h Self::Places<'_>,
        (kept, kept_rest): &'h Self::Kept,
    ) -> Result<Self::Args<'h>, Error> {
        let arg = match (held, kept) {
            (Some(held), _) => P::lend(held)?,
            (None, Some(kept)) => P::kept(kept, *place)?,
            (None, None) => return Err(twice()),
        };
        Ok((arg, Rest::lend(held_rest, place_rest, kept_rest)?))
    }
}
