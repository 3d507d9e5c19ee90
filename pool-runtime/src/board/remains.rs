//! What a worker's cell says from outside: where it stands, and, once it is dead, what it left behind.
//!
//! Between `claim`, which writes the cell, and `pool::death`, which makes outcomes of it.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::layout::{Cell, Head, Run, SLEEPING, SPINNING, Tag, phase, unpack_range};

/// What a worker that has ended left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remains {
    pub(crate) phase: u32,
    pub(crate) run: Tag,
    pub(crate) chunk: (u32, u32),
    pub(crate) published: u32,
    pub(crate) progress: u32,
    pub(crate) results_at: u64,
    pub(crate) note: u32,
}

impl Remains {
    pub(crate) fn of(cell: &Cell) -> Self {
        Self {
            phase: cell.phase.load(Acquire),
            run: Tag::unpack(cell.run.load(Relaxed)),
            chunk: unpack_range(cell.chunk.load(Relaxed)),
            published: cell.published.load(Relaxed).try_into().unwrap_or(u32::MAX),
            progress: cell.progress.load(Acquire),
            results_at: cell.results_at.load(Relaxed),
            note: cell.note.load(Relaxed),
        }
    }
}

/// What a live worker has to do with a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stance {
    Has,
    /// It is about to take it, in vain or not.
    WouldTake,
}

impl Cell {
    /// What its worker has to do with the chunk of that run that begins at `first`; `None` is nothing, or nothing any more.
    ///
    /// A worker notes a chunk while its phase is `IDLE`, then goes to `TAKING`, then to `RUNNING`. It never notes a chunk again
    /// that another has taken. So a chunk that reads the same before and after the phase was read has that phase.
    pub(crate) fn stance(&self, run: Tag, first: u32) -> Option<Stance> {
        let noted = || {
            let chunk = self.chunk.load(Acquire);
            (self.run.load(Acquire) == run.pack() && unpack_range(chunk).0 == first)
                .then_some(chunk)
        };
        let before = self.phase.load(Acquire);
        let chunk = noted()?;
        let phase = self.phase.load(Acquire);
        if before != phase || noted() != Some(chunk) {
            return Some(Stance::WouldTake);
        }
        match phase {
            phase::RUNNING | phase::BLOCKED => Some(Stance::Has),
            phase::TAKING => Some(Stance::WouldTake),
            _ => None,
        }
    }
}

/// Who has a chunk that a dead worker was about to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Not the dead one: another has or had it, or it was never taken.
    Another,
    /// Another is about to take it, in vain or not.
    Undecided,
    Nobody,
}

/// Who has the chunk of `run` that begins at `first`, which a dead worker was about to take. `stances` are those of the live
/// workers, looked at as they are asked for: after it is known that somebody took the chunk.
pub(crate) fn holder(
    words: &Run,
    run: Tag,
    first: u32,
    stances: impl Iterator<Item = Stance>,
) -> Holder {
    let next = Tag::unpack(words.next.load(Acquire));
    if next.generation != run.generation || next.number <= first {
        return Holder::Another;
    }
    let mut holder = Holder::Nobody;
    for stance in stances {
        match stance {
            Stance::Has => return Holder::Another,
            Stance::WouldTake => holder = Holder::Undecided,
        }
    }
    holder
}

/// Makes the cell as it was before any worker had it, and takes the dead worker out of what counts it.
pub(crate) fn wipe(head: &Head, cell: &Cell) {
    match cell.counted.load(Acquire) {
        SLEEPING => drop(head.sleepers.fetch_sub(1, Relaxed)),
        SPINNING => drop(head.spinners.fetch_sub(1, Relaxed)),
        _ => {}
    }
    for word in [
        &cell.phase,
        &cell.progress,
        &cell.note,
        &cell.wants_room,
        &cell.room_bell,
        &cell.counted,
        &cell.heeds,
    ] {
        word.store(0, Relaxed);
    }
    for word in
        [&cell.run, &cell.chunk, &cell.until, &cell.published, &cell.results_at, &cell.taken]
    {
        word.store(0, Relaxed);
    }
}
