//! A row of items in an object of its own: bytes in, the same bytes out, in order; and the records of what they keep alive.
//!
//! Two sides, each with its lock, which the caller holds. Whatever a side does becomes true by one store, of its count; all
//! that belongs to a count was written before, into the half of the side's state that the count before it does not use. So a
//! death at any instruction leaves the state before or the state after, and the next one needs to repair nothing.
//!
//! Positions only grow; byte `p` lies at `p % capacity`. An item is never split: where it does not fit before the end of a
//! lap, the rest of the lap is skipped. The capacity doubles when it must, which moves what lies in the odd laps into the new
//! half, where nothing lay; so that, too, becomes true by one store.
#![expect(
    unsafe_code,
    reason = "looks at shared memory as atomic words, and copies bytes in and out of it"
)]

use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

use super::arena::Arena;
use super::handle::{Handle, Kind};
use super::transit::{self, Record};
use crate::error::{Error, ErrorKind};

/// Where the ring's bytes begin in its object.
const BYTES_AT: usize = 4096;
/// How large the ring is at first; memory for it is there from the beginning.
pub(crate) const FIRST_CAPACITY: usize = 64 << 10;
/// The largest item: two of them fit at first. Larger ones lie elsewhere, and the item says where.
pub(crate) const LARGEST: usize = 16 << 10;
/// An empty ring that is larger gives its memory back.
const KEPT_CAPACITY: usize = 1 << 20;

/// The first words of the object. Each side writes on lines of its own.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Header {
    /// The most items, and bytes outside of the ring.
    pub(crate) most_items: AtomicU64,
    pub(crate) most_outside: AtomicU64,
    /// The ring's bytes: a power of two. Written under both locks.
    capacity: AtomicU64,
    pub(crate) closed: AtomicU32,
    puts: Side,
    gets: Side,
    pub(crate) items: Bed,
    pub(crate) room: Bed,
    pub(crate) idle: Bed,
    /// Items that somebody has done with.
    pub(crate) done: AtomicU64,
}

/// What one side knows. Written under its lock.
#[repr(C, align(128))]
#[derive(Debug)]
struct Side {
    /// Items that have gone through, ever. Its parity says which halves hold.
    count: AtomicU64,
    /// Where the next item begins.
    at: [AtomicU64; 2],
    /// Bytes outside of the ring that have gone through, ever.
    outside: [AtomicU64; 2],
    /// What was last seen of the other side.
    seen: [AtomicU64; 3],
}

/// Where threads sleep. See `queue::bed`.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) sleepers: AtomicU32,
    pub(crate) word: AtomicU32,
}

/// One side's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    count: u64,
    at: u64,
    outside: u64,
}

impl Side {
    /// The state, for the holder of the side's lock.
    #[inline]
    fn own(&self) -> Place {
        let count = self.count.load(Relaxed);
        let half = (count & 1) as usize;
        Place { count, at: self.at[half].load(Relaxed), outside: self.outside[half].load(Relaxed) }
    }

    /// The state, for the other side: one that held at some moment.
    #[inline]
    fn look(&self) -> Place {
        loop {
            let count = self.count.load(Acquire);
            let half = (count & 1) as usize;
            let place = Place {
                count,
                at: self.at[half].load(Relaxed),
                outside: self.outside[half].load(Relaxed),
            };
            // With the fence in `commit`: a half that was overwritten meanwhile comes with a count that has changed.
            fence(Acquire);
            if self.count.load(Relaxed) == count {
                return place;
            }
        }
    }

    #[inline]
    fn commit(&self, next: Place) {
        let half = (next.count & 1) as usize;
        fence(Release);
        self.at[half].store(next.at, Relaxed);
        self.outside[half].store(next.outside, Relaxed);
        // Release: whoever sees the count sees the item, or that its bytes were copied.
        self.count.store(next.count, Release);
    }

    #[inline]
    fn seen(&self) -> Place {
        let [count, at, outside] = self.seen.each_ref().map(|word| word.load(Relaxed));
        Place { count, at, outside }
    }

    #[inline]
    fn remember(&self, other: Place) {
        for (word, value) in self.seen.iter().zip([other.count, other.at, other.outside]) {
            word.store(value, Relaxed);
        }
    }
}

/// In front of each item, aligned to it: bytes up to the next one, then `len << 16 | records`; or `SKIP`.
const HEAD: usize = 16;
const SKIP: u64 = u64::MAX;
const RECORD: usize = 16;
/// The most records of one item.
pub(crate) const MOST_RECORDS: usize = 1 << 9;

/// Why an item was not put.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There are as many items or bytes as there may be.
    NoRoom,
    Failed(Error),
}

/// An item as it lies in the ring.
#[derive(Debug, Default)]
pub(crate) struct Item {
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: Vec<Record>,
}

/// A ring, looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring<'a> {
    handle: &'a Handle,
    header: &'a Header,
    bytes: Bytes,
}

impl Header {
    /// Writes the header of a new ring into its object.
    pub(crate) fn found(block: NonNull<u8>, most_items: u64, most_outside: u64) {
        // SAFETY: the block is as large and as aligned as a header, which is atomics only, and it lives longer than this.
        let header = unsafe { block.cast::<Self>().as_ref() };
        header.most_items.store(most_items, Relaxed);
        header.most_outside.store(most_outside, Relaxed);
        header.capacity.store(FIRST_CAPACITY as u64, Relaxed);
    }
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

    fn capacity(&self) -> u64 {
        let capacity = self.header.capacity.load(Acquire);
        if capacity.is_power_of_two() && capacity <= self.bytes.len as u64 {
            capacity
        } else {
            FIRST_CAPACITY as u64
        }
    }

