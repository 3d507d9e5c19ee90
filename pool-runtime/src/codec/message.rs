//! Our own messages between processes, by serde. Not for users' values: those go through the levels.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind};

/// Appends the encoding of `message` to `bytes`.
///
/// # Errors
/// Kind `Encode`.
pub(crate) fn encode(message: &impl Serialize, bytes: &mut Vec<u8>) -> Result<(), Error> {
    bincode::serde::encode_into_std_write(message, bytes, bincode::config::legacy())
        .map(drop)
        .map_err(|error| Error::new(ErrorKind::Encode, error.to_string()))
}

/// Decodes a message that is as long as `bytes`.
///
/// # Errors
/// Kind `Decode`.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    match bincode::serde::decode_from_slice(bytes, bincode::config::legacy()) {
        Ok((message, used)) if used == bytes.len() => Ok(message),
        Ok(_) => Err(Error::new(ErrorKind::Decode, "bytes are left behind a message")),
        Err(error) => Err(Error::new(ErrorKind::Decode, error.to_string())),
    }
}
