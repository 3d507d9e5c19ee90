//! The arena as words: who wants a head, an entry, a slot or a block asks here and nowhere else.
//!
//! Everything in it is atomic or reached through raw pointers, and reads as zeros until it is written.
#![expect(unsafe_code, reason = "looks at shared memory as atomic words")]

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

use super::layout::{
    BLOCKS, CLASSES, Entry, FIRST, Head, LEDGER, LEDGERS_AT, LEN, MAGIC, PAGE, PROCESSES,
    PROCESSES_AT, SLOTS, SLOTS_AT, Slot, TRANSITS, TRANSITS_AT, Transit, class_of,
};
use crate::error::{Error, ErrorKind};
use crate::sys::memory::{self, Access, Map};
use crate::sys::random;

/// The arena, mapped.
#[derive(Debug)]
pub(crate) struct Arena {
    /// The whole arena, or as much from its beginning as the process may map: the blocks of [`Self::classes`].
    map: Map,
    classes: usize,
    file: BorrowedFd<'static>,
}

impl Arena {
    /// Writes the head of a new arena. Nobody else knows it yet.
    ///
    /// # Errors
    /// Kind `Io` when there is no memory.
    pub(crate) fn found(file: BorrowedFd<'_>) -> Result<(), Error> {
        memory::allocate(file, 0, TRANSITS_AT)?;
        let map = Map::new(file, PAGE, Access::Write)?;
        // SAFETY: the page is mapped and aligned, holds zeros, and a head of atomics may be any bytes; the map outlives the reference.
        let head = unsafe { map.base().cast::<Head>().as_ref() };
        head.tree.store(random::id()? as u64 | 1, Release);
        head.magic.store(MAGIC, Release);
        Ok(())
    }

    /// Maps an arena.
    ///
    /// # Errors
    /// Kind `Io` when there is no room in the address space, `Decode` when it is no arena.
    pub(crate) fn new(file: BorrowedFd<'static>) -> Result<Self, Error> {
        let (map, classes) = Self::map(file)?;
        let arena = Self { map, classes, file };
        if arena.head().magic.load(Acquire) == MAGIC {
            Ok(arena)
        } else {
            Err(Error::new(ErrorKind::Decode, "the shared memory that was handed down is no arena"))
        }
    }

    /// Maps as many classes as there is room for. Of an address space that `ulimit -v` bounds it takes a quarter at most, or half
    /// as long as those are few: boards and the program's own memory need the rest.
    fn map(file: BorrowedFd<'_>) -> Result<(Map, usize), Error> {
        let len = |classes: usize| BLOCKS.get(classes).copied().unwrap_or(LEN);
        let half_if_few = |bytes: usize| (bytes / 2).min(len(FEW_CLASSES));
        let most = memory::address_space().map_or(LEN, |bytes| half_if_few(bytes).max(bytes / 4));
        let mut classes = CLASSES.len();
        while classes > FEWEST_CLASSES && len(classes) > most {
            classes -= 1;
        }
        loop {
            let len = len(classes);
            match Map::new(file, len, Access::Write) {
                Ok(map) => return Ok((map, classes)),
                Err(error) if classes == FEWEST_CLASSES => return Err(error),
                Err(_) => classes -= 1,
            }
        }
    }

    /// Whether this process has mapped the blocks of a class. Heads and ledgers are always there.
    #[inline]
    pub(crate) fn reaches(&self, class: usize) -> bool {
        class < self.classes
    }

    fn part<T>(&self, at: usize) -> &T {
        debug_assert!(at + size_of::<T>() <= LEN && at.is_multiple_of(align_of::<T>()));
        // SAFETY: every caller checks its index, so the part lies within the mapping and aligned; `T` is atomics only, which may
        // be any bytes and be written by anybody.
        unsafe { self.map.base().add(at).cast::<T>().as_ref() }
    }

    pub(crate) fn head(&self) -> &Head {
        self.part(0)
    }

    pub(crate) fn entry(&self, index: usize) -> &Entry {
        assert!(index < PROCESSES, "no such process entry");
        self.part(PROCESSES_AT + index * size_of::<Entry>())
    }

    pub(crate) fn transit(&self, index: usize) -> &Transit {
        assert!(index < TRANSITS, "no such transit record");
        self.part(TRANSITS_AT + index * size_of::<Transit>())
    }

    /// Word `word` of a process's ledger; its bit `b` stands for slot `64 * word + b`.
    pub(crate) fn ledger(&self, process: usize, word: usize) -> &AtomicU64 {
        assert!(process < PROCESSES && word < LEDGER / 8, "no such word of a ledger");
        self.part(LEDGERS_AT + process * LEDGER + word * 8)
    }

    #[inline]
    pub(crate) fn slot(&self, index: usize) -> &Slot {
        assert!(index < SLOTS, "no such slot");
        self.part(SLOTS_AT + index * size_of::<Slot>())
    }

