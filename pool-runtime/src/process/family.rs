//! Who is whose: this process, its parent, its children.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::handle::Life;
use crate::context;
use crate::error::{Error, ErrorKind};
use crate::sys::process::{self, Child};
use crate::sys::watch;

/// A process of the tree, without its result: from [`current_process`], [`parent_process`] and [`active_children`].
///
/// ```
/// use pool_runtime::current_process;
///
/// let here = current_process();
/// assert_eq!(here.pid(), std::process::id());
/// assert!(here.is_alive());
/// ```
#[derive(Clone, Debug)]
pub struct ProcessHandle(Kin);

#[derive(Clone, Debug)]
enum Kin {
    Myself,
    Parent { pid: u32, name: &'static str },
    Child(Arc<Life>),
}

impl ProcessHandle {
    pub(super) fn child(life: Arc<Life>) -> Self {
        Self(Kin::Child(life))
    }

    /// What it is called: `main` for the first process of a tree, `Process-1:2` for the second child of that one's first.
    pub fn name(&self) -> &str {
        match &self.0 {
            Kin::Myself => context::name(),
            Kin::Parent { name, .. } => name,
            Kin::Child(life) => &life.name,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        match &self.0 {
            Kin::Myself => std::process::id(),
            Kin::Parent { pid, .. } => *pid,
            Kin::Child(life) => life.child.pid(),
        }
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&self) -> bool {
        match &self.0 {
            Kin::Myself => true,
            Kin::Parent { pid, .. } => {
                parent(*pid).is_some_and(|parent| !watch::readable(parent, Some(Instant::now())))
            }
            Kin::Child(life) => life.ending().is_none(),
        }
    }

    /// The code it left with, `-n` when signal `n` ended it; `None` while it is alive, and for a parent.
    pub fn exit_code(&self) -> Option<i32> {
        match &self.0 {
            Kin::Child(life) => life.exit_code(),
            _ => None,
        }
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Kind `Deadlock` for the process itself.
    pub fn join(&self) -> Result<(), Error> {
        self.wait(None).map(drop)
    }

    /// As [`join`](Self::join), but no longer than `timeout`.
    ///
    /// # Errors
    /// Kind `TimedOut` when it has not ended yet, `Deadlock` for the process itself.
    pub fn join_timeout(&self, timeout: Duration) -> Result<(), Error> {
        if self.wait(Some(timeout))? {
            return Ok(());
        }
        let error = Error::new(ErrorKind::TimedOut, "the process has not ended yet");
        Err(error.with_pid(self.pid()))
    }

    fn wait(&self, limit: Option<Duration>) -> Result<bool, Error> {
        match &self.0 {
            Kin::Myself => Err(Error::new(ErrorKind::Deadlock, "a process waits for its own end")),
            Kin::Parent { pid, .. } => {
                let end = limit.and_then(|limit| Instant::now().checked_add(limit));
                Ok(parent(*pid).is_none_or(|parent| watch::readable(parent, end)))
            }
            Kin::Child(life) => life.wait(limit),
        }
    }

    /// Asks a child to end, by `SIGTERM`.
    ///
    /// # Errors
    /// Kind `InvalidInput` for a process that is no child of this one.
    pub fn terminate(&self) -> Result<(), Error> {
        self.signal(Child::terminate)
    }

    /// Ends a child, by `SIGKILL`.
    ///
    /// # Errors
    /// Kind `InvalidInput` for a process that is no child of this one.
    pub fn kill(&self) -> Result<(), Error> {
        self.signal(Child::kill)
    }

    fn signal(&self, signal: fn(&Child)) -> Result<(), Error> {
        match &self.0 {
            Kin::Child(life) => life.signal(signal),
            _ => Err(Error::new(ErrorKind::InvalidInput, "it is no child of this process")),
        }
    }
}

/// This process.
///
/// ```
/// assert_eq!(pool_runtime::current_process().name(), "main");
/// ```
pub fn current_process() -> ProcessHandle {
    ProcessHandle(Kin::Myself)
}

/// The process that started this one; `None` in the first of a tree. A child can watch it, though it is ended with it.
///
/// ```
/// assert!(pool_runtime::parent_process().is_none());
/// ```
pub fn parent_process() -> Option<ProcessHandle> {
    context::parent().map(|(pid, name)| ProcessHandle(Kin::Parent { pid, name }))
}

/// The descriptor of this process's parent; `None` when that has ended.
fn parent(pid: u32) -> Option<&'static OwnedFd> {
    static PARENT: OnceLock<Option<OwnedFd>> = OnceLock::new();
    PARENT.get_or_init(|| process::parent(pid)).as_ref()
}

/// The processes that this one started and that have not ended; workers of pools are not among them.
///
/// ```
/// assert!(pool_runtime::active_children().is_empty());
/// ```
pub fn active_children() -> Vec<ProcessHandle> {
    let here = std::process::id();
    let lives: Vec<_> = children().values().filter_map(Weak::upgrade).collect();
    let alive = lives.into_iter().filter(|life| life.creator == here && life.ending().is_none());
    alive.map(ProcessHandle::child).collect()
}

/// By their numbers with the supervisor, which are in the order of their starts.
type Children = BTreeMap<u32, Weak<Life>>;

fn children() -> MutexGuard<'static, Children> {
    static CHILDREN: Mutex<Children> = Mutex::new(Children::new());
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn remember(number: u32, life: &Arc<Life>) {
    children().insert(number, Arc::downgrade(life));
}

pub(super) fn forget(number: u32) {
    children().remove(&number);
}
