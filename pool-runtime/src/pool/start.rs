//! Starting workers: what a new one is given, and how it finds it.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::MutexGuard;
use std::time::Instant;

use super::Engine;
use super::desk::{Desk, Stage};
use super::errands::SOCKET;
use super::seat::{Start, Worker};
use super::unsent::Unsent;
use crate::board::outbox::{PART, Reader, SEGMENT, SMALLEST_SEGMENT};
use crate::child;
use crate::context;
use crate::error::{Error, ErrorKind};
use crate::message::{Hello, Packed, Role, Surroundings, WorkerHello};
use crate::shm::tree;
use crate::supervisor;
use crate::sys::memory::{self, Access};
use crate::sys::socket;
use crate::sys::spawn;
use crate::sys::{cpus, random};

/// How many threads the libraries in a worker may start, by the names they ask the environment for.
const THREAD_COUNTS: [&str; 7] = [
    "RAYON_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
];

/// What a new worker is told, with the segment for its results.
struct Greeting {
    hello: Packed,
    results: OwnedFd,
}

impl Engine {
    /// Starts a worker in an empty seat. Only on the starter's thread, and mostly without the desk: others need it for every
    /// result, and the system takes milliseconds for a process, more on a busy machine.
    ///
    /// # Errors
    /// Kind `Spawn`.
    pub(crate) fn start(&self, index: usize) -> Result<(), Error> {
        let spawned = self.spawn_worker(index);
        let mut desk = self.desk();
        desk.seats[index].start = Start::No;
        let seated =
            spawned.and_then(|(worker, greeting)| self.seat(desk, index, worker, &greeting));
        seated.map_err(|error| error.with_kind(ErrorKind::Spawn))
    }

    /// A worker hears what it is to do only when its end will be noticed: one that could not be watched has taken no work with it.
    fn seat(
        &self,
        mut desk: MutexGuard<'_, Desk>,
        index: usize,
        worker: Worker,
        greeting: &Greeting,
    ) -> Result<(), Error> {
        let watched = self.watch(&worker, index);
        if let Err(error) = watched.and_then(|()| self.greet(&worker, greeting)) {
            drop(desk);
            worker.put_down();
            return Err(error);
        }
        if desk.broken.is_some() || desk.stage == Stage::Terminated {
            worker.child.kill();
        }
        let seat = &mut desk.seats[index];
        (seat.retry_at, seat.worker) = (None, Some(worker));
        Ok(())
    }

    fn watch(&self, worker: &Worker, index: usize) -> Result<(), Error> {
        let ward = self.ward.get().copied().unwrap_or(0);
        let supervisor = supervisor::get()?;
        supervisor.watch(&worker.child, ward, index as u32)?;
        supervisor.watch(&worker.socket, ward, index as u32 | SOCKET)
    }

    fn greet(&self, worker: &Worker, greeting: &Greeting) -> Result<(), Error> {
        let results = greeting.results.as_fd();
        let descriptors = [tree::arena()?, self.control_file.as_fd(), self.input.file(), results];
        match greeting.hello.send(&worker.socket, &descriptors) {
            // It has ended, or closed its end: the watch sees to it, or the limit of its start.
            Err(error) if error.kind() == ErrorKind::Disconnected => Ok(()),
            sent => sent,
        }
    }

    fn spawn_worker(&self, index: usize) -> Result<(Worker, Greeting), Error> {
        let (sizes, parts) = (SMALLEST_SEGMENT..=SEGMENT, PART * self.config.workers.max(1));
        let (results, map) = memory::create_mapped("pool-results", sizes, parts, Access::Read)?;
        let (ours, theirs) = socket::pair()?;
        let id = random::id()?;
        let hello = Packed::new(&self.hello(id, index, map.len()))?;
        let start = spawn::Start {
            environment: child::environment(&self.changes(), id),
            title: &std::env::args_os().next().unwrap_or_default(),
            executable: self.config.executable.as_deref(),
        };
        let child = spawn::spawn(&start, &theirs.into())?;
        let worker = Worker {
            child,
            socket: ours,
            reader: Reader::new(map),
            started: Instant::now(),
            sentence: None,
            seen: None,
            unsent: Unsent::default(),
            refusal: None,
            leaving: None,
            kept: None,
            ahead: None,
        };
        Ok((worker, Greeting { hello, results }))
    }

    fn hello(&self, id: u128, index: usize, results_len: usize) -> Hello {
        Hello {
            id,
            role: Role::Worker(WorkerHello {
                index,
                input_len: self.input.len(),
                results_len,
                initializer: self.config.initializer.clone(),
                finalizer: self.config.finalizer.clone(),
                max_tasks: self.config.max_tasks,
                memory_limit: self.config.memory_limit,
            }),
            surroundings: Surroundings {
                name: format!("pool-worker-{index}"),
                ..self.surroundings()
            },
        }
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            directory: self.config.directory.clone(),
            nice: self.config.nice,
            cpus: self.config.cpus.clone(),
            default_workers: self.threads_each(),
            name: String::new(),
            parent_name: context::name().to_owned(),
        }
    }

    /// CPUs for each worker.
    fn threads_each(&self) -> usize {
        (cpus::available() / self.config.workers.max(1)).max(1)
    }

    fn changes(&self) -> Vec<(OsString, OsString)> {
        let count = OsString::from(self.threads_each().to_string());
        let unset = THREAD_COUNTS.into_iter().filter(|name| std::env::var_os(name).is_none());
        unset
            .map(|name| (name.into(), count.clone()))
            .chain(self.config.environment.iter().cloned())
            .collect()
    }
}

impl Worker {
    /// Ends one that nobody waits for.
    pub(super) fn put_down(self) {
        if let Ok(supervisor) = supervisor::get() {
            supervisor.unwatch(&self.child);
            supervisor.unwatch(&self.socket);
        }
        self.child.kill();
        self.child.reap();
    }
}
