//! The caller's side of a job: feeds its items, takes its results, and waits when it can do neither. The thread that feeds also
//! drains, so it has a single wait, and drains before it feeds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::desk::{Event, Interest, Job, Stage};
use super::drain::Direct;
use super::errands::Received;
use super::inline::Inline;
use super::{Engine, Inner};
use crate::board::input::{Along, Block, RunWriter};
use crate::board::layout::Tag;
use crate::board::sleep::Patience;
use crate::error::{Error, ErrorKind};
use crate::job::{Filled, JobSpec, Sink, Source};
use crate::luggage;
use crate::payload::Payload;
use crate::registry::TaskDef;
use crate::shm::pins;
use crate::sys::cpus;

/// What one turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Something was fed or delivered, or may be at the next turn.
    Again,
    /// The input is at its end, and every item has been delivered.
    Finished,
}

/// A job under way. Dropping it ends the job: what has not started is not started, and what runs is stopped.
#[derive(Debug)]
pub(crate) struct Running(Way);

#[derive(Debug)]
enum Way {
    Inline(Box<Inline>),
    Fed(Box<Fed>),
}

impl Running {
    /// # Errors
    /// Kind `InvalidInput` for an option of zero, `Closed` for a pool that was closed, and why the pool cannot go on if it cannot.
    pub(crate) fn start(pool: &Inner, spec: JobSpec) -> Result<Self, Error> {
        spec.options.check()?;
        pool.check_task(spec.task, &spec.options)?;
        Ok(Self(match &pool.engine {
            Some(engine) => Way::Fed(Box::new(Fed::start(engine, spec)?)),
            None => Way::Inline(Box::new(Inline::new(spec))),
        }))
    }

    /// Says that items point into memory that is lent for as long as the job: its end then waits until no process can touch it
    /// any more.
    pub(crate) fn lending(mut self, lends: bool) -> Self {
        if let Way::Fed(fed) = &mut self.0 {
            fed.lends = lends;
        }
        self
    }

    /// Delivers what has come, then feeds what there is room for, then, if there was nothing of either, waits for one.
    ///
    /// `taken` is how many items' outcomes the consumer has had so far: the input is taken at most a window ahead of it.
    /// Those who collect everything pass `u64::MAX`.
    ///
    /// # Errors
    /// When the job as a whole cannot go on.
    pub(crate) fn turn(
        &mut self,
        source: &mut dyn Source,
        sink: &mut dyn Sink,
        taken: u64,
    ) -> Result<Turn, Error> {
        match &mut self.0 {
            Way::Inline(job) => {
                Ok(if job.turn(source, sink) { Turn::Again } else { Turn::Finished })
            }
            Way::Fed(fed) => loop {
                match fed.step(source, sink, taken)? {
                    Step::Moved => return Ok(Turn::Again),
                    Step::Finished => return Ok(Turn::Finished),
                    Step::Stuck => fed.wait(taken),
                }
            },
        }
    }

    /// One turn that does not wait; `None` when there was nothing to do.
    ///
    /// # Errors
    /// As for [`Running::turn`].
    pub(crate) fn poll(
        &mut self,
        source: &mut dyn Source,
        sink: &mut dyn Sink,
    ) -> Result<Option<Turn>, Error> {
        match &mut self.0 {
            Way::Inline(job) => {
                Ok(Some(if job.turn(source, sink) { Turn::Again } else { Turn::Finished }))
            }
            Way::Fed(fed) => Ok(match fed.step(source, sink, u64::MAX)? {
                Step::Moved => Some(Turn::Again),
                Step::Finished => Some(Turn::Finished),
                Step::Stuck => None,
            }),
        }
    }

    /// Says that a consumer takes the results one by one: nobody waits for it when the pool is closed.
    pub(crate) fn is_stream(&self) {
        if let Way::Fed(fed) = &self.0
            && let Some(job) = fed.engine.desk().job(fed.slot, fed.id)
        {
            job.stream = true;
        }
    }

    /// Starts nothing more of the job and leaves what runs to its end, unobserved: how a `map` that failed goes.
    pub(crate) fn abandon(mut self) {
        if let Way::Fed(fed) = &mut self.0 {
            fed.end(Interest::None);
        }
    }

