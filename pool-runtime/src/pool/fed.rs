//! A job whose items go to workers: its turns, and its waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::desk::Stage;
use super::drain::Direct;
use super::errands::Received;
use super::fill::{BLOCK, FillPace};
use super::work::{Event, Interest, Job};
use crate::board::input::{Along, Block, RunWriter};
use crate::board::layout::Tag;
use crate::board::sleep::Patience;
use crate::error::{Error, ErrorKind};
use crate::job::{JobSpec, Sink, Source};
use crate::luggage;
use crate::payload::Payload;
use crate::registry::TaskDef;
use crate::shm::pins::Pins;
use crate::sys::cpus;

/// A job whose items go to workers.
#[derive(Debug)]
pub(super) struct Fed {
    pub(super) engine: Arc<Engine>,
    pub(super) slot: usize,
    pub(super) id: u64,
    pub(super) task: &'static TaskDef,
    pub(super) stride: Option<usize>,
    /// Items per chunk, exactly; 0 leaves it to the workers.
    pub(super) chunk: usize,
    pub(super) window: Option<u64>,
    /// Whether its items have a limit that the supervisor watches.
    pub(super) limited: bool,
    /// Items that have been taken from the input.
    pub(super) pulled: u64,
    pub(super) input_over: bool,
    /// Why the input was not taken to its end, if the job was ended before.
    pub(super) cut: Option<Error>,
    pub(super) open: Option<Open>,
    /// Bytes of the next block.
    pub(super) block: usize,
    pub(super) pace: FillPace,
    pub(super) patience: Patience,
    /// How long to sleep at most, next time; grows while nothing comes.
    pub(super) sleep: Duration,
    /// What went along at the last fill: an item that found no room may be among it, and goes into the next block.
    pub(super) left_over: Option<Arc<Along>>,
    /// A consumer takes the results one by one, and may take its time.
    pub(super) streams: bool,
    /// The input is being asked; still so at the next step when it panicked.
    pub(super) asking: bool,
    /// Items point into memory of the caller's.
    pub(super) lends: bool,
    pub(super) ended: bool,
}

/// A run that is being written.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) tag: Tag,
    pub(super) writer: RunWriter,
    /// Index in the input of its item 0.
    pub(super) base: u64,
    /// Items that workers may take.
    pub(super) published: usize,
}

pub(super) enum Step {
    Moved,
    Finished,
    Stuck,
}

/// Input that is out at one time, unless that is too little for each worker to have an item, or a chunk of a given size.
const INPUT_BUDGET: usize = 16 << 20;
/// Results of a stream that its consumer has not taken, those that are still to come included; unless that is too little for each
/// worker to have an item. A chunk of a given size gets no more for it.
const RESULT_BUDGET: u64 = 64 << 20;
/// Items that a stream takes ahead of its consumer, if nothing else was asked for.
const WINDOW: u64 = 4096;
/// Between two looks at whether a job that lends memory has ended: as long as what runs is given to end by itself.
const GRACE: Duration = Duration::from_millis(10);
/// The first sleep and the longest: a wake-up that was lost with a worker that died or stands still costs no more.
const FIRST_SLEEP: Duration = Duration::from_millis(1);
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

impl Fed {
    pub(super) fn start(engine: &Arc<Engine>, spec: JobSpec) -> Result<Self, Error> {
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
            streams: false,
            asking: false,
            lends: false,
            ended: false,
        })
    }

    pub(super) fn step(
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
        let _decoded = desk.job(self.slot, self.id).and_then(|job| self.decoded(job));
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

    /// What the results of a stream have brought along, once all that were out are decoded. Those of other jobs are kept to the
    /// end, since somebody may keep their bytes.
    fn decoded(&self, job: &mut Job) -> Option<Pins> {
        let at_rest = job.fed == job.accounted && job.mailbox.is_empty();
        (self.streams && at_rest && job.received.is_much()).then(|| job.received.let_go())
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
        let at_rest = out == 0 || !self.streams || !job.received.is_much();
        let enough = self.engine.enough().saturating_mul(self.chunk.max(1)) as u64;
        let affordable = out == 0
            || job.input_bytes < INPUT_BUDGET
            || (out < enough && self.engine.has_memory());
        let runs = self.open.is_some() || free_runs > 0;
        // A part of a chunk that can never become whole: the window is smaller than a chunk.
        let stranded = |open: &Open| out == 0 && open.writer.count() > open.published;
        if room > 0 && affordable && runs && at_rest {
            State::MayFeed(room)
        } else if self.open.as_ref().is_some_and(stranded) {
            State::Stranded
        } else {
            State::Wait
        }
    }

    /// How many items a stream may be ahead of its consumer by the mean size of its results; a few until one is known.
    pub(super) fn ahead_by_results(&self, job: &Job) -> u64 {
        match job.result_bytes.checked_div(job.accounted) {
            Some(mean) => {
                let most = self.engine.config.memory_eighth as u64 / mean.max(1);
                (RESULT_BUDGET / mean.max(1)).max(most.min(self.engine.enough() as u64))
            }
            None => 4 * self.engine.config.workers as u64,
        }
    }

    /// Waits for a result, or for room: looks a while if a core is free to, then sleeps.
    pub(super) fn wait(&mut self, taken: u64) {
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
        // Each that comes back makes a worker idle.
        let want = if out <= engine.enough() as u64 { 1 } else { want };
        engine.await_posts(want.max(1), self.sleep, || engine.has_news(slot, id));
        self.sleep = (self.sleep * 10).min(LONGEST_SLEEP);
    }

    pub(super) fn end(&mut self, interest: Interest) {
        if std::mem::replace(&mut self.ended, true) || !self.engine.is_ours() {
            return;
        }
        self.publish(true);
        let unread =
            self.engine.desk().drop_job(&self.engine.control, self.slot, self.id, interest);
        drop(unread);
        if interest == Interest::Stop {
            self.engine.nudge();
        }
        self.engine.changed.notify_all();
        if self.lends {
            self.await_end();
        }
    }

    /// Waits until nothing of the job is out: what ran has ended, or its worker is killed and reaped.
    pub(super) fn await_end(&self) {
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
