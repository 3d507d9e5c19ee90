//! A pool from the outside: its making, its questions, its end.

use std::fmt;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::builder::Builder;
use super::desk::{Desk, Stage};
use super::seat::{Seat, Start};
use super::{Engine, Inner};
use crate::board::layout::phase;
use crate::error::{Error, ErrorKind};
use crate::supervisor;

/// Worker processes that run tasks.
///
/// `Send` and `Sync`: calls from several threads run side by side. Dropping it is [`close`](Self::close) and
/// [`join`](Self::join), so nothing that was given to it is lost; in a panic it is [`terminate`](Self::terminate).
///
/// Semantics follow Python's `multiprocessing.Pool`, but for `with Pool(..)`, which terminates there.
/// <https://docs.python.org/3/library/multiprocessing.html#multiprocessing.pool.Pool>
pub struct Pool {
    inner: Arc<Inner>,
}

/// What a pool has done so far, from [`Pool::stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Items that have ended, ever, well or not.
    pub items_finished: u64,
    /// Items that are out now: waiting for a worker, or running.
    pub items_pending: u64,
    /// Workers that have been replaced, ever.
    pub workers_replaced: u64,
    /// Workers that run an item now.
    pub workers_busy: usize,
}

/// How long workers may take to leave in order, finalizer included, before they are killed.
pub(crate) const FAREWELL: Duration = Duration::from_secs(30);
/// How long a question for the workers waits for one that is being started, which takes milliseconds.
const STARTED_WITHIN: Duration = Duration::from_secs(1);

impl Pool {
    /// A pool of so many workers.
    ///
    /// # Errors
    /// Kind `InvalidInput` for none or too many, `Spawn` when a process cannot be started, `Duplicate` when two tasks have one name.
    pub fn new(workers: usize) -> Result<Self, Error> {
        Self::builder().workers(workers).build()
    }

    /// A pool to be configured.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    fn engine(&self) -> Option<&Arc<Engine>> {
        self.inner.engine.as_ref()
    }

    /// How many workers it has; 0 for one that works in the calling process.
    pub fn workers(&self) -> usize {
        self.engine().map_or(0, |engine| engine.config.workers)
    }

    /// The processes that are its workers now. Waits a moment for one that is being started.
    pub fn worker_pids(&self) -> Vec<u32> {
        let Some(engine) = self.engine() else { return Vec::new() };
        let desk = engine.all_seated();
        desk.seats.iter().filter_map(|seat| Some(seat.worker.as_ref()?.child.pid())).collect()
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        let Some(engine) = self.engine() else { return Stats::default() };
        let mut desk = engine.all_seated();
        // What has been posted has ended, though nobody may have asked for it yet.
        desk.drain(&engine.control, None);
        let busy = |seat: &&Seat| seat.cell(&engine.control).phase.load(Relaxed) == phase::RUNNING;
        Stats {
            items_finished: desk.finished,
            items_pending: desk.jobs().map(|job| job.fed - job.accounted).sum(),
            workers_replaced: desk.seats.iter().map(Seat::replaced).sum(),
            workers_busy: desk.seats.iter().filter(busy).count(),
        }
    }

    /// Takes no new work. What was given to it goes on; an open `imap` takes no more input, and gives what it took.
    pub fn close(&self) {
        match self.engine() {
            Some(engine) if engine.is_ours() => engine.close(),
            Some(_) => {}
            None => self.inner.here.closed.store(true, Release),
        }
    }

    /// Waits until everything that was given to it is done, and its workers are gone.
    ///
    /// It does not wait for the consumer of an open `imap`, whose results are kept for it.
    ///
    /// # Errors
    /// Kind `InvalidInput` before [`close`](Self::close) or [`terminate`](Self::terminate).
    pub fn join(&self) -> Result<(), Error> {
        match self.engine() {
            Some(engine) if engine.is_ours() => engine.join(),
            Some(_) => Ok(()),
            None => self.inner.here.join(),
        }
    }

    /// Stops everything now: workers are killed, and what they ran or had before them is `Cancelled`.
    pub fn terminate(&self) {
        match self.engine() {
            Some(engine) if engine.is_ours() => engine.terminate(),
            Some(_) => {}
            None => self.inner.here.closed.store(true, Release),
        }
    }
}

