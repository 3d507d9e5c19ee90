//! Where callbacks run: on threads of their own, for they may wait for anything, also for other results of their pool and for
//! its end. A thread that has nothing to do stays a while for the next.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Engine;

type Errand = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Waiting {
    errands: VecDeque<Errand>,
    idle: usize,
}

static WAITING: Mutex<Waiting> = Mutex::new(Waiting { errands: VecDeque::new(), idle: 0 });
static CALLED: Condvar = Condvar::new();

/// How long a thread with nothing to do stays.
const STAY: Duration = Duration::from_secs(1);

fn waiting() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `errand` done soon, whatever the others wait for.
pub(super) fn run(errand: impl FnOnce() + Send + 'static) {
    let mut all = waiting();
    all.errands.push_back(Box::new(errand));
    if all.idle >= all.errands.len() {
        CALLED.notify_one();
        return;
    }
    drop(all);
    let thread = std::thread::Builder::new().name("pool-callback".to_owned()).spawn(serve);
    // With no thread to be had, it is done here: late, but not never.
    if thread.is_err()
        && let Some(errand) = { waiting().errands.pop_front() }
    {
        errand();
    }
}

fn serve() {
    let mut all = waiting();
    loop {
        while let Some(errand) = all.errands.pop_front() {
            drop(all);
            errand();
            all = waiting();
        }
        all.idle += 1;
        let (again, timeout) =
            CALLED.wait_timeout(all, STAY).unwrap_or_else(PoisonError::into_inner);
        all = again;
        all.idle -= 1;
        if timeout.timed_out() && all.errands.is_empty() {
            return;
        }
    }
}

thread_local! {
    /// The pool of whose unfinished jobs this thread does the last part, by its address; 0 for none.
    static CARRIES: Cell<usize> = const { Cell::new(0) };
}

impl Engine {
    /// Does the last part of a job: code of the user's that may wait for this pool, and so for all its jobs but this one.
    pub(super) fn carry(self: &Arc<Self>, last: impl FnOnce()) {
        let before = CARRIES.replace(Arc::as_ptr(self).addr());
        last();
        CARRIES.set(before);
        self.one_finished();
    }

    /// Whether jobs are left to be waited for. Jobs whose last part waits itself are not, for another that does.
    pub(super) fn has_unfinished(&self) -> bool {
        let background = &self.background;
        let waived =
            if self.is_carried_here() { background.waiting.load(Ordering::Acquire) } else { 0 };
        background.unfinished.load(Ordering::Acquire) > waived
    }

    fn is_carried_here(&self) -> bool {
        CARRIES.get() == std::ptr::from_ref(self).addr()
    }

    /// Waits by `wait` for the end of all jobs.
    pub(super) fn while_waiting(&self, wait: impl FnOnce()) {
        let inside = u64::from(self.is_carried_here());
        self.background.waiting.fetch_add(inside, Ordering::AcqRel);
        wait();
        self.background.waiting.fetch_sub(inside, Ordering::AcqRel);
    }
}
