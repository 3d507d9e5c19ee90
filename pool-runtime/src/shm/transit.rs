//! Handles on their way to another process, as bytes that nobody has decoded yet: in a queue, in a pipe, in the result
//! of a `Process`.
//!
//! The sender's own hold ends when it drops its handles, so each handle in the bytes has a record in the arena that counts
//! like a hold. The bytes name the record; who decodes them strikes it out, once it holds the slot itself.
//!
//! A record has a keeper, and dies with it: the process that encodes, until the bytes lie where they outlive it, and then
//! [`NOBODY`], until a process has taken them out and keeps it in turn. What is never decoded is struck out by the keeper, or
//! by whoever sweeps it. What lies in a pipe is struck out with the end that would have received it, for nobody else can: a
//! receiver that dies before or while it decodes, or a pipe that both sides have left, keeps nothing. Only a death between the change of the keeper and that of the queue, a few instructions, leaves a
//! record for the life of the tree; in the other order it would leave an item without its handles.
//!
//! A record is one word: 0 when free, else slot + 1 (bits 0–20), keeper (bits 21–32), a number (bits 33–63). Beside
//! it stands the end of the pipe, for a record of nobody's.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

use super::arena::Arena;
use super::layout::{PROCESSES, SLOTS, TRANSITS};
use super::process::{self, Own};
use crate::error::{Error, ErrorKind};

const SLOT_BITS: u32 = 21;
const PROCESS_BITS: u32 = 12;
const NUMBER_AT: u32 = SLOT_BITS + PROCESS_BITS;
/// A number is the entry of the process that made the record, and so many bits of its count: no two make the same.
const COUNT_BITS: u32 = u64::BITS - NUMBER_AT - PROCESS_BITS;
const KEEPER: u64 = ((1 << PROCESS_BITS) - 1) << SLOT_BITS;
const _: () = assert!(SLOTS < 1 << SLOT_BITS);

/// The keeper of records of bytes that outlive any process. No process has this entry.
pub(crate) const NOBODY: usize = PROCESSES - 1;

/// Where a record is, and what it holds: enough to strike out this one, whoever keeps it, and no later one at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Record {
    at: u32,
    word: u64,
}

impl Record {
    /// As two words, for shared memory.
    pub(crate) fn words(self) -> [u64; 2] {
        [self.at.into(), self.word]
    }

    /// What [`words`](Self::words) gave. Any other words name no record.
    pub(crate) fn from_words([at, word]: [u64; 2]) -> Self {
        Self { at: at.try_into().unwrap_or(u32::MAX), word }
    }
}

fn slot_of(word: u64) -> Option<usize> {
    ((word & ((1 << SLOT_BITS) - 1)) as usize).checked_sub(1)
}

fn process_of(word: u64) -> usize {
    (word >> SLOT_BITS) as usize & ((1 << PROCESS_BITS) - 1)
}

/// The slot that a record names.
pub(crate) fn slot_named(record: &Record) -> Option<usize> {
    slot_of(record.word)
}

fn kept_by(word: u64, keeper: usize) -> u64 {
    word & !KEEPER | (keeper as u64) << SLOT_BITS
}

/// Makes a record for a slot that the caller holds, and keeps it.
///
/// # Errors
/// Kind `Full` when there are too many, `Io` when memory has run out.
pub(crate) fn enter(own: &Own, slot: usize) -> Result<Record, Error> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static HINT: AtomicU64 = AtomicU64::new(0);
    // From the pid on: one that had this entry before has counted from elsewhere.
    let count = COUNT.fetch_add(1, Relaxed).wrapping_add(own.word >> 2);
    let number = (own.index as u64) << COUNT_BITS | count & ((1 << COUNT_BITS) - 1);
    let word = kept_by((slot as u64 + 1) | number << NUMBER_AT, own.index);
    let hint = HINT.load(Relaxed) as usize;
    let used = own.arena.head().transits_used.load(Acquire) as usize;
    let free = (0..used).map(|at| (hint + at) % used).find(|&at| take(own.arena, at, word));
    let at = match free {
        Some(at) => at,
        None => fresh(own.arena, word)?,
    };
    HINT.store(at as u64 + 1, Relaxed);
    // After the record: one that finds no record and then this unchanged knows that there is none.
    own.arena.slot(slot).in_transit.fetch_add(1, SeqCst);
    Ok(Record { at: at as u32, word })
}

