//! A worker that is stopped holds back what it runs, and nothing else.

mod failing;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use failing::{Scratch, Signal, eventually, mark_pid, send, state, watchdog};
use pool_runtime::prelude::*;

#[pool_task]
fn works(x: u64, place: PathBuf) -> u64 {
    if x == 0 {
        mark_pid(&place, "first");
    }
    std::thread::sleep(Duration::from_millis(2));
    x
}

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

fn stop(pid: u32) {
    send(pid, Signal::STOP);
    eventually("it stands still", || state(pid) == Some('T'));
}

#[test]
fn stopped_while_it_works_holds_back_one_item() {
    let _dog = watchdog(60);
    let (pool, scratch) = (Pool::new(2).expect("a pool"), Scratch::new());
    let stream = par_imap_unordered!(works(_, scratch.path()), 0..400; pool = &pool);
    let mut stream = stream.expect("a stream");
    let (first, _) = stream.next().expect("an item");
    let pid = scratch.pid_of("first");
    stop(pid);
    // All but what the stopped one has; it took its items one by one, for each took long.
    let rest: Vec<usize> = stream.by_ref().take(396).map(|(index, _)| index).collect();
    assert_eq!(rest.len(), 396);
    send(pid, Signal::CONT);
    let mut all: Vec<usize> = rest.into_iter().chain(stream.map(|(index, _)| index)).collect();
    all.push(first);
    all.sort();
    assert!(all.into_iter().eq(0..400));
}

/// Counts its calls; item `at` says where it runs, and lasts until it may go on.
#[pool_task]
fn counts(x: u64, at: u64, calls: &RawArray<AtomicU64>, place: PathBuf) -> String {
    calls[x as usize].fetch_add(1, Ordering::Relaxed);
    if x == at {
        mark_pid(&place, "lasts");
        eventually("it may go on", || place.join("go").exists());
    }
    x.to_string()
}

fn all_once(calls: &RawArray<AtomicU64>) -> bool {
    calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1)
}

#[test]
fn stopped_inside_a_chunk_holds_back_one_item_of_it() {
    let _dog = watchdog(60);
    let (pool, scratch) = (Pool::new(2).expect("a pool"), Scratch::new());
    let calls = RawArray::<AtomicU64>::zeroed(200).expect("an array");
    let stream = par_imap_unordered!(
        counts(_, 53, &calls, scratch.path()), 0..200; pool = &pool, chunk_size = 10
    );
    let mut stream = stream.expect("a stream");
    let mut all = Vec::new();
    // As many as come whatever its worker does: it may be late.
    while scratch.marks("lasts").is_empty() && all.len() < 190 {
        all.extend(stream.next().map(|(index, _)| index));
    }
    let pid = scratch.pid_of("lasts");
    stop(pid);
    std::fs::write(scratch.path().join("go"), "").expect("a file");
    // Those of its chunk that are finished come too, and those that it has not begun.
    let left = 199 - all.len();
    all.extend(stream.by_ref().take(left).map(|(index, _)| index));
    assert!(!all.contains(&53));
    send(pid, Signal::CONT);
    all.extend(stream.map(|(index, result)| {
        assert_eq!(result.expect("a value"), index.to_string());
        index
    }));
    all.sort();
    assert!(all.into_iter().eq(0..200));
    assert!(all_once(&calls), "an item was run twice");
    assert_eq!(pool.stats().workers_replaced, 0);
}

#[test]
fn an_item_that_lasts_holds_back_nothing_else() {
    let _dog = watchdog(60);
    let (pool, scratch) = (Pool::new(2).expect("a pool"), Scratch::new());
    let calls = RawArray::<AtomicU64>::zeroed(60_000).expect("an array");
    // It comes when chunks have become large.
    let stream = par_imap_unordered!(
        counts(_, 50_001, &calls, scratch.path()), 0..60_000; pool = &pool, window = 60_000
    );
    let mut stream = stream.expect("a stream");
    assert!(stream.by_ref().take(59_999).all(|(index, _)| index != 50_001));
    std::fs::write(scratch.path().join("go"), "").expect("a file");
    assert_eq!(stream.next().map(|(index, _)| index), Some(50_001));
    assert!(stream.next().is_none());
    assert!(all_once(&calls), "an item was run twice");
}