pub(super) fn joined_too_early() -> Error {
    let text = "join before close or terminate would wait for ever";
    Error::new(ErrorKind::InvalidInput, text)
}

impl Drop for Pool {
    fn drop(&mut self) {
        let Some(engine) = self.engine() else {
            self.close();
            let _ = self.inner.here.join();
            return;
        };
        if !engine.is_ours() {
            return;
        }
        if std::thread::panicking() {
            engine.terminate();
        } else {
            engine.close();
        }
        let _ = engine.join();
        // Its memory and descriptors are given back here, and not a little later by the supervisor.
        if let (Some(&ward), Ok(supervisor)) = (engine.ward.get(), supervisor::get()) {
            supervisor.let_go(ward);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.workers()).finish_non_exhaustive()
    }
}

impl Engine {
    /// The desk when nobody is being started, or after a while.
    fn all_seated(&self) -> MutexGuard<'_, Desk> {
        let starting = |desk: &mut Desk| {
            self.is_ours() && desk.seats.iter().any(|seat| seat.start != Start::No)
        };
        let waited = self.changed.wait_timeout_while(self.desk(), STARTED_WITHIN, starting);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn close(&self) {
        let mut desk = self.desk();
        desk.stage = desk.stage.max(Stage::Closed);
        desk.end_streams();
        drop(desk);
        self.control.head.parent_bed().wake(u32::MAX);
        self.changed.notify_all();
    }

    fn terminate(&self) {
        let mut desk = self.desk();
        desk.stage = Stage::Terminated;
        let error = Error::new(ErrorKind::Cancelled, "the pool was terminated");
        for (slot, id) in desk.job_slots() {
            desk.doom_job(&self.control, slot, id, &error);
        }
        for worker in desk.seats.iter().filter_map(|seat| seat.worker.as_ref()) {
            worker.child.kill();
        }
        drop(desk);
        self.control.head.closing.store(1, Release);
        self.after_change();
    }

    fn join(&self) -> Result<(), Error> {
        if self.desk().stage == Stage::Open {
            return Err(joined_too_early());
        }
        self.while_joining(|over| self.wait_for_jobs(over));
        self.control.head.closing.store(1, Release);
        self.control.head.worker_bed().wake(u32::MAX);
        self.wait_for_workers();
        Ok(())
    }

    /// Waits for every job's items, and takes their results for those who do not.
    fn wait_for_jobs(&self, background_over: &dyn Fn() -> bool) {
        loop {
            let mut desk = self.desk();
            desk.drain(&self.control, None);
            // A stream that nobody asks has perhaps taken items that it has not published.
            if self.publish_written(&mut desk) > 0 {
                continue;
            }
            let over = desk.all_done() && background_over();
            desk.left |= over;
            if over || desk.broken.is_some() || desk.stage == Stage::Terminated {
                return;
            }
            drop(desk);
            let ready = || self.has_posts();
            self.await_posts(1, Duration::from_millis(20), ready);
        }
    }

    fn wait_for_workers(&self) {
        let end = Instant::now() + FAREWELL;
        let mut desk = self.desk();
        while desk.seats.iter().any(Seat::is_taken) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                desk.seats
                    .iter()
                    .filter_map(|seat| seat.worker.as_ref())
                    .for_each(|worker| worker.child.kill());
            }
            let wait = left.max(Duration::from_millis(100)).min(Duration::from_secs(1));
            desk = self.changed.wait_timeout(desk, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Desk {
    /// Every item of every job is accounted for, and no job that is waited for takes more input.
    fn all_done(&self) -> bool {
        self.jobs().all(|job| job.accounted == job.fed && (job.input_over || job.stream))
    }

    fn end_streams(&mut self) {
        for (slot, id) in self.job_slots() {
            if let Some(job) = self.job(slot, id).filter(|job| job.stream) {
                job.input_over = true;
            }
        }
    }
}
