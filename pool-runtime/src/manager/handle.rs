//! What every proxy holds: one count of one object on one server.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::link::Link;
use super::token::{self, Token};
use super::wire::{self, Locator};
use super::{blob, scope};
use crate::error::{self, Error};
use crate::shm::handle::Ticket;
use crate::shm::pins::{self, Pins};

/// A handle of an object in a server. Clones share one count; the last gives it back.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Held>);

struct Held {
    link: Arc<Link>,
    id: u64,
    /// Made when bytes are to name the object that this process keeps, or sends to another.
    token: OnceLock<Token>,
}

/// Arguments, as the client writes them.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) bytes: &'a mut Vec<u8>,
    server: u128,
    /// What the arguments name in shared memory: kept until the server has answered, and so has what it wants to keep.
    pub(crate) pins: Pins,
}

impl<'a> Request<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>, server: u128) -> Self {
        Self { bytes, server, pins: Pins::default() }
    }

    pub(crate) fn u64(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// A value that the server keeps as it is, with the objects that its handles name.
    ///
    /// # Errors
    /// Kind `Encode`.
    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let (bytes, names) = scope::encoding(self.server, || wire::encode(value));
        blob::put(self.bytes, &bytes?, &names);
        self.pins.merge(names.pins);
        Ok(())
    }

    /// What `encode` appends, which the server does not keep.
    ///
    /// # Errors
    /// What it fails with.
    pub(crate) fn passing(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (done, names) = scope::encoding(self.server, || encode(self.bytes));
        self.pins.merge(names.pins);
        done
    }
}

impl Handle {
    /// For an object that the server has already counted for this process.
    pub(crate) fn counted(link: Arc<Link>, id: u64) -> Self {
        Self(Arc::new(Held { link, id, token: OnceLock::new() }))
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.0.link
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    /// Sees to it that the object lives as long as the bytes that are to name it.
    ///
    /// # Errors
    /// As for [`Token::of`].
    fn keep(&self) -> Result<Option<Ticket>, Error> {
        if scope::encoded(self) {
            return Ok(None);
        }
        let (link, id) = (self.link(), self.id());
        link.check()?;
        let token = if pins::are_kept() { Some(self.token()?) } else { None };
        // Nobody keeps these bytes, or where nobody can tell the object's server: they are decoded in time, or not at all.
        if scope::is_open() || !token.is_some_and(Token::is_seen) {
            link.lend(id)?;
        }
        token.map(Token::ticket).transpose()
    }

    /// The token of this count; if two threads make it at once, that of the first.
    fn token(&self) -> Result<&Token, Error> {
        let Held { link, id, token } = &*self.0;
        if let Some(token) = token.get() {
            return Ok(token);
        }
        let made = Token::of(link, *id)?;
        Ok(token.get_or_init(|| made))
    }

    /// Calls a method without arguments.
    ///
    /// # Errors
    /// What the server says; kind `Disconnected` when it is gone.
    pub(crate) fn ask<R: DeserializeOwned>(&self, method: u32) -> Result<R, Error> {
        self.call(method, |_| Ok(()))
    }

    /// Calls a method.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask), and kinds `Encode` and `Decode`.
    pub(crate) fn call<R: DeserializeOwned>(
        &self,
        method: u32,
        arguments: impl FnOnce(&mut Request<'_>) -> Result<(), Error>,
    ) -> Result<R, Error> {
        self.0.link.call(self.0.id, method, arguments, wire::decode)
    }

    /// Calls a method, and looks at the bytes of its result.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub(crate) fn call_raw<R>(
        &self,
        method: u32,
        arguments: impl FnOnce(&mut Request<'_>) -> Result<(), Error>,
        result: impl FnOnce(&[u8]) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.0.link.call(self.0.id, method, arguments, result)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.link.release(self.id);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {}", self.0.id)
    }
}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let token = self.keep().map_err(error::refuse_encoding)?;
        (self.link().locator(), self.id(), token).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (locator, id, token) = <(Locator, u64, Option<Ticket>)>::deserialize(deserializer)?;
        // Until this process is counted.
        let _token = token::taken(token.as_ref());
        let link = Link::to(&locator).map_err(error::refuse)?;
        if !scope::decoded(locator.server, id) {
            link.acquire(id).map_err(error::refuse)?;
        }
        Ok(Self::counted(link, id))
    }
}
