//! A pool of processes.

mod pool;
mod job;
mod payload;
mod board;
mod worker;
mod registry;
mod batch;
mod unwind;
mod codec;
mod supervisor;
mod child;
mod message;
mod context;
mod error;
mod shared;
mod shm;
mod sync;
mod sys;

pub use child::init;
pub use context::{cpu_count, is_worker, worker_index};
pub use error::{Error, ErrorKind};
pub use pool::{Builder, Pool, Stats};
pub use shared::{Shareable, Value, ValueGuard};
pub use sync::{Lock, LockError, LockGuard, RLock, RLockGuard};

/// The derives that make a structure shareable: `Pod`, `Zeroable` and their family.
pub use bytemuck;
