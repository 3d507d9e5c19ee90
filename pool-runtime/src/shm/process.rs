//! The processes of a tree, each with an entry in the arena: who is there, who has ended, who this is.
//!
//! The state of an entry is one word, so that a death never leaves half of it:
//!
//! | phase (bits 0–1) | bits 2–25 | bits 26–63 | |
//! |---|---|---|---|
//! | `FREE` 0 | 0 | 0 | nobody's |
//! | `HERE` 1 | pid | start time, in ticks | this process has it, alive or dead |
//! | `SWEPT` 2 | entry of the sweeper | 0 | its process is dead, and the sweeper is giving back what it held |

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::arena::Arena;
use super::layout::PROCESSES;
use super::{transit, tree};
use crate::error::{Error, ErrorKind};
use crate::sys::alive::{self, Identity};
use crate::sys::fork;

pub(crate) const FREE: u64 = 0;
const HERE: u64 = 1;
const SWEPT: u64 = 2;
const PHASE: u64 = 3;
const PID_BITS: u32 = 24;
const START_AT: u32 = 2 + PID_BITS;
const START_MASK: u64 = (1 << (64 - START_AT)) - 1;

/// What the state of an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Free,
    Here(Identity),
    SweptBy(usize),
}

pub(crate) fn here(identity: Identity) -> u64 {
    HERE | u64::from(identity.pid) << 2 | (identity.start & START_MASK) << START_AT
}

pub(crate) fn swept_by(sweeper: usize) -> u64 {
    SWEPT | (sweeper as u64) << 2
}

pub(crate) fn state(word: u64) -> State {
    let number = word >> 2 & ((1 << PID_BITS) - 1);
    match word & PHASE {
        HERE => State::Here(Identity { pid: number as u32, start: word >> START_AT }),
        SWEPT => State::SweptBy(number as usize),
        _ => State::Free,
    }
}

/// The entry of this process.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) arena: &'static Arena,
    pub(crate) index: usize,
    /// The state of the entry: who this is, for ever.
    pub(crate) word: u64,
}

static OWN: OnceLock<Own> = OnceLock::new();

/// The entry of this process; the first call that can takes one. What keeps it from that may pass, such as descriptors that
/// have run out.
///
/// # Errors
/// Kind `Io` when there is no shared memory, `Full` when the tree has too many processes, `Disconnected` in a plain fork.
#[inline]
pub(crate) fn own() -> Result<&'static Own, Error> {
    if fork::is_copy() {
        return Err(forked());
    }
    OWN.get().map_or_else(become_one, Ok)
}

#[cold]
fn become_one() -> Result<&'static Own, Error> {
    static ENTERING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ENTERING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(own) = OWN.get() {
        return Ok(own);
    }
    let own = enter(tree::map()?)?;
    Ok(OWN.get_or_init(|| own))
}

/// As [`own`], for those that have nothing to do if there is none.
pub(crate) fn own_if_any() -> Option<&'static Own> {
    OWN.get().filter(|_| !fork::is_copy())
}

#[cold]
fn forked() -> Error {
    Error::new(
        ErrorKind::Disconnected,
        "this process is a plain fork: its handles belong to the process it was copied from",
    )
}

fn enter(arena: &'static Arena) -> Result<Own, Error> {
    let word = here(Identity::own());
    let parents = of_pid(arena, alive::parent_pid());
    let parent = parents
        .map(|index| arena.entry(index).state.load(Acquire))
        .find(|&word| word_is_alive(word));
    let parent = parent.unwrap_or(0);
    let index = (0..transit::NOBODY).find(|&index| {
        let entry = arena.entry(index);
        if entry.state.load(Relaxed) != FREE {
            return false;
        }
        // Before the entry is taken: one that is in use is always looked at.
        arena.head().processes_used.fetch_max(index as u64 + 1, AcqRel);
        entry.state.compare_exchange(FREE, word, AcqRel, Relaxed).is_ok()
    });
    let index = index.ok_or_else(|| {
        let most = transit::NOBODY;
        Error::new(ErrorKind::Full, format!("a tree has at most {most} processes at a time"))
    })?;
    arena.entry(index).parent.store(parent, Release);
    arena.entry(index).seen_dead.store(0, Release);
    Ok(Own { arena, index, word })
}

/// While its parent lives, nobody else gives back what this process holds, and has in transit, when it ends.
pub(crate) fn leave_to_parent() {
    if let Some(own) = own_if_any() {
        own.arena.entry(own.index).seen_dead.store(u64::MAX, Release);
    }
}

/// The entries of that pid: of a living process, and of dead ones that nobody has swept.
pub(crate) fn of_pid(arena: &Arena, pid: u32) -> impl Iterator<Item = usize> {
    entries(arena).filter(move |&index| match state(arena.entry(index).state.load(Acquire)) {
        State::Here(identity) => identity.pid == pid,
        _ => false,
    })
}

/// All entries that may be in use.
pub(crate) fn entries(arena: &Arena) -> std::ops::Range<usize> {
    0..(arena.head().processes_used.load(Acquire) as usize).min(PROCESSES)
}

/// Whether the process of an entry can still touch memory. One that is being swept cannot.
pub(crate) fn is_alive(arena: &Arena, index: usize) -> bool {
    index < PROCESSES && word_is_alive(arena.entry(index).state.load(Acquire))
}

/// Whether the process that such a state word names can still touch memory.
pub(crate) fn word_is_alive(word: u64) -> bool {
    match state(word) {
        State::Here(identity) => {
            OWN.get().is_some_and(|own| own.word == word) || identity.is_alive()
        }
        _ => false,
    }
}

/// As [`word_is_alive`], but what was found alive within the last moment is taken for alive.
pub(crate) fn word_seems_alive(word: u64) -> bool {
    /// A look at `/proc` takes some 15 µs; for this long it is not repeated.
    const FRESH: Duration = Duration::from_millis(1);
    static SEEN: Mutex<Vec<(u64, Instant)>> = Mutex::new(Vec::new());
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    seen.retain(|(_, at)| now.saturating_duration_since(*at) < FRESH);
    if seen.iter().any(|(known, _)| *known == word) {
        return true;
    }
    let alive = word_is_alive(word);
    if alive {
        seen.push((word, now));
    }
    alive
}
