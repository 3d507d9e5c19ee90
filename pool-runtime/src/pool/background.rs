//! Jobs that go on without their caller. A job over an input has a thread of its own, for its input may wait; calls of one
//! item, whose arguments are encoded already, share one.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::{Engine, Inner, Received, Running, Turn};
use crate::error::{Error, ErrorKind};
use crate::job::{Finish, JobSpec, Source};
use crate::unwind;

/// What the engine knows of its background jobs.
#[derive(Debug, Default)]
pub(crate) struct Background {
    /// To the shared thread, once there is one. It ends when this does.
    to_thread: Mutex<Option<Sender<Single>>>,
    arrivals: AtomicU64,
    /// Jobs that have not been finished, of either kind.
    pub(crate) unfinished: AtomicU64,
    /// Callbacks of such jobs that wait for all others.
    joining: AtomicU64,
}

thread_local! {
    /// Whose job this thread finishes, calling its callback.
    static FINISHING: Cell<*const Engine> = const { Cell::new(std::ptr::null()) };
}

type Ending = (Box<dyn Finish>, Result<(), Error>, Received);

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
        if !engine.is_ours() {
            return;
        }
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
        mut sink: Box<dyn Finish>,
    ) -> Result<JobHandle, Error> {
        let running = Running::start(self, spec)?;
        let ticket = running.ticket();
        let Some(engine) = &self.engine else {
            sink.read_at_once();
            let result = run_to_end(running, source, &mut *sink);
            sink.finish(result, Received::default());
            return Ok(JobHandle { engine: Weak::new(), ticket });
        };
        let handle = JobHandle { engine: Arc::downgrade(engine), ticket };
        engine.background.unfinished.fetch_add(1, Ordering::AcqRel);
        let submitted = if source.is_ready() {
            engine.submit_single(Single { running, source, sink, fed: false })
        } else {
            engine.submit_many(running, source, sink)
        };
        if submitted.is_err() {
            engine.one_finished();
        }
        submitted.map(|()| handle)
    }
}

fn run_to_end(
    mut running: Running,
    mut source: Box<dyn Source + Send>,
    sink: &mut dyn Finish,
) -> Result<(), Error> {
    let result = unwind::catch(|| {
        loop {
            match running.turn(&mut *source, sink, u64::MAX) {
                Ok(Turn::Again) if !sink.is_settled() => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    });
    running.abandon();
    // What is left of the input is the user's, and so is its end.
    let dropped = unwind::catch(|| drop(source));
    result
        .and_then(|result| dropped.map(|()| result))
        .unwrap_or_else(|panic| Err(Error::panicked(panic)))
}

impl Engine {
    fn submit_many(
        self: &Arc<Self>,
        running: Running,
        source: Box<dyn Source + Send>,
        mut sink: Box<dyn Finish>,
    ) -> Result<(), Error> {
        let engine = Arc::clone(self);
        let body = move || {
            let result = run_to_end(running, source, &mut *sink);
            engine.finish((sink, result, Received::default()));
        };
        let thread = std::thread::Builder::new().name("pool-job".to_owned()).spawn(body);
        thread.map(drop).map_err(|error| {
            Error::new(ErrorKind::Spawn, format!("starting a thread for the job: {error}"))
        })
    }

    /// Makes the result of a job known. The callback is the user's, and so are a waker and the drop of a result that nobody wants:
    /// if one of them panics, the job has ended all the same.
    fn finish(&self, (sink, result, along): Ending) {
        let outer = FINISHING.replace(self);
        if let Err(panic) = unwind::catch(|| sink.finish(result, along)) {
            eprintln!("the end of a job of a pool panicked: {}", Error::panicked(panic));
        }
        FINISHING.set(outer);
        self.one_finished();
    }

    fn one_finished(&self) {
        self.background.unfinished.fetch_sub(1, Ordering::AcqRel);
        drop(self.desk());
        self.changed.notify_all();
    }

    /// Calls `wait` with what says whether every background job has been finished, but for those whose callbacks wait for that
    /// themselves, as this thread's perhaps does.
    pub(crate) fn while_joining<R>(&self, wait: impl FnOnce(&dyn Fn() -> bool) -> R) -> R {
        let background = &self.background;
        let own = u64::from(std::ptr::eq(FINISHING.get(), self));
        background.joining.fetch_add(own, Ordering::AcqRel);
        let result = wait(&|| {
            let others = background.joining.load(Ordering::Acquire);
            background.unfinished.load(Ordering::Acquire) <= others
        });
        background.joining.fetch_sub(own, Ordering::AcqRel);
        result
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

    /// Ends a call. If that calls a callback, on a thread of its own: the callback may wait for other calls, which this thread
    /// serves.
    fn settle(self: &Arc<Self>, single: Single, result: Result<(), Error>) {
        let Single { mut running, source, sink, .. } = single;
        let along = running.take_received();
        running.abandon();
        let dropped = unwind::catch(|| drop(source));
        let result = dropped.map_err(Error::panicked).and(result);
        if !sink.calls_back() {
            return self.finish((sink, result, along));
        }
        let ending = Arc::new(Mutex::new(Some((sink, result, along))));
        let (engine, shared) = (Arc::clone(self), Arc::clone(&ending));
        let thread = std::thread::Builder::new()
            .name("pool-callback".to_owned())
            .spawn(move || engine.finish_once(&shared));
        if thread.is_err() {
            self.finish_once(&ending);
        }
    }

    fn finish_once(&self, ending: &Mutex<Option<Ending>>) {
        let ending = ending.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ending) = ending {
            self.finish(ending);
        }
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
            let turn = unwind::catch(|| self.running.poll(&mut *self.source, &mut *self.sink));
            match turn.unwrap_or_else(|panic| Err(Error::panicked(panic))) {
                Ok(Some(Turn::Again)) if !self.sink.is_settled() => {
                    self.fed = self.running.has_fed()
                }
                Ok(Some(_)) => return Some(Ok(())),
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The longest sleep of the shared thread while calls are out.
const SLEEP: Duration = Duration::from_millis(100);

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
            let Some(engine) = self.engine.upgrade() else { return };
            self.accept(&engine, single);
            while !self.singles.is_empty() {
                self.round(&engine);
            }
        }
    }

    fn next_call(&self) -> Option<Single> {
        self.receiver.recv().ok()
    }

    /// Takes a call, and looks at it at once: what came for it before it came here was noticed while nobody knew it.
    fn accept(&mut self, engine: &Arc<Engine>, single: Single) {
        let Some(ticket) = single.running.ticket() else { return };
        if !single.fed {
            self.unfed.push_back(ticket);
        }
        self.singles.insert(ticket, single);
        self.poll(engine, ticket);
    }

    fn round(&mut self, engine: &Arc<Engine>) {
        let arrivals = engine.background.arrivals.load(Ordering::Acquire);
        while let Ok(single) = self.receiver.try_recv() {
            self.accept(engine, single);
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
                engine.background.arrivals.load(Ordering::Acquire) != arrivals
                    || engine.has_notices()
            };
            engine.await_posts(1, SLEEP, ready);
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
