//! Values on the server's side: as it keeps them, and as it gives them away.

use std::sync::Arc;

use serde::Serialize;

use super::blob::Blob;
use super::scope::Names;
use super::server::Server;
use super::session::Call;
use super::table::Object;
use super::wire::Reply;
use crate::codec;
use crate::error::Error;
use crate::shm::pins::Pins;

/// What bytes name, which lives as long as this.
#[derive(Clone)]
pub(crate) struct Kept {
    objects: Box<[Arc<Object>]>,
    /// What lives in shared memory.
    pins: Pins,
}

impl Kept {
    /// Keeps what a client has sent. The client holds what it names until it has the answer to this call.
    ///
    /// # Errors
    /// Kind `NotFound` when it names an object that the caller does not hold, or shared memory that is gone.
    pub(crate) fn new(blob: &Blob<'_>, call: &Call<'_>) -> Result<Self, Error> {
        let objects = blob.refs().map(|id| call.session.find(id)).collect::<Result<_, _>>()?;
        Ok(Self { objects, pins: blob.pins()? })
    }
}

/// A value of a user as the server keeps it: bytes that it does not understand, and what they name.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) bytes: Box<[u8]>,
    kept: Kept,
}

impl Stored {
    /// Keeps what a client has sent.
    ///
    /// # Errors
    /// As for [`Kept::new`].
    pub(crate) fn new(blob: Blob<'_>, call: &Call<'_>) -> Result<Self, Error> {
        Ok(Self { bytes: blob.bytes.into(), kept: Kept::new(&blob, call)? })
    }

    /// What the server has made itself, and what it names.
    ///
    /// # Errors
    /// Kind `NotFound` when an object that it names is gone.
    pub(crate) fn made_here(bytes: Vec<u8>, names: Names, server: &Server) -> Result<Self, Error> {
        let objects = server.objects(&names)?.into();
        Ok(Self { bytes: bytes.into(), kept: Kept { objects, pins: names.pins } })
    }
}

/// A result in the making: its bytes, and what the caller is to hold with it.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) grants: Vec<Arc<Object>>,
    /// What it names in shared memory, until the caller has opened that.
    pub(crate) pins: Pins,
}

impl Answer {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.grants.clear();
        self.pins = Pins::default();
    }

    /// The reply that it makes.
    pub(crate) fn reply(&self) -> Reply<'_> {
        let grants = self.grants.iter().map(|object| object.id).collect();
        Reply { grants, result: &self.bytes, lent: !self.pins.is_empty() }
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.bytes.extend_from_slice(&(count as u64).to_le_bytes());
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.bytes.push(flag.into());
    }

    pub(crate) fn stored(&mut self, value: &Stored) {
        self.kept(&value.bytes, &value.kept);
    }

    /// Bytes, and what they name.
    pub(crate) fn kept(&mut self, bytes: &[u8], kept: &Kept) {
        self.bytes.extend_from_slice(bytes);
        self.grants.extend(kept.objects.iter().cloned());
        self.pins.merge(kept.pins.clone());
    }

    /// As serde encodes an `Option`.
    pub(crate) fn option(&mut self, value: Option<&Stored>) {
        self.flag(value.is_some());
        value.into_iter().for_each(|value| self.stored(value));
    }

    /// What the bytes that were put here name.
    ///
    /// # Errors
    /// Kind `NotFound` when an object that they name is gone.
    pub(crate) fn names(&mut self, names: Names, server: &Server) -> Result<(), Error> {
        self.grants.extend(server.objects(&names)?);
        self.pins.merge(names.pins);
        Ok(())
    }

    /// # Errors
    /// Kind `Encode`.
    pub(crate) fn put<T: Serialize>(&mut self, value: &T) -> Result<(), Error> {
        codec::message::encode(value, &mut self.bytes)
    }

    pub(crate) fn object(&mut self, object: Arc<Object>) {
        self.bytes.extend_from_slice(&object.id.to_le_bytes());
        self.grants.push(object);
    }
}
