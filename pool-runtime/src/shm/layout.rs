//! How the arena is laid out: what lies at which offset, and what each word means.
//!
//! ```text
//! head | processes | transit records | ledgers | slots | small blocks | large blocks
//! ```
//! Every object has a slot; a slot has its block, at a place that follows from its number. So one compare-and-swap on the
//! slot's state takes both or gives both back, and a death in between leaves nothing half done. Offsets only: no address.

use std::sync::atomic::{AtomicU32, AtomicU64};

/// What every arena begins with.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"poolmem1");

/// Entries for processes. A tree may have one fewer at one time: the last stands for nobody (`transit`).
pub(crate) const PROCESSES: usize = 4096;
/// Handles that may be on their way at one time: in queues, in pipes, in the result of a `Process`.
pub(crate) const TRANSITS: usize = 1 << 20;

/// The first words of the arena.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) magic: AtomicU64,
    /// Which tree this is: random, never 0.
    pub(crate) tree: AtomicU64,
    /// Process entries above this one were never used. It only grows.
    pub(crate) processes_used: AtomicU64,
    /// Transit records above this one were never used. It only grows.
    pub(crate) transits_used: AtomicU64,
    /// Per class, slots above this one were never used. It only grows.
    pub(crate) used: [AtomicU64; CLASSES.len()],
    /// Per class, slots that are free below `used`: a hint.
    pub(crate) free: [AtomicU64; CLASSES.len()],
}

/// One process of the tree. See `process` for the states.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) state: AtomicU64,
    /// The state word of the process that started it; 0 when that is none of the tree.
    pub(crate) parent: AtomicU64,
    /// When somebody first saw that it has ended, in milliseconds; 0 until then. [`u64::MAX`] is never: the process left its
    /// parent something that only the parent can take or give up, however late.
    pub(crate) seen_dead: AtomicU64,
    /// Which pages of its ledger have memory behind them: bit `i` stands for page `i`.
    pub(crate) ledger_pages: AtomicU32,
}

/// A handle on its way as bytes. See `transit`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Transit {
    pub(crate) word: AtomicU64,
    /// The slot, plus 1, of the end of a pipe that is to receive it, while no process keeps the record; 0 for none.
    pub(crate) reader: AtomicU64,
}

/// What is known of one object, and its lock. See `slot` for the states.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) state: AtomicU64,
    /// What the object is, and a hash of its type.
    pub(crate) kind: AtomicU64,
    /// Bytes of the object.
    pub(crate) size: AtomicU64,
    /// The slot and generation whose lock guards it, as [`super::slot::pack`] has it; 0 for its own.
    pub(crate) guarded_by: AtomicU64,
    /// How many transit records that name this slot were begun, and how many were struck out, ever, whatever lives in the slot.
    /// Equal: there is none.
    pub(crate) transits_begun: AtomicU32,
    pub(crate) transits_struck: AtomicU32,
    _gap: [u32; 6],
    /// The lock word. See `sync::word`.
    pub(crate) lock: AtomicU64,
    /// How often the holder of a re-entrant lock holds it; written by the holder alone.
    pub(crate) depth: AtomicU32,
    /// Counts up with each wake-up of those that sleep for something else than the lock.
    pub(crate) bell: AtomicU32,
    /// Small objects lie here, beside their lock.
    pub(crate) inline: [AtomicU64; INLINE / 8],
}

/// Bytes of an object that lies in its slot.
pub(crate) const INLINE: usize = 48;
/// What objects in their slot are aligned to.
pub(crate) const INLINE_ALIGN: usize = 16;

/// Objects of up to `block` bytes, at most `count` of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    pub(crate) block: usize,
    pub(crate) count: usize,
}

const fn class(block: usize, count: usize) -> Class {
    Class { block, count }
}

/// A block too large by four costs address space only: memory comes by the page, as much as the object has.
pub(crate) const CLASSES: [Class; 16] = [
    class(0, 512 << 10),
    class(256, 128 << 10),
    class(1 << 10, 64 << 10),
    class(4 << 10, 64 << 10),
    class(16 << 10, 32 << 10),
    class(64 << 10, 32 << 10),
    class(256 << 10, 16 << 10),
    class(1 << 20, 8 << 10),
    class(4 << 20, 2 << 10),
    class(16 << 20, 1 << 10),
    class(64 << 20, 256),
    class(256 << 20, 64),
    class(1 << 30, 32),
    class(4 << 30, 8),
    class(16 << 30, 4),
    class(64 << 30, 1),
];

