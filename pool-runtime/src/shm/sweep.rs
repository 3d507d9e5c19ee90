//! What the dead leave behind: their holds, their locks, their places.
//!
//! Any process sweeps any dead one. A process that dies while it sweeps is swept with what it had begun; each step may be
//! done twice.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::time::Duration;

use super::arena::Arena;
use super::layout::{CLASSES, FIRST};
use super::process::{self, Own, State};
use super::{hold, ledger, owner, slot, transit};

/// How often a process that makes objects looks for dead ones.
const EVERY: Duration = Duration::from_secs(1);
/// A dead child of a living process is left to its parent so long: results that it posted may not have been taken yet.
const LEFT_TO_PARENT: Duration = Duration::from_secs(10);

/// To be called by the parent once a child has ended and all that it sent has been taken: what it held is given back.
pub(crate) fn child_ended(pid: u32) {
    if let Some(own) = process::own_if_any() {
        // An earlier process of that pid may have left an entry that nobody has swept yet.
        process::of_pid(own.arena, pid).for_each(|index| sweep(own, index));
    }
}

/// Looks for dead processes, but not often.
pub(crate) fn now_and_then(own: &Own) {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let (now, last) = (clock(), LAST.load(Relaxed));
    if now >= last + EVERY.as_millis() as u64
        && LAST.compare_exchange(last, now, AcqRel, Relaxed).is_ok()
    {
        all(own, now);
    }
}

/// Milliseconds since the machine started, never 0: the same clock in every process.
fn clock() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (Duration::from_secs(time.tv_sec.unsigned_abs())
        + Duration::from_nanos(time.tv_nsec.unsigned_abs()))
    .as_millis() as u64
        + 1
}

/// Sweeps every dead process that is not left to its parent.
pub(crate) fn all(own: &Own, now: u64) {
    for index in process::entries(own.arena) {
        let entry = own.arena.entry(index);
        let word = entry.state.load(Relaxed);
        let dead = match process::state(word) {
            State::Free => false,
            State::Here(_) => !process::word_is_alive(word),
            State::SweptBy(by) => by != own.index && !process::is_alive(own.arena, by),
        };
        if dead && is_due(own.arena, index, now) {
            sweep(own, index);
        }
    }
}

fn is_due(arena: &Arena, index: usize, now: u64) -> bool {
    let entry = arena.entry(index);
    if !process::word_is_alive(entry.parent.load(Relaxed)) {
        return true;
    }
    let _ = entry.seen_dead.compare_exchange(0, now, AcqRel, Relaxed);
    now >= entry.seen_dead.load(Relaxed).saturating_add(LEFT_TO_PARENT.as_millis() as u64)
}

/// Gives back all that a process held, if it is dead and nobody else is at it.
pub(crate) fn sweep(own: &Own, index: usize) {
    let entry = own.arena.entry(index);
    let word = entry.state.load(Relaxed);
    let dead = match process::state(word) {
        State::Free => false,
        State::Here(_) => !process::word_is_alive(word),
        State::SweptBy(by) => !process::is_alive(own.arena, by),
    };
    if !dead
        || entry
            .state
            .compare_exchange(word, process::swept_by(own.index), AcqRel, Relaxed)
            .is_err()
    {
        return;
    }
    let begun = |&other: &usize| {
        process::state(own.arena.entry(other).state.load(Relaxed)) == State::SweptBy(index)
    };
    process::entries(own.arena).filter(begun).for_each(|other| sweep(own, other));
    for at in ledger::slots(own.arena, index) {
        owner::bequeath(&own.arena.slot(at).lock, index);
        hold::succeed(own, at, |arena| ledger::strike(arena, index, at));
    }
    for at in transit::strike_all(own.arena, index) {
        hold::succeed(own, at, |_| ());
    }
    orphans(own);
    hold::after_burials(own);
    entry.parent.store(0, Relaxed);
    entry.seen_dead.store(0, Relaxed);
    entry.state.store(process::FREE, Release);
}

/// Slots in nobody's ledger that are not free: somebody died in the moment between two steps of letting go.
fn orphans(own: &Own) {
    for class in 0..CLASSES.len() {
        let used = own.arena.head().used[class].load(Relaxed) as usize;
        let (from, to) = (FIRST[class], FIRST[class] + used.min(CLASSES[class].count));
        for word in from / 64..to.div_ceil(64) {
            let nobodys =
                ledger::bits(!ledger::held_in_word(own.arena, word)).map(|bit| word * 64 + bit);
            for at in nobodys.filter(|at| (from..to).contains(at)) {
                let phase = slot::phase(own.arena.slot(at).state.load(Relaxed));
                if phase != slot::FREE && !transit::names(own.arena, at) {
                    hold::succeed(own, at, |_| ());
                }
            }
        }
    }
}
