//! The pool: workers, and the jobs they are given.
//!
//! A job goes this way: `running` is the caller's side; `fed` takes its turns and `fill` puts its items onto the board. `desk`
//! knows what is out: `work` is what it knows, `runs` goes with a run from its beginning to its end, `ends` with what is not
//! wanted any more. `drain` takes what workers post, `errands` what they ask for beside. Next to the way: `builder` makes a
//! pool, `life` ends it, `seat` is a worker's place in it, `start` starts workers, `death` deals with one that ended, `guard`
//! looks after deadlines, `feeding` after inputs that wait, `recall` takes over what waits behind an item that lasts.
//!
//! Calls come in by `typed`, by `later` those that go on without their caller, and by `methods` those without macros.
//! `background` has the threads of jobs without a caller, `arrival` the result of such a call; `inline` is a job without workers,
//! `once` what is run before and after all jobs.

mod arrival;
mod background;
mod builder;
mod death;
mod desk;
mod drain;
mod ends;
mod errands;
mod fed;
mod feeding;
mod fill;
#[cfg(any(test, fuzzing))]
pub(crate) mod forged;
mod guard;
mod inline;
pub(crate) mod later;
mod life;
mod methods;
mod once;
mod recall;
mod running;
mod runs;
mod seat;
mod start;
#[cfg(test)]
mod tests;
pub(crate) mod typed;
mod unsent;
mod work;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use background::JobHandle;
pub use builder::Builder;
pub(crate) use errands::Received;
pub(crate) use inline::run_call;
pub use life::{Pool, Stats};
pub(crate) use once::{finalize, initialize};
pub(crate) use running::{Running, Turn};

use crate::board::ControlMap;
use crate::board::claim;
use crate::board::input::Input;
use crate::error::{Error, ErrorKind};
use crate::job::Options;
use crate::message::EncodedCall;
use crate::registry::TaskDef;
use crate::supervisor::{self, Ward};
use crate::sys::{cpus, fork};
use background::Background;
use builder::Config;
use desk::Desk;
use feeding::Feeding;

/// What a pool and its jobs share.
#[derive(Debug)]
pub(crate) struct Inner {
    /// `None`: jobs run where they are called.
    pub(crate) engine: Option<Arc<Engine>>,
    pub(crate) here: Here,
}

/// The life of a pool without workers.
#[derive(Debug, Default)]
pub(crate) struct Here {
    pub(crate) closed: AtomicBool,
    /// What is run once, at its end.
    pub(crate) finalizer: Mutex<Option<EncodedCall>>,
}

impl Here {
    /// # Errors
    /// Kind `Closed`.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(Error::new(ErrorKind::Closed, "the pool was closed")),
            false => Ok(()),
        }
    }

    /// # Errors
    /// Kind `InvalidInput` before it was closed.
    pub(crate) fn join(&self) -> Result<(), Error> {
        if !self.closed.load(Ordering::Acquire) {
            return Err(life::joined_too_early());
        }
        let finalizer = self.finalizer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(failure)) = finalizer.as_ref().map(finalize) {
            eprintln!("the finalizer of a pool without workers failed: {failure}");
        }
        Ok(())
    }
}

impl Inner {
    /// # Errors
    /// Kind `InvalidInput` when the task writes in place and would be tried again.
    pub(crate) fn check_task(&self, task: &TaskDef, options: &Options) -> Result<(), Error> {
        let default = self.engine.as_ref().map_or(0, |engine| engine.config.retries);
        if task.writes_in_place && options.retries.or(task.retries).unwrap_or(default) > 0 {
            let text = "a task with a `&mut` parameter cannot be retried: it would see what the dead attempt left";
            return Err(Error::new(ErrorKind::InvalidInput, text).with_task(task.name));
        }
        Ok(())
    }
}

/// After so long without any news the supervisor looks whether something stands still.
const LONG: Duration = Duration::from_millis(100);

