//! Starting workers: what a new one is given, and how it finds it.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::time::Instant;

use super::Engine;
use super::desk::Stage;
use super::errands::SOCKET;
use super::seat::Worker;
use crate::board::outbox::{PART, Reader, SEGMENT, SMALLEST_SEGMENT};
use crate::child;
use crate::context;
use crate::error::{Error, ErrorKind};
use crate::message::{self, Hello, Role, Surroundings, WorkerHello};
use crate::shm::tree;
use crate::supervisor;
use crate::sys::memory::{self, Access};
use crate::sys::socket;
use crate::sys::spawn::{self, Start};
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

impl Engine {
    /// Starts a worker in an empty seat. Only on the supervisor's thread, and without the desk: the system takes milliseconds for
    /// it, more on a busy machine, and others need the desk for every result meanwhile.
    ///
    /// # Errors
    /// Kind `Spawn`.
    pub(crate) fn start(&self, index: usize) -> Result<(), Error> {
        let worker = self.start_watched(index);
        let mut desk = self.desk();
        let stopped = desk.broken.is_some() || desk.stage == Stage::Terminated;
        let seat = &mut desk.seats[index];
        seat.starting = false;
        let worker = worker?;
        if stopped {
            worker.child.kill();
        }
        (seat.retry_at, seat.worker) = (None, Some(worker));
        Ok(())
    }

    fn start_watched(&self, index: usize) -> Result<Worker, Error> {
        let worker = self.try_start(index).map_err(|error| error.with_kind(ErrorKind::Spawn))?;
        let ward = self.ward.get().copied().unwrap_or(0);
        let supervisor = supervisor::get()?;
        let watched = supervisor
            .watch(&worker.child, ward, index as u32)
            .and_then(|()| supervisor.watch(&worker.socket, ward, index as u32 | SOCKET));
        if let Err(error) = watched {
            supervisor.unwatch(&worker.child);
            worker.child.kill();
            worker.child.reap();
            return Err(error.with_kind(ErrorKind::Spawn));
        }
        Ok(worker)
    }

    fn try_start(&self, index: usize) -> Result<Worker, Error> {
        let (sizes, parts) = (SMALLEST_SEGMENT..=SEGMENT, PART * self.config.workers.max(1));
        let (results, map) = memory::create_mapped("pool-results", sizes, parts, Access::Read)?;
        let (ours, theirs) = socket::pair()?;
        let id = random::id()?;
        let hello = Hello {
            id,
            role: Role::Worker(WorkerHello {
                index,
                input_len: self.input.len(),
                results_len: map.len(),
                initializer: self.config.initializer.clone(),
                finalizer: self.config.finalizer.clone(),
                max_tasks: self.config.max_tasks,
                memory_limit: self.config.memory_limit,
            }),
            surroundings: Surroundings {
                name: format!("pool-worker-{index}"),
                ..self.surroundings()
            },
        };
        let descriptors =
            [tree::arena()?, self.control_file.as_fd(), self.input.file(), results.as_fd()];
        message::send(&ours, &hello, &descriptors)?;
        let start = Start {
            environment: child::environment(&self.changes(), id),
            title: &std::env::args_os().next().unwrap_or_default(),
            executable: self.config.executable.as_deref(),
        };
        let child = spawn::spawn(&start, &theirs.into())?;
        Ok(Worker {
            child,
            socket: ours,
            reader: Reader::new(map),
            started: Instant::now(),
            sentence: None,
            seen: None,
            refusal: None,
            leaving: None,
            kept: None,
            ahead: None,
        })
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
