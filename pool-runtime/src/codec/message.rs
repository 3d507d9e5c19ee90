//! Our own messages between processes, by serde. Not for users' values: those go through the levels.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bulk;
use super::cursor::In;
use super::naming::Named;
use super::values;
use crate::error::{Error, ErrorKind};

/// Appends the encoding of `message` to `bytes`.
///
/// # Errors
/// Kind `Encode`.
pub(crate) fn encode<T: Serialize + ?Sized>(message: &T, bytes: &mut Vec<u8>) -> Result<(), Error> {
    if let Some((count, elements)) = bulk::parts(message) {
        bytes.extend_from_slice(&count);
        bytes.extend_from_slice(elements);
        return Ok(());
    }
    bincode::serde::encode_into_std_write(Named(message), bytes, bincode::config::legacy())
        .map(drop)
        .map_err(|error| values::refused(&error))
}

/// Decodes a message that is as long as `bytes`. A worker that was taken over may have written them, so no length is believed.
///
/// # Errors
/// Kind `Decode`.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut input = In::new(bytes);
    let message = values::decode(&mut input)?;
    if input.is_empty() {
        Ok(message)
    } else {
        Err(Error::new(ErrorKind::Decode, "bytes are left behind a message"))
    }
}
