//! Plain numbers: their bytes are their encoding.

use bytemuck::{CheckedBitPattern, NoUninit, Pod, Zeroable};

use super::cursor::{In, Out, Stop};
use super::level::{CHECKED, Codec, Level, NONE, POD, VEC};
use crate::error::{Error, ErrorKind};
use crate::sys::memory::expect_filling;

impl<T: Pod> Codec<T> for Level<POD> {
    const STRIDE: Option<usize> = Some(size_of::<T>());
    const PLAIN: bool = true;

    #[inline]
    fn encode(value: &T, out: &mut Out<'_>) -> Result<(), Stop> {
        out.write(bytemuck::bytes_of(value))
    }

    #[inline]
    fn size(_: &T) -> Result<usize, Error> {
        Ok(size_of::<T>())
    }

    #[inline]
    fn decode(input: &mut In<'_>) -> Result<T, Error> {
        Ok(bytemuck::pod_read_unaligned(input.take(size_of::<T>())?))
    }
}

impl<T: NoUninit + CheckedBitPattern> Codec<T> for Level<CHECKED> {
    const STRIDE: Option<usize> = Some(size_of::<T>());

    #[inline]
    fn encode(value: &T, out: &mut Out<'_>) -> Result<(), Stop> {
        out.write(bytemuck::bytes_of(value))
    }

    #[inline]
    fn size(_: &T) -> Result<usize, Error> {
        Ok(size_of::<T>())
    }

    #[inline]
    fn decode(input: &mut In<'_>) -> Result<T, Error> {
        let bytes = input.take(size_of::<T>())?;
        bytemuck::checked::try_pod_read_unaligned(bytes).map_err(|_| invalid())
    }
}

#[cold]
fn invalid() -> Error {
    Error::new(ErrorKind::Decode, "these bytes are no value of the type")
}

/// A count of elements in eight bytes, then their bytes. The count is needed because an element may have no bytes.
impl<T: Pod> Codec<Vec<T>> for Level<VEC> {
    const STRIDE: Option<usize> = None;
    const PLAIN: bool = true;

    #[inline]
    fn encode(value: &Vec<T>, out: &mut Out<'_>) -> Result<(), Stop> {
        out.write(&(value.len() as u64).to_le_bytes())?;
        out.write(bytemuck::cast_slice(value))
    }

    #[inline]
    fn size(value: &Vec<T>) -> Result<usize, Error> {
        Ok(8 + size_of_val(&value[..]))
    }

    #[inline]
    fn decode(input: &mut In<'_>) -> Result<Vec<T>, Error> {
        let count = input.len()?;
        copied(count, input.take(bytes_of_elements::<T>(count)?)?)
    }
}

/// `count` elements in memory of their own, where a `T` may lie. `bytes` are as many as [`bytes_of_elements`] says.
///
/// # Errors
/// Kind `Decode` when the allocation is refused.
#[inline]
pub(crate) fn copied<T: Pod>(count: usize, bytes: &[u8]) -> Result<Vec<T>, Error> {
    let mut values: Vec<T> = zeroed(count)?;
    expect_filling(values.as_mut_ptr().cast(), bytes.len());
    bytemuck::cast_slice_mut(&mut values).copy_from_slice(bytes);
    Ok(values)
}

/// How many bytes `count` elements take.
///
/// # Errors
/// Kind `Decode` when that is more than there is memory for.
pub(crate) fn bytes_of_elements<T>(count: usize) -> Result<usize, Error> {
    count.checked_mul(size_of::<T>()).ok_or_else(|| too_many(count))
}

/// `count` zeros. The caller has checked that there are as many bytes to fill them with.
///
/// # Errors
/// Kind `Decode` when the allocation is refused.
pub(crate) fn zeroed<T: Zeroable + Pod>(count: usize) -> Result<Vec<T>, Error> {
    if size_of::<T>() == 0 {
        return Ok(nothings(count)?.to_vec());
    }
    bytemuck::allocation::try_zeroed_vec(count).map_err(|()| too_many(count))
}

/// Lies where an element of no size may, also one that is aligned to as much as a page.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Nothing {}

/// A slice of `count` elements of no size. No loop over the elements, so that a count from outside costs no time.
///
/// # Errors
/// Kind `Decode` for a type aligned to more than a page.
pub(crate) fn nothings<T: Pod>(count: usize) -> Result<&'static [T], Error> {
    const NOTHINGS: &[Nothing] = &[Nothing {}; usize::MAX];
    bytemuck::try_cast_slice(&NOTHINGS[..count]).map_err(|_| too_many(count))
}

#[cold]
fn too_many(count: usize) -> Error {
    Error::new(ErrorKind::Decode, format!("{count} elements are more than there is room for"))
}

/// So that a type that cannot travel gives one message at the definition, and none here.
impl<T> Codec<T> for Level<NONE> {
    const STRIDE: Option<usize> = None;

    fn encode(_: &T, _: &mut Out<'_>) -> Result<(), Stop> {
        Err(Stop::Failed(Error::new(ErrorKind::Encode, "the type cannot travel")))
    }

    fn size(_: &T) -> Result<usize, Error> {
        Ok(0)
    }

    fn decode(_: &mut In<'_>) -> Result<T, Error> {
        Err(Error::new(ErrorKind::Decode, "the type cannot travel"))
    }
}
