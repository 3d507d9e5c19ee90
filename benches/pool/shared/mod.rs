//! The workloads, written once: what is asked of each contender, the functions that items are put through, and how long it took.
//! Both the harness and the package of peers are built with this directory.

pub mod contender;
pub mod job;
pub mod kernels;
