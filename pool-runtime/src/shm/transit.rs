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
//! Each slot counts the records that name it, so that letting go of one that none names takes no search.
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

/// Where this process looks next for a free record; 0 when it has not looked yet.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// Where it has last made, found or struck out a record: the next one that it asks for is often beside it.
static LATEST: AtomicU64 = AtomicU64::new(0);
/// How many records are looked at before a fresh one is taken, and how far from the latest a search begins.
const LOOKS: usize = 64;

/// Makes a record for a slot that the caller holds, and keeps it.
///
/// # Errors
/// Kind `Full` when there are too many, `Io` when memory has run out.
pub(crate) fn enter(own: &Own, slot: usize) -> Result<Record, Error> {
    let (word, head) = (new_word(own, slot), own.arena.slot(slot));
    // Before the record is there, as it is gone before it is counted as struck out: there are never more than the counts say.
    head.transits_begun.fetch_add(1, SeqCst);
    let made = free(own, word);
    match made {
        Ok(at) => LATEST.store(at as u64, Relaxed),
        Err(_) => _ = head.transits_struck.fetch_add(1, SeqCst),
    }
    made.map(|at| Record { at: at as u32, word })
}

fn new_word(own: &Own, slot: usize) -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // From the pid on: one that had this entry before has counted from elsewhere.
    let count = COUNT.fetch_add(1, Relaxed).wrapping_add(own.word >> 2);
    let number = (own.index as u64) << COUNT_BITS | count & ((1 << COUNT_BITS) - 1);
    kept_by((slot as u64 + 1) | number << NUMBER_AT, own.index)
}

/// Takes a record for a word: one of the next few if one is free, else a fresh one. All are looked at only when none is fresh:
/// the more there are in use, the longer that takes.
fn free(own: &Own, word: u64) -> Result<usize, Error> {
    match reused(own, LOOKS, word) {
        Some(at) => Ok(at),
        None => fresh(own.arena, word).or_else(|error| reused(own, TRANSITS, word).ok_or(error)),
    }
}

/// Takes one of the next `looks` records. The next call looks from there on, also in vain: so all come to be looked at in turn,
/// and there are not many more than were in use at one time.
fn reused(own: &Own, looks: usize, word: u64) -> Option<usize> {
    let used = used(own.arena);
    // Processes begin at different places: those that look only once would else all find the same ones in use.
    let next = match NEXT.load(Relaxed) {
        0 => (own.word >> 2) as usize,
        next => next as usize,
    };
    let mut places = (0..used.min(looks)).map(|n| (next + n) % used);
    let found = places.find(|&at| take(own.arena, at, word));
    NEXT.store(found.map_or(next + looks, |at| at + 1) as u64, Relaxed);
    found
}

/// How many records were ever used.
fn used(arena: &Arena) -> usize {
    (arena.head().transits_used.load(Acquire) as usize).min(TRANSITS)
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
    let slot = slot_of(record.word).filter(|_| change(arena, record, |_| 0))?;
    arena.slot(slot).transits_struck.fetch_add(1, SeqCst);
    LATEST.store(record.at.into(), Relaxed);
    Some(slot)
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
    all_from(arena, 0)
}

/// All records, those before `from` last.
fn all_from(arena: &Arena, from: usize) -> impl Iterator<Item = (usize, u64)> {
    let used = used(arena);
    let from = from.min(used);
    let places = (from..used).chain(0..from);
    places.map(|at| (at, arena.transit(at).word.load(SeqCst))).filter(|&(_, word)| word != 0)
}

/// Whether a record names the slot.
///
/// Only when there is one, or somebody died in the moment between a record and its count, are records looked through.
pub(crate) fn names(arena: &Arena, slot: usize) -> bool {
    let head = arena.slot(slot);
    // In this order: what is struck out meanwhile makes the difference larger, not smaller.
    let struck = head.transits_struck.load(SeqCst);
    if head.transits_begun.load(SeqCst) == struck {
        return false;
    }
    let from = (LATEST.load(Relaxed) as usize).saturating_sub(LOOKS);
    let found = all_from(arena, from).find(|&(_, word)| slot_of(word) == Some(slot));
    if let Some((at, _)) = found {
        LATEST.store(at as u64, Relaxed);
    }
    found.is_some()
}

/// How many records that process keeps.
#[cfg(test)]
pub(crate) fn count(arena: &Arena, process: usize) -> usize {
    all(arena).filter(|&(_, word)| process_of(word) == process).count()
}

const _: () = assert!(super::layout::PROCESSES <= 1 << PROCESS_BITS);
const _: () = assert!(process::FREE == 0);
