//! What the parent knows of the work that is out: which run belongs to which job, which items have come back. Private to the
//! parent, so it is believed; everything on the board is checked against it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use super::seat::Seat;
use crate::board::claim::CLOSED;
use crate::board::input::Block;
use crate::board::layout::{Control, QUEUE, RUNS, TABLE, Tag};
use crate::error::{Error, ErrorKind};
use crate::registry::TaskDef;

/// Everything that changes, under one lock. No code of the user's runs while it is held.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) seats: Vec<Seat>,
    runs: Vec<Option<RunState>>,
    /// By run: the generation of its last use.
    generations: Vec<u32>,
    free_runs: Vec<u32>,
    jobs: Vec<Option<Job>>,
    free_jobs: Vec<usize>,
    /// Items that must be taken again and wait for a free run.
    backlog: VecDeque<Again>,
    pub(crate) stage: Stage,
    /// Background jobs that have got something.
    pub(crate) noticed: Vec<(usize, u64)>,
    /// The pool cannot go on, and why.
    pub(crate) broken: Option<Error>,
    /// Workers that ended before they were ready, since the last that got so far.
    pub(crate) false_starts: u32,
}

/// Whether there may be new work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Open,
    Closed,
    Terminated,
}

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
    accounted: u32,
    /// A bit for each item from `first` on, set when its outcome is known: nothing is counted twice.
    bits: Vec<u64>,
    pub(crate) places: (u64, u64, u64),
    block: Arc<Block>,
    /// A worker died that may or may not have taken a chunk of it.
    pub(crate) suspect: bool,
}

/// Items to be taken again.
#[derive(Debug)]
struct Again {
    job: usize,
    base: u64,
    items: (u32, u32),
    places: (u64, u64, u64),
    block: Arc<Block>,
}

