//! The input segment: only the parent writes to it, and workers read items where they lie.
//!
//! Blocks are given out, freed and used again. Of blocks of one length that which was freed last is given out first: its pages
//! are there, and in cache. Where there is none, it is the first place that is large enough. First touch of 4 KiB was measured at
//! 2.3 µs, so a window of recycled pages takes 10 GB/s on the first pass where a fresh arena takes 1.4.
//!
//! What has been used stays with the segment until its end: the seal that keeps workers from writing also forbids to punch holes
//! (`F_SEAL_FUTURE_WRITE`). So blocks go where blocks have been, if they can.
#![expect(unsafe_code, reason = "writes shared memory by offset")]

mod space;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::codec::align_up;
use crate::error::{Error, ErrorKind};
use crate::job::{ItemWriter, TO_THE_END, Tally};
use crate::luggage::Kept;
use crate::shm::pins::Pins;
use crate::sys::fork;
use crate::sys::memory::{self, Access, Map};
use space::Space;

/// What is asked for; less where the address space is limited: this part of what is left.
const LARGEST: usize = 64 << 30;
const SMALLEST: usize = 256 << 20;
const PART: usize = 4;
/// Blocks begin at multiples of this.
const GRAIN: usize = 4096;
/// From this size on memory is asked for before it is used, so that running out is an error. The first pass of vectors of 8 MiB
/// through a new pool went at 6.4 to 8.0 GB/s so, and at 6.0 to 6.4 when each page came as it was written.
const ASK_FIRST: usize = 1 << 20;

/// The segment, and which parts of it are in use.
#[derive(Debug)]
pub(crate) struct Input {
    file: OwnedFd,
    map: Map,
    space: Mutex<Space>,
    /// The process that made it: a copy of it in a child of a plain `fork` gives nothing back.
    creator: u32,
}

