//! Locks and their family, between processes and threads alike.
//!
//! `word` is the lock itself, an algorithm on one word; `held` puts it on a shared object, and `error` is what taking it may
//! give. Everything else stands on these. Between `shm` and the user; knows no pools.

mod error;
mod held;
mod lock;
mod rlock;
mod word;

pub use error::LockError;
pub use lock::{Lock, LockGuard};
pub use rlock::{RLock, RLockGuard};

pub(crate) use held::{Held, Patience, acquire, describe, outcome};
