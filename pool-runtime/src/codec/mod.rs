//! Values to bytes and back.

mod cursor;
pub(crate) mod message;

pub(crate) use cursor::align_up;
pub use cursor::{ALIGN, In, Out, Stop};
