//! What the parent knows of the work that is out: which run belongs to which job, which items have come back. Private to the
//! parent, so it is believed; everything on the board is checked against it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use super::errands::Received;
use super::seat::Seat;
use crate::board::claim::CLOSED;
use crate::board::input::{Block, RunWriter};
use crate::board::layout::{Control, QUEUE, RUNS, TABLE, Tag};
use crate::board::remains::{self, Holder};
use crate::error::{Error, ErrorKind};
use crate::job::Baggage;
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
    /// Items whose outcome is known, of all jobs ever.
    pub(crate) finished: u64,
    /// The pool cannot go on, and why.
    pub(crate) broken: Option<Error>,
    /// Chunks that nobody may have.
    suspects: Vec<Suspect>,
    /// The supervisor looks after limits by itself, soon and again.
    pub(crate) watched: bool,
}

/// A chunk that a worker was about to take when it died: it may have got it or not.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    run: Tag,
    items: (u32, u32),
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
    accounted: u32,
    /// A bit for each item from `first` on, set when its outcome is known: nothing is counted twice.
    bits: Vec<u64>,
    pub(crate) places: (u64, u64, u64),
    block: Arc<Block>,
    /// How many items its writer has written by now, published or not.
    tally: Option<Arc<AtomicU32>>,
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
        if from < self.first || from >= to || to > self.written {
            return false;
        }
        let (from, to) = ((from - self.first) as usize, (to - self.first) as usize);
        let words = from / 64..to.div_ceil(64);
        if self.bits.len() < words.end {
            self.bits.resize(words.end, 0);
        }
        let bits = |word: usize| {
            let (low, high) = (from.saturating_sub(word * 64), (to - word * 64).min(64));
            (u64::MAX >> (64 - high)) & (u64::MAX << low)
        };
        if words.len() == 1 {
            // Small chunks, where this is much of what there is to do.
            let (known, new) = (&mut self.bits[words.start], bits(words.start));
            if *known & new != 0 {
                return false;
            }
            *known |= new;
            self.accounted += (to - from) as u32;
            return true;
        }
        if words.clone().any(|word| self.bits[word] & bits(word) != 0) {
            return false;
        }
        words.for_each(|word| self.bits[word] |= bits(word));
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
            finished: 0,
            broken: None,
            suspects: Vec::new(),
            watched: false,
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
        writer: &RunWriter,
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
            places: writer.places(),
            block: writer.block(),
            tally: Some(writer.tally()),
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
        self.line_up(control, tag);
        self.runs[number as usize] = Some(state);
        Some(tag)
    }

    /// Puts a run at the end of the queue. A place comes round again after `QUEUE` others; the run that has it, if it is still in
    /// use, keeps it, and so moves to the end as well. At most half of the places belong to runs in use, so this ends.
    fn line_up(&self, control: &Control, tag: Tag) {
        let mut at = control.head.filled.load(Relaxed);
        let place = |at: u64| &control.queue[at as usize % QUEUE];
        while at >= QUEUE as u64 && self.run(Tag::unpack(place(at).load(Relaxed))).is_some() {
            at += 1;
        }
        place(at).store(tag.pack(), Release);
        control.head.filled.store(at + 1, Release);
        // Whatever lies further back has the same places as what lies within.
        control.head.first.fetch_max((at + 1).saturating_sub(QUEUE as u64), AcqRel);
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
        // The supervisor may have been faster.
        let written = written.max(state.written);
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

    /// Publishes what has been written and not published, for callers whose input keeps them waiting. Gives how many items.
    pub(crate) fn publish_written(&mut self, control: &Control) -> u32 {
        let mut new = 0;
        let open: Vec<_> = self
            .runs
            .iter()
            .flatten()
            .filter(|run| !run.closed)
            .map(|run| (run.tag, run.job))
            .collect();
        for (tag, slot) in open {
            let chunk = self.jobs[slot].as_ref().map_or(1, |job| job.chunk.max(1));
            let Some(run) = self.run(tag) else { continue };
            let Some(tally) = &run.tally else { continue };
            let ready = tally.load(Acquire) / chunk * chunk;
            if ready > run.written {
                new += ready - run.written;
                let len = run.places.2;
                self.publish(control, tag, ready, false, len);
            }
        }
        new
    }

    /// Notes the outcome of items `from..to` of a run, and gives the job's slot and the index of the first of them; `None`
    /// when that cannot be their outcome.
    pub(crate) fn account(&mut self, tag: Tag, from: u32, to: u32) -> Option<(usize, u64)> {
        let run = self.run_mut(tag)?;
        if !run.note(from, to) {
            return None;
        }
        let (slot, first) = (run.job, run.base + u64::from(from));
        let done = run.closed && run.accounted == run.written - run.first;
        self.finished += u64::from(to - from);
        if let Some(job) = self.jobs[slot].as_mut() {
            job.accounted += u64::from(to - from);
        }
        if done {
            self.finish_run(tag);
        }
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

    /// Puts up what waits for a free run, and says whether that was anything. To be called whenever one may have become free.
    pub(crate) fn serve_backlog(&mut self, control: &Control) -> bool {
        let mut served = false;
        while !self.free_runs.is_empty()
            && let Some(again) = self.backlog.pop_front()
        {
            served = true;
            self.put_up_again(control, again);
        }
        served
    }

    fn put_up_again(&mut self, control: &Control, again: Again) {
        let Some(job) = self.jobs[again.job].as_mut() else { return };
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
            tally: None,
        };
        if let Some(tag) = self.put_up(control, state) {
            self.publish(control, tag, again.items.1, true, again.places.2);
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

    /// Notes that a worker died when it was about to take these items.
    pub(crate) fn suspect(&mut self, run: Tag, items: (u32, u32)) {
        self.suspects.push(Suspect { run, items });
    }

    /// Whether it is not yet known of some chunk who has it.
    pub(crate) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Puts up again what was taken by a worker that died before it could say so.
    pub(crate) fn find_lost(&mut self, control: &Control) {
        let suspects = std::mem::take(&mut self.suspects);
        let seen: Vec<_> =
            suspects.into_iter().map(|suspect| (suspect, self.holder(control, suspect))).collect();
        if seen.is_empty() {
            return;
        }
        // First who holds what, then what has come back: whoever was seen past a chunk had posted it before.
        self.drain(control, None);
        for (suspect, holder) in seen {
            match holder {
                Holder::Another => {}
                Holder::Undecided => self.suspects.push(suspect),
                Holder::Nobody => self.take_back(control, suspect),
            }
        }
    }

    fn holder(&self, control: &Control, suspect: Suspect) -> Holder {
        let Suspect { run, items: (first, _) } = suspect;
        let stances = self.seats.iter().filter_map(|seat| seat.stance(control, run, first));
        remains::holder(&control.runs[run.number as usize], run, first, stances)
    }

    /// The chunk was the dead worker's, unless its first item has come back: a chunk that begins there is taken only once.
    fn take_back(&mut self, control: &Control, suspect: Suspect) {
        let Some(run) = self.run(suspect.run) else { return };
        let (first, end) = suspect.items;
        if run.unknown(first, first.saturating_add(1)).is_empty() {
            return;
        }
        for (from, to) in run.unknown(first, end) {
            self.again(control, suspect.run, from, to);
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
