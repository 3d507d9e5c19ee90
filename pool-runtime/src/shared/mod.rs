//! Values and arrays that processes share: behind a lock, atomic, or lent in disjoint parts. Safe code cannot race on them.
//!
//! Between `sync`, whose locks guard them, and the user; knows no pools.

mod shareable;
mod value;

pub use shareable::Shareable;
pub use value::{Value, ValueGuard};
