//! Slots: taken, alive, given back; each step one compare-and-swap on the slot's state.
//!
//! | phase (bits 0–3) | owner (bits 4–19) | generation (bits 32–63) | |
//! |---|---|---|---|
//! | `FREE` 0 | 0 | of the last object | nobody's |
//! | `RESERVED` 1 | who fills it | of the new object | being made |
//! | `LIVE` 2 | 0 | of the object | stands in at least one ledger |
//! | `ASKING` 3 | who asks | of the object | somebody let go and looks whether others hold it; may become `LIVE` again |
//! | `ERASED` 4 | who erases | of the object | nobody holds it; the memory is being given back |
//!
//! Whoever opens a slot enters it into its ledger first and looks at the state second; whoever gives it back writes `ASKING`
//! first and looks at the ledgers second. So at least one of the two sees the other. An owner that died is succeeded: a slot
//! that it reserved or erased is erased, one that it asked about is alive again.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::{Duration, Instant};

use super::arena::Arena;
use super::layout::{CLASSES, FIRST, SLOTS};
use super::{burial, ledger, process, transit};
use crate::error::{Error, ErrorKind};

pub(crate) const FREE: u64 = 0;
pub(crate) const RESERVED: u64 = 1;
pub(crate) const LIVE: u64 = 2;
pub(crate) const ASKING: u64 = 3;
pub(crate) const ERASED: u64 = 4;

/// How long an opener waits for one that asks and does not go on, as when it was stopped by a debugger.
const ASKING_LIMIT: Duration = Duration::from_millis(100);

pub(crate) fn phase(state: u64) -> u64 {
    state & 15
}

fn owner(state: u64) -> usize {
    (state >> 4 & 0xffff) as usize
}

pub(crate) fn generation(state: u64) -> u32 {
    (state >> 32) as u32
}

fn state(phase: u64, owner: usize, generation: u32) -> u64 {
    phase | (owner as u64) << 4 | u64::from(generation) << 32
}

/// A slot and a generation as one word, never 0.
pub(crate) fn pack(slot: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | (u64::from(slot) + 1)
}

/// What [`pack`] packed; `None` for what it never makes.
pub(crate) fn unpack(word: u64) -> Option<(u32, u32)> {
    let slot = (word as u32).checked_sub(1)?;
    ((slot as usize) < SLOTS).then_some((slot, (word >> 32) as u32))
}

/// Tries to reserve a slot that stands in the caller's ledger already; gives its new generation.
pub(crate) fn try_reserve(arena: &Arena, me: usize, slot: usize) -> Option<u32> {
    let word = &arena.slot(slot).state;
    let old = word.load(Relaxed);
    // Generation 0 is never given out: a handle of zeros is none.
    let next = generation(old).wrapping_add(1).max(1);
    let free = phase(old) == FREE;
    (free && word.compare_exchange(old, state(RESERVED, me, next), SeqCst, Relaxed).is_ok())
        .then_some(next)
}

/// The object is whole: others may open it.
pub(crate) fn publish(arena: &Arena, slot: usize, generation: u32) {
    arena.slot(slot).state.store(state(LIVE, 0, generation), SeqCst);
}

/// Whether the object of that generation lives in the slot, which stands in the caller's ledger; then it stays.
///
/// # Errors
/// Kind `NotFound` when it does not.
pub(crate) fn check(arena: &Arena, slot: usize, wanted: u32) -> Result<(), Error> {
    let word = &arena.slot(slot).state;
    let mut since = None;
    loop {
        let now = word.load(SeqCst);
        match phase(now) {
            LIVE if generation(now) == wanted => return Ok(()),
            ASKING if generation(now) == wanted => {
                if !process::is_alive(arena, owner(now)) {
                    let _ = word.compare_exchange(now, state(LIVE, 0, wanted), SeqCst, Relaxed);
                } else if since.get_or_insert_with(Instant::now).elapsed() > ASKING_LIMIT {
                    return Err(gone());
                }
                std::thread::yield_now();
            }
            _ => return Err(gone()),
        }
    }
}

/// Whether the object of that generation is in the slot now.
pub(crate) fn lives(arena: &Arena, slot: usize, wanted: u32) -> bool {
    let now = arena.slot(slot).state.load(SeqCst);
    matches!(phase(now), LIVE | ASKING) && generation(now) == wanted
}

#[cold]
pub(crate) fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "the shared object that the handle means is gone")
}

