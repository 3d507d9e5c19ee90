//! Slices as arguments: read where they lie when the elements are plain numbers, element by element when not.
//!
//! Each begins with a word that tells which: the bytes follow, or they say which part of a shared buffer is meant.

use std::borrow::Cow;
use std::cell::OnceCell;

use bytemuck::{Pod, PodCastError};

use super::cursor::{ALIGN, In, Out, Stop};
use super::level::{CHECKED, Codec, DESCRIPTOR, Level, NONE, POD, SERDE, VEC, WIDE};
use super::plain;
use crate::error::{Error, ErrorKind};
use crate::task::part;

/// The elements follow.
pub(crate) const INLINE: u64 = 0;
/// A part of a shared buffer follows.
pub(crate) const PART: u64 = 1;

/// How a slice of `T` travels as an argument.
pub trait SliceCodec<T: 'static>: 'static {
    /// What is read: a view of the bytes, or elements of its own.
    type Held<'a>: AsRef<[T]>;
    /// The same for as long as a job lasts.
    type Kept: 'static;

    /// Writes the elements.
    ///
    /// # Errors
    /// As for [`Codec::encode`].
    fn encode(values: &[T], out: &mut Out<'_>) -> Result<(), Stop>;

    /// How many bytes `encode` writes, or a little more.
    ///
    /// # Errors
    /// Kind `Encode` when a value says no.
    fn size(values: &[T]) -> Result<usize, Error>;

    /// Reads the elements.
    ///
    /// # Errors
    /// Kind `Decode` for bytes that `encode` does not write.
    fn read<'a>(input: &mut In<'a>) -> Result<Self::Held<'a>, Error>;

    /// Reads what is worth keeping for other items of the job.
    ///
    /// # Errors
    /// As for `read`.
    fn keep(input: In<'_>) -> Result<Self::Kept, Error>;

    /// The elements, of what was kept or else of the bytes.
    ///
    /// # Errors
    /// As for `read`.
    fn kept<'h>(kept: &'h Self::Kept, input: In<'h>) -> Result<&'h [T], Error>;
}

/// Where the elements begin, a multiple of [`ALIGN`] from the beginning of the item.
fn head(tag: u64, count: usize, out: &mut Out<'_>) -> Result<(), Stop> {
    out.write(&tag.to_le_bytes())?;
    out.write(&(count as u64).to_le_bytes())?;
    out.align(ALIGN)
}

/// The most that `head` writes.
const HEAD: usize = 16 + ALIGN;

impl<T: Pod> SliceCodec<T> for Level<POD> {
    type Held<'a> = &'a [T];
    type Kept = ();

    #[inline]
    fn encode(values: &[T], out: &mut Out<'_>) -> Result<(), Stop> {
        head(INLINE, values.len(), out)?;
        out.write(bytemuck::cast_slice(values))
    }

    fn size(values: &[T]) -> Result<usize, Error> {
        Ok(HEAD + size_of_val(values))
    }

    #[inline]
    fn read<'a>(input: &mut In<'a>) -> Result<&'a [T], Error> {
        match input.u64()? {
            INLINE => view(input),
            PART => cast(part::read(input)?),
            _ => Err(no_slice()),
        }
    }

    fn keep(_: In<'_>) -> Result<(), Error> {
        Ok(())
    }

    #[inline]
    fn kept<'h>((): &'h (), mut input: In<'h>) -> Result<&'h [T], Error> {
        Self::read(&mut input)
    }
}

#[inline]
fn view<'a, T: Pod>(input: &mut In<'a>) -> Result<&'a [T], Error> {
    let count = input.len()?;
    input.align(ALIGN)?;
    if size_of::<T>() == 0 {
        return plain::nothings(count);
    }
    cast(input.take(plain::bytes_of_elements::<T>(count)?)?)
}

/// An item begins at a multiple of `ALIGN`, and of no more: elements that want more are read where they lie by chance only.
impl<T: Pod> SliceCodec<T> for Level<WIDE> {
    type Held<'a> = Cow<'a, [T]>;
    /// The copy, once there is one. Not made in `keep`, because the bytes may lie elsewhere when the next items of the job come.
    type Kept = OnceCell<Vec<T>>;

    fn encode(values: &[T], out: &mut Out<'_>) -> Result<(), Stop> {
        <Level<POD> as SliceCodec<T>>::encode(values, out)
    }

    fn size(values: &[T]) -> Result<usize, Error> {
        <Level<POD> as SliceCodec<T>>::size(values)
    }

    fn read<'a>(input: &mut In<'a>) -> Result<Cow<'a, [T]>, Error> {
        match input.u64()? {
            INLINE => wide(input),
            PART => cast(part::read(input)?).map(Cow::Borrowed),
            _ => Err(no_slice()),
        }
    }

    fn keep(_: In<'_>) -> Result<OnceCell<Vec<T>>, Error> {
        Ok(OnceCell::new())
    }

    fn kept<'h>(kept: &'h OnceCell<Vec<T>>, mut input: In<'h>) -> Result<&'h [T], Error> {
        if let Some(copy) = kept.get() {
            return Ok(copy);
        }
        Ok(match Self::read(&mut input)? {
            Cow::Borrowed(values) => values,
            Cow::Owned(copy) => kept.get_or_init(|| copy),
        })
    }
}

