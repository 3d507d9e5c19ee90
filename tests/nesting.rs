//! Pools in workers.

mod common;

use common::{eventually, is_alive, watchdog, workers};
use pool_runtime::prelude::*;
use pool_runtime::{cpu_count, is_worker, worker_index};

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn sum_of_squares(n: u64) -> u64 {
    let pool = workers(2);
    par_map!(square, 0..n; pool = pool).unwrap().iter().sum()
}

#[pool_task]
fn sum_of_sums(n: u64) -> u64 {
    let pool = workers(2);
    par_map!(sum_of_squares, 0..n; pool = pool).unwrap().iter().sum()
}

#[pool_task]
fn by_the_default_pool(n: u64) -> Vec<u64> {
    par_map!(square, 0..n).unwrap()
}

#[pool_task]
fn default_workers() -> usize {
    Pool::builder().build().unwrap().workers()
}

#[pool_task]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[pool_task]
fn whoami() -> (bool, Option<usize>) {
    (is_worker(), worker_index())
}

#[pool_task]
fn inner_pids() -> Vec<u32> {
    let pool = workers(2);
    let pids = pool.worker_pids();
    // Never dropped: it must go with this worker.
    std::mem::forget(pool);
    pids
}

fn squares(n: u64) -> u64 {
    (0..n).map(|x| x * x).sum()
}

#[test]
fn a_worker_has_pools_of_its_own() {
    let (_dog, pool) = (watchdog(), workers(2));
    let all = par_map!(sum_of_squares, 0..10; pool = pool).unwrap();
    assert_eq!(all, (0..10).map(squares).collect::<Vec<_>>());
}

#[test]
fn three_levels() {
    let (_dog, pool) = (watchdog(), workers(2));
    let all = par_map!(sum_of_sums, 0..6; pool = pool).unwrap();
    assert_eq!(all, (0..6).map(|n| (0..n).map(squares).sum()).collect::<Vec<u64>>());
}

#[test]
fn more_tasks_than_workers_that_each_use_the_default_pool() {
    let (_dog, pool) = (watchdog(), workers(3));
    let all = par_map!(by_the_default_pool, (0..40).map(|x| x % 7); pool = pool).unwrap();
    assert!(all.iter().zip(0..).all(|(squares, x): (_, u64)| squares.len() as u64 == x % 7));
}

#[test]
fn the_default_pool_of_a_worker_has_its_share() {
    let _dog = watchdog();
    for count in [1, 2, 3] {
        let share = (cpu_count() / count).max(1);
        assert_eq!(par_apply!(default_workers(); pool = workers(count)).unwrap(), share);
    }
}

#[test]
fn thread_counts_are_set_to_the_share() {
    let _dog = watchdog();
    let share = (cpu_count() / 2).max(1).to_string();
    let pool = Pool::builder().workers(2).env("OMP_NUM_THREADS", "77").build().unwrap();
    let all = par_map!(variable, ["RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]; pool = pool);
    for value in all.unwrap() {
        assert_eq!(value.as_ref(), Some(&share));
    }
    let set = par_apply!(variable("OMP_NUM_THREADS"); pool = pool).unwrap();
    assert_eq!(set.as_deref(), Some("77"), "what is set stays");
}

#[test]
fn a_worker_knows_that_it_is_one() {
    let (_dog, pool) = (watchdog(), workers(2));
    assert_eq!((is_worker(), worker_index()), (false, None));
    let (inside, index) = par_apply!(whoami(); pool = pool).unwrap();
    assert!(inside && index < Some(2) && index.is_some());
}

#[test]
fn the_pools_of_a_worker_go_with_it() {
    let (_dog, pool) = (watchdog(), workers(1));
    let pids = par_apply!(inner_pids(); pool = pool).unwrap();
    assert!(pids.iter().all(|&pid| is_alive(pid)));
    drop(pool);
    eventually("the end of the inner workers", || !pids.iter().any(|&pid| is_alive(pid)));
}
