//! Values and arrays that processes share: behind a lock, atomic, or lent in disjoint parts. Safe code cannot race on them.
//!
//! Between `sync`, whose locks guard them, and the user; knows no pools.

mod array;
mod buffer;
mod named;
mod part;
mod raw;
mod shareable;
mod value;

pub use array::{Array, ArrayGuard};
pub use buffer::SharedBuffer;
pub use named::SharedMemory;
pub use part::{Part, PartMut};
pub(crate) use part::{install as know_parts, let_go_of_parts};
pub use raw::{Atomic, RawArray, RawValue};
pub use shareable::Shareable;
pub use value::{Value, ValueGuard};

use crate::error::{Error, ErrorKind};

/// Bytes of `len` values.
fn bytes_of<T>(len: usize) -> Result<usize, Error> {
    let too_large =
        || Error::new(ErrorKind::InvalidInput, format!("{len} values are more than can be had"));
    match size_of::<T>() {
        0 => Err(Error::new(ErrorKind::InvalidInput, "values without bytes cannot be shared")),
        size => len.checked_mul(size).ok_or_else(too_large),
    }
}

#[cold]
fn out_of_range(index: usize, len: usize) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("index {index} is out of range: there are {len}"))
}
