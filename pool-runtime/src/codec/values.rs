//! Any other value, through serde: bincode writes, `decoder` reads.
//!
//! The layout is bincode's `legacy()`: integers of fixed width, little endian, no names but what [`naming`](super::naming) puts in
//! place of the numbers of variants. bincode's own decoder is not used,
//! because it allocates what a length claims before it looks whether there are as many bytes. A vector of numbers is written
//! and read in one piece by `bulk`, in the same layout.

use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bulk;
use super::cursor::{In, Out, Stop};
use super::decoder::Decoder;
use super::level::{Codec, Level, SERDE};
use super::naming::Named;
use crate::error::{Error, ErrorKind, take_refusal};

impl<T: Serialize + DeserializeOwned> Codec<T> for Level<SERDE> {
    const STRIDE: Option<usize> = None;

    #[inline]
    fn encode(value: &T, out: &mut Out<'_>) -> Result<(), Stop> {
        encode(value, out)
    }

    fn size(value: &T) -> Result<usize, Error> {
        size(value)
    }

    #[inline]
    fn decode(input: &mut In<'_>) -> Result<T, Error> {
        decode(input)
    }
}

/// Writes any value that serde knows.
///
/// # Errors
/// As for [`Codec::encode`].
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Out<'_>) -> Result<(), Stop> {
    if let Some((count, elements)) = bulk::parts(value) {
        out.write(&count)?;
        return out.write(elements);
    }
    let mut room = Room { out, full: false };
    let result =
        bincode::serde::encode_into_writer(Named(value), &mut room, bincode::config::legacy());
    // A value may turn our error into its own words, so the flag decides.
    if room.full { Err(Stop::Full) } else { result.map_err(|error| Stop::Failed(refused(&error))) }
}

/// How many bytes [`encode`] writes.
///
/// # Errors
/// Kind `Encode` when the value says no.
pub(crate) fn size<T: Serialize + ?Sized>(value: &T) -> Result<usize, Error> {
    if let Some((count, elements)) = bulk::parts(value) {
        return Ok(count.len() + elements.len());
    }
    let mut count = Count(0);
    let result =
        bincode::serde::encode_into_writer(Named(value), &mut count, bincode::config::legacy());
    result.map_err(|error| refused(&error))?;
    Ok(count.0)
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// Kind `Decode` for any other bytes.
pub(crate) fn decode<T: DeserializeOwned>(input: &mut In<'_>) -> Result<T, Error> {
    if let Some(vector) = bulk::decode(input) {
        return vector;
    }
    let _ = take_refusal();
    // A handle that could not be opened says why in an error of its own, which serde would make text of.
    T::deserialize(&mut Decoder::new(input))
        .map_err(|failure| take_refusal().unwrap_or_else(|| failure.into()))
}

struct Room<'a, 'b> {
    out: &'a mut Out<'b>,
    full: bool,
}

impl Writer for Room<'_, '_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.out.write(bytes).map_err(|_| {
            self.full = true;
            EncodeError::UnexpectedEnd
        })
    }
}

struct Count(usize);

impl Writer for Count {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0 += bytes.len();
        Ok(())
    }
}

/// What the encoder says, as an error: of kind `Encode`, or the one that a handle in the value gave.
#[cold]
pub(crate) fn refused(error: &EncodeError) -> Error {
    let detail = match error {
        EncodeError::Serde(_) => {
            "it has a part of unknown length, as with `serde(flatten)`; `Json<T>` carries it"
                .to_owned()
        }
        EncodeError::OtherString(text) => text.clone(),
        EncodeError::Other(text) => (*text).to_owned(),
        other => other.to_string(),
    };
    // A handle that cannot be passed on says why in an error of its own. One that is left over from another value, which was
    // not encoded here, is told by its text.
    let refusal = take_refusal().filter(|refusal| detail.contains(&refusal.to_string()));
    refusal.unwrap_or_else(|| Error::new(ErrorKind::Encode, detail))
}
