//! The one error of the crate: what failed, where, and of which item.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What kind of failure an [`Error`] tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The function panicked; [`Error::panic_message`] has what it said.
    Panicked,
    /// The worker that ran the item died: killed by a signal, or it left by itself.
    WorkerDied,
    /// A time limit passed before the work ended, or before what was waited for came.
    TimedOut,
    /// The worker went over its memory limit while it ran the item.
    MemoryLimit,
    /// The work was ended by `cancel` or `terminate`, or dropped.
    Cancelled,
    /// A value could not be turned into bytes.
    Encode,
    /// Bytes could not be turned into a value.
    Decode,
    /// A worker's initializer failed.
    Initializer,
    /// A process could not be started.
    Spawn,
    /// The pool, queue or connection was closed.
    Closed,
    /// The process that held a lock died while it held it.
    OwnerDied,
    /// Waiting would never end: the waiting thread holds the lock itself, or its holder can no longer give it back.
    Deadlock,
    /// The other side is gone.
    Disconnected,
    /// The other side does not know the key.
    Authentication,
    /// There is nothing of that name, place or generation.
    NotFound,
    /// The worker knows no task of that name.
    UnknownTask,
    /// There is no room.
    Full,
    /// There is nothing to take.
    Empty,
    /// A barrier was broken.
    Broken,
    /// An argument that can never be right, or a call out of order.
    InvalidInput,
    /// Two things were given one name.
    Duplicate,
    /// The operating system refused; the message says what.
    Io,
}

impl ErrorKind {
    fn words(self) -> &'static str {
        match self {
            Self::Panicked => "panicked",
            Self::WorkerDied => "the worker died",
            Self::TimedOut => "timed out",
            Self::MemoryLimit => "went over the memory limit",
            Self::Cancelled => "was cancelled",
            Self::Encode => "a value could not be encoded",
            Self::Decode => "bytes could not be decoded",
            Self::Initializer => "the initializer failed",
            Self::Spawn => "a process could not be started",
            Self::Closed => "closed",
            Self::OwnerDied => "the owner of the lock died while it held it",
            Self::Deadlock => "waiting would never end",
            Self::Disconnected => "the other side is gone",
            Self::Authentication => "authentication failed",
            Self::NotFound => "not found",
            Self::UnknownTask => "unknown task",
            Self::Full => "full",
            Self::Empty => "empty",
            Self::Broken => "the barrier is broken",
            Self::InvalidInput => "invalid input",
            Self::Duplicate => "a name is given twice",
            Self::Io => "the operating system refused",
        }
    }
}

/// What went wrong, and for which task, item and worker.
///
/// Cheap to clone, and a value like any other: a task may return `Result<_, Error>`.
///
/// ```
/// use pool_runtime::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::InvalidInput, "a pool needs at least one worker");
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert_eq!(error.to_string(), "invalid input: a pool needs at least one worker");
/// ```
#[derive(Clone, Serialize, Deserialize)]
pub struct Error(Arc<Inner>);

#[derive(Clone, Serialize, Deserialize)]
struct Inner {
    kind: ErrorKind,
    /// What the kind does not say; empty when there is nothing to add.
    detail: String,
    task: Option<String>,
    index: Option<u64>,
    worker_pid: Option<u32>,
    signal: Option<i32>,
    exit_code: Option<i32>,
    panic: Option<Panic>,
}

/// What is known of a panic, in the words of the process where it happened.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Panic {
    pub(crate) message: String,
    pub(crate) location: Option<String>,
    pub(crate) backtrace: Option<String>,
}