impl Input {
    /// # Errors
    /// Kind `Io` when it cannot be made.
    pub(crate) fn new() -> Result<Arc<Self>, Error> {
        let sizes = SMALLEST..=LARGEST;
        let (file, map) = memory::create_mapped("pool-input", sizes, PART, Access::Write)?;
        // The mapping that is there stays writable; whoever maps the file from now on can only read.
        memory::forbid_new_writers(file.as_fd())?;
        Ok(Arc::new(Self {
            file,
            space: Mutex::new(Space::new(map.len())),
            map,
            creator: fork::generation(),
        }))
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// A block of at least `len` bytes.
    ///
    /// # Errors
    /// Kind `Encode` when the segment has no such room, `Io` when the machine has no such memory.
    pub(crate) fn block(self: &Arc<Self>, len: usize) -> Result<Block, Error> {
        let whole = round_up(len.max(1)).ok_or_else(|| too_large(len))?;
        let (at, again) = self.space().take(whole).ok_or_else(|| too_large(len))?;
        if whole >= ASK_FIRST && !again {
            self.map
                .populate(self.file.as_fd(), at, whole)
                .inspect_err(|_| self.space().never_used(at, whole))?;
        }
        Ok(Block { input: Arc::clone(self), at, len: whole, along: Mutex::default() })
    }

    /// Bytes of all blocks.
    pub(crate) fn in_use(&self) -> usize {
        self.space().in_use()
    }

    fn space(&self) -> std::sync::MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole pages, and for large blocks at most an eighth more than that: lengths that come again.
fn round_up(len: usize) -> Option<usize> {
    let step = (len.checked_next_power_of_two()? / 16).max(GRAIN);
    len.checked_next_multiple_of(if len < ASK_FIRST { GRAIN } else { step })
}

fn too_large(len: usize) -> Error {
    Error::new(ErrorKind::Encode, format!("{len} bytes do not fit into the segment for input"))
}

/// A part of the segment; free again when dropped.
#[derive(Debug)]
pub(crate) struct Block {
    input: Arc<Input>,
    at: usize,
    len: usize,
    /// What the items take along that is not in their bytes.
    along: Mutex<Vec<Arc<Along>>>,
}

/// Descriptors and shared objects that last as long as the block.
#[derive(Debug)]
pub(crate) struct Along {
    pub(crate) luggage: Vec<Kept>,
    pub(crate) pins: Pins,
}

impl Along {
    fn is_empty(&self) -> bool {
        self.luggage.is_empty() && self.pins.is_empty()
    }
}

impl Block {
    pub(crate) fn at(&self) -> u64 {
        self.at as u64
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Keeps what its items take along, and what was left over before; gives what is new, which may be left over again.
    pub(crate) fn take_along(
        &self,
        left_over: Option<Arc<Along>>,
        new: Along,
    ) -> Option<Arc<Along>> {
        let new = (!new.is_empty()).then(|| Arc::new(new));
        if left_over.is_some() || new.is_some() {
            let mut along = self.along.lock().unwrap_or_else(PoisonError::into_inner);
            along.extend(left_over.into_iter().chain(new.clone()));
        }
        new
    }

    /// Keeps what the items of another block take along, some of which are here now.
    pub(crate) fn share_along(&self, other: &Self) {
        let theirs = other.along.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.along.lock().unwrap_or_else(PoisonError::into_inner).extend(theirs);
    }

    /// A block that holds `bytes`, for good.
    ///
    /// # Errors
    /// As for [`Input::block`].
    pub(crate) fn holding(input: &Arc<Input>, bytes: &[u8]) -> Result<Self, Error> {
        let mut block = input.block(bytes.len())?;
        block.bytes()[..bytes.len()].copy_from_slice(bytes);
        Ok(block)
    }

    fn bytes(&mut self) -> &mut [u8] {
        let len = self.len;
        // SAFETY: the space gave this range to this block alone, within the mapping, and `&mut self` lets nobody else at it here.
        // Workers read it only once it is published, and then only what `RunWriter` does not write again.
        unsafe { slice::from_raw_parts_mut(self.input.map.base().add(self.at).as_ptr(), len) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.input.creator == fork::generation() {
            self.input.space().give_back(self.at, self.len);
        }
    }
}

/// Writes the items of one run into a block: a table of their ends in front if they differ in size, then the items.
#[derive(Debug)]
pub(crate) struct RunWriter {
    block: Arc<Block>,
    /// Most items.
    capacity: usize,
    /// Whether items differ in size, and so have a table.
    table: bool,
    /// Where in the block the items begin.
    data_at: usize,
    /// Bytes of items that have been written.
    written: usize,
    count: usize,
    /// The same, for the supervisor.
    tally: Arc<AtomicU32>,
}

impl RunWriter {
    /// # Errors
    /// As for [`Input::block`].
    pub(crate) fn new(
        input: &Arc<Input>,
        bytes: usize,
        capacity: usize,
        table: bool,
    ) -> Result<Self, Error> {
        let data_at = if table { align_up(capacity * 4) } else { 0 };
        let block = Arc::new(input.block(bytes.saturating_add(data_at))?);
        Ok(Self { block, capacity, table, data_at, written: 0, count: 0, tally: Arc::default() })
    }

    /// What keeps the block in use.
    pub(crate) fn block(&self) -> Arc<Block> {
        Arc::clone(&self.block)
    }

    /// How many items are written, also while `write` is under way.
    pub(crate) fn tally(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.tally)
    }

    /// Place of the table, place of the items, and the length of what may hold items.
    pub(crate) fn places(&self) -> (u64, u64, u64) {
        let data_at = self.block.at() + self.data_at as u64;
        // Such an item ends with its data.
        let only = self.count == 1 && self.end(0) == Some(TO_THE_END);
        let len = if only { self.written } else { self.block.len - self.data_at };
        (self.block.at(), data_at, len as u64)
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Bytes that the block has for items.
    pub(crate) fn bytes(&self) -> usize {
        self.block.len - self.data_at
    }

    /// Most items.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many more items may be written.
    pub(crate) fn room(&self) -> usize {
        self.capacity - self.count
    }

    fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset <= self.block.len);
        // SAFETY: a block lies within the mapping, and `offset` within the block or at its end.
        unsafe { self.block.input.map.base().add(self.block.at + offset).as_ptr() }
    }

    /// Where an item ends, by the table.
    fn end(&self, item: usize) -> Option<u32> {
        // SAFETY: the table has `capacity` entries at the beginning of the block, which is page-aligned, and those below `count` are
        // written. Only this writer writes there.
        (self.table && item < self.count).then(|| unsafe { self.at(item * 4).cast::<u32>().read() })
    }

    /// Writes items by `fill`.
    pub(crate) fn write<T>(&mut self, fill: impl FnOnce(&mut ItemWriter<'_>) -> T) -> T {
        let base = if self.table { align_up(self.written) } else { self.written };
        let from = (self.data_at + base).min(self.block.len);
        // SAFETY: the range lies within the block, which belongs to this writer alone: `block()` gives out what keeps it, not its
        // bytes. It lies behind every item that has been written, so no reader of a published item looks at it.
        let room = unsafe { slice::from_raw_parts_mut(self.at(from), self.block.len - from) };
        let ends = self.table.then(|| {
            // SAFETY: these entries of the table are behind those of every item that has been written, and before the items.
            unsafe {
                slice::from_raw_parts_mut(
                    self.at(self.count * 4).cast::<u32>(),
                    self.capacity - self.count,
                )
            }
        });
        let tally = Arc::clone(&self.tally);
        let mut writer =
            ItemWriter::new(room, ends, base, Tally { before: self.count as u32, word: &tally });
        let result = fill(&mut writer);
        let (count, len) = (writer.count(), writer.len());
        if count > 0 {
            self.written = base + len;
            self.count += count;
        }
        result
    }

    /// Counts what was written by a `write` that did not return, and gives how many items that were. Nothing can be written after
    /// it: where the last one ends is not known.
    pub(crate) fn recover(&mut self) -> usize {
        let count = self.tally.load(Ordering::Acquire) as usize;
        let new = count.saturating_sub(self.count);
        self.count += new;
        self.capacity = self.count;
        new
    }

    /// Takes the items from `first` on out again, and puts them at the beginning of a new writer with more room.
    ///
    /// # Errors
    /// As for [`Input::block`].
    pub(crate) fn carry(
        &mut self,
        first: usize,
        stride: Option<usize>,
        bytes: usize,
        capacity: usize,
    ) -> Result<Self, Error> {
        let mut next = Self::new(&self.block.input, bytes, capacity, self.table)?;
        let from = match stride {
            Some(stride) => first * stride,
            None => first
                .checked_sub(1)
                .and_then(|before| self.end(before))
                .map_or(0, |end| align_up(end as usize)),
        };
        let (len, count) = (self.written - from, self.count - first);
        // SAFETY: both ranges lie within their blocks, which are two: the first was written by this writer, the second is new and
        // has more room. So have the tables.
        unsafe {
            std::ptr::copy_nonoverlapping(self.at(self.data_at + from), next.at(next.data_at), len);
            for item in 0..if self.table { count } else { 0 } {
                let end = self.at((first + item) * 4).cast::<u32>().read();
                next.at(item * 4).cast::<u32>().write(end - from as u32);
            }
        }
        (next.written, next.count) = (len, count);
        (self.count, self.written) = (first, from);
        Ok(next)
    }
}
