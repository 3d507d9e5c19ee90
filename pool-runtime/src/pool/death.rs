//! A worker has ended: what it had finished is kept, the item it was running fails, what it had not begun goes to others,
//! and somebody takes its place.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::Engine;
use super::desk::{Desk, Stage};
use super::recall::results_len;
use super::seat::{Seat, Sentence, Start, Worker};
use crate::board::claim;
use crate::board::layout::{Control, phase};
use crate::board::remains::{self, Remains};
use crate::error::{Error, ErrorKind};
use crate::shm::sweep;
use crate::supervisor;
use crate::sys::process::Ending;
use crate::sys::{oom, signals};

/// When a pool without a worker that is ready gives up: after so many starts that failed, and for so long.
#[derive(Clone, Copy, Debug)]
struct Endurance {
    starts: u32,
    time: Duration,
}

/// What fails by itself fails again.
const BY_ITSELF: Endurance = Endurance { starts: 3, time: Duration::ZERO };
/// That workers are killed from outside, by SIGKILL, says little of the next.
const KILLED: Endurance = Endurance { starts: 24, time: Duration::from_secs(30) };
/// Wait before a start that follows a false one; twice as long each time, at most `LONGEST_WAIT`.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl Engine {
    /// Runs on the supervisor's thread when the process in that seat may have ended.
    pub(crate) fn ended(&self, index: usize) {
        let mut desk = self.desk();
        let Some(mut worker) = desk.seats[index].worker.take() else { return };
        let Some(ending) = worker.child.try_reap() else {
            desk.seats[index].worker = Some(worker);
            return;
        };
        if let Ok(supervisor) = supervisor::get() {
            supervisor.unwatch(&worker.child);
            supervisor.unwatch(&worker.socket);
        }
        desk.run_errands(&mut worker);
        desk.drain_worker(&mut worker, None);
        let cell = desk.seats[index].cell(&self.control);
        let left = Remains::of(cell);
        let refusal = worker.refusal.take();
        let ready = left.phase != phase::STARTING && refusal.is_none();
        if ready {
            (desk.seats[index].failures, desk.seats[index].failing_since) = (0, None);
            desk.settle(&self.control, &worker, left, ending);
            if matches!(left.phase, phase::RUNNING | phase::BLOCKED) {
                desk.told = Some(Instant::now());
            }
        } else {
            let killed = ending == Ending::Signalled(libc::SIGKILL) && worker.sentence.is_none();
            let error = refusal.unwrap_or_else(|| self.start_error(&worker, ending));
            let endurance = if killed { KILLED } else { BY_ITSELF };
            self.false_start(&mut desk, index, error, endurance);
        }
        remains::wipe(&self.control.head, desk.seats[index].cell(&self.control));
        desk.seats[index].predecessors += 1;
        desk.find_lost(&self.control);
        desk.serve_backlog(&self.control);
        let wanted = self.is_wanted(&desk);
        let seat = &mut desk.seats[index];
        if ready {
            seat.start = if wanted { Start::Due } else { Start::No };
        } else if wanted {
            seat.start_later();
        }
        drop(desk);
        self.after_change();
        // All that it sent has been taken: what it still held is nobody's.
        sweep::child_ended(worker.child.pid());
    }

    /// Wakes everybody whom a death may concern: a wake-up that the dead worker got is lost otherwise.
    pub(crate) fn after_change(&self) {
        if claim::has_work(&self.control) {
            self.control.head.worker_bed().wake(u32::MAX);
        }
        self.control.head.parent_bed().wake(u32::MAX);
        self.changed.notify_all();
    }

    fn start_error(&self, worker: &Worker, ending: Ending) -> Error {
        let kind = if self.config.initializer.is_some() {
            ErrorKind::Initializer
        } else {
            ErrorKind::Spawn
        };
        let error = match &worker.sentence {
            Some(sentence) => sentence.error(),
            None => Error::new(kind, "a worker ended before it was ready"),
        };
        blame(error.with_kind(kind), worker, ending)
    }

    /// Counts a start that failed. The pool gives up when no worker is ready and every seat has seen its starts fail, as often
    /// and as long as `endurance` says: a worker that is still starting elsewhere may yet do better.
    fn false_start(&self, desk: &mut Desk, index: usize, error: Error, endurance: Endurance) {
        let seat = &mut desk.seats[index];
        seat.failures += 1;
        let since = *seat.failing_since.get_or_insert_with(Instant::now);
        let ready = |seat: &Seat| {
            seat.worker.is_some() && seat.cell(&self.control).phase.load(Relaxed) != phase::STARTING
        };
        let all_failed = desk.seats.iter().all(|seat| seat.failures > 0 && !ready(seat));
        let failures: u32 = desk.seats.iter().map(|seat| seat.failures).sum();
        if all_failed && failures >= endurance.starts && since.elapsed() >= endurance.time {
            self.give_up(desk, error);
        }
    }

    /// The pool cannot go on: every job ends with `error`.
    pub(crate) fn give_up(&self, desk: &mut Desk, error: Error) {
        for (slot, id) in desk.job_slots() {
            desk.doom_job(&self.control, slot, id, &error);
        }
        desk.broken.get_or_insert(error);
        for worker in desk.seats.iter().filter_map(|seat| seat.worker.as_ref()) {
            worker.child.kill();
        }
    }

    /// Whether another worker is of use.
    pub(crate) fn is_wanted(&self, desk: &Desk) -> bool {
        let closing = self.control.head.closing.load(Relaxed) != 0;
        let wanted = !closing || desk.jobs().any(|job| job.accounted < job.fed || !job.input_over);
        desk.broken.is_none() && desk.stage != Stage::Terminated && wanted
    }

    /// Starts a worker in the place of one that has ended. On the starter's thread.
    pub(crate) fn refill(&self, index: usize) {
        if let Err(error) = self.start(index) {
            let mut desk = self.desk();
            self.false_start(&mut desk, index, error, BY_ITSELF);
            desk.seats[index].start_later();
        }
        self.after_change();
        // Where another start is due it can go on, and this worker has to be looked after.
        self.nudge();
    }
}

