//! Memory that all processes of a tree share.

pub(crate) mod mailbox;
pub(crate) mod tree;
