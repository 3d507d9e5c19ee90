//! Numbers that nobody else has.

use crate::error::Error;

/// Bytes that nobody will guess.
///
/// # Errors
/// Kind `Io` when the kernel has no randomness.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    // The kernel gives up to 256 bytes at once, or none.
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Error::os("getrandom", error))?;
    if got == N { Ok(bytes) } else { Err(Error::os("getrandom", "it gave too little")) }
}

/// An id that no other process will guess.
///
/// # Errors
/// Kind `Io` when the kernel has no randomness.
pub(crate) fn id() -> Result<u128, Error> {
    bytes().map(u128::from_ne_bytes)
}
