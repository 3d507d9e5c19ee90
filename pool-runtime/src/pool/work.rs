//! What the parent remembers of the work that is out: jobs, the runs that their items lie in, and outcomes on their way to the
//! caller. Between `desk`, which has them all, and `runs` and `ends`, which change them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::errands::Received;
use crate::bits::Bits;
use crate::board::input::Block;
use crate::board::layout::Tag;
use crate::error::Error;
use crate::job::Baggage;
use crate::registry::TaskDef;

/// One job, as the parent sees it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) task: &'static TaskDef,
    pub(crate) bound: Option<Arc<Block>>,
    pub(crate) bound_len: usize,
    pub(crate) bound_mask: u32,
    pub(crate) stride: Option<usize>,
    pub(crate) chunk: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: u32,
    /// Items that were put on the board, and items whose outcome is known.
    pub(crate) fed: u64,
    pub(crate) accounted: u64,
    /// Bytes of the blocks that are in use.
    pub(crate) input_bytes: usize,
    pub(crate) result_bytes: u64,
    /// The caller will feed nothing more.
    pub(crate) input_over: bool,
    /// Its consumer takes results one by one, so it must not wait for them to be taken.
    pub(crate) stream: bool,
    /// The pool's own thread waits for it, and is to be told by `noticed`.
    pub(crate) background: bool,
    /// Outcomes that its caller has not had.
    pub(crate) mailbox: VecDeque<Event>,
    pub(crate) interest: Interest,
    /// What its bound arguments take along.
    pub(crate) baggage: Baggage,
    /// What its results take along, as workers have sent it.
    pub(crate) received: Received,
    /// What its items that have not ended fail with: it was cancelled, or its pool was.
    pub(crate) doomed: Option<Error>,
    /// How often an item has been tried again.
    pub(crate) attempts: HashMap<u64, u32>,
}

impl Job {
    /// Whether its items are still to be run.
    pub(crate) fn is_wanted(&self) -> bool {
        self.interest == Interest::All && self.doomed.is_none()
    }

    /// Whether what runs of it is to be stopped.
    pub(crate) fn is_to_stop(&self) -> bool {
        self.interest == Interest::Stop || self.doomed.is_some()
    }
}

/// What is still wanted of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Everything.
    All,
    /// Nothing; what runs may end by itself.
    None,
    /// Nothing, and what runs is to be stopped.
    Stop,
}

/// An outcome on its way to the caller.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) first: u64,
    pub(crate) count: usize,
    pub(crate) outcome: Result<Vec<u8>, Error>,
}

/// One run, as the parent sees it.
#[derive(Debug)]
pub(crate) struct RunState {
    pub(crate) tag: Tag,
    pub(crate) job: usize,
    /// Index in the input of the run's item 0.
    pub(crate) base: u64,
    /// Items below this one belong to another run.
    pub(crate) first: u32,
    /// Items below this one have been written.
    pub(crate) written: u32,
    pub(crate) closed: bool,
    pub(super) accounted: u32,
    /// The items from `first` on whose outcome is known.
    pub(super) known: Bits,
    pub(crate) places: (u64, u64, u64),
    pub(super) block: Arc<Block>,
    /// How many items its writer has written by now, published or not.
    pub(super) tally: Option<Arc<AtomicU32>>,
}

/// Items to be taken again.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) job: usize,
    pub(super) base: u64,
    pub(super) items: (u32, u32),
    pub(super) places: (u64, u64, u64),
    pub(super) block: Arc<Block>,
}

impl RunState {
    pub(super) fn has(&self, item: u32) -> bool {
        self.known.has((item - self.first) as usize)
    }

    /// Notes the outcome of some items; `false`, and nothing noted, when one of them is known already or was never written.
    pub(super) fn note(&mut self, from: u32, to: u32) -> bool {
        let written = from >= self.first && from < to && to <= self.written;
        if !written || !self.known.set((from - self.first) as usize, (to - self.first) as usize) {
            return false;
        }
        self.accounted += to - from;
        true
    }

    /// The ranges of items below `end` whose outcome is not known.
    pub(crate) fn unknown(&self, from: u32, end: u32) -> Vec<(u32, u32)> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for item in from.max(self.first)..end.min(self.written) {
            match ranges.last_mut() {
                _ if self.has(item) => {}
                Some((_, to)) if *to == item => *to += 1,
                _ => ranges.push((item, item + 1)),
            }
        }
        ranges
    }
}