    /// Slot and id of the job, for those who may cancel it.
    pub(crate) fn ticket(&self) -> Option<(usize, u64)> {
        match &self.0 {
            Way::Inline(_) => None,
            Way::Fed(fed) => Some((fed.slot, fed.id)),
        }
    }
}

/// A job whose items go to workers.
#[derive(Debug)]
struct Fed {
    engine: Arc<Engine>,
    slot: usize,
    id: u64,
    task: &'static TaskDef,
    stride: Option<usize>,
    /// Items per chunk, exactly; 0 leaves it to the workers.
    chunk: usize,
    window: Option<u64>,
    /// Whether its items have a limit that the supervisor watches.
    limited: bool,
    /// Items that have been taken from the input.
    pulled: u64,
    input_over: bool,
    /// Why the input was not taken to its end, if the job was ended before.
    cut: Option<Error>,
    open: Option<Open>,
    /// Bytes of the next block.
    block: usize,
    pace: FillPace,
    patience: Patience,
    /// How long to sleep at most, next time; grows while nothing comes.
    sleep: Duration,
    /// What went along at the last fill: an item that found no room may be among it, and goes into the next block.
    left_over: Option<Arc<Along>>,
    /// Items point into memory of the caller's.
    lends: bool,
    ended: bool,
}

/// A run that is being written.
#[derive(Debug)]
struct Open {
    tag: Tag,
    writer: RunWriter,
    /// Index in the input of its item 0.
    base: u64,
    /// Items that workers may take.
    published: usize,
}

enum Step {
    Moved,
    Finished,
    Stuck,
}

/// A block of small items: large enough that a run is rarely changed, small enough to stay in a core's cache.
const BLOCK: usize = 256 << 10;
/// Items of a run: as many offsets take 16 KiB.
const RUN_ITEMS: usize = 4096;
/// Items of a run whose items have one size, and so need no offsets.
const RUN_ITEMS_PLAIN: usize = 16384;
/// A chunk of a given size is kept whole up to this many bytes.
const LARGEST_CHUNK: usize = 64 << 20;
/// Input that is out at one time, unless the items themselves are larger.
const INPUT_BUDGET: usize = 16 << 20;
/// Results of a stream that its consumer has not taken, those that are still to come included.
const RESULT_BUDGET: u64 = 64 << 20;
/// Items that a stream takes ahead of its consumer, if nothing else was asked for.
const WINDOW: u64 = 4096;
/// Between two looks at whether a job that lends memory has ended: as long as what runs is given to end by itself.
const GRACE: Duration = Duration::from_millis(10);
/// The first sleep and the longest: a wake-up that was lost with a worker that died or stands still costs no more.
const FIRST_SLEEP: Duration = Duration::from_millis(1);
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

impl Fed {
    fn start(engine: &Arc<Engine>, spec: JobSpec) -> Result<Self, Error> {
        if !engine.is_ours() {
            let text = "the pool belongs to the process that made it, not to a fork of that";
            return Err(Error::new(ErrorKind::Closed, text));
        }
        let bound_len = spec.bound.len();
        let bound = if bound_len > 0 {
            Some(Arc::new(Block::holding(&engine.input, &spec.bound)?))
        } else {
            None
        };
        let (options, task, config) = (&spec.options, spec.task, &engine.config);
        let timeout = options.timeout.or(task.timeout).or(config.task_timeout);
        let chunk = options.chunk_size.unwrap_or(0);
        let id = engine.next_job();
        let job = Job {
            id,
            task,
            bound,
            bound_len,
            bound_mask: spec.bound_mask,
            stride: spec.item_stride,
            chunk: chunk.try_into().unwrap_or(u32::MAX),
            timeout,
            retries: options.retries.or(task.retries).unwrap_or(config.retries),
            fed: 0,
            accounted: 0,
            input_bytes: 0,
            result_bytes: 0,
            input_over: false,
            stream: false,
            background: false,
            mailbox: Default::default(),
            interest: Interest::All,
            doomed: None,
            baggage: spec.baggage,
            received: Received::default(),
            attempts: HashMap::new(),
        };
        let mut desk = engine.desk();
        desk.check_open()?;
        let slot = desk.add_job(job);
        drop(desk);
        Ok(Self {
            engine: Arc::clone(engine),
            slot,
            id,
            task,
            stride: spec.item_stride,
            chunk,
            window: options.window.map(|window| window as u64),
            limited: timeout.is_some() || config.memory_limit.is_some(),
            pulled: 0,
            input_over: false,
            cut: None,
            open: None,
            block: BLOCK,
            pace: FillPace::new(chunk),
            patience: Patience::new(),
            sleep: FIRST_SLEEP,
            left_over: None,
            lends: false,
            ended: false,
        })
    }

