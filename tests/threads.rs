//! One pool, several threads.

mod common;

use std::collections::HashSet;
use std::sync::{Arc, Barrier};

use common::{is_alive, watchdog, workers};
use pool_runtime::prelude::*;

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn pid() -> u32 {
    std::process::id()
}

#[pool_task]
fn odd_panics(x: u64) -> u64 {
    assert!(x.is_multiple_of(2));
    x
}

fn is_send_and_sync<T: Send + Sync>() {}

#[test]
fn what_is_shared_is_send_and_sync() {
    is_send_and_sync::<Pool>();
    is_send_and_sync::<Error>();
    is_send_and_sync::<AsyncResult<Vec<u64>>>();
    is_send_and_sync::<Call<u64>>();
    is_send_and_sync::<PartialCall<u64, u64>>();
}

#[test]
fn calls_of_several_threads_go_side_by_side() {
    let (_dog, pool) = (watchdog(), workers(3));
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..20 {
                    let from = thread * 1000 + round;
                    let all = par_map!(square, from..from + 200; pool = pool).unwrap();
                    assert!((from..).zip(all).all(|(x, y)| y == x * x));
                    assert_eq!(par_apply!(square(from); pool = pool).unwrap(), from * from);
                    let stream = par_imap!(square, from..; pool = pool).unwrap();
                    assert!((from..).zip(stream.take(20)).all(|(x, y)| y.unwrap() == x * x));
                }
            });
        }
    });
    assert_eq!(pool.stats().items_pending, 0);
}

#[test]
fn a_failure_of_one_thread_is_not_another_ones() {
    let (_dog, pool) = (watchdog(), workers(2));
    std::thread::scope(|scope| {
        for thread in 0..6_u64 {
            let pool = &pool;
            scope.spawn(move || {
                for _ in 0..20 {
                    let items = (0..40).map(|x| x * 2 + thread % 2);
                    let all = par_map!(odd_panics, items; pool = pool);
                    assert_eq!(all.is_ok(), thread % 2 == 0, "thread {thread}");
                }
            });
        }
    });
}

#[test]
fn a_pool_outlives_the_thread_that_made_it() {
    let _dog = watchdog();
    let pool = std::thread::spawn(|| workers(2)).join().unwrap();
    let before = pool.worker_pids();
    for _ in 0..50 {
        assert_eq!(par_map!(square, 0..10; pool = pool).unwrap().len(), 10);
    }
    assert_eq!(pool.worker_pids(), before, "no worker was replaced");
    assert!(before.into_iter().all(is_alive));
}

#[test]
fn the_default_pool_is_one_whoever_is_first() {
    let _dog = watchdog();
    let start = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let start = Arc::clone(&start);
            std::thread::spawn(move || {
                start.wait();
                (0..20).map(|_| par_apply!(pid()).unwrap()).collect::<HashSet<_>>()
            })
        })
        .collect();
    let pids: HashSet<u32> =
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert!(pids.len() <= pool_runtime::cpu_count(), "{pids:?}");
}

#[test]
fn an_async_result_may_be_waited_for_elsewhere() {
    let (_dog, pool) = (watchdog(), workers(2));
    let results: Vec<_> =
        (0..16_u64).map(|x| par_apply_async!(square(x); pool = pool).unwrap()).collect();
    let threads =
        results.into_iter().map(|result| std::thread::spawn(move || result.get().unwrap()));
    let sum: u64 =
        threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(sum, (0..16).map(|x| x * x).sum::<u64>());
}
