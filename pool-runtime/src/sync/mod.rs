//! Locks and their family, between processes and threads alike.
//!
//! `word` is the lock itself, an algorithm on one word; `held` puts it on a shared object, and `error` is what taking it may
//! give. Everything else stands on these. Between `shm` and the user; knows no pools.

mod barrier;
mod condition;
mod error;
mod event;
mod flag;
mod ground;
mod held;
mod lock;
#[cfg(test)]
mod model;
mod notices;
mod parties;
mod permits;
mod rlock;
mod semaphore;
mod slices;
mod waiters;
mod word;

pub use barrier::Barrier;
pub use condition::{Condition, Guard};
pub use error::LockError;
pub use event::Event;
pub use lock::{Lock, LockGuard};
pub use rlock::{RLock, RLockGuard};
pub use semaphore::{BoundedSemaphore, Permit, Semaphore};

pub(crate) use condition::sealed::Lends;
pub(crate) use held::{Grip, Held, Patience, acquire, describe, grip, outcome};

/// Gives a handle type its form as bytes: its field `handle`, opened only as an object of its own kind.
macro_rules! travels {
    ($type:ident, $kind:ident) => {
        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let ticket = self.handle.ticket().map_err(crate::error::refuse_encoding)?;
                ticket.serialize(serializer)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                use $crate::shm::handle::{Kind, Mark, Ticket, open_for};
                let ticket = Ticket::deserialize(deserializer)?;
                Ok(Self { handle: open_for(&ticket, Mark::plain(Kind::$kind))? })
            }
        }
    };
}
pub(crate) use travels;
