//! What stands behind the `;`, on the attribute and in the builder.

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Scratch, eventually, is_program, mark, program, run, wait_for, watchdog, workers};
use pool_runtime::prelude::*;

const SHORT: Duration = Duration::from_millis(100);

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn start(directory: PathBuf, x: u32) -> u32 {
    mark(&directory.join(format!("start-{x}")));
    wait_for(&directory.join("gate"));
    std::process::id()
}

/// Dies unless it has been tried so often before.
#[pool_task]
fn dies(directory: PathBuf, times: usize) -> usize {
    let tries = attempt(&directory);
    if tries <= times {
        std::process::abort();
    }
    tries
}

#[pool_task(retries = 2)]
fn dies_but_is_patient(directory: PathBuf, times: usize) -> usize {
    let tries = attempt(&directory);
    if tries <= times {
        std::process::abort();
    }
    tries
}

#[pool_task]
fn hangs(directory: PathBuf, times: usize) -> usize {
    let tries = attempt(&directory);
    if tries <= times {
        wait_for(&directory.join("never"));
    }
    tries
}

#[pool_task(timeout = "100ms")]
fn hangs_shortly(gate: PathBuf) {
    wait_for(&gate);
}

#[pool_task]
fn hangs_on_zero(x: u64, gate: PathBuf) -> u64 {
    if x == 0 {
        wait_for(&gate);
    }
    x
}

#[pool_task]
fn panics(directory: PathBuf) {
    attempt(&directory);
    panic!("not retried");
}

/// Counts the tries of one item, this one included.
fn attempt(directory: &Path) -> usize {
    let tries = std::fs::read_dir(directory).unwrap().count();
    mark(&directory.join(format!("try-{tries}")));
    tries + 1
}

#[test]
fn a_chunk_has_exactly_so_many_items() {
    for (items, chunk) in [(10, 5), (7, 5), (6, 3)] {
        let (_dog, pool, scratch) = (watchdog(), workers(2), Scratch::new());
        let directory = scratch.path().to_owned();
        let call = par_map_async!(start(directory, _), 0..items; pool = pool, chunk_size = chunk);
        // Each worker has a chunk, and stands at its first item.
        let first = |x: u32| scratch.at(&format!("start-{x}")).exists();
        eventually("the first items of two chunks", || first(0) && first(chunk as u32));
        assert_eq!(scratch.count("start-"), 2);
        scratch.open("gate");
        let pids = call.unwrap().get().unwrap();
        for chunk in pids.chunks(chunk) {
            assert!(chunk.iter().all(|&pid| pid == chunk[0]), "a chunk is one worker's: {pids:?}");
        }
    }
}

#[test]
fn without_a_size_no_idle_worker_waits_for_another() {
    let (_dog, pool, scratch) = (watchdog(), workers(4), Scratch::new());
    let directory = scratch.path().to_owned();
    let call = par_map_async!(start(directory, _), 0..4; pool = pool).unwrap();
    eventually("four items at once", || scratch.count("start-") == 4);
    scratch.open("gate");
    let mut pids = call.get().unwrap();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 4);
}

#[test]
fn retries_count() {
    let (_dog, pool) = (watchdog(), workers(2));
    let kind = |result: Result<usize, Error>| result.map_err(|error| error.kind());
    for (retries, deaths, expected) in
        [(0, 1, Err(ErrorKind::WorkerDied)), (1, 1, Ok(2)), (2, 2, Ok(3)), (3, 1, Ok(2))]
    {
        let scratch = Scratch::new();
        let found =
            par_apply!(dies(scratch.path().to_owned(), deaths); pool = pool, retries = retries);
        assert_eq!(kind(found), expected, "{retries} retries, {deaths} deaths");
    }
    let scratch = Scratch::new();
    let found = par_apply!(dies(scratch.path().to_owned(), 100); pool = pool, retries = 3);
    assert_eq!((kind(found), scratch.count("try-")), (Err(ErrorKind::WorkerDied), 4));
    let scratch = Scratch::new();
    let found =
        par_apply!(hangs(scratch.path().to_owned(), 1); pool = pool, retries = 1, timeout = SHORT);
    assert_eq!(kind(found), Ok(2), "a timeout is tried again too");
}

