//! How a pool is to be.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, OnceLock, Weak};
use std::time::Duration;

use super::background::Background;
use super::desk::Desk;
use super::feeding::Feeding;
use super::seat::Seat;
use super::{Engine, Here, Inner, Pool};
use crate::board::ControlMap;
use crate::board::input::Input;
use crate::board::layout::WORKERS;
use crate::context;
use crate::error::{Error, ErrorKind};
use crate::job::Baggage;
use crate::message::EncodedCall;
use crate::shm::tree;
use crate::supervisor::{self, Ward};
use crate::sys::{fork, memory, oom};
use crate::task::Call;

/// Configures a [`Pool`].
///
/// ```
/// use std::time::Duration;
/// use pool_runtime::prelude::*;
///
/// let pool = Pool::builder().workers(2).task_timeout(Duration::from_secs(5)).build()?;
/// assert_eq!(pool.workers(), 2);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder makes no pool until `build`"]
pub struct Builder {
    workers: Option<usize>,
    in_process: bool,
    error: Option<Error>,
    config: Config,
}

/// What does not change while a pool lives.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) workers: usize,
    pub(crate) initializer: Option<EncodedCall>,
    pub(crate) finalizer: Option<EncodedCall>,
    pub(crate) max_tasks: Option<u64>,
    pub(crate) task_timeout: Option<Duration>,
    pub(crate) start_timeout: Option<Duration>,
    pub(crate) retries: u32,
    pub(crate) memory_limit: Option<usize>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) nice: Option<i32>,
    pub(crate) cpus: Option<Vec<usize>>,
    pub(crate) executable: Option<PathBuf>,
    /// What the initializer and the finalizer name.
    pub(crate) baggage: Vec<Baggage>,
    /// An eighth of the machine's memory, in bytes.
    pub(crate) memory_eighth: usize,
}

impl Builder {
    /// How many workers, at least 1. If it is not said: as many as there are CPUs that this process may use; in a worker of
    /// another pool, its share of them.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Replaces a worker after it has run so many items, at least 1. None is lost or run twice.
    pub fn max_tasks_per_worker(mut self, items: u64) -> Self {
        self.config.max_tasks = Some(items);
        self
    }

    /// How long an item may run, from the start of the function to its end. Its worker is killed then, and the rest of its
    /// work goes on elsewhere.
    pub fn task_timeout(mut self, limit: Duration) -> Self {
        self.config.task_timeout = Some(limit);
        self
    }

