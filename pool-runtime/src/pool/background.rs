//! Jobs that go on without their caller. A job over an input has a thread of its own, for its input may wait; calls of one
//! item, whose arguments are encoded already, share one.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::{Engine, Inner, Running, Turn};
use crate::error::{Error, ErrorKind};
use crate::job::{Finish, JobSpec, Sink, Source};

/// What the engine knows of its background jobs.
#[derive(Debug, Default)]
pub(crate) struct Background {
    /// To the shared thread, once there is one. It ends when this does.
    to_thread: Mutex<Option<Sender<Single>>>,
    arrivals: AtomicU64,
    /// Jobs that have not been finished, of either kind.
    pub(crate) unfinished: AtomicU64,
}

/// A call of one item.
struct Single {
    running: Running,
    source: Box<dyn Source + Send>,
    sink: Box<dyn Finish>,
    /// Its item is on the board.
    fed: bool,
}

impl std::fmt::Debug for Single {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Single").field("running", &self.running).finish_non_exhaustive()
    }
}

/// A job that goes on without its caller.
#[derive(Clone, Debug)]
pub(crate) struct JobHandle {
    engine: Weak<Engine>,
    ticket: Option<(usize, u64)>,
}

impl JobHandle {
    /// Ends the job: its items that have not ended become `Cancelled`, also those that run.
    pub(crate) fn cancel(&self) {
        let (Some(engine), Some((slot, id))) = (self.engine.upgrade(), self.ticket) else { return };
        engine.desk().doom_job(
            &engine.control,
            slot,
            id,
            &Error::new(ErrorKind::Cancelled, "the caller cancelled it"),
        );
        engine.nudge();
        engine.control.head.parent_bed().wake(u32::MAX);
    }
}

impl Inner {
    /// Starts a job that goes on without its caller.
    ///
    /// # Errors
    /// As for [`Running::start`], and kind `Spawn` when there can be no thread for it.
    pub(crate) fn submit(
        self: &Arc<Self>,
        spec: JobSpec,
        source: Box<dyn Source + Send>,
        sink: Box<dyn Finish>,
    ) -> Result<JobHandle, Error> {
        let running = Running::start(self, spec)?;
        let ticket = running.ticket();
        let Some(engine) = &self.engine else {
            run_to_end(running, source, sink);
            return Ok(JobHandle { engine: Weak::new(), ticket });
        };
        let handle = JobHandle { engine: Arc::downgrade(engine), ticket };
        engine.background.unfinished.fetch_add(1, Ordering::AcqRel);
        if source.size_hint() == (1, Some(1)) {
            engine.submit_single(Single { running, source, sink, fed: false })?;
        } else {
            let engine = Arc::clone(engine);
            let body = move || {
                run_to_end(running, source, sink);
                engine.one_finished();
            };
            let thread = std::thread::Builder::new().name("pool-job".to_owned()).spawn(body);
            thread.map_err(|error| {
                Error::new(ErrorKind::Spawn, format!("starting a thread for the job: {error}"))
            })?;
        }
        Ok(handle)
    }
}

