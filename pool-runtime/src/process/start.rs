//! Starting a process.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::family;
use super::handle::{Life, Process, State};
use crate::child;
use crate::context;
use crate::error::{Error, ErrorKind};
use crate::luggage;
use crate::message::{self, Hello, ProcessHello, Role, Surroundings};
use crate::registry;
use crate::shm::tree;
use crate::supervisor::{self, Ward};
use crate::sys::spawn::{self, Start};
use crate::sys::{random, socket};
use crate::task::Call;
use crate::wire::{self, Bytes, NO_READER};

/// A process to be configured, from [`Process::builder`].
#[derive(Clone, Debug, Default)]
pub struct ProcessBuilder {
    name: Option<String>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
}

impl Process<()> {
    /// A process to be configured.
    ///
    /// ```standalone_crate
    /// use pool_runtime::prelude::*;
    ///
    /// #[pool_task]
    /// fn who() -> String { current_process().name().to_owned() }
    ///
    /// # fn main() -> Result<(), pool_runtime::Error> {
    /// let process = Process::builder().name("reader").spawn(task!(who()))?;
    /// assert_eq!(process.join()?, "reader");
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> ProcessBuilder {
        ProcessBuilder::default()
    }
}

impl ProcessBuilder {
    /// What it is called, in place of a name after its place in the tree.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets a variable of its environment, which is this process's otherwise.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The directory that it works in, in place of this process's.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// As for [`Process::spawn`].
    pub fn spawn<R>(self, mut call: Call<R>) -> Result<Process<R>, Error> {
        registry::check()?;
        let task = call.task()?;
        let started = self.start(task.id().0, call.bytes()?, call.luggage()?);
        let life = started.map_err(|error| as_spawn(error).with_task(task.name))?;
        // A connection that went along must not stay open here.
        life.keep(call.forget_arguments());
        Ok(Process::new(life, call))
    }

    fn start(
        self,
        task: u64,
        arguments: &[u8],
        luggage: Vec<std::os::fd::OwnedFd>,
    ) -> Result<Arc<Life>, Error> {
        let number = next_number();
        let place = format!("{}{number}", context::prefix());
        let name = self.name.unwrap_or_else(|| place.clone());
        let (ours, theirs) = socket::pair()?;
        let id = random::id()?;
        let hello = Hello {
            id,
            role: Role::Process(ProcessHello { task, prefix: format!("{place}:") }),
            surroundings: Surroundings {
                directory: self.directory,
                nice: None,
                cpus: None,
                default_workers: context::default_workers(),
                name: name.clone(),
                parent_name: context::name().to_owned(),
            },
        };
        // Both are there before the child is, so that it never waits for them.
        message::send(&ours, &hello, &[tree::arena()?.as_fd()])?;
        wire::send(&ours, 0, luggage, &Bytes(arguments), NO_READER)?;
        let environment = child::environment(&self.environment, id);
        supervisor::get()?.starter.run(move || {
            let title = std::env::args_os().next().unwrap_or_default();
            let start = Start { environment, title: &title, executable: None };
            let child = spawn::spawn(&start, &theirs.into())?;
            let creator = std::process::id();
            look_after(Life {
                creator,
                name,
                child,
                socket: ours,
                state: Mutex::new(State::default()),
            })
        })?
    }
}

/// Has the supervisor watch the child's end.
fn look_after(life: Life) -> Result<Arc<Life>, Error> {
    let life = Arc::new(life);
    let supervisor = supervisor::get()?;
    let weak: Weak<dyn Ward> = Arc::downgrade(&life) as Weak<dyn Ward>;
    let ward = supervisor.adopt(weak);
    life.state().ward = ward;
    family::remember(ward, &life);
    // Where its end cannot be watched it is ended at once, with `Life`; it may have begun by then.
    supervisor.watch(&life.child, ward, 0)?;
    Ok(life)
}

fn as_spawn(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Disconnected => error.with_kind(ErrorKind::Spawn),
        _ => error,
    }
}

fn next_number() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The number of descriptors that the arguments may take along is checked where they are handed in.
const _: () = assert!(luggage::MOST < socket::DESCRIPTORS);
