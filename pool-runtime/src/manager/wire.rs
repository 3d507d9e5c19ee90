//! What client and server say to each other: the first words of a connection, requests and replies. Both halves of each
//! stand side by side. Nothing here knows a socket.
//!
//! A request is the object's number (8 bytes), the method's (4 bytes) and the arguments. A reply is one byte, `DONE`, `LENT` or
//! `FAILED`; after `FAILED` the error, after the others the objects that the caller now holds (a count of 4 bytes, 8 bytes
//! each) and the result. After `LENT` the result names shared memory that the server keeps until the next message on the same
//! connection: the client sends an empty one, to which there is no reply, as soon as it has decoded the result. Numbers are
//! little endian. Values of users are blobs (see `blob`): the server keeps them as they are.

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{self, In};
use crate::error::{Error, ErrorKind};
use crate::net::Address;
use crate::sys::process::Program;

/// The longest first word of a connection.
pub(crate) const LONGEST_OPENING: usize = 256;
/// The longest request and reply. Memory is taken as bytes come, not as a length claims.
pub(crate) const LONGEST: usize = 2 << 30;
/// The object that is always there, and makes the others.
pub(crate) const DESK: u64 = 0;

const DONE: u8 = 0;
const FAILED: u8 = 1;
const LENT: u8 = 2;

/// The first word of a client, after both have proved that they know the key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Opening {
    /// The process that names itself `session` lives as long as this connection.
    Control { session: u128 },
    /// Calls of that process, one at a time.
    Calls { session: u128 },
}

/// What a server answers to [`Opening::Control`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) server: u128,
    /// The name of the socket for clients on the same machine.
    pub(crate) local: Vec<u8>,
    /// Which file its program is, on its machine.
    pub(crate) program: Option<Program>,
}

/// How to find a server, and to be let in.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Locator {
    pub(crate) server: u128,
    pub(crate) local: Vec<u8>,
    pub(crate) address: Option<Address>,
    pub(crate) key: Vec<u8>,
}

impl std::fmt::Debug for Locator {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Locator")
            .field("server", &self.server)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Encodes one of the above, or a value of a user.
///
/// # Errors
/// Kind `Encode`.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    codec::message::encode(value, &mut bytes)?;
    Ok(bytes)
}

/// Decodes what is as long as `bytes`, and believes no length in them.
///
/// # Errors
/// Kind `Decode`.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut input = In::new(bytes);
    let value = codec::values::decode(&mut input)?;
    if input.is_empty() {
        Ok(value)
    } else {
        Err(Error::new(ErrorKind::Decode, "bytes are left behind a value"))
    }
}

/// The head of a request.
pub(crate) fn put_head(request: &mut Vec<u8>, object: u64, method: u32) {
    request.clear();
    request.extend_from_slice(&object.to_le_bytes());
    request.extend_from_slice(&method.to_le_bytes());
}

/// What [`put_head`] wrote, and the arguments.
///
/// # Errors
/// Kind `Decode` for fewer bytes.
pub(crate) fn take_head(request: &[u8]) -> Result<(u64, u32, Args<'_>), Error> {
    let mut args = Args(In::new(request));
    Ok((args.u64()?, args.u32()?, args))
}

/// Arguments, as the server reads them.
#[derive(Debug)]
pub(crate) struct Args<'a>(In<'a>);

/// Numbers of eight bytes each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.0.chunks_exact(8).map(|raw| u64::from_le_bytes(raw.try_into().unwrap_or_default()))
    }
}

impl<'a> Args<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(In::new(bytes))
    }

    /// # Errors
    /// Kind `Decode` when there are too few bytes, here and below.
    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        self.0.u64()
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        let raw = self.0.take(4)?;
        Ok(u32::from_le_bytes(raw.try_into().unwrap_or_default()))
    }

    pub(crate) fn usize(&mut self) -> Result<usize, Error> {
        self.0.len()
    }

    /// So many numbers of eight bytes.
    pub(crate) fn words(&mut self, count: usize) -> Result<Words<'a>, Error> {
        Ok(Words(self.0.take(count.saturating_mul(8))?))
    }

    /// So many bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Error> {
        self.0.take(len)
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> Result<&'a [u8], Error> {
        self.0.take(self.0.left())
    }

    /// Until when to wait; `None` is for ever. As [`put_limit`] wrote it.
    pub(crate) fn limit(&mut self) -> Result<Option<Instant>, Error> {
        let nanos = self.u64()?;
        Ok(if nanos == u64::MAX {
            None
        } else {
            Instant::now().checked_add(Duration::from_nanos(nanos))
        })
    }
}

/// Appends how long to wait.
pub(crate) fn put_limit(request: &mut Vec<u8>, limit: Option<Duration>) {
    let nanos = limit.map_or(u64::MAX, |limit| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
    request.extend_from_slice(&nanos.to_le_bytes());
}

/// A reply that is no error.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    /// The objects that the client now holds.
    pub(crate) grants: Vec<u64>,
    pub(crate) result: &'a [u8],
    /// Whether the server keeps shared memory until the client says that it has decoded the result.
    pub(crate) lent: bool,
}

/// Writes a reply.
pub(crate) fn put_reply(bytes: &mut Vec<u8>, reply: Result<Reply<'_>, Error>) {
    bytes.clear();
    match reply {
        Ok(reply) => {
            bytes.push(if reply.lent { LENT } else { DONE });
            bytes.extend_from_slice(&(reply.grants.len() as u32).to_le_bytes());
            reply.grants.iter().for_each(|id| bytes.extend_from_slice(&id.to_le_bytes()));
            bytes.extend_from_slice(reply.result);
        }
        Err(error) => {
            bytes.push(FAILED);
            // An error is plain data, and encoding into memory does not fail.
            let _ = codec::message::encode(&error, bytes);
        }
    }
}

/// Puts an error in place of a reply that its client would not read; says whether.
pub(crate) fn refuse_longer(reply: &mut Vec<u8>, longest: usize) -> bool {
    let len = reply.len();
    if len > longest {
        let text = format!("a result of {len} bytes, more than {longest}");
        put_reply(reply, Err(Error::new(ErrorKind::InvalidInput, text)));
    }
    len > longest
}

/// What [`put_reply`] wrote.
///
/// # Errors
/// The error that was replied; kind `Decode` for what is no reply.
pub(crate) fn take_reply(bytes: &[u8]) -> Result<Reply<'_>, Error> {
    let bad = || Error::new(ErrorKind::Decode, "a reply of an unknown form");
    match bytes.split_first() {
        Some((&kind @ (DONE | LENT), rest)) => {
            let mut args = Args::new(rest);
            let count = args.u32()? as usize;
            let grants = args.words(count)?.iter().collect();
            Ok(Reply { grants, result: args.rest()?, lent: kind == LENT })
        }
        Some((&FAILED, rest)) => Err(decode::<Error>(rest).unwrap_or_else(|_| bad())),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_that_is_too_long_becomes_an_error() {
        let mut bytes = Vec::new();
        let reply = || Reply { grants: vec![1, 2], result: &[7; 100], lent: true };
        put_reply(&mut bytes, Ok(reply()));
        let longest = bytes.len();
        assert!(!refuse_longer(&mut bytes, longest));
        assert_eq!(take_reply(&bytes).expect("a reply").result, [7; 100]);
        assert!(refuse_longer(&mut bytes, longest - 1));
        assert_eq!(take_reply(&bytes).expect_err("too long").kind(), ErrorKind::InvalidInput);
    }
}
