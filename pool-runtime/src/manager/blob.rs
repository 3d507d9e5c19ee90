//! A value of a user between client and server: its bytes, and what these name, which must live as long as they are kept.
//!
//! First the objects of the server (a count of 4 bytes, 8 bytes each); then those in shared memory (a count of 4 bytes, and if
//! it is not 0 the tree, in 8 bytes, and 8 bytes each); then the length of the bytes (8 bytes), and the bytes.

use super::scope::Names;
use super::wire::{Args, Words};
use crate::error::Error;
use crate::shm::pins::Pins;

/// A blob, as the server reads it: nothing in it is believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blob<'a> {
    pub(crate) bytes: &'a [u8],
    refs: Words<'a>,
    tree: u64,
    shared: Words<'a>,
}

impl<'a> Blob<'a> {
    /// The objects of the server that it names.
    pub(crate) fn refs(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.refs.iter()
    }

    /// Keeps alive what it names in shared memory; of a client in another tree that is nothing.
    ///
    /// # Errors
    /// As for [`Pins::open_named`].
    pub(crate) fn pins(&self) -> Result<Pins, Error> {
        Pins::open_named(self.tree, self.shared.iter().collect())
    }
}

/// Appends a blob, as [`Args::blob`] reads it.
pub(crate) fn put(request: &mut Vec<u8>, bytes: &[u8], names: &Names) {
    let put_count = |request: &mut Vec<u8>, count: usize| {
        request.extend_from_slice(&(count as u32).to_le_bytes())
    };
    put_count(request, names.refs.len());
    names.refs.iter().for_each(|object| request.extend_from_slice(&object.id().to_le_bytes()));
    put_count(request, names.pins.objects().len());
    if !names.pins.is_empty() {
        request.extend_from_slice(&names.pins.tree().to_le_bytes());
        names.pins.objects().for_each(|object| request.extend_from_slice(&object.to_le_bytes()));
    }
    request.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    request.extend_from_slice(bytes);
}

/// As [`put`], of bytes that name nothing, or nothing that must be kept.
pub(crate) fn put_plain(request: &mut Vec<u8>, bytes: &[u8]) {
    put(request, bytes, &Names::default());
}

impl<'a> Args<'a> {
    /// A blob.
    ///
    /// # Errors
    /// Kind `Decode` when there are too few bytes.
    pub(crate) fn blob(&mut self) -> Result<Blob<'a>, Error> {
        let count = self.u32()? as usize;
        let refs = self.words(count)?;
        let count = self.u32()? as usize;
        let tree = if count == 0 { 0 } else { self.u64()? };
        let shared = self.words(count)?;
        let len = self.usize()?;
        Ok(Blob { bytes: self.bytes(len)?, refs, tree, shared })
    }
}
