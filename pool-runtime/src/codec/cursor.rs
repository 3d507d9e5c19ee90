//! The two cursors that every encoding goes through: `Out` writes into room that is given, `In` reads what is there.
//! Neither knows whose memory it is. `In` never panics, whatever the bytes are.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// Every value begins at a multiple of this, so that a slice of any `Pod` type of no wider alignment can be read where it lies.
pub const ALIGN: usize = 16;

/// Rounds `n` up to a multiple of [`ALIGN`].
pub(crate) const fn align_up(n: usize) -> usize {
    n.next_multiple_of(ALIGN)
}

/// Why an encoding stopped.
#[derive(Debug)]
pub enum Stop {
    /// The room is too small. Encoding the same value again into more room will do.
    Full,
    /// The value cannot be encoded at all.
    Failed(Error),
}

/// Writes into a fixed piece of room, from its beginning.
pub struct Out<'a> {
    room: &'a mut [u8],
    at: usize,
}

impl<'a> Out<'a> {
    /// A cursor at the beginning of `room`, which must lie at a multiple of [`ALIGN`] for aligned values to be of use.
    #[inline]
    pub fn new(room: &'a mut [u8]) -> Self {
        Self { room, at: 0 }
    }

    /// How many bytes have been written.
    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Goes back to `position`, to forget what was written since.
    #[inline]
    pub(crate) fn rewind(&mut self, position: usize) {
        self.at = position.min(self.at);
    }

    /// A cursor over what is left. What it writes counts when [`advance`](Self::advance) says so, and not when its user panics.
    #[inline]
    pub(crate) fn rest(&mut self) -> Out<'_> {
        Out::new(&mut self.room[self.at..])
    }

    /// Counts `len` bytes that were written by way of [`rest`](Self::rest).
    #[inline]
    pub(crate) fn advance(&mut self, len: usize) {
        self.at = self.room.len().min(self.at + len);
    }

    /// How many bytes still fit.
    #[inline]
    pub fn left(&self) -> usize {
        self.room.len() - self.at
    }

    /// Writes `bytes`.
    ///
    /// # Errors
    /// `Stop::Full` when they do not fit.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.reserve(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Takes the next `len` bytes of the room, to be filled by the caller. They hold what was there before.
    ///
    /// # Errors
    /// `Stop::Full` when there are not as many.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<&mut [u8], Stop> {
        if len > self.left() {
            return Err(Stop::Full);
        }
        let from = self.at;
        self.at += len;
        Ok(&mut self.room[from..from + len])
    }

    /// Fills with zeros up to the next multiple of `to`, counted from the beginning of the room.
    ///
    /// # Errors
    /// `Stop::Full` when there is not as much room.
    #[inline]
    pub fn align(&mut self, to: usize) -> Result<(), Stop> {
        let gap = self.at.next_multiple_of(to) - self.at;
        self.reserve(gap)?.fill(0);
        Ok(())
    }

    /// The room that is left, and the word that says where it begins: for whoever writes there to say how far that was.
    #[inline]
    pub(crate) fn open(&mut self) -> (&mut [u8], &mut usize) {
        (&mut self.room[self.at..], &mut self.at)
    }

    /// What has been written.
    #[inline]
    pub fn written(&self) -> &[u8] {
        &self.room[..self.at]
    }
}

impl fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out").field("at", &self.at).field("left", &self.left()).finish()
    }
}

/// Reads bytes from their beginning.
#[derive(Clone, Copy, Debug)]
pub struct In<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> In<'a> {
    /// A cursor at the beginning of `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes are left.
    #[inline]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Takes the next `len` bytes.
    ///
    /// # Errors
    /// Kind `Decode` when there are not as many.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        if len > self.left() {
            return Err(short(len, self.left()));
        }
        let from = self.at;
        self.at += len;
        Ok(&self.bytes[from..from + len])
    }

    /// Passes over what [`Out::align`] filled.
    ///
    /// # Errors
    /// Kind `Decode` when the bytes end before.
    #[inline]
    pub fn align(&mut self, to: usize) -> Result<(), Error> {
        let gap = self.at.next_multiple_of(to) - self.at;
        self.take(gap).map(drop)
    }

    /// Takes a number of eight bytes.
    ///
    /// # Errors
    /// Kind `Decode` when there are not as many.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Error> {
        let mut raw = [0; 8];
        raw.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(raw))
    }

    /// Takes a length: a `u64` that must be addressable.
    ///
    /// # Errors
    /// Kind `Decode` when there are not as many bytes, or the number is too large for this machine.
    #[inline]
    pub fn len(&mut self) -> Result<usize, Error> {
        usize::try_from(self.u64()?).map_err(|_| short(usize::MAX, self.left()))
    }

    /// Whether everything has been read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }
}

#[cold]
fn short(wanted: usize, left: usize) -> Error {
    Error::new(ErrorKind::Decode, format!("{wanted} bytes were expected and {left} are left"))
}
