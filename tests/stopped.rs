//! A worker that is stopped holds back what it runs, and nothing else.

mod failing;

use std::path::PathBuf;
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
