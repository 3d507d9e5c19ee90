//! The seam to shared buffers: how a part of one travels as an argument.
//!
//! `shared` knows what a part is, and installs here how its bytes become memory again. A type of part becomes an argument by
//! `impl<M: LendsRead> Accepts<ThePart, M> for Slice<T, L>` and `impl<M: LendsWrite> Accepts<ThePartMut, M> for
//! SliceMut<T>`, with `LENDS = true`, whose `encode` is [`write`].

use std::sync::OnceLock;

use bytemuck::Pod;

use crate::codec::{In, Out, Stop, slice};
use crate::error::{Error, ErrorKind};

/// What a part is as bytes: enough for a worker to find it, and nothing else.
pub(crate) trait PartBytes {
    /// The bytes that `read` or `write` of [`Resolve`] are given again.
    fn part_bytes(&self) -> [u8; PART_BYTES];
}

/// How many bytes say which part is meant.
pub(crate) const PART_BYTES: usize = 32;

/// How a worker finds the memory of a part.
#[derive(Debug)]
pub(crate) struct Resolve {
    /// The part, to be read.
    pub(crate) read: for<'a> fn(&'a [u8; PART_BYTES]) -> Result<&'a [u8], Error>,
    /// The part, to be written. Whoever gives this answers for it that no two calls that overlap get the same part.
    pub(crate) write: for<'a> fn(&'a [u8; PART_BYTES]) -> Result<&'a mut [u8], Error>,
}

static RESOLVE: OnceLock<Resolve> = OnceLock::new();

/// Says how parts are found. The first call counts.
pub(crate) fn install(resolve: Resolve) {
    let _ = RESOLVE.set(resolve);
}

/// Writes a part as an argument.
///
/// # Errors
/// `Stop::Full` when there is no room.
pub(crate) fn write(part: &impl PartBytes, out: &mut Out<'_>) -> Result<(), Stop> {
    out.write(&slice::PART.to_le_bytes())?;
    out.write(&part.part_bytes())
}

/// How many bytes [`write`] writes.
pub(crate) const SIZE: usize = 8 + PART_BYTES;

/// Reads a part after its tag.
///
/// # Errors
/// Kind `Decode` for bytes that are no part; `NotFound` when this process has no shared buffers.
pub(crate) fn read<'a>(input: &mut In<'a>) -> Result<&'a [u8], Error> {
    let part = bytes(input)?;
    (resolve()?.read)(part)
}

/// Reads a part that is to be written, tag and all.
///
/// # Errors
/// As for [`read`].
pub(crate) fn slice_mut<'a, T: Pod>(input: &mut In<'a>) -> Result<&'a mut [T], Error> {
    if input.u64()? != slice::PART {
        return Err(slice::no_slice());
    }
    let part = bytes(input)?;
    slice::cast_mut((resolve()?.write)(part)?)
}

fn bytes<'a>(input: &mut In<'a>) -> Result<&'a [u8; PART_BYTES], Error> {
    input.take(PART_BYTES)?.try_into().map_err(|_| slice::no_slice())
}

fn resolve() -> Result<&'static Resolve, Error> {
    RESOLVE
        .get()
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "this process knows no shared buffers"))
}