    fn step(
        &mut self,
        source: &mut dyn Source,
        sink: &mut dyn Sink,
        taken: u64,
    ) -> Result<Step, Error> {
        let (delivered, state) = self.collect(sink, taken);
        if delivered {
            self.sleep = FIRST_SLEEP;
            return Ok(Step::Moved);
        }
        match state {
            State::Gone(error) => Err(error),
            State::Finished => self.cut.take().map_or(Ok(Step::Finished), Err),
            State::MayFeed(room) => self.feed(source, sink, room),
            State::Over(cut) => {
                self.cut = cut;
                self.finish_input();
                Ok(Step::Moved)
            }
            State::Stranded => {
                self.publish(true);
                Ok(Step::Moved)
            }
            State::Wait => Ok(Step::Stuck),
        }
    }

    /// Takes what has come for this job; code of the user's runs only after the lock is given back.
    fn collect(&mut self, sink: &mut dyn Sink, taken: u64) -> (bool, State) {
        let mut desk = self.engine.desk();
        let mut direct = Direct { slot: self.slot, sink, delivered: 0 };
        desk.drain(&self.engine.control, Some(&mut direct));
        let delivered = direct.delivered > 0;
        let broken = desk.broken.clone();
        let (free_runs, closed) = (desk.free_runs(), desk.stage > Stage::Open);
        let Some(job) = desk.job(self.slot, self.id) else {
            return (false, State::Gone(Error::new(ErrorKind::Cancelled, "the job is gone")));
        };
        job.input_over |= job.stream && closed;
        let events: Vec<Event> = job.mailbox.drain(..).collect();
        let state = match broken {
            Some(error) if events.is_empty() => State::Gone(error),
            _ => self.state(job, taken, free_runs),
        };
        drop(desk);
        let delivered = delivered || !events.is_empty();
        if !events.is_empty() {
            let asks = self.engine.asks(self.slot, self.id);
            luggage::unpack_asking(asks, || hand_over(events, sink));
        }
        (delivered, state)
    }

    fn state(&self, job: &Job, taken: u64, free_runs: usize) -> State {
        if job.input_over && !self.input_over {
            return State::Over(job.doomed.clone());
        }
        let out = job.fed - job.accounted;
        if self.input_over {
            return if out == 0 && self.open.is_none() { State::Finished } else { State::Wait };
        }
        let room = match (self.window, taken) {
            (_, u64::MAX) => u64::MAX,
            (window, taken) => {
                window.unwrap_or(WINDOW).saturating_sub(self.pulled - taken.min(self.pulled))
            }
        };
        // The oldest item always gets room, whatever the budgets say.
        let by_results = if taken == u64::MAX {
            u64::MAX
        } else {
            self.ahead_by_results(job).saturating_sub(self.pulled - taken.min(self.pulled))
        };
        let room = room.min(by_results.max(u64::from(out == 0)));
        let budget = self.engine.input_budget(INPUT_BUDGET, self.block);
        let affordable = out == 0 || job.input_bytes < budget;
        let runs = self.open.is_some() || free_runs > 0;
        // A part of a chunk that can never become whole: the window is smaller than a chunk.
        let stranded = |open: &Open| out == 0 && open.writer.count() > open.published;
        if room > 0 && affordable && runs {
            State::MayFeed(room)
        } else if self.open.as_ref().is_some_and(stranded) {
            State::Stranded
        } else {
            State::Wait
        }
    }