#[test]
fn a_chunk_of_a_size_that_was_asked_for_stays_whole_while_its_worker_works() {
    let _dog = watchdog(60);
    let (pool, scratch) = (Pool::new(2).expect("a pool"), Scratch::new());
    let call = par_map_async!(lasts(_, scratch.path()), 0..4; pool = &pool, chunk_size = 4);
    let call = call.expect("a call");
    scratch.pid_of("lasts");
    assert!(!call.wait_timeout(Duration::from_millis(500)));
    std::fs::write(scratch.path().join("go"), "").expect("a file");
    let pids = call.get().expect("pids");
    assert!(pids.iter().all(|&pid| pid == pids[0]), "{pids:?}");
}

#[pool_task]
fn lasts(x: u64, place: PathBuf) -> u32 {
    if x == 1 {
        mark_pid(&place, "lasts");
        eventually("it may go on", || place.join("go").exists());
    }
    std::process::id()
}

/// Stops a worker somewhere within 40,000 items, and takes all results but one; gives the worker, and what is left.
fn all_but_one(
    pool: &Pool,
    round: usize,
) -> (u32, impl Iterator<Item = Result<u64, Error>> + use<'_>) {
    let stream = par_imap_unordered!(square, 0..40_000; pool = pool, window = 40_000);
    let mut stream = stream.expect("a stream").map(|(_, result)| result);
    let pid = pool.worker_pids()[round % 2];
    let before = stream.by_ref().take(round * 900).count();
    send(pid, Signal::STOP);
    let rest: Result<Vec<u64>, Error> = stream.by_ref().take(39_999 - before).collect();
    assert_eq!(rest.expect("values").len(), 39_999 - before);
    (pid, stream)
}

#[test]
fn stopped_at_any_moment_holds_back_at_most_one_item() {
    let (_dog, pool) = (watchdog(120), Pool::new(2).expect("a pool"));
    for round in 0..40 {
        let (pid, left) = all_but_one(&pool, round);
        send(pid, Signal::CONT);
        assert_eq!(left.count(), 1, "in round {round}");
    }
    assert_eq!(pool.stats().workers_replaced, 0);
}

#[test]
fn stopped_and_then_killed_costs_at_most_one_item() {
    let (_dog, pool) = (watchdog(120), Pool::new(2).expect("a pool"));
    for round in 0..40 {
        let (pid, left) = all_but_one(&pool, round);
        failing::kill(pid);
        let last: Vec<_> = left.map(|result| result.map_err(|error| error.kind())).collect();
        assert!(matches!(last[..], [Ok(_) | Err(ErrorKind::WorkerDied)]), "{last:?}");
        eventually("another takes its place", || pool.worker_pids().len() == 2);
    }
}

#[test]
fn stopped_while_idle_holds_back_nothing() {
    let _dog = watchdog(60);
    for round in 0..10 {
        let pool = Pool::new(2).expect("a pool");
        par_map!(square, 0..100; pool = &pool).expect("values");
        let pid = pool.worker_pids()[round % 2];
        stop(pid);
        // Whichever worker a wake-up is meant for, the work is done: in calls of this thread and in others.
        for x in 0..20 {
            assert_eq!(par_apply!(square(x); pool = &pool).expect("a value"), x * x);
            let later = par_apply_async!(square(x); pool = &pool).expect("a call");
            assert_eq!(later.get().expect("a value"), x * x);
        }
        let later = par_map_async!(square, 0..1000; pool = &pool).expect("a job");
        assert_eq!(later.get().expect("values").len(), 1000);
        send(pid, Signal::CONT);
    }
}

#[test]
fn stopped_for_good_is_ended_by_a_deadline() {
    let _dog = watchdog(60);
    let (pool, scratch) = (Pool::new(2).expect("a pool"), Scratch::new());
    let call =
        par_apply_async!(stays(scratch.path()); pool = &pool, timeout = Duration::from_secs(1));
    let call = call.expect("a call");
    stop(scratch.pid_of("stays"));
    let error = call.get().expect_err("a failure");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert_eq!(par_map!(square, 0..100; pool = &pool).expect("values").len(), 100);
}

#[pool_task]
fn stays(place: PathBuf) {
    mark_pid(&place, "stays");
    failing::hang()
}

#[test]
fn terminate_does_not_wait_for_a_stopped_worker() {
    let _dog = watchdog(20);
    let pool = Pool::new(2).expect("a pool");
    par_map!(square, 0..100; pool = &pool).expect("values");
    pool.worker_pids().into_iter().for_each(stop);
    pool.terminate();
    pool.join().expect("an end");
    assert!(pool.worker_pids().is_empty());
}
