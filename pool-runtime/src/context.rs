//! What this process is in its tree.

use std::sync::OnceLock;

use crate::message::{Hello, Role};
use crate::sys::cpus;

#[derive(Debug)]
struct Context {
    worker_index: Option<usize>,
    /// What the names of its children begin with.
    prefix: String,
    parent_pid: u32,
    default_workers: usize,
    name: String,
    parent_name: String,
}

static CONTEXT: OnceLock<Context> = OnceLock::new();

/// Remembers what the parent said.
pub(crate) fn enter(hello: &Hello) {
    let (worker_index, prefix) = match &hello.role {
        Role::Worker(worker) => (Some(worker.index), format!("{}:", hello.surroundings.name)),
        Role::Process(process) => (None, process.prefix.clone()),
        Role::Manager(_) => (None, format!("{}:", hello.surroundings.name)),
    };
    let surroundings = &hello.surroundings;
    let _ = CONTEXT.set(Context {
        worker_index,
        prefix,
        parent_pid: std::os::unix::process::parent_id(),
        default_workers: surroundings.default_workers,
        name: surroundings.name.clone(),
        parent_name: surroundings.parent_name.clone(),
    });
}

/// Whether this process is a worker of a pool.
///
/// ```
/// assert!(!pool_runtime::is_worker());
/// ```
pub fn is_worker() -> bool {
    worker_index().is_some()
}

/// This worker's number in its pool, from 0; `None` in any other process. A worker that is replaced leaves its number to
/// its successor.
///
/// ```
/// assert_eq!(pool_runtime::worker_index(), None);
/// ```
pub fn worker_index() -> Option<usize> {
    CONTEXT.get()?.worker_index
}

/// How many CPUs this process may use: what its affinity and its cgroup's quota leave, a part of one counted as one.
///
/// ```
/// assert!(pool_runtime::cpu_count() >= 1);
/// ```
pub fn cpu_count() -> usize {
    cpus::available()
}

/// How many workers the default pool of this process has.
pub(crate) fn default_workers() -> usize {
    CONTEXT.get().map_or_else(cpu_count, |context| context.default_workers).max(1)
}

/// The name of this process in its tree.
pub(crate) fn name() -> &'static str {
    CONTEXT.get().map_or("main", |context| &context.name)
}

/// The pid and the name of the process that started this one, if it is one of ours.
pub(crate) fn parent() -> Option<(u32, &'static str)> {
    CONTEXT.get().map(|context| (context.parent_pid, &*context.parent_name))
}

/// What the names of this process's children begin with.
pub(crate) fn prefix() -> &'static str {
    CONTEXT.get().map_or("Process-", |context| &context.prefix)
}
