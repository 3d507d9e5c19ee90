//! What the supervisor looks after while a pool works: deadlines, memory, work that is not wanted any more, starts that are
//! due, and what waits behind an item that lasts (`recall`). Workers take no clock for it: their progress words are sampled from outside.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::Engine;
use super::desk::Desk;
use super::life::FAREWELL;
use super::seat::{Doing, Seat, Sentence, Start};
use super::work::Job;
use crate::board::claim;
use crate::board::layout::phase;
use crate::supervisor;
use crate::sys::process::private_memory;

/// How often memory is looked at: a process that fills it at 3 GB/s gets 15 MB further.
const MEMORY_EVERY: Duration = Duration::from_millis(5);
/// Work that is not wanted any more may go on so long before its worker is killed for it: an item of a millisecond is
/// cheaper to wait for than a worker to replace.
const GRACE: Duration = Duration::from_millis(10);
/// A deadline is looked at so many times before it passes, so that it is missed by at most a part of itself.
const LOOKS: u32 = 10;
const OFTEN: Duration = Duration::from_millis(1);
const SELDOM: Duration = Duration::from_millis(20);
/// A start waits so long behind a death, for those who are told of the death to have the cores first. Median from a kill to the
/// error of a call, on two busy cores, four times in turns: 0.3 to 0.4 ms so, 0.4 to 1.0 where the start came at once.
const TELLING: Duration = Duration::from_micros(500);
/// How long a worker may take from its start to its first look for work, initializer included.
const READY_WITHIN: Duration = Duration::from_secs(30);

impl Engine {
    /// One look at everything; gives how long until the next, `None` when nothing needs one.
    pub(crate) fn look_after(self: &Arc<Self>, now: Instant) -> Option<Duration> {
        let mut desk = self.desk();
        let mut next = Next(None);
        if let Some(wait) = self.feeding.look(|| self.publish_written(&mut desk)) {
            next.at_most(wait);
        }
        if desk.has_suspects() {
            self.find_lost(&mut desk, &mut next);
        }
        let mut recalled = false;
        for index in 0..desk.seats.len() {
            Self::mark_due(&mut desk.seats[index], now, &mut next);
            if desk.seats[index].worker.as_mut().is_some_and(|worker| !worker.tell()) {
                next.at_most(OFTEN);
            }
            self.watch_start(&mut desk, index, now, &mut next);
            self.watch_work(&mut desk, index, now, &mut next);
            self.watch_end(&mut desk, index, now, &mut next);
            recalled |= self.recall(&mut desk, index, now, &mut next);
        }
        if recalled {
            self.after_change();
        }
        // Work with a limit may begin in any seat at any moment, also in one that is busy with other work now.
        let watched = desk.jobs().any(|job| job.accounted < job.fed && self.must_watch(job));
        desk.watched = watched;
        if watched {
            next.at_most(SELDOM.min(self.shortest(&desk)));
        }
        if !self.is_wanted(&desk) {
            self.fill_none(&mut desk);
        }
        self.start_next(&mut desk, now, &mut next);
        next.0
    }

    fn find_lost(&self, desk: &mut Desk, next: &mut Next) {
        desk.find_lost(&self.control);
        if claim::has_work(&self.control) {
            self.control.head.worker_bed().wake(u32::MAX);
        }
        if desk.has_suspects() {
            next.at_most(OFTEN);
        }
    }

    fn must_watch(&self, job: &Job) -> bool {
        job.is_to_stop() || job.timeout.is_some() || self.config.memory_limit.is_some()
    }

    /// Marks a seat whose start is due.
    fn mark_due(seat: &mut Seat, now: Instant, next: &mut Next) {
        match seat.retry_at {
            Some(due) if due > now => next.at_most(due - now),
            Some(_) => (seat.retry_at, seat.start) = (None, Start::Due),
            None => {}
        }
    }

