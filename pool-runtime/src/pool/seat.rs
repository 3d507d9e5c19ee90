//! One worker's place in the pool. Workers come and go; the place, its number and its cell stay.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

use crate::board::layout::{Cell, Control, Head, SLEEPING, SPINNING, Tag, phase, unpack_range};
use crate::board::outbox::Reader;
use crate::error::{Error, ErrorKind};
use crate::sys::process::Child;
use crate::sys::socket::Socket;

/// A place, and who sits in it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) index: usize,
    pub(crate) worker: Option<Worker>,
    /// When to try again, after a start that failed.
    pub(crate) retry_at: Option<Instant>,
    /// Workers that have sat here before.
    pub(crate) predecessors: u64,
    /// Starts that failed, since the last worker here that was ready.
    pub(crate) failures: u32,
}

/// A live worker, as its parent sees it.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) child: Child,
    pub(crate) socket: Socket,
    pub(crate) reader: Reader,
    pub(crate) started: Instant,
    /// Why it was killed, if we did it.
    pub(crate) sentence: Option<Sentence>,
    /// What it was seen doing last, and since when.
    pub(crate) seen: Option<(Doing, Instant)>,
    /// What it said of why it could not begin.
    pub(crate) refusal: Option<Error>,
    /// Since when it was seen to leave.
    pub(crate) leaving: Option<Instant>,
}

/// What a worker does: an item of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doing {
    pub(crate) run: Tag,
    pub(crate) item: u32,
}

/// What a live worker has to do with a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stance {
    Has,
    /// It is about to take it, in vain or not.
    WouldTake,
}

/// Why a worker was killed.
#[derive(Clone, Debug)]
pub(crate) enum Sentence {
    TimedOut(Duration),
    MemoryLimit {
        limit: usize,
        used: usize,
    },
    /// Its item is not wanted any more.
    Cancelled,
    /// It was not ready in time.
    NotReady(Duration),
    /// What it posted cannot be.
    Nonsense,
}

/// What a worker that has ended left behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remains {
    pub(crate) phase: u32,
    pub(crate) run: Tag,
    pub(crate) chunk: (u32, u32),
    pub(crate) published: u32,
    pub(crate) progress: u32,
    pub(crate) results_at: u64,
    pub(crate) note: u32,
}

impl Seat {
    pub(crate) fn new(index: usize) -> Self {
        Self { index, worker: None, retry_at: None, predecessors: 0, failures: 0 }
    }

    pub(crate) fn cell<'a>(&self, control: &'a Control) -> &'a Cell {
        &control.workers[self.index]
    }

    /// What its worker has to do with the chunk of that run that begins at `first`; `None` is nothing, or nothing any more.
    ///
    /// A worker notes a chunk while its phase is `IDLE`, then goes to `TAKING`, then to `RUNNING`. It never notes a chunk again
    /// that another has taken. So a chunk that reads the same before and after the phase was read has that phase.
    pub(crate) fn stance(&self, control: &Control, run: Tag, first: u32) -> Option<Stance> {
        self.worker.as_ref()?;
        let cell = self.cell(control);
        let noted = || {
            let chunk = cell.chunk.load(Acquire);
            (cell.run.load(Acquire) == run.pack() && unpack_range(chunk).0 == first)
                .then_some(chunk)
        };
        let before = cell.phase.load(Acquire);
        let chunk = noted()?;
        let phase = cell.phase.load(Acquire);
        if before != phase || noted() != Some(chunk) {
            return Some(Stance::WouldTake);
        }
        match phase {
            phase::RUNNING | phase::BLOCKED => Some(Stance::Has),
            phase::TAKING => Some(Stance::WouldTake),
            _ => None,
        }
    }

    /// Which item its worker runs now. The words are read one by one while it goes on, so the answer may be of no item at all;
    /// one that is the same twice is right.
    pub(crate) fn doing(&self, control: &Control) -> Option<Doing> {
        let cell = self.cell(control);
        let running = cell.phase.load(Acquire) == phase::RUNNING;
        running.then(|| Doing {
            run: Tag::unpack(cell.run.load(Acquire)),
            item: cell.progress.load(Acquire),
        })
    }
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

/// Makes the cell as it was before any worker had it, and takes the dead worker out of what counts it.
pub(crate) fn wipe(head: &Head, cell: &Cell) {
    match cell.counted.load(Acquire) {
        SLEEPING => drop(head.sleepers.fetch_sub(1, Relaxed)),
        SPINNING => drop(head.spinners.fetch_sub(1, Relaxed)),
        _ => {}
    }
    for word in
        [&cell.phase, &cell.progress, &cell.note, &cell.wants_room, &cell.room_bell, &cell.counted]
    {
        word.store(0, Relaxed);
    }
    for word in [&cell.run, &cell.chunk, &cell.published, &cell.results_at, &cell.taken] {
        word.store(0, Relaxed);
    }
}

impl Sentence {
    /// The error of the item that the worker was running.
    pub(crate) fn error(&self) -> Error {
        match self {
            Self::TimedOut(limit) => {
                Error::new(ErrorKind::TimedOut, format!("it ran longer than {limit:?}"))
            }
            Self::MemoryLimit { limit, used } => Error::new(
                ErrorKind::MemoryLimit,
                format!("it used {used} bytes and may use {limit}"),
            ),
            Self::Cancelled => Error::new(ErrorKind::Cancelled, "it was stopped while it ran"),
            Self::NotReady(limit) => Error::new(
                ErrorKind::Initializer,
                format!("a worker was not ready within {limit:?}"),
            ),
            Self::Nonsense => Error::new(
                ErrorKind::WorkerDied,
                "it was killed, for it posted results that cannot be",
            ),
        }
    }
}
