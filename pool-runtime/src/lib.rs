//! A pool of processes.

#[cfg_attr(
    not(test),
    expect(
        unused_extern_crates,
        reason = "generated code names the crate from outside, and is used inside too"
    )
)]
extern crate self as pool_runtime;

mod async_result;
mod batch;
mod bits;
mod board;
mod child;
mod codec;
mod collect;
mod context;
mod elapsed;
mod errands;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod imap;
mod job;
mod luggage;
mod macros;
pub mod manager;
mod message;
mod net;
mod pace;
mod payload;
mod pipe;
mod placed;
mod pool;
mod process;
mod progress;
mod queue;
mod registry;
mod shared;
mod shm;
mod starter;
mod supervisor;
mod sync;
mod sys;
mod task;
mod unwind;
mod verdict;
mod waiting;
mod wire;
mod worker;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use async_result::{AsyncResult, ResultFuture};
/// The derives that make a structure shareable: `Pod`, `Zeroable` and their family.
pub use bytemuck;
pub use child::init;
pub use codec::Json;
pub use context::{cpu_count, is_worker, worker_index};
pub use error::{Error, ErrorKind};
pub use macros::{
    elapsed, managed, par_apply, par_apply_async, par_imap, par_imap_unordered, par_map,
    par_map_async, par_starmap, par_starmap_async, pool_task, task,
};
pub use manager::{Dict, List, Manager, Namespace, Proxy};
pub use net::{Address, ByteConnection, Client, Listener, ToAddress};
pub use pipe::{Connection, pipe};
pub use pool::{Builder, Pool, Stats};
pub use process::{
    Process, ProcessBuilder, ProcessHandle, active_children, current_process, parent_process,
};
pub use queue::Queue;
pub use shared::{
    Array, ArrayGuard, Atomic, Part, PartMut, RawArray, RawValue, Shareable, SharedBuffer,
    SharedMemory, Value, ValueGuard,
};
pub use sync::{
    Barrier, BoundedSemaphore, Condition, Event, Guard, Lock, LockError, LockGuard, Permit, RLock,
    RLockGuard, Semaphore,
};
pub use task::{Call, PartialCall, Task};
pub use waiting::{AsCompleted, Waitable, as_completed, wait_any};

/// The README's programs are compiled and run as its readers would.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// All that a program with a pool needs: `use pool_runtime::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Array, ArrayGuard, Barrier, BoundedSemaphore, Condition, Event, Lock, LockError, LockGuard,
        Part, PartMut, Permit, RLock, RLockGuard, RawArray, RawValue, Semaphore, Shareable,
        SharedBuffer, SharedMemory, Value, ValueGuard,
    };
    pub use crate::{
        AsyncResult, ByteConnection, Call, Client, Dict, Error, ErrorKind, Json, List, Listener,
        Manager, Namespace, PartialCall, Pool, Proxy, Waitable, as_completed, managed, wait_any,
    };
    pub use crate::{Connection, Process, Queue, pipe};
    pub use crate::{active_children, current_process, parent_process};
    pub use crate::{cpu_count, is_worker, worker_index};
    pub use crate::{
        elapsed, par_apply, par_apply_async, par_imap, par_imap_unordered, par_map, par_map_async,
        par_starmap, par_starmap_async, pool_task, task,
    };
}