    /// Has a worker started in a seat where that is due; one at a time, for the starter is there for others too.
    fn start_next(self: &Arc<Self>, desk: &mut Desk, now: Instant, next: &mut Next) {
        if desk.seats.iter().any(|seat| seat.start == Start::UnderWay) {
            return;
        }
        let Some(seat) = desk.seats.iter_mut().find(|seat| seat.start == Start::Due) else {
            return;
        };
        let wait =
            desk.told.map(|told| TELLING.saturating_sub(now.saturating_duration_since(told)));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return next.at_most(wait);
        }
        let Ok(supervisor) = supervisor::get() else { return };
        seat.start = Start::UnderWay;
        let (engine, index) = (Arc::downgrade(self), seat.index);
        let ward = self.ward.get().copied().unwrap_or(0);
        supervisor.starter.run_soon(ward, move || {
            if let Some(engine) = engine.upgrade() {
                engine.refill(index);
            }
        });
    }

    /// No seat is filled any more, and nobody waits for that.
    fn fill_none(&self, desk: &mut Desk) {
        let empty = |seat: &&mut Seat| seat.start == Start::Due || seat.retry_at.is_some();
        for seat in desk.seats.iter_mut().filter(empty) {
            (seat.start, seat.retry_at) = (Start::No, None);
            self.changed.notify_all();
        }
    }

    fn watch_start(&self, desk: &mut Desk, index: usize, now: Instant, next: &mut Next) {
        let limit = self.config.start_timeout.unwrap_or(READY_WITHIN);
        let starting = desk.seats[index].cell(&self.control).phase.load(Relaxed) == phase::STARTING;
        let Some(worker) = desk.seats[index]
            .worker
            .as_mut()
            .filter(|worker| starting && worker.sentence.is_none())
        else {
            return;
        };
        match limit.checked_sub(now.saturating_duration_since(worker.started)) {
            Some(left) if !left.is_zero() => next.at_most(left),
            _ => {
                worker.sentence = Some(Sentence::NotReady(limit));
                worker.child.kill();
            }
        }
    }

    fn watch_work(&self, desk: &mut Desk, index: usize, now: Instant, next: &mut Next) {
        let doing = desk.seats[index].doing(&self.control);
        let Some((doing, job)) = doing.and_then(|doing| Some((doing, desk.job_of(doing.run)?)))
        else {
            if let Some(worker) = desk.seats[index].worker.as_mut() {
                worker.seen = None;
            }
            return;
        };
        let (timeout, stop) = (job.timeout, job.is_to_stop());
        let Some(worker) =
            desk.seats[index].worker.as_mut().filter(|worker| worker.sentence.is_none())
        else {
            return;
        };
        let since = match worker.seen {
            Some((seen, since)) if seen == doing => since,
            _ => now,
        };
        worker.seen = Some((doing, since));
        let spent = now.saturating_duration_since(since);
        let sentence = if stop && spent >= GRACE {
            Some(Sentence::Cancelled)
        } else if let Some(limit) = timeout.filter(|&limit| spent >= limit) {
            Some(Sentence::TimedOut(limit))
        } else {
            self.config.memory_limit.and_then(|limit| over_limit(worker.child.pid(), limit))
        };
        match sentence {
            Some(sentence) => {
                self.execute(desk, index, doing, sentence);
                next.at_most(OFTEN);
            }
            None => {
                if stop {
                    next.at_most(GRACE);
                }
                if let Some(limit) = timeout {
                    next.at_most((limit - spent).min((limit / LOOKS).clamp(OFTEN, SELDOM)));
                }
                if self.config.memory_limit.is_some() {
                    next.at_most(MEMORY_EVERY);
                }
            }
        }
    }

    pub(super) fn publish_written(&self, desk: &mut Desk) -> u32 {
        let new = desk.publish_written(&self.control);
        if new > 0 {
            self.control.head.published(new.min(self.config.workers as u32));
        }
        new
    }

    /// A worker that leaves, and hangs in its finalizer or an exit handler, leaves its seat empty as long.
    fn watch_end(&self, desk: &mut Desk, index: usize, now: Instant, next: &mut Next) {
        let seat = &mut desk.seats[index];
        let leaves = seat.cell(&self.control).phase.load(Relaxed) == phase::LEAVING;
        let Some(worker) = seat.worker.as_mut().filter(|_| leaves) else { return };
        let since = *worker.leaving.get_or_insert(now);
        match FAREWELL.checked_sub(now.saturating_duration_since(since)) {
            Some(left) if !left.is_zero() => next.at_most(left),
            _ => worker.child.kill(),
        }
    }

    fn shortest(&self, desk: &Desk) -> Duration {
        let timeouts =
            desk.jobs().filter_map(|job| job.timeout).min().map(|limit| (limit / LOOKS).max(OFTEN));
        let memory = self.config.memory_limit.map(|_| MEMORY_EVERY);
        timeouts.into_iter().chain(memory).min().unwrap_or(GRACE)
    }

    /// Kills a worker for what it does, and for nothing else: it is stopped first, and goes on if by then it does something else.
    fn execute(&self, desk: &mut Desk, index: usize, doing: Doing, sentence: Sentence) {
        let seat = &mut desk.seats[index];
        let Some(worker) = &seat.worker else { return };
        worker.child.stop();
        let guilty = seat.doing(&self.control) == Some(doing);
        let Some(worker) = &mut seat.worker else { return };
        if guilty {
            worker.sentence = Some(sentence);
            worker.child.kill();
        } else {
            worker.child.go_on();
        }
    }
}

fn over_limit(pid: u32, limit: usize) -> Option<Sentence> {
    let used = private_memory(pid)?;
    (used > limit).then_some(Sentence::MemoryLimit { limit, used })
}

/// The earliest of several moments.
pub(super) struct Next(Option<Duration>);

impl Next {
    pub(super) fn at_most(&mut self, wait: Duration) {
        self.0 = Some(self.0.map_or(wait, |least| least.min(wait)));
    }
}