pub(crate) const PAGE: usize = 4096;

/// The number of the first slot of a class. Slots are numbered through all classes.
pub(crate) const fn first_slot(class: usize) -> usize {
    let (mut at, mut sum) = (0, 0);
    while at < class {
        sum += CLASSES[at].count;
        at += 1;
    }
    sum
}

pub(crate) const SLOTS: usize = first_slot(CLASSES.len());

/// The class of a slot.
pub(crate) fn class_of(slot: usize) -> usize {
    (1..CLASSES.len()).rfind(|&class| FIRST[class] <= slot).unwrap_or(0)
}

/// [`first_slot`] of every class.
pub(crate) const FIRST: [usize; CLASSES.len()] = {
    let mut all = [0; CLASSES.len()];
    let mut at = 0;
    while at < CLASSES.len() {
        all[at] = first_slot(at);
        at += 1;
    }
    all
};

/// Bytes of one process's ledger: a bit for every slot, in whole pages.
pub(crate) const LEDGER: usize = SLOTS.div_ceil(8).next_multiple_of(PAGE);
const _: () = assert!(LEDGER / PAGE <= 32, "`ledger_pages` has 32 bits");

pub(crate) const PROCESSES_AT: usize = PAGE;
pub(crate) const TRANSITS_AT: usize = PROCESSES_AT + PROCESSES * size_of::<Entry>();
pub(crate) const LEDGERS_AT: usize = TRANSITS_AT + TRANSITS * size_of::<Transit>();
pub(crate) const SLOTS_AT: usize = LEDGERS_AT + PROCESSES * LEDGER;
const BLOCKS_AT: usize = (SLOTS_AT + SLOTS * size_of::<Slot>()).next_multiple_of(2 << 20);
const _: () =
    assert!(size_of::<Head>() <= PAGE && size_of::<Slot>() == 128 && size_of::<Entry>() == 64);

/// Where the blocks of each class begin.
pub(crate) const BLOCKS: [usize; CLASSES.len()] = {
    let mut all = [0; CLASSES.len()];
    let (mut at, mut place) = (0, BLOCKS_AT);
    while at < CLASSES.len() {
        all[at] = place;
        place += CLASSES[at].block * CLASSES[at].count;
        at += 1;
    }
    all
};

/// Bytes of the whole arena. Sparse: what is not touched costs nothing.
pub(crate) const LEN: usize = BLOCKS[CLASSES.len() - 1] + (64 << 30);

/// The classes whose blocks hold an object, smallest first.
pub(crate) fn classes_for(size: usize, align: usize) -> impl Iterator<Item = usize> {
    let fits = move |class: usize| match class {
        0 => size <= INLINE && align <= INLINE_ALIGN,
        _ => size <= CLASSES[class].block && align <= CLASSES[class].block.min(PAGE),
    };
    (0..CLASSES.len()).filter(move |&class| fits(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_do_not_overlap_and_are_aligned() {
        for class in 1..CLASSES.len() {
            assert!(
                BLOCKS[class]
                    >= BLOCKS[class - 1] + CLASSES[class - 1].block * CLASSES[class - 1].count
            );
            assert_eq!(BLOCKS[class] % CLASSES[class].block.min(PAGE), 0);
        }
    }

    #[test]
    fn every_slot_has_its_class() {
        for class in 0..CLASSES.len() {
            assert_eq!(class_of(FIRST[class]), class);
            assert_eq!(class_of(FIRST[class] + CLASSES[class].count - 1), class);
        }
    }

    #[test]
    fn the_smallest_class_that_holds_it_comes_first() {
        assert_eq!(classes_for(8, 8).next(), Some(0));
        assert_eq!(classes_for(8, 32).next(), Some(1));
        assert_eq!(classes_for(INLINE + 1, 8).next(), Some(1));
        assert_eq!(classes_for((64 << 30) + 1, 8).next(), None);
    }
}
