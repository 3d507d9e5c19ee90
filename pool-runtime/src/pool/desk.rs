//! What the parent knows of the work that is out: which run belongs to which job, which items have come back. Private to the
//! parent, so it is believed; everything on the board is checked against it.

use std::collections::VecDeque;
use std::time::Instant;

use super::seat::Seat;
use super::work::{Again, Event, Interest, Job, RunState};
use crate::board::layout::{RUNS, Tag};
use crate::error::{Error, ErrorKind};

/// Everything that changes, under one lock. No code of the user's runs while it is held.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) seats: Vec<Seat>,
    pub(super) runs: Vec<Option<RunState>>,
    /// By run: the generation of its last use.
    pub(super) generations: Vec<u32>,
    pub(super) free_runs: Vec<u32>,
    pub(super) jobs: Vec<Option<Job>>,
    pub(super) free_jobs: Vec<usize>,
    /// Items that must be taken again and wait for a free run.
    pub(super) backlog: VecDeque<Again>,
    pub(crate) stage: Stage,
    /// Background jobs that have got something.
    pub(crate) noticed: Vec<(usize, u64)>,
    /// Items whose outcome is known, of all jobs ever.
    pub(crate) finished: u64,
    /// The pool cannot go on, and why.
    pub(crate) broken: Option<Error>,
    /// Chunks that nobody may have.
    pub(super) suspects: Vec<Suspect>,
    /// The supervisor looks after limits by itself, soon and again.
    pub(crate) watched: bool,
    /// When a death was last found that somebody waits to be told of.
    pub(crate) told: Option<Instant>,
    /// Everything that was given to the pool is done, and its workers leave: what is published now nobody would run.
    pub(crate) left: bool,
}

/// A chunk that a worker was about to take when it died: it may have got it or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    pub(super) run: Tag,
    pub(super) items: (u32, u32),
}

/// Whether there may be new work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Open,
    Closed,
    Terminated,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self {
            seats: Vec::new(),
            runs: (0..RUNS).map(|_| None).collect(),
            generations: vec![0; RUNS],
            free_runs: (0..RUNS as u32).rev().collect(),
            jobs: Vec::new(),
            free_jobs: Vec::new(),
            backlog: VecDeque::new(),
            stage: Stage::Open,
            noticed: Vec::new(),
            finished: 0,
            broken: None,
            suspects: Vec::new(),
            watched: false,
            told: None,
            left: false,
        }
    }

    pub(crate) fn add_job(&mut self, job: Job) -> usize {
        if let Some(slot) = self.free_jobs.pop() {
            self.jobs[slot] = Some(job);
            return slot;
        }
        self.jobs.push(Some(job));
        self.jobs.len() - 1
    }

    /// The job in that slot, if it is still the one of that id.
    pub(crate) fn job(&mut self, slot: usize, id: u64) -> Option<&mut Job> {
        self.jobs.get_mut(slot)?.as_mut().filter(|job| job.id == id)
    }

    pub(crate) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().flatten()
    }

    pub(crate) fn job_slots(&self) -> Vec<(usize, u64)> {
        self.jobs
            .iter()
            .enumerate()
            .filter_map(|(slot, job)| Some((slot, job.as_ref()?.id)))
            .collect()
    }

    pub(crate) fn job_of(&self, run: Tag) -> Option<&Job> {
        self.jobs[self.run(run)?.job].as_ref()
    }

    pub(crate) fn run(&self, tag: Tag) -> Option<&RunState> {
        self.runs.get(tag.number as usize)?.as_ref().filter(|run| run.tag == tag)
    }

    pub(crate) fn run_mut(&mut self, tag: Tag) -> Option<&mut RunState> {
        self.runs.get_mut(tag.number as usize)?.as_mut().filter(|run| run.tag == tag)
    }

    pub(crate) fn free_runs(&self) -> usize {
        self.free_runs.len()
    }

    /// Forgets a job that nobody waits for, once nothing of it is out.
    pub(crate) fn finish_job(&mut self, slot: usize) {
        let done = self.jobs[slot].as_ref().is_some_and(|job| {
            job.interest != Interest::All
                && job.input_over
                && job.accounted == job.fed
                && job.input_bytes == 0
        });
        if done && !self.backlog.iter().any(|again| again.job == slot) {
            self.jobs[slot] = None;
            self.free_jobs.push(slot);
        }
    }

    /// Delivers an outcome to a job's mailbox, unless nobody wants it.
    pub(crate) fn deliver(&mut self, slot: usize, event: Event) {
        if let Some(job) = self.jobs[slot].as_mut()
            && job.interest == Interest::All
        {
            job.result_bytes += event.outcome.as_ref().map_or(0, Vec::len) as u64;
            if job.background && job.mailbox.is_empty() {
                self.noticed.push((slot, job.id));
            }
            job.mailbox.push_back(event);
        }
    }

    pub(crate) fn job_in(&mut self, slot: usize) -> Option<&mut Job> {
        self.jobs[slot].as_mut()
    }

    /// Fails one item of a run; `false` when its outcome is known already.
    pub(crate) fn fail(&mut self, tag: Tag, item: u32, error: &Error) -> bool {
        let Some((slot, index)) = self.account(tag, item, item + 1) else { return false };
        let name = self.jobs[slot].as_ref().map_or("", |job| job.task.name);
        let error = error.clone().with_task(name).with_index(index);
        self.deliver(slot, Event { first: index, count: 1, outcome: Err(error) });
        true
    }

    /// Whether the item may be tried once more; if so, that is counted.
    pub(crate) fn may_retry(&mut self, tag: Tag, item: u32) -> bool {
        let Some((slot, index)) = self.run(tag).map(|run| (run.job, run.base + u64::from(item)))
        else {
            return false;
        };
        let Some(job) = self.jobs[slot].as_mut().filter(|job| job.is_wanted()) else {
            return false;
        };
        let tried = job.attempts.entry(index).or_default();
        *tried += 1;
        *tried <= job.retries
    }

    /// # Errors
    /// Why there can be no new work.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        match self.stage {
            Stage::Open => Ok(()),
            Stage::Closed => Err(Error::new(ErrorKind::Closed, "the pool was closed")),
            Stage::Terminated => Err(Error::new(ErrorKind::Closed, "the pool was terminated")),
        }
    }
}