/// A pool with workers.
#[derive(Debug)]
pub(crate) struct Engine {
    /// The process that made it: a copy of it in a child of a plain `fork` is nobody's.
    pub(crate) creator: u32,
    pub(crate) control: ControlMap,
    pub(crate) control_file: OwnedFd,
    pub(crate) input: Arc<Input>,
    pub(crate) config: Config,
    desk: Mutex<Desk>,
    /// Goes with `desk`: a worker has ended or has been started, or a job has ended.
    pub(crate) changed: Condvar,
    pub(crate) background: Background,
    /// Callers that are inside of their input.
    pub(crate) feeding: Feeding,
    /// Its number with the supervisor.
    pub(crate) ward: OnceLock<u32>,
    jobs: AtomicU64,
}

impl Engine {
    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn next_job(&self) -> u64 {
        self.jobs.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes the supervisor look after this pool soon.
    pub(crate) fn nudge(&self) {
        if let Ok(supervisor) = supervisor::get() {
            supervisor.nudge();
        }
    }

    /// Whether this process made the pool, and is no copy by a plain `fork` of the one that did.
    pub(crate) fn is_ours(&self) -> bool {
        self.creator == fork::generation()
    }

    /// Sleeps until `want` more items have been posted or something else has happened, at most for `limit`. Then makes up for a
    /// wake-up that was lost with a worker that died or stands still, and has the supervisor look if nothing has come for long.
    pub(crate) fn await_posts(&self, want: u64, limit: Duration, ready: impl FnOnce() -> bool) {
        let start = Instant::now();
        self.control.head.await_posts(want, limit, ready);
        if claim::has_work(&self.control) {
            self.control.head.worker_bed().wake(1);
        }
        if limit >= LONG && start.elapsed() >= limit {
            self.nudge();
        }
    }

    /// Whether a caller that waits for this job should look again.
    pub(crate) fn has_news(&self, slot: usize, id: u64) -> bool {
        let mut desk = self.desk();
        desk.has_posts()
            || desk.broken.is_some()
            || desk.job(slot, id).is_none_or(|job| {
                let over = job.input_over && job.accounted == job.fed;
                over || !job.mailbox.is_empty() || job.doomed.is_some()
            })
    }

    /// Whether any worker has posted something that was not taken.
    pub(crate) fn has_posts(&self) -> bool {
        self.desk().has_posts()
    }

    /// Whether there is something for background jobs.
    pub(crate) fn has_notices(&self) -> bool {
        let desk = self.desk();
        desk.has_posts() || !desk.noticed.is_empty() || desk.broken.is_some()
    }

    /// Takes all posts, and gives the background jobs that got something; and whether the pool cannot go on.
    pub(crate) fn notices(&self) -> (Vec<(usize, u64)>, bool) {
        let mut desk = self.desk();
        desk.drain(&self.control, None);
        (std::mem::take(&mut desk.noticed), desk.broken.is_some())
    }

    /// So many items keep every worker busy; one more if a core is left for the caller to write it meanwhile.
    pub(crate) fn enough(&self) -> usize {
        self.config.workers + usize::from(cpus::available() > self.config.workers)
    }

    /// Whether all jobs together have no more input out than they may: an eighth of the machine's memory, and half of the segment.
    pub(crate) fn has_memory(&self) -> bool {
        self.input.in_use() < self.config.memory_eighth.min(self.input.len() / 2)
    }
}

impl Ward for Engine {
    fn ready(&self, token: u32) {
        if token & errands::SOCKET != 0 {
            self.run_errands((token & !errands::SOCKET) as usize);
        } else {
            self.ended(token as usize);
        }
    }

    fn tick(self: Arc<Self>, now: Instant) -> Option<Duration> {
        self.look_after(now)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        // Whoever drops it last, no worker is left: `life` has waited for them, or they are killed here.
        let desk = self.desk.get_mut().unwrap_or_else(PoisonError::into_inner);
        for worker in desk.seats.iter_mut().filter_map(|seat| seat.worker.take()) {
            worker.put_down();
        }
        if let (Some(&ward), Ok(supervisor)) = (self.ward.get(), supervisor::get()) {
            supervisor.release(ward);
        }
    }
}

/// The process-wide pool, started on first use.
///
/// # Errors
/// As for [`Builder::build`].
pub(crate) fn default_pool() -> Result<&'static Pool, Error> {
    static POOL: OnceLock<Pool> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(pool) = POOL.get() {
        return Ok(pool);
    }
    let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = POOL.get() {
        return Ok(pool);
    }
    let pool = Pool::builder().build()?;
    Ok(POOL.get_or_init(|| pool))
}
