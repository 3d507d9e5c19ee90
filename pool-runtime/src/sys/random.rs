//! Numbers that nobody else has.

use crate::error::Error;

/// An id that no other process will guess.
///
/// # Errors
/// Kind `Io` when the kernel has no randomness.
pub(crate) fn id() -> Result<u128, Error> {
    let mut bytes = [0; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Error::os("getrandom", error))?;
    if got == bytes.len() {
        Ok(u128::from_ne_bytes(bytes))
    } else {
        Err(Error::os("getrandom", "it gave too little"))
    }
}
