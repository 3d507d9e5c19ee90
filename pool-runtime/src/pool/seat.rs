//! One worker's place in the pool. Workers come and go; the place, its number and its cell stay.

use std::sync::atomic::Ordering::Acquire;
use std::time::{Duration, Instant};

use super::recall::Ahead;
use super::unsent::Unsent;
use crate::board::layout::{Cell, Control, Tag, phase};
use crate::board::outbox::Reader;
use crate::board::remains::{Remains, Stance};
use crate::error::{Error, ErrorKind};
use crate::sys::process::Child;
use crate::sys::socket::Socket;

/// A place, and who sits in it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) index: usize,
    pub(crate) worker: Option<Worker>,
    /// Whether it is about to have another worker.
    pub(crate) start: Start,
    /// When to try again, after a start that failed.
    pub(crate) retry_at: Option<Instant>,
    /// Workers that sat here and have ended.
    pub(crate) predecessors: u64,
    /// Starts that failed, since the last worker here that was ready.
    pub(crate) failures: u32,
    /// Since the first of them.
    pub(crate) failing_since: Option<Instant>,
}

/// How far the start of a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    No,
    Due,
    /// The starter is at it, or has been asked.
    UnderWay,
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
    /// What it is to be told.
    pub(crate) unsent: Unsent,
    /// What it said of why it could not begin.
    pub(crate) refusal: Option<Error>,
    /// Since when it was seen to leave.
    pub(crate) leaving: Option<Instant>,
    /// What its cell said when others were seen to wait for its item, and since when.
    pub(crate) kept: Option<(Remains, Instant)>,
    /// What it will post though it was taken.
    pub(crate) ahead: Option<Ahead>,
}

/// What a worker does: an item of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doing {
    pub(crate) run: Tag,
    pub(crate) item: u32,
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
    /// What it asked for could not be read.
    NotUnderstood(Error),
}

impl Seat {
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            worker: None,
            start: Start::No,
            retry_at: None,
            predecessors: 0,
            failures: 0,
            failing_since: None,
        }
    }

    pub(crate) fn cell<'a>(&self, control: &'a Control) -> &'a Cell {
        &control.workers[self.index]
    }

    /// Whether somebody sits here, or will in a moment.
    pub(crate) fn is_taken(&self) -> bool {
        self.worker.is_some() || self.start != Start::No
    }

    /// How many of its workers had a successor: the last one, when it has ended, has none.
    pub(crate) fn replaced(&self) -> u64 {
        self.predecessors.saturating_sub(u64::from(self.worker.is_none()))
    }

    /// What a live worker here has to do with the chunk of that run that begins at `first`.
    pub(crate) fn stance(&self, control: &Control, run: Tag, first: u32) -> Option<Stance> {
        self.worker.as_ref()?;
        self.cell(control).stance(run, first)
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
            Self::NotUnderstood(error) => Error::new(
                ErrorKind::WorkerDied,
                format!("it was killed, for what it asked for could not be read: {error}"),
            ),
        }
    }
}
