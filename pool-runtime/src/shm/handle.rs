//! What every shared object is made of: a hold on its slot, and on the slot whose lock guards it; and its form as bytes.
//!
//! The bytes name the object and prove nothing: on opening, each part is compared with what the slot itself says.
#![expect(
    unsafe_code,
    reason = "looks at objects as atomic words, and lends the bytes of those that are being made"
)]

use std::any::TypeId;
use std::hash::{Hash as _, Hasher};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Acquire;

use serde::{Deserialize, Serialize};

use super::hold::{About, Hold};
use super::layout::Slot;
use super::pins;
use super::process;
use super::slot::pack;
use super::transit::{self, Record};
use crate::error::{self, Error, ErrorKind};

/// What an object is. Its number is part of the bytes of a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Lock = 1,
    RLock,
    Semaphore,
    BoundedSemaphore,
    Condition,
    Event,
    Barrier,
    Value,
    Array,
    RawValue,
    RawArray,
    Buffer,
    Queue,
    /// Some bytes of another object's: a queue's item, a pipe's.
    Piece,
    /// As long as it lives, somebody may receive what was sent to an end of a pipe.
    PipeEnd,
    /// As long as it lives, bytes may name an object of a manager.
    Token,
}

/// What people call each kind.
const NAMES: [(Kind, &str); 16] = [
    (Kind::Lock, "lock"),
    (Kind::RLock, "re-entrant lock"),
    (Kind::Semaphore, "semaphore"),
    (Kind::BoundedSemaphore, "bounded semaphore"),
    (Kind::Condition, "condition"),
    (Kind::Event, "event"),
    (Kind::Barrier, "barrier"),
    (Kind::Value, "value"),
    (Kind::Array, "array"),
    (Kind::RawValue, "atomic"),
    (Kind::RawArray, "array of atomics"),
    (Kind::Buffer, "buffer"),
    (Kind::Queue, "queue"),
    (Kind::Piece, "piece of a message"),
    (Kind::PipeEnd, "end of a pipe"),
    (Kind::Token, "token of a manager's object"),
];

/// A kind, and a type: two handles of the same mark are of the same type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

/// FNV-1a: the same in every process of a program.
struct Hash(u64);

impl Hasher for Hash {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Mark {
    /// The kind, in words.
    fn name(self) -> &'static str {
        let named = NAMES.iter().find(|(kind, _)| *kind as u8 == self.0 as u8);
        named.map_or("shared object of no known kind", |(_, name)| name)
    }

    /// The mark of an object that holds no values of a user's type.
    pub(crate) fn plain(kind: Kind) -> Self {
        Self::named::<()>(kind)
    }

    /// As the slot of such an object has it.
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    /// The mark of an object that holds values of type `T` as they are. The name alone is not enough: types in two blocks of
    /// a function, or in two versions of a crate, may have the same.
    pub(crate) fn of<T: ?Sized + 'static>(kind: Kind) -> Self {
        Self::new::<T>(kind, &[TypeId::of::<T>()])
    }

    /// The mark of an object that holds encoded values of type `T`, which are checked when they are decoded.
    pub(crate) fn named<T: ?Sized>(kind: Kind) -> Self {
        Self::new::<T>(kind, &[])
    }

    fn new<T: ?Sized>(kind: Kind, id: &[TypeId]) -> Self {
        let mut hash = Hash(0xcbf2_9ce4_8422_2325);
        hash.write(std::any::type_name::<T>().as_bytes());
        TypeId::hash_slice(id, &mut hash);
        Self(hash.finish() << 8 | kind as u64)
    }
}

/// A shared object, held.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    hold: Hold,
    guard: Option<Hold>,
}

/// A handle as bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Ticket {
    tree: u64,
    /// Slot and generation.
    object: u64,
    kind: u64,
    size: u64,
    /// Slot and generation of the one whose lock guards it; 0 for its own.
    guarded_by: u64,
    in_transit: [Option<Record>; 2],
}

impl Ticket {
    /// Bytes of the object, as the ticket says.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

impl Handle {
    /// Makes an object of `size` bytes, zeros until `fill` has written them. `guard` is the object whose lock guards it.
    ///
    /// # Errors
    /// Kind `Io` or `Full` when memory or places have run out, `InvalidInput` for a size or alignment beyond all bounds.
    pub(crate) fn make(
        mark: Mark,
        (size, align): (usize, usize),
        guard: Option<&Self>,
        fill: impl FnOnce(NonNull<u8>),
    ) -> Result<Self, Error> {
        Self::make_sparse(mark, (size, align), size, guard, fill)
    }

    /// As [`make`](Self::make), with memory only behind the first `backed` bytes; see [`back`](Self::back).
    ///
    /// # Errors
    /// As for [`make`](Self::make).
    pub(crate) fn make_sparse(
        mark: Mark,
        (size, align): (usize, usize),
        backed: usize,
        guard: Option<&Self>,
        fill: impl FnOnce(NonNull<u8>),
    ) -> Result<Self, Error> {
        let guard = guard.map(|guard| guard.hold.clone());
        let guarded_by = guard.as_ref().map_or(0, |guard| pack(guard.slot(), guard.generation()));
        let about = About { kind: mark.0, size, align, guarded_by, backed };
        let hold = Hold::make(&about, |hold| fill(block(hold)))?;
        Ok(Self { hold, guard })
    }

