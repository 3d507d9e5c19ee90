//! A row of items in an object of its own: bytes in, the same bytes out, in order; and the records of what they keep alive.
//!
//! Two sides, each with its lock, which the caller holds. Whatever a side does becomes true by one store, of its count; all
//! that belongs to a count was written before, into the half of the side's state that the count before it does not use. So a
//! death at any instruction leaves the state before or the state after, and the next one needs to repair nothing.
//!
//! Positions only grow; byte `p` lies at `p % capacity`. An item is never split: where it does not fit before the end of a
//! lap, the rest of the lap is skipped. The capacity doubles when it must, which moves what lies in the odd laps into the new
//! half, where nothing lay; so that, too, becomes true by one store.
#![expect(unsafe_code, reason = "looks at shared memory as atomic words")]

mod bytes;
mod header;
mod rest;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::handle::Handle;
use super::transit::{self, Record};
use crate::error::{Error, ErrorKind};
use bytes::Bytes;
use header::Place;
pub(crate) use header::{Bed, Header};
pub(crate) use rest::left_in;

/// Where the ring's bytes begin in its object.
const BYTES_AT: usize = 4096;
/// How large the ring is at first; memory for it is there from the beginning.
pub(crate) const FIRST_CAPACITY: usize = 64 << 10;
/// The largest item: two of them fit at first. Larger ones lie elsewhere, and the item says where.
pub(crate) const LARGEST: usize = 16 << 10;
/// An empty ring that is larger gives its memory back.
const KEPT_CAPACITY: usize = 1 << 20;

/// In front of each item, aligned to it: bytes up to the next one, then `len << 16 | NAMES | records`; or `SKIP`.
const HEAD: usize = 16;
const SKIP: u64 = u64::MAX;
const RECORD: usize = 16;
/// The most records of one item: of its handles, and of the object that its bytes name.
const MOST_RECORDS: usize = 1 << 9;
/// The most of its handles.
pub(crate) const MOST_HANDLES: usize = MOST_RECORDS - 1;
/// The value lies elsewhere: the bytes name the object that has it.
const NAMES: u64 = 1 << 15;
const _: () = assert!((MOST_RECORDS as u64) < NAMES);

/// Why an item was not put.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There are as many items or bytes as there may be. `gets` is how many had been taken when it looked.
    NoRoom {
        gets: u64,
    },
    Failed(Error),
}

/// An item to be put.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts<'a> {
    pub(crate) bytes: &'a [u8],
    /// What the bytes keep alive.
    pub(crate) records: &'a [Record],
    /// How many bytes lie elsewhere; if any do, `bytes` says where.
    pub(crate) outside: u64,
}

/// An item that was taken.
#[derive(Debug, Default)]
pub(crate) struct Item {
    pub(crate) bytes: Vec<u8>,
    /// Whether the bytes only say where the value is.
    pub(crate) names: bool,
    pub(crate) records: Vec<Record>,
}

/// A ring, looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring<'a> {
    handle: &'a Handle,
    header: &'a Header,
    bytes: Bytes,
}

/// Bytes that an object of that size has memory for at first.
pub(crate) const BACKED: usize = BYTES_AT + FIRST_CAPACITY;
pub(crate) const ALIGN: usize = align_of::<Header>();
const _: () = assert!(size_of::<Header>() <= BYTES_AT);

impl<'a> Ring<'a> {
    /// The ring in an object.
    ///
    /// # Errors
    /// Kind `Decode` when the object is too small for one.
    #[inline]
    pub(crate) fn new(handle: &'a Handle) -> Result<Self, Error> {
        let (block, size) = (handle.block(), handle.size());
        if size < BACKED {
            return Err(broken());
        }
        // SAFETY: the block is that large, aligned to pages, and stays while the handle lives; a header is atomics only.
        let header = unsafe { block.cast::<Header>().as_ref() };
        // SAFETY: within the block.
        let base = unsafe { block.add(BYTES_AT) };
        Ok(Self { handle, header, bytes: Bytes { base, len: size - BYTES_AT } })
    }