    /// How many items a stream may be ahead of its consumer by the mean size of its results; a few until one is known.
    fn ahead_by_results(&self, job: &Job) -> u64 {
        match job.result_bytes.checked_div(job.accounted) {
            Some(mean) => RESULT_BUDGET / mean.max(1),
            None => 4 * self.engine.config.workers as u64,
        }
    }

    fn feed(
        &mut self,
        source: &mut dyn Source,
        sink: &mut dyn Sink,
        room: u64,
    ) -> Result<Step, Error> {
        if self.open.is_none() && !self.open_run()? {
            return Ok(Step::Stuck);
        }
        let Some(open) = self.open.as_mut() else { return Ok(Step::Stuck) };
        let max =
            self.pace.items.min(open.writer.room()).min(room.try_into().unwrap_or(usize::MAX));
        let start = Instant::now();
        let before = open.writer.count();
        // A panic in here drops the job with its run still open; `end` shuts it.
        let watched = (max > 1).then(|| self.engine.feeding.enter(&self.engine));
        let ((filled, kept), pins) =
            pins::collect(|| luggage::keep(|| open.writer.write(|items| source.fill(items, max))));
        let along = Along { luggage: kept, pins };
        self.left_over = open.writer.block().take_along(self.left_over.take(), along);
        drop(watched);
        self.pace.saw(max, start.elapsed());
        self.pulled += (open.writer.count() - before) as u64;
        match filled {
            Filled::More if open.writer.room() > 0 => self.publish(false),
            Filled::More => self.publish(true),
            Filled::Full => self.next_block()?,
            Filled::TooBig(bytes) => {
                self.publish(true);
                self.block = bytes.max(BLOCK);
            }
            Filled::Failed(error) => {
                let index = self.pulled;
                self.pulled += 1;
                self.publish(true);
                sink.failed(index, error.with_task(self.task.name).with_index(index));
            }
            Filled::End => self.finish_input(),
        }
        Ok(Step::Moved)
    }

    fn open_run(&mut self) -> Result<bool, Error> {
        let most = if self.stride.is_some() { RUN_ITEMS_PLAIN } else { RUN_ITEMS };
        let capacity =
            most.max(self.chunk).checked_div(self.chunk).map_or(most, |chunks| chunks * self.chunk);
        let capacity = capacity.min(1 << 20);
        let bytes = match self.stride {
            Some(stride) if self.chunk > 0 => {
                self.block.max((self.chunk.saturating_mul(stride)).min(LARGEST_CHUNK))
            }
            _ => self.block,
        };
        let writer = RunWriter::new(&self.engine.input, bytes, capacity, self.stride.is_none())?;
        self.put_up(&mut Some(writer), self.pulled)
    }

    /// Puts a run on the board for what `writer` writes; `false`, and the writer is kept, when all runs are in use.
    fn put_up(&mut self, writer: &mut Option<RunWriter>, base: u64) -> Result<bool, Error> {
        let Some(ready) = writer.as_ref() else { return Ok(false) };
        let mut desk = self.engine.desk();
        if desk.job(self.slot, self.id).is_none() {
            return Err(Error::new(ErrorKind::Cancelled, "the job is gone"));
        }
        let tag = desk.open_run(&self.engine.control, self.slot, base, ready);
        drop(desk);
        let (Some(tag), Some(writer)) = (tag, tag.and_then(|_| writer.take())) else {
            return Ok(false);
        };
        self.block = BLOCK;
        self.open = Some(Open { tag, writer, base, published: 0 });
        Ok(true)
    }

    /// The block is full: shuts its run. A chunk that it holds a part of moves to a block where there is room for all of it.
    fn next_block(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        let (count, bytes) = (open.writer.count(), open.writer.bytes());
        let part = if self.chunk > 0 { count % self.chunk } else { 0 };
        if count == 0 {
            self.block = bytes * 4;
            self.publish(true);
        } else if part == 0 || bytes >= LARGEST_CHUNK {
            self.publish(true);
        } else {
            let (first, base) = (count - part, open.base);
            let writer =
                open.writer.carry(first, self.stride, bytes * 4, open.writer.capacity())?;
            self.publish(true);
            // The new run may have to wait for a free place; then its items wait in it.
            let mut writer = Some(writer);
            while !self.put_up(&mut writer, base + first as u64)? {
                self.wait(u64::MAX);
            }
        }
        Ok(())
    }