    /// Where a slot's object lies, and how much room there is. This process [reaches](Self::reaches) it: only such are opened.
    #[inline]
    pub(crate) fn block(&self, slot: usize) -> (NonNull<u8>, usize) {
        let class = class_of(slot);
        assert!(self.reaches(class), "the block is not mapped here");
        if class == 0 {
            let inline = &self.slot(slot).inline;
            return (NonNull::from(inline).cast(), size_of_val(inline));
        }
        // SAFETY: the block of a slot that exists lies within the mapping.
        (unsafe { self.map.base().add(self.block_at(slot, class)) }, CLASSES[class].block)
    }

    #[inline]
    fn block_at(&self, slot: usize, class: usize) -> usize {
        assert!(slot < SLOTS, "no such slot");
        BLOCKS[class] + (slot - FIRST[class]) * CLASSES[class].block
    }

    /// Sees to it that there is memory behind a slot, its block's first `size` bytes included, and that those are zeros.
    /// The slot is reserved for the caller.
    ///
    /// # Errors
    /// Kind `Io` when memory has run out.
    pub(crate) fn fill(&self, slot: usize, size: usize) -> Result<(), Error> {
        let class = class_of(slot);
        if CLASSES[class].block >= PAGE {
            // Pages that were given back read as zeros.
            return self.allocate(self.block_at(slot, class), size);
        }
        let (block, room) = self.block(slot);
        for at in (0..size.min(room)).step_by(8) {
            // SAFETY: blocks are a multiple of 8 bytes long and aligned to 8, and this one is the caller's alone.
            unsafe { block.add(at).cast::<u64>().write(0) };
        }
        Ok(())
    }

    /// Sees to it that there is memory behind a part of a block of whole pages.
    ///
    /// # Errors
    /// Kind `Io` when memory has run out.
    pub(crate) fn back(&self, slot: usize, at: usize, len: usize) -> Result<(), Error> {
        let class = class_of(slot);
        assert!(at <= CLASSES[class].block && len <= CLASSES[class].block - at, "beyond the block");
        self.allocate(self.block_at(slot, class) + at, len)
    }

    /// Gives the memory behind a part of a block of whole pages back.
    pub(crate) fn unback(&self, slot: usize, at: usize, len: usize) {
        let class = class_of(slot);
        assert!(at <= CLASSES[class].block && len <= CLASSES[class].block - at, "beyond the block");
        memory::punch(self.file, self.block_at(slot, class) + at, len);
    }

    /// Gives the memory of a block back. Doing it twice does no harm.
    pub(crate) fn empty(&self, slot: usize, size: usize) {
        let class = class_of(slot);
        if CLASSES[class].block >= PAGE {
            let len = size.min(CLASSES[class].block).next_multiple_of(PAGE);
            memory::punch(self.file, self.block_at(slot, class), len);
        }
    }

    /// Sees to it that there is memory behind the slots of `class` up to number `below`, counted from the first of the class.
    ///
    /// # Errors
    /// Kind `Io` when memory has run out.
    pub(crate) fn back_slots(&self, class: usize, below: usize) -> Result<(), Error> {
        let (size, count) = (size_of::<Slot>(), CLASSES[class].count);
        let from = below.saturating_sub(1) / SLOTS_AT_ONCE * SLOTS_AT_ONCE;
        let n = SLOTS_AT_ONCE.min(count - from.min(count));
        self.allocate(SLOTS_AT + (FIRST[class] + from) * size, n * size)?;
        let block = CLASSES[class].block;
        if block > 0 && block < PAGE {
            self.allocate(BLOCKS[class] + from * block, n * block)?;
        }
        Ok(())
    }

    /// Sees to it that there is memory behind page `page` of a process's ledger.
    ///
    /// # Errors
    /// Kind `Io` when memory has run out.
    pub(crate) fn back_ledger(&self, process: usize, page: u32) -> Result<(), Error> {
        let bit = 1 << page;
        if self.entry(process).ledger_pages.load(Acquire) & bit == 0 {
            self.allocate(LEDGERS_AT + process * LEDGER + page as usize * PAGE, PAGE)?;
            self.entry(process).ledger_pages.fetch_or(bit, AcqRel);
        }
        Ok(())
    }

    /// Sees to it that there is memory behind the transit record.
    ///
    /// # Errors
    /// Kind `Io` when memory has run out.
    pub(crate) fn back_transit(&self, index: usize) -> Result<(), Error> {
        self.allocate(TRANSITS_AT + index * size_of::<Transit>(), size_of::<Transit>())
    }

    fn allocate(&self, at: usize, len: usize) -> Result<(), Error> {
        if len == 0 { Ok(()) } else { memory::allocate(self.file, at, len) }
    }

    #[cfg(test)]
    pub(crate) fn file(&self) -> BorrowedFd<'static> {
        self.file
    }
}

/// Blocks of up to 256 KiB, the least that a queue needs: 7.4 GiB of addresses.
const FEW_CLASSES: usize = 7;
/// Blocks of up to 4 KiB: 0.9 GiB of addresses.
const FEWEST_CLASSES: usize = 4;

/// Slots get memory in this many at once: 8 KiB of them.
pub(crate) const SLOTS_AT_ONCE: usize = 64;