    /// The form as bytes. Within `pins::collect` and `pins::in_transit` the object is kept.
    ///
    /// # Errors
    /// Kind `Full` or `Io` when it cannot be kept.
    pub(crate) fn ticket(&self) -> Result<Ticket, Error> {
        let guard = self.guard.as_ref();
        Ok(Ticket {
            tree: self.tree(),
            object: self.object(),
            kind: self.slot().kind.load(Acquire),
            size: self.slot().size.load(Acquire),
            guarded_by: self.slot().guarded_by.load(Acquire),
            in_transit: [pins::note(&self.hold)?, guard.map_or(Ok(None), pins::note)?],
        })
    }

    /// Opens what a ticket names, if it is what the ticket says and bears the mark.
    ///
    /// # Errors
    /// Kind `NotFound` when it is gone or belongs to another tree of processes, `Decode` when it is something else.
    pub(crate) fn open(ticket: &Ticket, mark: Mark) -> Result<Self, Error> {
        let arena = process::own()?.arena;
        if ticket.tree != arena.head().tree.load(Acquire) {
            return Err(Error::new(
                ErrorKind::NotFound,
                "the handle belongs to another tree of processes, or to another machine",
            ));
        }
        let handle = Self::open_object(ticket, mark)?;
        // Only now: until here the records kept the objects alive.
        for record in ticket.in_transit.iter().flatten() {
            let named = transit::slot_named(record).is_some_and(|slot| {
                slot == handle.hold.slot() as usize
                    || handle.guard.as_ref().is_some_and(|guard| slot == guard.slot() as usize)
            });
            if named {
                transit::strike(arena, *record);
            }
        }
        Ok(handle)
    }

    fn open_object(ticket: &Ticket, mark: Mark) -> Result<Self, Error> {
        let hold = Hold::open_named(ticket.object)?;
        let head = hold.head();
        let (kind, size) = (head.kind.load(Acquire), head.size.load(Acquire));
        let guarded_by = head.guarded_by.load(Acquire);
        if (kind, size, guarded_by) != (ticket.kind, ticket.size, ticket.guarded_by)
            || kind != mark.0
        {
            let text = format!("the handle means another shared object than this {}", mark.name());
            return Err(Error::new(ErrorKind::Decode, text));
        }
        let guard = if guarded_by == 0 { None } else { Some(Hold::open_named(guarded_by)?) };
        Ok(Self { hold, guard })
    }

    /// The tree that it belongs to.
    pub(crate) fn tree(&self) -> u64 {
        self.hold.own().arena.head().tree.load(Acquire)
    }

    /// Its slot and generation, as one word: see [`hold::lives`](super::hold::lives).
    pub(crate) fn object(&self) -> u64 {
        pack(self.hold.slot(), self.hold.generation())
    }

    /// The slot of the object.
    #[inline]
    pub(crate) fn slot(&self) -> &'static Slot {
        self.hold.head()
    }

    /// The slot whose lock guards it.
    #[inline]
    pub(crate) fn lock_slot(&self) -> &'static Slot {
        self.guard.as_ref().unwrap_or(&self.hold).head()
    }

    /// The entry of this process.
    #[inline]
    pub(crate) fn own(&self) -> &'static process::Own {
        self.hold.own()
    }

    /// Where the object lies. It stays there as long as the handle lives, and is mapped as long as the process does.
    #[inline]
    pub(crate) fn block(&self) -> NonNull<u8> {
        block(&self.hold)
    }

    /// The object as words, for kinds that are nothing else. As many as fit into its size.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: blocks are aligned to 8 at least and mapped as long as the process lives; atomic words may be any bytes. For
        // kinds that are words nobody looks at the block in another way.
        unsafe { std::slice::from_raw_parts(self.block().cast().as_ptr(), self.size() / 8) }
    }

    /// Bytes of the object.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        // Written by this program; bounded here all the same, as everything depends on it.
        let (_, room) = self.hold.own().arena.block(self.hold.slot() as usize);
        (self.slot().size.load(Acquire) as usize).min(room)
    }

    /// Makes an object of `size` bytes, which `fill` writes.
    ///
    /// # Errors
    /// As for [`make`](Self::make).
    pub(crate) fn make_filled(
        mark: Mark,
        size: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Self, Error> {
        Self::make(mark, (size, 16), None, |block| {
            // SAFETY: the block is that large, holds zeros, and nobody else knows it yet.
            fill(unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), size) });
        })
    }

    /// Copies the first `len` bytes into `to`; `false` when there are not as many.
    #[must_use]
    pub(crate) fn copy_out(&self, len: usize, to: &mut Vec<u8>) -> bool {
        if len > self.size() {
            return false;
        }
        // SAFETY: the object is at least that long, and mapped as long as the process lives.
        let bytes = unsafe { crate::payload::Payload::from_raw(self.block().as_ptr(), len) };
        bytes.copy_to(to);
        true
    }

    /// Sees to it that there is memory behind some bytes of a large object.
    ///
    /// # Errors
    /// Kind `Io` when memory has run out.
    pub(crate) fn back(&self, at: usize, len: usize) -> Result<(), Error> {
        self.hold.own().arena.back(self.hold.slot() as usize, at, len)
    }

    /// Gives the memory behind some bytes of a large object back.
    pub(crate) fn unback(&self, at: usize, len: usize) {
        self.hold.own().arena.unback(self.hold.slot() as usize, at, len);
    }

    /// Whether both mean the same object.
    #[cfg(test)]
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.hold.slot(), self.hold.generation()) == (other.hold.slot(), other.hold.generation())
    }
}

#[inline]
fn block(hold: &Hold) -> NonNull<u8> {
    hold.own().arena.block(hold.slot() as usize).0
}

/// Opens for serde.
pub(crate) fn open_for<E: serde::de::Error>(ticket: &Ticket, mark: Mark) -> Result<Handle, E> {
    Handle::open(ticket, mark).map_err(error::refuse)
}
