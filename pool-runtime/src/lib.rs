//! A pool of processes.

mod pool;
mod job;
mod payload;
mod registry;
mod batch;
mod unwind;
mod codec;
mod error;

pub use error::{Error, ErrorKind};
pub use pool::{Builder, Pool};