/// Lets go of a slot that stands in the caller's ledger, and gives it back when nobody else holds it. Only one thread of a
/// process does this to a slot at a time, and only while the process holds no handle of it.
pub(crate) fn let_go(arena: &Arena, me: usize, slot: usize) {
    loop {
        settle(arena, me, slot);
        ledger::strike(arena, me, slot);
        // One that let go at the same moment may have relied on us.
        let state = arena.slot(slot).state.load(SeqCst);
        if phase(state) != LIVE
            || is_held(arena, slot, None)
            || ledger::enter(arena, me, slot).is_err()
        {
            return;
        }
    }
}

fn is_held(arena: &Arena, slot: usize, except: Option<usize>) -> bool {
    ledger::held_by_others(arena, slot, except) || transit::names(arena, slot)
}

/// Brings a slot that only the caller may hold to rest: erased when nobody else holds it, else alive.
fn settle(arena: &Arena, me: usize, slot: usize) {
    let word = &arena.slot(slot).state;
    loop {
        let now = word.load(SeqCst);
        let generation = generation(now);
        let ours = |phase| {
            word.compare_exchange(now, state(phase, me, generation), SeqCst, Relaxed).is_ok()
        };
        let abandoned = owner(now) == me || !process::is_alive(arena, owner(now));
        match phase(now) {
            LIVE if !ours(ASKING) => {}
            LIVE => {
                if is_held(arena, slot, Some(me)) {
                    return word.store(state(LIVE, 0, generation), SeqCst);
                }
                word.store(state(ERASED, me, generation), SeqCst);
                return erase(arena, slot, generation);
            }
            ASKING if abandoned => {
                let _ = word.compare_exchange(now, state(LIVE, 0, generation), SeqCst, Relaxed);
            }
            RESERVED | ERASED if abandoned => {
                if ours(ERASED) {
                    return erase(arena, slot, generation);
                }
            }
            // Free, or somebody else sees to it.
            _ => return,
        }
    }
}

/// Gives the memory back and frees the slot.
fn erase(arena: &Arena, slot: usize, generation: u32) {
    let head = arena.slot(slot);
    burial::bury(arena, slot);
    arena.empty(slot, head.size.load(Acquire) as usize);
    for word in [&head.kind, &head.size, &head.guarded_by, &head.lock] {
        word.store(0, Relaxed);
    }
    // Not the counts of records: who has just struck one out may not have counted that yet.
    for word in [&head.depth, &head.bell] {
        word.store(0, Relaxed);
    }
    let class = super::layout::class_of(slot);
    arena.head().free[class].fetch_add(1, Relaxed);
    head.state.store(state(FREE, 0, generation), SeqCst);
}

/// Whether the slot was never used.
pub(crate) fn is_fresh(arena: &Arena, slot: usize) -> bool {
    let class = super::layout::class_of(slot);
    (slot - FIRST[class]) as u64 >= arena.head().used[class].load(Acquire)
}

/// Numbers of slots of a class that are worth a try: fresh ones, or such that were freed by anybody.
pub(crate) fn candidates(
    arena: &Arena,
    class: usize,
    wanted: usize,
    from: usize,
) -> Result<Vec<u32>, Error> {
    let head = arena.head();
    let used = (head.used[class].load(Acquire) as usize).min(CLASSES[class].count);
    let free = head.free[class].load(Relaxed) as usize;
    // As long as few of the used ones are free, looking for them costs more than fresh ones.
    if used < CLASSES[class].count && free < used / 2 + wanted {
        let n = wanted.min(CLASSES[class].count - used);
        arena.back_slots(class, used + 1)?;
        arena.back_slots(class, used + n)?;
        head.used[class].fetch_max((used + n) as u64, SeqCst);
        return Ok((used..used + n).rev().map(|at| (FIRST[class] + at) as u32).collect());
    }
    let found = (0..used).map(|at| FIRST[class] + (from + at) % used);
    let found: Vec<u32> = found
        .filter(|&slot| phase(arena.slot(slot).state.load(Relaxed)) == FREE)
        .take(wanted)
        .map(|slot| slot as u32)
        .collect();
    if found.is_empty() {
        head.free[class].store(0, Relaxed);
    } else {
        let _ = head.free[class]
            .fetch_update(Release, Relaxed, |free| Some(free.saturating_sub(found.len() as u64)));
    }
    Ok(found)
}
