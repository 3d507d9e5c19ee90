//! Memory that all processes of a tree share.
//!
//! `tree` has the segment, `layout` says what lies where in it and `arena` looks at it. `process` knows who is there,
//! `ledger` who holds what, `slot` takes and gives back, `hold` counts within this process, `sweep` clears up after the
//! dead. On top, `handle` is what objects are made of, and `pins` and `transit` keep them alive while they are on their way
//! as bytes; `owner` is who holds the lock of an object, `ring` a row of items in one, `mailbox` a pair of places for messages,
//! and `burial` the end of what such a row kept alive. Knows no jobs, tasks or pools.

pub(crate) mod arena;
pub(crate) mod burial;
pub(crate) mod handle;
pub(crate) mod hold;
pub(crate) mod layout;
pub(crate) mod ledger;
pub(crate) mod mailbox;
pub(crate) mod owner;
pub(crate) mod pins;
pub(crate) mod process;
pub(crate) mod ring;
pub(crate) mod slot;
pub(crate) mod sweep;
pub(crate) mod transit;
pub(crate) mod tree;

#[cfg(test)]
mod tests;
