//! The thread of a process that starts its children, one after the other.
//!
//! It lives as long as the process: children take the death of the thread that started them for the death of their parent,
//! so no thread that may end must ever start one. And it does nothing else: a start takes milliseconds, on a busy machine
//! many, in which the supervisor has to hear of deaths.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use crate::error::{Error, ErrorKind};
use crate::unwind;

type Work = Box<dyn FnOnce() + Send>;

/// For whom the starter works: the number of a ward of the supervisor's.
#[derive(Default)]
struct Working {
    now_for: Mutex<Option<u32>>,
    changed: Condvar,
}

/// The starter of this process.
pub(crate) struct Starter {
    work: Sender<(Option<u32>, Work)>,
    working: Arc<Working>,
    thread: ThreadId,
}

impl Starter {
    /// # Errors
    /// Kind `Spawn` when its thread cannot be made.
    pub(crate) fn new() -> Result<Self, Error> {
        let (work, take) = mpsc::channel();
        let working = Arc::<Working>::default();
        let tells = Arc::clone(&working);
        let thread = std::thread::Builder::new()
            .name("pool-starter".to_owned())
            .spawn(move || run(&take, &tells))
            .map_err(|error| {
                Error::new(ErrorKind::Spawn, format!("starting the starter's thread: {error}"))
            })?;
        Ok(Self { work, working, thread: thread.thread().id() })
    }

    /// Has `work` done soon, for this ward.
    pub(crate) fn run_soon(&self, ward: u32, work: impl FnOnce() + Send + 'static) {
        self.send(Some(ward), work);
    }

    fn send(&self, ward: Option<u32>, work: impl FnOnce() + Send + 'static) {
        // Its thread lives as long as the process.
        let _ = self.work.send((ward, Box::new(work)));
    }

    /// Has `work` done, and waits for what comes of it. Not to be called by work.
    ///
    /// # Errors
    /// Kind `Spawn` when the work panicked.
    pub(crate) fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Error> {
        let (give, take) = mpsc::channel();
        self.send(None, move || {
            if let Ok(result) = unwind::catch(work) {
                let _ = give.send(result);
            }
        });
        take.recv().map_err(|_| Error::new(ErrorKind::Spawn, "the starter could not do its work"))
    }

    /// Waits while work is done for that ward: what the work owned is let go of then.
    pub(crate) fn finish(&self, ward: u32) {
        if self.thread == std::thread::current().id() {
            return;
        }
        let theirs = |now_for: &mut Option<u32>| *now_for == Some(ward);
        let waited = self.working.changed.wait_while(self.working.lock(), theirs);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

fn run(take: &Receiver<(Option<u32>, Work)>, working: &Working) {
    for (ward, work) in take {
        working.is_for(ward);
        // An error of ours in that must not take the thread down: every child would die with it.
        if let Err(panic) = unwind::catch(work) {
            eprintln!("the starter of the pools panicked: {}", Error::panicked(panic));
        }
        working.is_for(None);
    }
}

impl Working {
    fn lock(&self) -> MutexGuard<'_, Option<u32>> {
        self.now_for.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_for(&self, ward: Option<u32>) {
        *self.lock() = ward;
        self.changed.notify_all();
    }
}