fn run_to_end(mut running: Running, mut source: Box<dyn Source + Send>, mut sink: Box<dyn Finish>) {
    let result = crate::unwind::catch(|| {
        loop {
            match running.turn(&mut *source, &mut *sink, u64::MAX) {
                Ok(Turn::Again) if !sink.is_settled() => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    });
    running.abandon();
    sink.finish(result.unwrap_or_else(|panic| Err(Error::panicked(panic))));
}

impl Engine {
    fn one_finished(&self) {
        self.background.unfinished.fetch_sub(1, Ordering::AcqRel);
        drop(self.desk());
        self.changed.notify_all();
    }

    fn submit_single(self: &Arc<Self>, mut single: Single) -> Result<(), Error> {
        if let Some((slot, id)) = single.running.ticket()
            && let Some(job) = self.desk().job(slot, id)
        {
            job.background = true;
        }
        // Feeds the one item here, so that it need not wait for a thread to wake.
        match single.poll() {
            Some(result) => self.settle(single, result),
            None => {
                self.sender()?
                    .send(single)
                    .map_err(|_| Error::new(ErrorKind::Spawn, "the pool's thread has ended"))?;
                self.background.arrivals.fetch_add(1, Ordering::Release);
                self.control.head.parent_bed().wake(u32::MAX);
            }
        }
        Ok(())
    }

    fn settle(&self, single: Single, result: Result<(), Error>) {
        single.running.abandon();
        single.sink.finish(result);
        self.one_finished();
    }

    /// The way to the shared thread, which the first call starts.
    fn sender(self: &Arc<Self>) -> Result<Sender<Single>, Error> {
        let mut to_thread =
            self.background.to_thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*to_thread {
            return Ok(sender.clone());
        }
        let (sender, receiver) = mpsc::channel();
        let engine = Arc::downgrade(self);
        std::thread::Builder::new()
            .name("pool-background".to_owned())
            .spawn(move || {
                Shared { engine, receiver, singles: HashMap::new(), unfed: VecDeque::new() }.serve()
            })
            .map_err(|error| {
                Error::new(ErrorKind::Spawn, format!("starting the pool's thread: {error}"))
            })?;
        *to_thread = Some(sender.clone());
        Ok(sender)
    }
}

impl Single {
    /// Does what there is to do; gives the end, if this is it.
    fn poll(&mut self) -> Option<Result<(), Error>> {
        loop {
            match self.running.poll(&mut *self.source, &mut *self.sink) {
                Ok(Some(Turn::Again)) if !self.sink.is_settled() => self.fed = true,
                Ok(Some(_)) => return Some(Ok(())),
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The thread that all calls of one item share.
struct Shared {
    engine: Weak<Engine>,
    receiver: Receiver<Single>,
    /// By slot and id.
    singles: HashMap<(usize, u64), Single>,
    /// Those whose item is not on the board yet, oldest first.
    unfed: VecDeque<(usize, u64)>,
}

impl Shared {
    fn serve(&mut self) {
        // With nothing to do it sleeps for good, and holds nothing; it wakes when a call comes, and ends with the engine.
        while let Some(single) = self.next_call() {
            self.accept(single);
            let Some(engine) = self.engine.upgrade() else { return };
            while !self.singles.is_empty() {
                self.round(&engine);
            }
        }
    }

    fn next_call(&self) -> Option<Single> {
        self.receiver.recv().ok()
    }

    fn accept(&mut self, single: Single) {
        let Some(ticket) = single.running.ticket() else { return };
        if !single.fed {
            self.unfed.push_back(ticket);
        }
        self.singles.insert(ticket, single);
    }

    fn round(&mut self, engine: &Arc<Engine>) {
        let arrivals = engine.background.arrivals.load(Ordering::Acquire);
        while let Ok(single) = self.receiver.try_recv() {
            self.accept(single);
        }
        let (noticed, broken) = engine.notices();
        let noticed = if broken { self.singles.keys().copied().collect() } else { noticed };
        let moved = !noticed.is_empty();
        for ticket in noticed {
            self.poll(engine, ticket);
        }
        let fed = self.feed(engine);
        if !moved && !fed {
            let ready = || {
                engine.background.arrivals.load(Ordering::Acquire) != arrivals || engine.has_posts()
            };
            engine.control.head.await_posts(1, Duration::from_millis(100), ready);
        }
    }

    fn feed(&mut self, engine: &Arc<Engine>) -> bool {
        let mut moved = false;
        while let Some(&ticket) = self.unfed.front() {
            self.poll(engine, ticket);
            if self.singles.get(&ticket).is_some_and(|single| !single.fed) {
                break;
            }
            moved = true;
            self.unfed.pop_front();
        }
        moved
    }

    fn poll(&mut self, engine: &Arc<Engine>, ticket: (usize, u64)) {
        if let Some(single) = self.singles.get_mut(&ticket)
            && let Some(result) = single.poll()
            && let Some(single) = self.singles.remove(&ticket)
        {
            engine.settle(single, result);
        }
    }
}