    /// Makes what is written takeable: whole chunks only, unless the run is shut.
    fn publish(&mut self, shut: bool) {
        let Some(open) = self.open.as_mut() else { return };
        let count = open.writer.count();
        let ready = if shut || self.chunk == 0 { count } else { count / self.chunk * self.chunk };
        let new = ready.saturating_sub(open.published);
        if new > 0 || shut {
            let len = open.writer.places().2;
            let mut desk = self.engine.desk();
            desk.publish(&self.engine.control, open.tag, ready as u32, shut, len);
            // The supervisor looks by itself only while there is something to look after.
            let begins = new > 0 && self.limited && !std::mem::replace(&mut desk.watched, true);
            drop(desk);
            if begins {
                self.engine.nudge();
            }
            open.published = ready;
        }
        if shut {
            self.open = None;
        }
        if new > 0 {
            self.engine.control.head.published(new.min(self.engine.config.workers) as u32);
        }
    }

    fn finish_input(&mut self) {
        self.publish(true);
        self.input_over = true;
        if let Some(job) = self.engine.desk().job(self.slot, self.id) {
            job.input_over = true;
        }
    }

    /// Waits for a result, or for room: looks a while if a core is free to, then sleeps.
    fn wait(&mut self, taken: u64) {
        let engine = Arc::clone(&self.engine);
        let (slot, id) = (self.slot, self.id);
        let out = engine.desk().job(slot, id).map_or(0, |job| job.fed - job.accounted);
        if out < cpus::available() as u64 && self.patience.look(|| engine.has_news(slot, id)) {
            return;
        }
        let want = if taken != u64::MAX {
            1
        } else if self.input_over {
            out
        } else {
            out / 2
        };
        engine.await_posts(want.max(1), self.sleep, || engine.has_news(slot, id));
        self.sleep = (self.sleep * 10).min(LONGEST_SLEEP);
    }

    fn end(&mut self, interest: Interest) {
        if std::mem::replace(&mut self.ended, true) || !self.engine.is_ours() {
            return;
        }
        self.publish(true);
        self.engine.desk().drop_job(&self.engine.control, self.slot, self.id, interest);
        if interest == Interest::Stop {
            self.engine.nudge();
        }
        self.engine.changed.notify_all();
        if self.lends {
            self.await_end();
        }
    }

    /// Waits until nothing of the job is out: what ran has ended, or its worker is killed and reaped.
    fn await_end(&self) {
        loop {
            let mut desk = self.engine.desk();
            desk.drain(&self.engine.control, None);
            if desk.job(self.slot, self.id).is_none() {
                return;
            }
            drop(desk);
            let ready = || self.engine.has_posts();
            self.engine.control.head.await_posts(1, GRACE, ready);
        }
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        self.end(Interest::Stop);
    }
}

fn hand_over(events: Vec<Event>, sink: &mut dyn Sink) {
    for event in events {
        match event.outcome {
            Ok(bytes) => sink.results(event.first, event.count, &Payload::from(&*bytes)),
            Err(error) => sink.failed(event.first, error),
        }
    }
}

/// What a job can do next.
enum State {
    /// So many items may be taken from the input.
    MayFeed(u64),
    /// There is nothing to do but wait.
    Wait,
    /// What is written must be run before more may be taken.
    Stranded,
    /// The pool takes no more input for it; if that is a failure of the job, why.
    Over(Option<Error>),
    Finished,
    Gone(Error),
}

/// How many items to take from the input before they are published: as many as come in 20 µs, so that a slow input is not
/// waited for, and a fast one is not disturbed.
#[derive(Debug)]
struct FillPace {
    items: usize,
    least: usize,
}

impl FillPace {
    fn new(chunk: usize) -> Self {
        Self { items: chunk.max(1), least: chunk.max(1) }
    }

    fn saw(&mut self, asked: usize, took: Duration) {
        const WANTED: Duration = Duration::from_micros(20);
        if took < WANTED && asked == self.items {
            self.items = (self.items * 2).min(RUN_ITEMS_PLAIN.max(self.least));
        } else if took > WANTED * 2 {
            self.items = (self.items / 2).max(self.least);
        }
    }
}