impl Seat {
    /// The longer the more starts have failed.
    fn start_later(&mut self) {
        let wait = FIRST_WAIT * 2_u32.pow(self.failures.saturating_sub(1).min(16));
        self.retry_at = Some(Instant::now() + wait.min(LONGEST_WAIT));
    }
}

impl Desk {
    /// Deals with the chunk that a dead worker had.
    fn settle(&mut self, control: &Control, worker: &Worker, remains: Remains, ending: Ending) {
        match remains.phase {
            phase::TAKING => self.suspect(remains.run, remains.chunk),
            phase::RUNNING | phase::BLOCKED => self.settle_chunk(control, worker, remains, ending),
            _ => {}
        }
    }

    fn settle_chunk(
        &mut self,
        control: &Control,
        worker: &Worker,
        remains: Remains,
        ending: Ending,
    ) {
        let tag = remains.run;
        let Some(run) = self.run(tag) else { return };
        let (first, end) = (remains.chunk.0.max(run.first), remains.chunk.1.min(run.written));
        self.salvage(worker, &remains);
        let Some(run) = self.run(tag) else { return };
        let open = run.unknown(first, end);
        // The first that is not finished is the one that ran.
        let Some(&(victim, _)) = open.first() else { return };
        self.settle_victim(control, worker, remains, ending, victim);
        for (from, to) in open {
            let from = if from == victim { victim + 1 } else { from };
            if from < to {
                self.again(control, tag, from, to);
            }
        }
    }

    /// Takes the results that were written and not posted; gives the items of which the next post would have been.
    pub(super) fn salvage(&mut self, worker: &Worker, left: &Remains) -> Option<(u32, u32)> {
        let run = self.run(left.run)?;
        let first = left.published.max(left.chunk.0).max(run.first);
        let progress = left.progress.min(left.chunk.1).min(run.written);
        let from = worker.taken_ahead(left.run).unwrap_or(0).max(first);
        if from >= progress {
            return None;
        }
        let stride = self.job_of(left.run)?.task.result_stride;
        let rest = worker.reader.payload(left.results_at, worker.reader.rest(left.results_at))?;
        let known = results_len(stride, &rest, (from - first) as usize)?;
        let len = results_len(stride, &rest, (progress - first) as usize)?;
        let payload =
            worker.reader.payload(left.results_at + known as u64, (len - known) as u64)?;
        self.take_results(left.run, from, progress, &payload, None).then_some((first, progress))
    }

    fn settle_victim(
        &mut self,
        control: &Control,
        worker: &Worker,
        remains: Remains,
        ending: Ending,
        victim: u32,
    ) {
        let error = match &worker.sentence {
            Some(sentence) => sentence.error(),
            None => Error::new(ErrorKind::WorkerDied, detail(remains, ending)),
        };
        let stopped = self.job_of(remains.run).is_some_and(|job| job.is_to_stop());
        let error = match self.job_of(remains.run).and_then(|job| job.doomed.clone()) {
            Some(doom) if matches!(worker.sentence, Some(Sentence::Cancelled) | None) => {
                doom.with_pid(worker.child.pid())
            }
            _ => blame(error, worker, ending),
        };
        let again = matches!(error.kind(), ErrorKind::WorkerDied | ErrorKind::TimedOut);
        if again && !stopped && self.may_retry(remains.run, victim) {
            self.again(control, remains.run, victim, victim + 1);
        } else {
            self.fail(remains.run, victim, &error);
        }
    }
}

fn detail(remains: Remains, ending: Ending) -> String {
    if remains.note == signals::STACK_OVERFLOW {
        return "its stack overflowed".to_owned();
    }
    match ending {
        Ending::Signalled(libc::SIGKILL) if oom::killed_somebody() => {
            "the kernel's OOM killer has ended a process of this cgroup".to_owned()
        }
        _ => String::new(),
    }
}

fn blame(error: Error, worker: &Worker, ending: Ending) -> Error {
    let error = error.with_pid(worker.child.pid());
    match ending {
        _ if worker.sentence.is_some() => error,
        Ending::Signalled(signal) => error.with_signal(signal),
        Ending::Exited(code) => error.with_exit_code(code),
        Ending::Lost => error,
    }
}