    /// Puts an item, for the holder of the putters' lock; `getters` takes the other lock, to give the ring another size.
    ///
    /// # Errors
    /// [`Refusal`].
    #[inline]
    pub(crate) fn push<G>(
        &self,
        item: (&[u8], &[Record]),
        outside: u64,
        getters: impl Fn() -> Result<G, Error>,
    ) -> Result<(), Refusal> {
        let (bytes, records) = item;
        let own = self.header.puts.own();
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
                [need, (bytes.len() as u64) << 16 | records.len() as u64],
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
            return Err(Refusal::NoRoom);
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
        if self.capacity() > KEPT_CAPACITY as u64 && self.len() == 0 {
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
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.header.puts.count.load(Acquire) == self.header.gets.count.load(Acquire)
    }

    /// Takes the next item, for the holder of the getters' lock; `false` when there is none. `outside` is told how many bytes
    /// of it lie elsewhere.
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
        let (len, n_records) = ((about >> 16) as usize, (about & 0xffff) as usize);
        let records_at = HEAD.checked_add(len.checked_next_multiple_of(HEAD)?)?;
        let whole = records_at.checked_add(n_records * RECORD)?;
        if whole as u64 != need || need > capacity || len > LARGEST + HEAD {
            return None;
        }
        let from = self.place(at);
        self.bytes.read(from + HEAD, len, &mut item.bytes)?;
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

/// The ring's bytes; every access is checked against their length.
#[derive(Clone, Copy, Debug)]
struct Bytes {
    base: NonNull<u8>,
    len: usize,
}

impl Bytes {
    #[inline]
    fn at(self, at: usize, len: usize) -> Option<NonNull<u8>> {
        let inside = at <= self.len && len <= self.len - at;
        // SAFETY: just checked to lie within.
        inside.then(|| unsafe { self.base.add(at) })
    }

    #[inline]
    fn write(self, at: usize, bytes: &[u8]) -> Option<()> {
        let to = self.at(at, bytes.len())?;
        // SAFETY: the room lies within the ring, and the lock's holder is the only one who touches it; `bytes` is ours.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        Some(())
    }

    #[inline]
    fn read(self, at: usize, len: usize, into: &mut Vec<u8>) -> Option<()> {
        let from = self.at(at, len)?;
        into.clear();
        into.reserve(len);
        // SAFETY: the bytes lie within the ring, and the vector has just made room for as many.
        unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr(), into.as_mut_ptr(), len);
            into.set_len(len);
        }
        Some(())
    }

    #[inline]
    fn write_words(self, at: usize, words: [u64; 2]) -> Option<()> {
        let to = self.at(at, HEAD)?.cast::<[u64; 2]>();
        // SAFETY: as in `write`.
        unsafe { to.write_unaligned(words) };
        Some(())
    }

    #[inline]
    fn read_words(self, at: usize) -> Option<[u64; 2]> {
        let from = self.at(at, HEAD)?.cast::<[u64; 2]>();
        // SAFETY: as in `read`.
        Some(unsafe { from.read_unaligned() })
    }

    fn copy(self, from: usize, to: usize, len: usize) {
        if let (Some(from), Some(to)) = (self.at(from, len), self.at(to, len)) {
            // SAFETY: both ranges lie within the ring, and the caller holds both locks.
            unsafe { std::ptr::copy(from.as_ptr(), to.as_ptr(), len) };
        }
    }
}

/// Slots that were kept alive by items of rings that are gone.
static FREED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// The next slot that nothing in a ring keeps alive any more.
pub(crate) fn next_freed() -> Option<usize> {
    FREED.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

/// Strikes out the records of what is left in a ring that is being given back, if that is what the slot holds.
pub(crate) fn bury(arena: &Arena, slot: usize) {
    let about = arena.slot(slot);
    let (block, room) = arena.block(slot);
    let size = (about.size.load(Acquire) as usize).min(room);
    if about.kind.load(Acquire) & 0xff != Kind::Queue as u64 || size < BACKED {
        return;
    }
    // SAFETY: as in `Ring::new`; the slot is the caller's alone.
    let header = unsafe { block.cast::<Header>().as_ref() };
    // SAFETY: within the block.
    let base = unsafe { block.add(BYTES_AT) };
    let rest = Rest { header, bytes: Bytes { base, len: size - BYTES_AT } };
    let mut freed = FREED.lock().unwrap_or_else(PoisonError::into_inner);
    rest.records(|record| freed.extend(transit::strike(arena, record)));
}

/// A ring that nobody uses any more.
struct Rest<'a> {
    header: &'a Header,
    bytes: Bytes,
}

impl Rest<'_> {
    /// Gives `strike` every record of every item; stops where there is no item.
    fn records(&self, mut strike: impl FnMut(Record)) -> Option<()> {
        let (gets, puts) = (self.header.gets.own(), self.header.puts.own());
        let capacity = self.header.capacity.load(Relaxed);
        if !capacity.is_power_of_two() {
            return None;
        }
        let mut at = gets.at;
        for _ in gets.count..puts.count {
            let mut place = (at & (capacity - 1)) as usize;
            let [mut need, mut about] = self.bytes.read_words(place)?;
            if need == SKIP {
                at = at.checked_add(about)?;
                place = (at & (capacity - 1)) as usize;
                [need, about] = self.bytes.read_words(place)?;
            }
            let records_at =
                place + HEAD + ((about >> 16) as usize).checked_next_multiple_of(HEAD)?;
            for i in 0..(about & 0xffff) as usize {
                strike(Record::from_words(
                    self.bytes.read_words(records_at.checked_add(i * RECORD)?)?,
                ));
            }
            at = at.checked_add(need)?;
        }
        Some(())
    }
}