    /// How long a worker may take from its start until its initializer has ended. 30 s if it is not said.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.config.start_timeout = Some(limit);
        self
    }

    /// How often an item is tried again whose worker died or that timed out.
    pub fn retries(mut self, retries: u32) -> Self {
        self.config.retries = retries;
        self
    }

    /// Bytes of private memory that a worker may have resident. The item that goes over fails as `MemoryLimit`; shared windows
    /// do not count. A worker that has grown by half of what is left to it is replaced between two items.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.config.memory_limit = Some(bytes);
        self
    }

    /// Sets a variable in the environment of the workers.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.config.environment.push((name.into(), value.into()));
        self
    }

    /// The working directory of the workers.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.directory = Some(directory.into());
        self
    }

    /// Added to the niceness of the workers.
    pub fn nice(mut self, increment: i32) -> Self {
        self.config.nice = Some(increment);
        self
    }

    /// The CPUs that the workers may use.
    pub fn cpu_affinity(mut self, cpus: impl IntoIterator<Item = usize>) -> Self {
        self.config.cpus = Some(cpus.into_iter().collect());
        self
    }

    /// An executable other than this program, which must register the same tasks.
    pub fn worker_exe(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.executable = Some(path.into());
        self
    }

    /// No workers at all: tasks run in the calling thread, through the same encoding. For debuggers, coverage and Miri.
    pub fn in_process(mut self) -> Self {
        self.in_process = true;
        self
    }

    /// A call that runs once in each worker before its first task. It fails if it panics, dies or gives an `Err`; after a few
    /// failures with none that went well, everything given to the pool fails with kind `Initializer`.
    pub fn initializer<R>(mut self, call: Call<R>) -> Self {
        self.config.initializer = self.encoded(&call);
        self
    }

    /// A call that runs once in each worker that ends in order.
    pub fn finalizer<R>(mut self, call: Call<R>) -> Self {
        self.config.finalizer = self.encoded(&call);
        self
    }

    /// Keeps the first failure for `build`.
    fn encoded<R>(&mut self, call: &Call<R>) -> Option<EncodedCall> {
        match EncodedCall::of(call) {
            Ok(encoded) => {
                self.config.baggage.push(call.baggage());
                Some(encoded)
            }
            Err(error) => {
                self.error.get_or_insert(error);
                None
            }
        }
    }

    /// Starts the workers, and waits for none of them.
    ///
    /// # Errors
    /// Kind `InvalidInput` for a number that can never be right, `Duplicate` when two tasks are given one name, `Spawn` when a
    /// process cannot be started (then those that were are gone again), `Encode` when a call's arguments could not be encoded.
    pub fn build(self) -> Result<Pool, Error> {
        crate::registry::check()?;
        let Self { workers, in_process, error, mut config } = self;
        if let Some(error) = error {
            return Err(error);
        }
        config.workers = workers.unwrap_or_else(context::default_workers);
        config.check()?;
        if in_process {
            if let Some(call) = &config.initializer {
                super::initialize(call)?;
            }
            let finalizer = std::sync::Mutex::new(config.finalizer);
            let here = Here { finalizer, ..Here::default() };
            return Ok(Pool::from_inner(Inner { engine: None, here }));
        }
        config.memory_eighth = memory::total() / 8;
        oom::remember();
        let engine = Engine::launch(config)?;
        Ok(Pool::from_inner(Inner { engine: Some(engine), here: Here::default() }))
    }
}

impl Config {
    fn check(&self) -> Result<(), Error> {
        let wrong = |text: String| Err(Error::new(ErrorKind::InvalidInput, text));
        match self {
            Self { workers: 0, .. } => wrong("a pool needs at least one worker".to_owned()),
            Self { workers, .. } if *workers > WORKERS => {
                wrong(format!("a pool has at most {WORKERS} workers, not {workers}"))
            }
            Self { max_tasks: Some(0), .. } => {
                wrong("a worker that may run no item is of no use".to_owned())
            }
            Self { memory_limit: Some(0), .. } => {
                wrong("a worker cannot run in no memory".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Engine {
    fn launch(config: Config) -> Result<Arc<Self>, Error> {
        // Where addresses are limited, the segments of a pool are parts of what the arena leaves.
        tree::arena().map_err(|error| error.with_kind(ErrorKind::Spawn))?;
        let control_file = memory::create("pool-control", ControlMap::LEN)?;
        let control = ControlMap::new(std::os::fd::AsFd::as_fd(&control_file))?;
        let mut desk = Desk::new();
        desk.seats = (0..config.workers).map(Seat::new).collect();
        control.head.target.store(u64::MAX, std::sync::atomic::Ordering::Relaxed);
        let engine = Arc::new(Self {
            creator: fork::generation(),
            control,
            control_file,
            input: Input::new()?,
            config,
            desk: Mutex::new(desk),
            changed: Condvar::new(),
            background: Background::default(),
            feeding: Feeding::default(),
            ward: OnceLock::new(),
            jobs: AtomicU64::new(1),
        });
        let supervisor = supervisor::get()?;
        let ward: Weak<dyn Ward> = Arc::downgrade(&(Arc::clone(&engine) as Arc<dyn Ward>));
        let ward = supervisor.adopt(ward);
        let _ = engine.ward.set(ward);
        let starting = Arc::clone(&engine);
        let started = supervisor.starter.run(move || starting.start_all()).flatten();
        // On failure the engine is dropped here, and with it the workers that were started.
        started.inspect_err(|_| supervisor.let_go(ward))?;
        Ok(engine)
    }

    fn start_all(&self) -> Result<(), Error> {
        (0..self.config.workers).try_for_each(|index| self.start(index))
    }
}