impl Error {
    /// Makes an error of `kind`; `detail` is what the kind does not say: lower case, no full stop.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            detail: detail.into(),
            task: None,
            index: None,
            worker_pid: None,
            signal: None,
            exit_code: None,
            panic: None,
        }))
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The name of the task that failed.
    pub fn task(&self) -> Option<&str> {
        self.0.task.as_deref()
    }

    /// The position in the input of the item that failed, from 0.
    pub fn index(&self) -> Option<usize> {
        self.0.index.and_then(|index| index.try_into().ok())
    }

    /// The process that the item was running in.
    pub fn worker_pid(&self) -> Option<u32> {
        self.0.worker_pid
    }

    /// The signal that ended the process.
    pub fn signal(&self) -> Option<i32> {
        self.0.signal
    }

    /// The code that the process left with.
    pub fn exit_code(&self) -> Option<i32> {
        self.0.exit_code
    }

    /// What the panic said. A payload that is no string reads `"a panic whose payload is no string"`.
    pub fn panic_message(&self) -> Option<&str> {
        self.0.panic.as_ref().map(|panic| &*panic.message)
    }

    /// Where the panic was raised, as `file:line:column`.
    pub fn panic_location(&self) -> Option<&str> {
        self.0.panic.as_ref()?.location.as_deref()
    }

    /// The backtrace of the panic, when `RUST_BACKTRACE` asked for one.
    pub fn backtrace(&self) -> Option<&str> {
        self.0.panic.as_ref()?.backtrace.as_deref()
    }

    /// An error of the operating system; `doing` is what was tried.
    pub(crate) fn os(doing: &str, error: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Io, format!("{doing}: {error}"))
    }

    pub(crate) fn panicked(panic: Panic) -> Self {
        let mut error = Self::new(ErrorKind::Panicked, "");
        error.inner().panic = Some(panic);
        error
    }

    pub(crate) fn with_task(mut self, task: &str) -> Self {
        self.inner().task = Some(task.to_owned());
        self
    }

    pub(crate) fn with_index(mut self, index: u64) -> Self {
        self.inner().index = Some(index);
        self
    }

    pub(crate) fn without_index(mut self) -> Self {
        self.inner().index = None;
        self
    }

    pub(crate) fn with_pid(mut self, pid: u32) -> Self {
        self.inner().worker_pid = Some(pid);
        self
    }

    pub(crate) fn with_signal(mut self, signal: i32) -> Self {
        self.inner().signal = Some(signal);
        self
    }

    pub(crate) fn with_exit_code(mut self, code: i32) -> Self {
        self.inner().exit_code = Some(code);
        self
    }

    /// The same facts under another kind, as when a panic turns out to be an initializer's.
    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.inner().kind = kind;
        self
    }

    fn inner(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        match (&inner.task, inner.index) {
            (Some(task), Some(index)) => write!(f, "task `{task}`, item {index}: ")?,
            (Some(task), None) => write!(f, "task `{task}`: ")?,
            (None, Some(index)) => write!(f, "item {index}: ")?,
            (None, None) => {}
        }
        f.write_str(inner.kind.words())?;
        if let Some(pid) = inner.worker_pid {
            write!(f, " in process {pid}")?;
        }
        match (inner.signal, inner.exit_code) {
            (Some(signal), _) => write!(f, ", killed by {}", signal_name(signal))?,
            (None, Some(code)) => write!(f, ", it left with exit code {code}")?,
            (None, None) => {}
        }
        if let Some(panic) = &inner.panic {
            write!(f, ": {}", panic.message.replace('\n', " / "))?;
            if let Some(location) = &panic.location {
                write!(f, " at {location}")?;
            }
        }
        if !inner.detail.is_empty() {
            write!(f, ": {}", inner.detail)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)?;
        self.backtrace().map_or(Ok(()), |backtrace| write!(f, "\n{backtrace}"))
    }
}

impl std::error::Error for Error {}

thread_local! {
    static REFUSAL: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// An error as serde's, which is text: the error itself is kept for [`take_refusal`].
pub(crate) fn refuse<E: serde::de::Error>(error: Error) -> E {
    let text = E::custom(&error);
    let _ = REFUSAL.try_with(|refusal| refusal.replace(Some(error)));
    text
}

/// As [`refuse`], of what cannot be encoded.
pub(crate) fn refuse_encoding<E: serde::ser::Error>(error: Error) -> E {
    let text = E::custom(&error);
    let _ = REFUSAL.try_with(|refusal| refusal.replace(Some(error)));
    text
}

/// What was refused last on this thread, told once: for the codec, when encoding or decoding has failed.
pub(crate) fn take_refusal() -> Option<Error> {
    // Values are also decoded by what a thread drops at its end.
    REFUSAL.try_with(RefCell::take).ok().flatten()
}

/// The name of a signal, for people.
pub(crate) fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGSYS => "SIGSYS",
        _ => return format!("signal {signal}"),
    };
    format!("{name} (signal {signal})")
}