fn wide<'a, T: Pod>(input: &mut In<'a>) -> Result<Cow<'a, [T]>, Error> {
    let count = input.len()?;
    input.align(ALIGN)?;
    if size_of::<T>() == 0 {
        return plain::nothings(count).map(Cow::Borrowed);
    }
    let bytes = input.take(plain::bytes_of_elements::<T>(count)?)?;
    match bytemuck::try_cast_slice(bytes) {
        Ok(values) => Ok(Cow::Borrowed(values)),
        Err(PodCastError::TargetAlignmentGreaterAndInputNotAligned) => {
            plain::copied(count, bytes).map(Cow::Owned)
        }
        Err(_) => Err(no_slice()),
    }
}

/// The bytes as elements.
///
/// # Errors
/// Kind `Decode` when they are no whole number of elements, or lie where no `T` may lie.
#[inline]
pub(crate) fn cast<T: Pod>(bytes: &[u8]) -> Result<&[T], Error> {
    bytemuck::try_cast_slice(bytes).map_err(|_| no_slice())
}

/// The bytes as elements that may be written.
///
/// # Errors
/// As for [`cast`].
pub(crate) fn cast_mut<T: Pod>(bytes: &mut [u8]) -> Result<&mut [T], Error> {
    bytemuck::try_cast_slice_mut(bytes).map_err(|_| no_slice())
}

#[cold]
pub(crate) fn no_slice() -> Error {
    Error::new(ErrorKind::Decode, "these bytes are no slice of the type")
}

macro_rules! element_by_element {
    ($($level:ident)*) => {$(
        impl<T: 'static> SliceCodec<T> for Level<$level>
        where
            Level<$level>: Codec<T>,
        {
            type Held<'a> = Vec<T>;
            type Kept = Vec<T>;

            fn encode(values: &[T], out: &mut Out<'_>) -> Result<(), Stop> {
                head(INLINE, values.len(), out)?;
                values.iter().try_for_each(|value| <Self as Codec<T>>::encode(value, out))
            }

            fn size(values: &[T]) -> Result<usize, Error> {
                values.iter().try_fold(HEAD, |sum, value| Ok(sum + <Self as Codec<T>>::size(value)?))
            }

            fn read<'a>(input: &mut In<'a>) -> Result<Vec<T>, Error> {
                elements::<T, Self>(input)
            }

            fn keep(mut input: In<'_>) -> Result<Vec<T>, Error> {
                elements::<T, Self>(&mut input)
            }

            fn kept<'h>(kept: &'h Vec<T>, _: In<'h>) -> Result<&'h [T], Error> {
                Ok(kept)
            }
        }
    )*};
}

element_by_element!(SERDE VEC CHECKED DESCRIPTOR NONE);

fn elements<T, L: Codec<T>>(input: &mut In<'_>) -> Result<Vec<T>, Error> {
    if input.u64()? != INLINE {
        return Err(no_slice());
    }
    let count = input.len()?;
    input.align(ALIGN)?;
    // Elements that take no bytes could be as many as a forged count says.
    if count > input.left().max(super::decoder::MOST_WITHOUT_BYTES) {
        return Err(no_slice());
    }
    let mut values = Vec::with_capacity(count.min(input.left()));
    for _ in 0..count {
        values.push(L::decode(input)?);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Pod, bytemuck::Zeroable)]
    #[repr(C, align(32))]
    struct Lane([u64; 4]);

    type Wide = Level<WIDE>;

    /// Calls `check` with one encoded slice, once where its elements may lie and once where they may not.
    fn in_both_places(values: &[Lane], check: impl Fn(&[u8], bool)) {
        for before in [0, ALIGN] {
            let mut room = vec![Lane([0; 4]); 8];
            let room: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut room)[before..];
            let mut out = Out::new(room);
            Wide::encode(values, &mut out).unwrap();
            // The elements stand `ALIGN` behind the beginning.
            check(out.written(), before == ALIGN);
        }
    }

    #[test]
    fn elements_are_copied_only_where_they_may_not_lie() {
        let lanes = [Lane([1; 4]), Lane([2; 4])];
        in_both_places(&lanes, |bytes, aligned| {
            let held = Wide::read(&mut In::new(bytes)).unwrap();
            assert_eq!((&*held, matches!(held, Cow::Borrowed(_))), (&lanes[..], aligned));
        });
    }

    #[test]
    fn elements_without_bytes_are_aligned_too() {
        #[derive(Clone, Copy, Pod, bytemuck::Zeroable)]
        #[repr(C, align(32))]
        struct Nothing {}

        let mut room = [0; 64];
        let mut out = Out::new(&mut room);
        Wide::encode(&[Nothing {}; 3], &mut out).unwrap();
        let held: Cow<'_, [Nothing]> = Wide::read(&mut In::new(out.written())).unwrap();
        assert_eq!(held.len(), 3);
    }

    #[test]
    fn a_bound_slice_is_copied_once() {
        let lanes = [Lane([1; 4])];
        in_both_places(&lanes, |bytes, aligned| {
            let copy = <Wide as SliceCodec<Lane>>::keep(In::new(bytes)).unwrap();
            let first = Wide::kept(&copy, In::new(bytes)).unwrap();
            let again = Wide::kept(&copy, In::new(bytes)).unwrap();
            assert_eq!((first, first.as_ptr()), (&lanes[..], again.as_ptr()));
            assert_eq!(copy.get().is_none(), aligned);
        });
    }
}
