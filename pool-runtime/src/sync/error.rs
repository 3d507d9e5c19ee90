//! What taking a lock may give instead of a guard.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// Why a lock was not simply taken.
///
/// Of kind [`OwnerDied`](ErrorKind::OwnerDied) it *has* the lock: the process that held it died in the middle of whatever it
/// was doing, and this is where one learns of it. [`into_guard`](Self::into_guard) gives the lock; dropping the error, or turning
/// it into an [`Error`] by `?`, releases it, and then it is a lock like any other.
///
/// It is not itself a `std::error::Error`, since it may hold a guard, which no other thread may have.
///
/// ```
/// use pool_runtime::{ErrorKind, Lock, LockError, LockGuard};
///
/// /// Takes the lock, and puts right what a dead holder may have left.
/// fn enter(lock: &Lock) -> Result<LockGuard<'_>, pool_runtime::Error> {
///     match lock.lock() {
///         Ok(guard) => Ok(guard),
///         Err(error) if error.kind() == ErrorKind::OwnerDied => Ok(error.into_guard().expect("the lock")),
///         Err(error) => Err(error.into()),
///     }
/// }
/// let lock = Lock::new()?;
/// let _guard = enter(&lock)?;
/// # Ok::<(), pool_runtime::Error>(())
/// ```
pub struct LockError<G> {
    error: Error,
    guard: Option<G>,
}

impl<G> LockError<G> {
    /// The same, about another guard.
    pub(crate) fn map<H>(self, guard: impl FnOnce(G) -> H) -> LockError<H> {
        LockError { error: self.error, guard: self.guard.map(guard) }
    }

    pub(crate) fn owner_died(guard: G) -> Self {
        let error = Error::new(ErrorKind::OwnerDied, "what it guards may be half changed");
        Self { error, guard: Some(guard) }
    }

    pub(crate) fn from_error(error: Error) -> Self {
        Self { error, guard: None }
    }

    /// What kind of failure this is: `OwnerDied` or `Deadlock`, mostly.
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// The failure itself.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The lock, recovered, when the kind is `OwnerDied`; `None` for other kinds.
    pub fn into_guard(self) -> Option<G> {
        self.guard
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LockError({:?}: {})", self.error.kind(), self.error)
    }
}

impl<G> From<LockError<G>> for Error {
    fn from(error: LockError<G>) -> Self {
        error.error
    }
}

impl<G> From<LockError<G>> for Box<dyn std::error::Error> {
    fn from(error: LockError<G>) -> Self {
        Self::from(error.error)
    }
}

impl<G> From<LockError<G>> for Box<dyn std::error::Error + Send + Sync> {
    fn from(error: LockError<G>) -> Self {
        Self::from(error.error)
    }
}
