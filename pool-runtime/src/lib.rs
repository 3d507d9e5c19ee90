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
mod net;
mod message;
mod context;
mod error;
mod shm;
mod sys;

pub use child::init;
pub use context::{cpu_count, is_worker, worker_index};
pub use error::{Error, ErrorKind};
pub use net::{Address, ByteConnection, Client, Listener, ToAddress};
pub use pool::{Builder, Pool, Stats};
