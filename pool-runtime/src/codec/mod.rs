//! Values to bytes and back.
//!
//! Between `task`, which knows the types, and the engine, which moves the bytes. It knows neither memory nor processes, and
//! never panics on bytes from outside: they may come from a worker that was taken over.

mod bulk;
mod cursor;
mod decoder;
mod descriptor;
mod json;
mod level;
pub(crate) mod message;
mod naming;
mod plain;
pub(crate) mod slice;
#[cfg(test)]
mod tests;
pub(crate) mod values;
mod variant;

pub(crate) use bulk::names_nothing;
pub(crate) use cursor::align_up;
pub use cursor::{ALIGN, In, Out, Stop};
pub use json::Json;
pub use level::{Codec, Fallback, Level, Probe, Sendable, Verdict, Writable, level};
pub use slice::SliceCodec;

pub(crate) use level::{CHECKED, DESCRIPTOR, NONE, POD, SERDE, VEC};
pub(crate) use plain::zeroed;