    #[inline]
    pub(crate) fn header(&self) -> &'a Header {
        self.header
    }

    /// How many items there are.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        let gets = self.header.gets.count.load(Acquire);
        self.header.puts.count.load(Acquire).saturating_sub(gets)
    }

    /// How many items have been put, ever.
    pub(crate) fn puts(&self) -> u64 {
        self.header.puts.count.load(Acquire)
    }

    /// How many items have been taken, ever.
    #[inline]
    pub(crate) fn gets(&self) -> u64 {
        self.header.gets.count.load(Acquire)
    }

    #[inline]
    fn capacity(&self) -> u64 {
        let capacity = self.header.capacity.load(Acquire);
        if capacity.is_power_of_two() && capacity <= self.bytes.len as u64 {
            capacity
        } else {
            FIRST_CAPACITY as u64
        }
    }

    /// Puts an item, for the holder of the putters' lock; `getters` takes the other lock, to give the ring another size. Its
    /// records are nobody's from then on.
    ///
    /// # Errors
    /// [`Refusal`].
    #[inline]
    pub(crate) fn push<G>(
        &self,
        item: Parts<'_>,
        getters: impl Fn() -> Result<G, Error>,
    ) -> Result<(), Refusal> {
        let Parts { bytes, records, outside } = item;
        let own = self.header.puts.own();
        let names = if outside > 0 { NAMES } else { 0 };
        let need =
            HEAD as u64 + (bytes.len().next_multiple_of(HEAD) + records.len() * RECORD) as u64;
        let mut other = self.header.puts.seen();
        let mut looked = false;
        let (at, skip) = loop {
            let skip = self.skip(own.at, need);
            if own.count.wrapping_sub(other.count) < self.header.most_items.load(Relaxed)
                && own.at + skip + need - other.at <= self.capacity()
                && self.fits_outside(own, other, outside)
            {
                break (own.at + skip, skip);
            }
            if looked {
                self.grow(own, other, need, outside, &getters)?;
            }
            other = self.header.gets.look();
            self.header.puts.remember(other);
            looked = true;
        };
        let write = || {
            if skip > 0 {
                self.bytes.write_words(self.place(own.at), [SKIP, skip])?;
            }
            self.bytes.write_words(
                self.place(at),
                [need, (bytes.len() as u64) << 16 | names | records.len() as u64],
            )?;
            self.bytes.write(self.place(at) + HEAD, bytes)?;
            let mut to = self.place(at) + HEAD + bytes.len().next_multiple_of(HEAD);
            for record in records {
                self.bytes.write_words(to, record.words())?;
                to += RECORD;
            }
            Some(())
        };
        write().ok_or_else(|| Refusal::Failed(broken()))?;
        transit::hand_over(self.handle.own().arena, records, transit::NOBODY);
        self.header.puts.commit(Place {
            count: own.count + 1,
            at: at + need,
            outside: own.outside + outside,
        });
        Ok(())
    }

    #[inline]
    fn place(&self, at: u64) -> usize {
        (at & (self.capacity() - 1)) as usize
    }

    /// How much of the lap to skip, so that `need` bytes lie together.
    #[inline]
    fn skip(&self, at: u64, need: u64) -> u64 {
        let left = self.capacity() - self.place(at) as u64;
        if left < need { left } else { 0 }
    }

    #[inline]
    fn fits_outside(&self, own: Place, other: Place, more: u64) -> bool {
        // One alone always fits, or it would never.
        let out = own.outside.saturating_sub(other.outside);
        more == 0
            || own.count == other.count
            || out + more <= self.header.most_outside.load(Relaxed)
    }

    /// Doubles the capacity, when that is what is missing.
    #[cold]
    fn grow<G>(
        &self,
        own: Place,
        other: Place,
        need: u64,
        outside: u64,
        getters: &impl Fn() -> Result<G, Error>,
    ) -> Result<(), Refusal> {
        let capacity = self.capacity();
        let bytes_only = own.count.wrapping_sub(other.count) < self.header.most_items.load(Relaxed)
            && self.fits_outside(own, other, outside)
            && own.at + self.skip(own.at, need) + need - other.at > capacity;
        if !bytes_only || capacity * 2 > self.bytes.len as u64 {
            return Err(Refusal::NoRoom { gets: other.count });
        }
        let _getters = getters().map_err(Refusal::Failed)?;
        self.handle
            .back(BYTES_AT + capacity as usize, capacity as usize)
            .map_err(Refusal::Failed)?;
        // What lies in odd laps goes up by one capacity; what lies in even ones stays.
        let first = self.header.gets.own().at;
        let mut from = first;
        while from < own.at {
            let to = own.at.min((from / capacity + 1) * capacity);
            if (from / capacity) % 2 == 1 {
                let place = (from % capacity) as usize;
                self.bytes.copy(place, place + capacity as usize, (to - from) as usize);
            }
            from = to;
        }
        self.header.capacity.store(capacity * 2, Release);
        Ok(())
    }

    /// Gives the memory of an empty ring back that was large once; for the holder of the putters' lock.
    #[inline]
    pub(crate) fn shrink<G>(&self, getters: impl FnOnce() -> Option<G>) {
        if self.capacity() > KEPT_CAPACITY as u64 && self.is_empty() {
            self.shrink_now(getters);
        }
    }

    #[cold]
    fn shrink_now<G>(&self, getters: impl FnOnce() -> Option<G>) {
        let Some(_getters) = getters() else { return };
        let large = self.capacity() as usize;
        if self.header.puts.own().count == self.header.gets.own().count {
            self.header.capacity.store(FIRST_CAPACITY as u64, Release);
            self.handle.unback(BYTES_AT + FIRST_CAPACITY, large - FIRST_CAPACITY);
        }
    }

    /// Whether there is nothing to get; a hint without the getters' lock.
    ///
    /// While getters know of items, they leave the putters' line alone: to fetch it from another core was measured at 175 ns,
    /// and each fetch makes the next put pay as much.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let gets = self.header.gets.count.load(Acquire);
        gets >= self.header.gets.seen[0].load(Relaxed)
            && gets == self.header.puts.count.load(Acquire)
    }

    /// Takes the next item, for the holder of the getters' lock; `false` when there is none. `outside` is told how many bytes
    /// of it lie elsewhere. Its records are the caller's to keep from then on.
    ///
    /// # Errors
    /// Kind `Decode` when the ring is not as it should be; everything in it is dropped then.
    #[inline]
    pub(crate) fn pop(
        &self,
        item: &mut Item,
        outside: impl FnOnce(&Item) -> u64,
    ) -> Result<bool, Error> {
        let own = self.header.gets.own();
        if own.count >= self.header.gets.seen[0].load(Relaxed) {
            let puts = self.header.puts.count.load(Acquire);
            if own.count == puts {
                return Ok(false);
            }
            self.header.gets.seen[0].store(puts, Relaxed);
        }
        // Acquire, with the store of the count that was seen: by whoever stored it as seen, under the lock that we hold.
        match self.read(own.at, item) {
            Some(next) => {
                let outside = own.outside + outside(item);
                self.header.gets.commit(Place { count: own.count + 1, at: next, outside });
                let me = self.handle.own();
                transit::hand_over(me.arena, &item.records, me.index);
                Ok(true)
            }
            None => {
                self.header.gets.commit(self.header.puts.look());
                Err(broken())
            }
        }
    }

    /// Copies the item at `at` out, and gives where the next one begins; `None` when there is no item.
    #[inline]
    fn read(&self, at: u64, item: &mut Item) -> Option<u64> {
        let (capacity, mut at) = (self.capacity(), at);
        let [mut need, mut about] = self.bytes.read_words(self.place(at))?;
        if need == SKIP {
            at = at.checked_add(about).filter(|_| about <= capacity)?;
            [need, about] = self.bytes.read_words(self.place(at))?;
        }
        let (len, n_records) = ((about >> 16) as usize, (about & (NAMES - 1)) as usize);
        let records_at = HEAD.checked_add(len.checked_next_multiple_of(HEAD)?)?;
        let whole = records_at.checked_add(n_records * RECORD)?;
        if whole as u64 != need || need > capacity || len > LARGEST {
            return None;
        }
        let from = self.place(at);
        self.bytes.read(from + HEAD, len, &mut item.bytes)?;
        item.names = about & NAMES != 0;
        item.records.clear();
        for i in 0..n_records {
            let words = self.bytes.read_words(from + records_at + i * RECORD)?;
            item.records.push(Record::from_words(words));
        }
        at.checked_add(need)
    }
}

#[cold]
fn broken() -> Error {
    Error::new(ErrorKind::Decode, "a queue's memory is not as it should be")
}
