//! Handles on their way back from a worker, as bytes in a result that nobody has decoded yet.
//!
//! The worker's own hold ends when it drops its handles, so each handle in the bytes has a record in the arena that counts
//! like a hold. The bytes name the record; who decodes them strikes it out, once it holds the slot itself. What is never
//! decoded is struck out by the worker, when it sees that the result was taken, or by whoever sweeps it.
//!
//! A record is one word: 0 when free, else slot + 1 (bits 0–20), process (bits 21–32), a number (bits 33–63).

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

use super::arena::Arena;
use super::layout::{PROCESSES, SLOTS, TRANSITS};
use super::process::{self, Own};
use crate::error::{Error, ErrorKind};

const SLOT_BITS: u32 = 21;
const PROCESS_BITS: u32 = 12;
const NUMBER_AT: u32 = SLOT_BITS + PROCESS_BITS;
const _: () = assert!(SLOTS < 1 << SLOT_BITS);

/// The keeper of records that outlive the process that made them. No process has this entry.
pub(crate) const NOBODY: usize = PROCESSES - 1;

/// Where a record is, and what it holds: enough to strike out this one and no later one at its place.
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

/// Makes a record for a slot that the caller holds.
///
/// # Errors
/// Kind `Full` when there are too many, `Io` when memory has run out.
pub(crate) fn enter(own: &Own, slot: usize) -> Result<Record, Error> {
    enter_as(own, slot, own.index)
}

/// Makes a record that outlives the caller: for bytes in a queue or a pipe, whose sender may end.
///
/// # Errors
/// As for [`enter`].
pub(crate) fn enter_kept(own: &Own, slot: usize) -> Result<Record, Error> {
    enter_as(own, slot, NOBODY)
}

fn enter_as(own: &Own, slot: usize, keeper: usize) -> Result<Record, Error> {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    static HINT: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Relaxed);
    let word = (slot as u64 + 1) | (keeper as u64) << SLOT_BITS | number << NUMBER_AT;
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
    record.load(Relaxed) == 0 && record.compare_exchange(0, word, SeqCst, Relaxed).is_ok()
}

fn fresh(arena: &Arena, word: u64) -> Result<usize, Error> {
    loop {
        let at = arena.head().transits_used.load(Acquire) as usize;
        if at >= TRANSITS {
            return Err(Error::new(
                ErrorKind::Full,
                format!("at most {TRANSITS} handles can be on their way in results"),
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
    let at = record.at as usize;
    let struck = at < TRANSITS
        && (at as u64) < arena.head().transits_used.load(Acquire)
        && record.word != 0
        && arena.transit(at).compare_exchange(record.word, 0, SeqCst, Relaxed).is_ok();
    struck.then(|| slot_of(record.word)).flatten()
}

/// Strikes out all records of a dead process, and gives the slots that they named.
pub(crate) fn strike_all(arena: &Arena, process: usize) -> Vec<usize> {
    let all = all(arena).filter(|&(_, word)| process_of(word) == process);
    all.filter_map(|(at, word)| strike(arena, Record { at: at as u32, word })).collect()
}

fn all(arena: &Arena) -> impl Iterator<Item = (usize, u64)> {
    let used = (arena.head().transits_used.load(Acquire) as usize).min(TRANSITS);
    (0..used).map(|at| (at, arena.transit(at).load(SeqCst))).filter(|&(_, word)| word != 0)
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

/// Whether this record, or any of this process, is out.
#[cfg(test)]
pub(crate) fn count(arena: &Arena, process: usize) -> usize {
    all(arena).filter(|&(_, word)| process_of(word) == process).count()
}

const _: () = assert!(super::layout::PROCESSES <= 1 << PROCESS_BITS);
const _: () = assert!(process::FREE == 0);