impl RunState {
    fn has(&self, item: u32) -> bool {
        let at = (item - self.first) as usize;
        self.bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Notes the outcome of some items; `false`, and nothing noted, when one of them is known already or was never written.
    fn note(&mut self, from: u32, to: u32) -> bool {
        if from < self.first
            || from >= to
            || to > self.written
            || (from..to).any(|item| self.has(item))
        {
            return false;
        }
        let (from, to) = ((from - self.first) as usize, (to - self.first) as usize);
        self.bits.resize(self.bits.len().max(to.div_ceil(64)), 0);
        for word in from / 64..to.div_ceil(64) {
            let low = from.saturating_sub(word * 64);
            let high = (to - word * 64).min(64);
            let upto = if high == 64 { u64::MAX } else { (1 << high) - 1 };
            self.bits[word] |= upto & !((1_u64 << low) - 1);
        }
        self.accounted += (to - from) as u32;
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
            broken: None,
            false_starts: 0,
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

    /// Puts a run on the board that has no items yet, and gives its tag; `None` when all runs are in use.
    pub(crate) fn open_run(
        &mut self,
        control: &Control,
        job: usize,
        base: u64,
        block: Arc<Block>,
        places: (u64, u64, u64),
    ) -> Option<Tag> {
        let run = RunState {
            tag: Tag::new(0, 0),
            job,
            base,
            first: 0,
            written: 0,
            closed: false,
            accounted: 0,
            bits: Vec::new(),
            places,
            block,
            suspect: false,
        };
        self.put_up(control, run)
    }

    fn put_up(&mut self, control: &Control, mut state: RunState) -> Option<Tag> {
        let number = self.free_runs.pop()?;
        let generation = self.generations[number as usize].wrapping_add(1);
        self.generations[number as usize] = generation;
        let tag = Tag::new(generation, number);
        state.tag = tag;
        let run = &control.runs[number as usize];
        // Shut first: a worker that comes late finds a generation that is not its own, with nothing to take.
        run.avail.store(Tag::new(generation, state.first).pack(), Release);
        run.next.store(Tag::new(generation, u32::MAX).pack(), Release);
        let job = self.jobs[state.job].as_mut()?;
        run.task.store(job.task.id().0, Relaxed);
        run.job.store(job.id, Relaxed);
        run.table_at.store(state.places.0, Relaxed);
        run.data_at.store(state.places.1, Relaxed);
        run.data_len.store(state.places.2, Relaxed);
        run.stride.store(job.stride.map_or(TABLE, |stride| stride as u64), Relaxed);
        run.bound_at.store(job.bound.as_ref().map_or(0, |block| block.at()), Relaxed);
        run.bound_len.store(job.bound_len as u64, Relaxed);
        run.bound_mask.store(job.bound_mask, Relaxed);
        run.chunk.store(job.chunk, Relaxed);
        job.input_bytes += state.block.len();
        // Release: whoever sees the run open sees what it says.
        run.next.store(Tag::new(generation, state.first).pack(), Release);
        let filled = control.head.filled.load(Relaxed);
        control.queue[filled as usize % QUEUE].store(tag.pack(), Release);
        control.head.filled.store(filled + 1, Release);
        self.runs[number as usize] = Some(state);
        Some(tag)
    }

    /// Makes the first `written` items takeable; `closed` when there will be no more.
    pub(crate) fn publish(
        &mut self,
        control: &Control,
        tag: Tag,
        written: u32,
        closed: bool,
        data_len: u64,
    ) {
        let Some(state) = self.run_mut(tag) else { return };
        let (new, slot) = (u64::from(written - state.written), state.job);
        (state.written, state.closed) = (written, closed);
        state.places.2 = data_len;
        let run = &control.runs[tag.number as usize];
        run.data_len.store(data_len, Relaxed);
        let mark = if closed { CLOSED } else { 0 };
        // Release: pairs with the acquire in `claim::look`; the items are seen with the count.
        run.avail.store(Tag::new(tag.generation, written | mark).pack(), Release);
        if let Some(job) = self.jobs[slot].as_mut() {
            job.fed += new;
            if !job.is_wanted() {
                self.cut(control, tag);
            }
        }
        self.finish_run(tag);
    }

    /// Notes the outcome of items `from..to` of a run, and gives the job's slot and the index of the first of them; `None`
    /// when that cannot be their outcome.
    pub(crate) fn account(&mut self, tag: Tag, from: u32, to: u32) -> Option<(usize, u64)> {
        let run = self.run_mut(tag)?;
        if !run.note(from, to) {
            return None;
        }
        let (slot, first) = (run.job, run.base + u64::from(from));
        if let Some(job) = self.jobs[slot].as_mut() {
            job.accounted += u64::from(to - from);
        }
        self.finish_run(tag);
        Some((slot, first))
    }

    /// Frees the run if it is done with, and its job if that is.
    fn finish_run(&mut self, tag: Tag) {
        let Some(run) = self.run(tag) else { return };
        if !run.closed || run.accounted < run.written - run.first {
            return;
        }
        let slot = run.job;
        if let Some(run) = self.runs[tag.number as usize].take()
            && let Some(job) = self.jobs[slot].as_mut()
        {
            job.input_bytes -= run.block.len();
        }
        self.free_runs.push(tag.number);
        self.finish_job(slot);
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

    /// Puts items of a run up again, as a run of their own on the same bytes; or fails them, if nobody wants them any more.
    pub(crate) fn again(&mut self, control: &Control, tag: Tag, from: u32, to: u32) {
        let Some(run) = self.run(tag) else { return };
        let again = Again {
            job: run.job,
            base: run.base,
            items: (from, to),
            places: run.places,
            block: Arc::clone(&run.block),
        };
        let wanted = self.jobs[again.job].as_ref().is_some_and(Job::is_wanted);
        if !wanted {
            self.end_unwanted(tag, from, to);
            return;
        }
        // In the old run they count as known; the job has them to come.
        let slot = again.job;
        self.backlog.push_back(again);
        if self.account(tag, from, to).is_some()
            && let Some(job) = self.jobs[slot].as_mut()
        {
            job.accounted -= u64::from(to - from);
        }
        self.serve_backlog(control);
    }

    /// Puts up what waits for a free run.
    pub(crate) fn serve_backlog(&mut self, control: &Control) {
        while !self.free_runs.is_empty()
            && let Some(again) = self.backlog.pop_front()
        {
            let Some(job) = self.jobs[again.job].as_mut() else { continue };
            // `publish` counts its items as fed, which they were.
            job.fed -= u64::from(again.items.1 - again.items.0);
            let state = RunState {
                tag: Tag::new(0, 0),
                job: again.job,
                base: again.base,
                first: again.items.0,
                written: again.items.0,
                closed: false,
                accounted: 0,
                bits: Vec::new(),
                places: again.places,
                block: again.block,
                suspect: false,
            };
            if let Some(tag) = self.put_up(control, state) {
                self.publish(control, tag, again.items.1, true, again.places.2);
            }
        }
    }

    /// Starts nothing more of a job. What runs ends by itself or is stopped, as `interest` says; nobody hears of it.
    pub(crate) fn drop_job(&mut self, control: &Control, slot: usize, id: u64, interest: Interest) {
        let Some(job) = self.job(slot, id) else { return };
        job.interest = interest;
        job.input_over = true;
        job.mailbox.clear();
        self.cut_job(control, slot);
        self.finish_job(slot);
    }

    /// Ends a job for its caller to hear: what has not started fails with `error` now, and what runs is stopped and fails then.
    pub(crate) fn doom_job(&mut self, control: &Control, slot: usize, id: u64, error: &Error) {
        let Some(job) = self.job(slot, id) else { return };
        if job.doomed.is_none() {
            job.doomed = Some(error.clone());
        }
        job.input_over = true;
        self.cut_job(control, slot);
    }

    fn runs_of(&self, slot: usize) -> Vec<Tag> {
        self.runs.iter().flatten().filter(|run| run.job == slot).map(|run| run.tag).collect()
    }

    fn cut_job(&mut self, control: &Control, slot: usize) {
        for tag in self.runs_of(slot) {
            self.cut(control, tag);
        }
        let (ours, others) =
            std::mem::take(&mut self.backlog).into_iter().partition(|again| again.job == slot);
        self.backlog = others;
        for again in ours {
            self.end_items(slot, again.base, again.items);
        }
    }

    /// Takes what is left of a run, so that no worker does.
    fn cut(&mut self, control: &Control, tag: Tag) {
        if let Some((from, to)) = raise_next(control, tag) {
            self.end_unwanted(tag, from, to);
        }
    }

    /// Accounts for items of a run that will not be run.
    fn end_unwanted(&mut self, tag: Tag, from: u32, to: u32) {
        let Some((slot, base)) = self.run(tag).map(|run| (run.job, run.base)) else { return };
        self.end_items(slot, base, (from, to));
        if let Some(job) = self.jobs[slot].as_mut() {
            // `account` counts them once more.
            job.accounted -= u64::from(to - from);
        }
        self.account(tag, from, to);
    }

    fn end_items(&mut self, slot: usize, base: u64, items: (u32, u32)) {
        let Some(job) = self.jobs[slot].as_mut() else { return };
        job.accounted += u64::from(items.1 - items.0);
        if let Some(error) = job.doomed.clone() {
            let error = error.with_task(job.task.name);
            for item in items.0..items.1 {
                let index = base + u64::from(item);
                self.deliver(
                    slot,
                    Event { first: index, count: 1, outcome: Err(error.clone().with_index(index)) },
                );
            }
        }
    }

    /// Looks for items that were taken by a worker that died before it could say so, and puts them up again.
    pub(crate) fn find_lost(&mut self, control: &Control) {
        let suspects: Vec<Tag> =
            self.runs.iter().flatten().filter(|run| run.suspect).map(|run| run.tag).collect();
        for tag in suspects {
            let taken = Tag::unpack(control.runs[tag.number as usize].next.load(Acquire)).number;
            let held: Vec<(u32, u32)> =
                self.seats.iter().filter_map(|seat| seat.holds(control, tag)).collect();
            let Some(run) = self.run(tag) else { continue };
            let mut lost = run.unknown(0, taken);
            for (from, to) in held {
                lost = lost.into_iter().flat_map(|range| without(range, from, to)).collect();
            }
            for (from, to) in lost {
                self.again(control, tag, from, to);
            }
        }
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

/// What of a range lies outside of `from..to`.
fn without(range: (u32, u32), from: u32, to: u32) -> impl Iterator<Item = (u32, u32)> {
    let below = (range.0, range.1.min(from));
    let above = (range.0.max(to), range.1);
    [below, above].into_iter().filter(|(from, to)| from < to)
}

/// Takes all that is left of a run; gives what that was.
fn raise_next(control: &Control, tag: Tag) -> Option<(u32, u32)> {
    let run = &control.runs[tag.number as usize];
    loop {
        let word = run.next.load(Acquire);
        let (next, avail) = (Tag::unpack(word), Tag::unpack(run.avail.load(Acquire)));
        let end = avail.number & !CLOSED;
        if next.generation != tag.generation || next.number >= end {
            return None;
        }
        if run
            .next
            .compare_exchange(word, Tag::new(tag.generation, end).pack(), AcqRel, Relaxed)
            .is_ok()
        {
            return Some((next.number, end));
        }
    }
}