fn take(arena: &Arena, at: usize, word: u64) -> bool {
    let record = arena.transit(at);
    let taken = record.word.load(Relaxed) == 0
        && record.word.compare_exchange(0, word, SeqCst, Relaxed).is_ok();
    if taken {
        // As long as a process keeps the record, nobody else looks at this.
        record.reader.store(0, SeqCst);
    }
    taken
}

fn fresh(arena: &Arena, word: u64) -> Result<usize, Error> {
    loop {
        let at = arena.head().transits_used.load(Acquire) as usize;
        if at >= TRANSITS {
            return Err(Error::new(
                ErrorKind::Full,
                format!("at most {TRANSITS} handles can be on their way at one time"),
            ));
        }
        arena.back_transit(at)?;
        arena.head().transits_used.fetch_max(at as u64 + 1, SeqCst);
        if take(arena, at, word) {
            return Ok(at);
        }
    }
}

/// Strikes a record out, if it is still there.
pub(crate) fn strike(arena: &Arena, record: Record) -> Option<usize> {
    change(arena, record, |_| 0).then(|| slot_of(record.word)).flatten()
}

/// Gives records to another keeper, those that are still there.
pub(crate) fn hand_over(arena: &Arena, records: &[Record], keeper: usize) {
    for &record in records {
        change(arena, record, |word| kept_by(word, keeper));
    }
}

/// Gives records that the caller keeps to nobody, or to the end of a pipe, whose slot the caller holds meanwhile: they are
/// struck out with it.
pub(crate) fn entrust(arena: &Arena, records: &[Record], reader: Option<usize>) {
    if let Some(slot) = reader {
        for record in records {
            arena.transit(record.at as usize).reader.store(slot as u64 + 1, SeqCst);
        }
        // From now on the end of the slot is worth a search.
        arena.slot(slot).bell.store(1, SeqCst);
    }
    hand_over(arena, records, NOBODY);
}

/// Strikes out what an end of a pipe kept that is being given back, and gives the slots that it named.
pub(crate) fn strike_unread(arena: &Arena, reader: usize) -> Vec<usize> {
    if arena.slot(reader).bell.load(SeqCst) == 0 {
        return Vec::new();
    }
    let unread = |&(at, word): &(usize, u64)| {
        process_of(word) == NOBODY && arena.transit(at).reader.load(SeqCst) == reader as u64 + 1
    };
    strike_those(arena, unread)
}

fn change(arena: &Arena, record: Record, change: impl Fn(u64) -> u64) -> bool {
    let at = record.at as usize;
    if at >= TRANSITS || at as u64 >= arena.head().transits_used.load(Acquire) {
        return false;
    }
    let this = |word: u64| word != 0 && (word ^ record.word) & !KEEPER == 0;
    let change = |word| this(word).then(|| change(word));
    arena.transit(at).word.fetch_update(SeqCst, SeqCst, change).is_ok()
}

/// Strikes out all records of a dead process, and gives the slots that they named.
pub(crate) fn strike_all(arena: &Arena, process: usize) -> Vec<usize> {
    strike_those(arena, |&(_, word)| process_of(word) == process)
}

fn strike_those(arena: &Arena, those: impl Fn(&(usize, u64)) -> bool) -> Vec<usize> {
    let found = all(arena).filter(those);
    found.filter_map(|(at, word)| strike(arena, Record { at: at as u32, word })).collect()
}

fn all(arena: &Arena) -> impl Iterator<Item = (usize, u64)> {
    let used = (arena.head().transits_used.load(Acquire) as usize).min(TRANSITS);
    (0..used).map(|at| (at, arena.transit(at).word.load(SeqCst))).filter(|&(_, word)| word != 0)
}

/// Whether a record names the slot.
pub(crate) fn names(arena: &Arena, slot: usize) -> bool {
    let count = &arena.slot(slot).in_transit;
    let before = count.load(SeqCst);
    if before == 0 {
        return false;
    }
    let found = all(arena).any(|(_, word)| slot_of(word) == Some(slot));
    if !found {
        let _ = count.compare_exchange(before, 0, SeqCst, Relaxed);
    }
    found
}

/// How many records that process keeps.
#[cfg(test)]
pub(crate) fn count(arena: &Arena, process: usize) -> usize {
    all(arena).filter(|&(_, word)| process_of(word) == process).count()
}

const _: () = assert!(super::layout::PROCESSES <= 1 << PROCESS_BITS);
const _: () = assert!(process::FREE == 0);