#[test]
fn the_calls_retries_win_over_the_tasks_and_those_over_the_pools() {
    let _dog = watchdog();
    let pool = Pool::builder().workers(1).retries(1).build().unwrap();
    let tries = |scratch: &Scratch| scratch.count("try-");
    let scratch = Scratch::new();
    par_apply!(dies(scratch.path().to_owned(), 9); pool = pool).unwrap_err();
    assert_eq!(tries(&scratch), 2, "the pool's");
    let scratch = Scratch::new();
    par_apply!(dies_but_is_patient(scratch.path().to_owned(), 9); pool = pool).unwrap_err();
    assert_eq!(tries(&scratch), 3, "the task's");
    let scratch = Scratch::new();
    par_apply!(dies_but_is_patient(scratch.path().to_owned(), 9); pool = pool, retries = 0)
        .unwrap_err();
    assert_eq!(tries(&scratch), 1, "the call's");
}

#[test]
fn a_panic_is_not_tried_again() {
    let (_dog, pool, scratch) = (watchdog(), workers(1), Scratch::new());
    let error =
        par_apply!(panics(scratch.path().to_owned()); pool = pool, retries = 5).unwrap_err();
    assert_eq!((error.kind(), scratch.count("try-")), (ErrorKind::Panicked, 1));
}

#[test]
fn a_timeout_ends_its_item_and_no_other() {
    let (_dog, pool, scratch) = (watchdog(), workers(2), Scratch::new());
    // Many short rounds: a limit must be watched from the first item on.
    for round in 0..20 {
        let items = [1, 2, 0, 3, 4];
        let never = scratch.at("never");
        let timeout = Duration::from_millis(20);
        let all: Vec<_> = par_imap!(hangs_on_zero(_, never), items; pool = pool, timeout = timeout)
            .unwrap()
            .collect();
        for (x, result) in items.into_iter().zip(all) {
            match result {
                Ok(value) => assert_eq!(value, x),
                Err(error) => {
                    assert_eq!((x, error.kind()), (0, ErrorKind::TimedOut), "{round}: {error}")
                }
            }
        }
    }
}

#[test]
fn a_timeout_holds_for_work_that_waits_behind_other_work() {
    let (_dog, pool, scratch) = (watchdog(), workers(1), Scratch::new());
    let first = par_apply_async!(hangs_on_zero(0, scratch.at("gate")); pool = pool).unwrap();
    eventually("a busy worker", || pool.stats().workers_busy == 1);
    let second =
        par_apply_async!(hangs_on_zero(0, scratch.at("never")); pool = pool, timeout = SHORT)
            .unwrap();
    // Waiting for a worker does not count.
    assert!(!second.wait_timeout(SHORT * 3));
    scratch.open("gate");
    assert_eq!(first.get().unwrap(), 0);
    assert_eq!(second.get().unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn the_calls_timeout_wins_over_the_tasks_and_those_over_the_pools() {
    let (_dog, scratch) = (watchdog(), Scratch::new());
    let pool = Pool::builder().workers(2).task_timeout(SHORT).build().unwrap();
    let never = || scratch.at("never");
    let error = par_apply!(hangs_on_zero(0, never()); pool = pool).unwrap_err();
    assert!(error.to_string().contains("100ms"), "{error}");
    let pool = Pool::builder().workers(2).task_timeout(Duration::from_secs(3600)).build().unwrap();
    let error = par_apply!(hangs_shortly(never()); pool = pool).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let error =
        par_apply!(hangs_shortly(never()); pool = pool, timeout = Duration::from_millis(30))
            .unwrap_err();
    assert!(error.to_string().contains("30ms"), "{error}");
}

#[test]
fn progress_is_silent_where_there_is_no_terminal() {
    if is_program() {
        let label = String::from("squares");
        assert_eq!(par_map!(square, 0..100; progress = true).unwrap().len(), 100);
        assert_eq!(par_map!(square, 0..100; progress = &*label).unwrap().len(), 100);
        assert_eq!(par_imap!(square, 0..100; progress = "stream").unwrap().count(), 100);
        assert_eq!(
            par_map_async!(square, 0..9; progress = "later").unwrap().get().unwrap().len(),
            9
        );
        return;
    }
    let _dog = watchdog();
    let output = run(&mut program("progress_is_silent_where_there_is_no_terminal"));
    assert!(output.status.success());
    assert_eq!(common::text(&output.stderr), "");
}

#[test]
fn a_pool_without_workers_gives_the_same() {
    let pool = Pool::builder().in_process().build().unwrap();
    assert_eq!((pool.workers(), pool.worker_pids()), (0, vec![]));
    assert_eq!(par_map!(square, 0..4; pool = pool, chunk_size = 2).unwrap(), [0, 1, 4, 9]);
    assert_eq!(par_imap!(square, 0..; pool = pool).unwrap().nth(5).unwrap().unwrap(), 25);
    assert_eq!(par_map_async!(square, 0..3; pool = pool).unwrap().get().unwrap(), [0, 1, 4]);
    pool.close();
    pool.join().unwrap();
}
