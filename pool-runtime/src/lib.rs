//! A pool of processes.

#[expect(
    unused_extern_crates,
    reason = "generated code names the crate from outside, and is used inside too"
)]
extern crate self as pool_runtime;

mod async_result;
mod batch;
mod codec;
mod collect;
mod elapsed;
mod error;
mod imap;
mod job;
mod payload;
mod pool;
mod progress;
mod registry;
mod task;
mod unwind;
mod verdict;
mod waiting;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use async_result::{AsyncResult, ResultFuture};
pub use codec::Json;
pub use error::{Error, ErrorKind};
pub use pool::{Builder, Pool};
pub use task::{Call, PartialCall, Task};
pub use waiting::{AsCompleted, Waitable, as_completed, wait_any};

pub use pool_macros::{
    elapsed, par_apply, par_apply_async, par_imap, par_imap_unordered, par_map, par_map_async,
    par_starmap, par_starmap_async, pool_task, task,
};

/// All that a program with a pool needs: `use pool_runtime::prelude::*;`.
pub mod prelude {
    pub use crate::{
        AsyncResult, Call, Error, ErrorKind, Json, PartialCall, Pool, as_completed, wait_any,
    };
    pub use crate::{
        elapsed, par_apply, par_apply_async, par_imap, par_imap_unordered, par_map, par_map_async,
        par_starmap, par_starmap_async, pool_task, task,
    };
}
