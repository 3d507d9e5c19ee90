//! How a pool begins and ends, and what becomes of the work it had.

mod common;

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use common::{
    Scratch, eventually, is_alive, is_program, mark, program, run, run_well, wait_for, watchdog,
    workers,
};
use pool_runtime::prelude::*;

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn pid(_: u32) -> u32 {
    std::process::id()
}

#[pool_task]
fn wait(gate: PathBuf) {
    wait_for(&gate);
}

#[pool_task]
fn wait_then(gate: PathBuf, x: u32) -> u32 {
    wait_for(&gate);
    x
}

#[pool_task]
fn touch(directory: PathBuf, x: u32) {
    mark(&directory.join(format!("item-{x}-{}", std::process::id())));
}

#[track_caller]
fn refused<T: std::fmt::Debug>(kind: ErrorKind, result: Result<T, Error>) {
    assert_eq!(result.unwrap_err().kind(), kind);
}

#[test]
fn a_pool_has_as_many_workers_as_it_was_asked_for() {
    let (_dog, pool) = (watchdog(), workers(3));
    assert_eq!((pool.workers(), pool.worker_pids().len()), (3, 3));
    assert_eq!(Pool::builder().build().unwrap().workers(), pool_runtime::cpu_count());
    assert!(pool.worker_pids().into_iter().all(is_alive));
}

#[test]
fn numbers_that_can_never_be_right_are_refused() {
    let (_dog, pool) = (watchdog(), workers(1));
    refused(ErrorKind::InvalidInput, Pool::new(0));
    refused(ErrorKind::InvalidInput, Pool::new(usize::MAX));
    refused(ErrorKind::InvalidInput, Pool::builder().max_tasks_per_worker(0).build());
    refused(ErrorKind::InvalidInput, Pool::builder().memory_limit(0).build());
    refused(ErrorKind::InvalidInput, par_map!(square, 0..3; pool = pool, chunk_size = 0));
    refused(
        ErrorKind::InvalidInput,
        par_imap!(square, 0..3; pool = pool, chunk_size = 0).map(drop),
    );
    refused(ErrorKind::InvalidInput, par_imap!(square, 0..3; pool = pool, window = 0).map(drop));
    refused(ErrorKind::InvalidInput, par_map_async!(square, 0..3; pool = pool, chunk_size = 0));
    assert_eq!(par_map!(square, 0..3; pool = pool).unwrap(), [0, 1, 4]);
}

#[test]
fn a_closed_pool_takes_nothing_new() {
    let (_dog, pool) = (watchdog(), workers(2));
    pool.close();
    pool.close();
    refused(ErrorKind::Closed, par_map!(square, 0..3; pool = pool));
    refused(ErrorKind::Closed, par_apply!(square(3); pool = pool));
    refused(ErrorKind::Closed, par_imap!(square, 0..3; pool = pool).map(drop));
    refused(ErrorKind::Closed, par_apply_async!(square(3); pool = pool));
    refused(ErrorKind::Closed, par_map_async!(square, 0..3; pool = pool));
    pool.join().unwrap();
    pool.join().unwrap();
    refused(ErrorKind::Closed, par_map!(square, 0..3; pool = pool));
}

#[test]
fn join_before_close_is_refused() {
    let (_dog, pool) = (watchdog(), workers(1));
    refused(ErrorKind::InvalidInput, pool.join());
    assert_eq!(par_map!(square, 0..3; pool = pool).unwrap(), [0, 1, 4]);
}

#[test]
fn close_and_join_finish_what_was_given() {
    let (_dog, pool, scratch) = (watchdog(), workers(2), Scratch::new());
    let calls: Vec<_> = (0..50)
        .map(|x| par_apply_async!(wait_then(scratch.at("gate"), x); pool = pool).unwrap())
        .collect();
    let all = par_map_async!(square, 0..1000; pool = pool).unwrap();
    let pids = pool.worker_pids();
    pool.close();
    scratch.open("gate");
    pool.join().unwrap();
    assert!(!pids.into_iter().any(is_alive), "the workers are gone");
    assert!(pool.worker_pids().is_empty());
    assert!(calls.iter().all(AsyncResult::is_successful));
    assert!((0..).zip(calls).all(|(x, call)| call.get().unwrap() == x));
    assert_eq!(all.get().unwrap().len(), 1000);
}

#[test]
fn dropping_a_pool_finishes_what_was_given() {
    let (_dog, scratch) = (watchdog(), Scratch::new());
    let pool = workers(2);
    let pids = pool.worker_pids();
    for x in 0..20 {
        // Nobody keeps the result.
        drop(par_apply_async!(touch(scratch.path().to_owned(), x); pool = pool).unwrap());
    }
    drop(pool);
    assert_eq!(scratch.count("item-"), 20);
    assert!(!pids.into_iter().any(is_alive));
}

#[test]
fn a_panic_that_drops_a_pool_terminates_it() {
    let (_dog, scratch) = (watchdog(), Scratch::new());
    let mut kept = None;
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let pool = workers(1);
        kept = Some(par_apply_async!(wait(scratch.at("never")); pool = pool).unwrap());
        panic!("on purpose");
    }));
    assert!(caught.is_err());
    refused(ErrorKind::Cancelled, kept.unwrap().get());
}

#[test]
fn terminate_ends_what_runs_and_what_waits() {
    let (_dog, pool, scratch) = (watchdog(), workers(2), Scratch::new());
    let gates = vec![scratch.at("never"); 10_000];
    let all = par_map_async!(wait, gates; pool = pool).unwrap();
    let calls: Vec<_> = (0..20)
        .map(|_| par_apply_async!(wait(scratch.at("never")); pool = pool).unwrap())
        .collect();
    eventually("busy workers", || pool.stats().workers_busy == 2);
    let pids = pool.worker_pids();
    pool.terminate();
    pool.terminate();
    pool.join().unwrap();
    assert!(!pids.into_iter().any(is_alive));
    refused(ErrorKind::Cancelled, all.get());
    calls.into_iter().for_each(|call| refused(ErrorKind::Cancelled, call.get()));
    refused(ErrorKind::Closed, par_map!(square, 0..3; pool = pool));
}

#[test]
fn terminate_from_another_thread_ends_a_call_that_waits() {
    let (_dog, pool, scratch) = (watchdog(), workers(2), Scratch::new());
    std::thread::scope(|scope| {
        let call = scope.spawn(|| par_map!(wait, vec![scratch.at("never"); 10]; pool = pool));
        eventually("busy workers", || pool.stats().workers_busy == 2);
        pool.terminate();
        refused(ErrorKind::Cancelled, call.join().unwrap());
    });
}

#[test]
fn an_open_stream_gives_what_it_took_when_its_pool_is_closed() {
    let (_dog, pool) = (watchdog(), workers(2));
    let mut squares = par_imap!(square, 0..; pool = pool, window = 100).unwrap();
    assert_eq!(squares.next().unwrap().unwrap(), 0);
    pool.close();
    // Nobody takes the rest meanwhile, and join does not wait for that.
    pool.join().unwrap();
    let rest: Vec<u64> = squares.map(Result::unwrap).collect();
    assert!(rest.len() <= 100);
    assert!((1..).zip(rest).all(|(x, y)| y == x * x));
}

#[test]
fn each_end_a_program_may_come_to_is_in_order() {
    if is_program() {
        // A pool that lives as long as the program, one that nobody ever drops, and work that nobody waits for.
        static KEPT: OnceLock<Pool> = OnceLock::new();
        let pool = KEPT.get_or_init(|| workers(2));
        assert_eq!(par_map!(square, 0..3; pool = pool).unwrap(), [0, 1, 4]);
        assert_eq!(par_map!(square, 0..3).unwrap(), [0, 1, 4]);
        let forgotten = workers(2);
        assert_eq!(par_map!(square, 0..3; pool = forgotten).unwrap(), [0, 1, 4]);
        let never = PathBuf::from("/nowhere/at/all");
        drop(par_apply_async!(wait(never); pool = forgotten).unwrap());
        let mut pids = pool.worker_pids();
        pids.extend(forgotten.worker_pids());
        println!("pids {pids:?}");
        std::mem::forget(forgotten);
        return;
    }
    let _dog = watchdog();
    let output = run(&mut program("each_end_a_program_may_come_to_is_in_order"));
    let out = common::text(&output.stdout);
    assert!(output.status.success(), "{out}");
    assert_eq!(common::text(&output.stderr), "");
    let pids = out.split_once("pids [").unwrap().1.split_once(']').unwrap().0;
    let pids: Vec<u32> = pids.split(", ").map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 4);
    eventually("the end of all workers", || !pids.iter().any(|&pid| is_alive(pid)));
}

#[test]
fn a_worker_is_replaced_after_so_many_items() {
    let _dog = watchdog();
    let pool = Pool::builder().workers(1).max_tasks_per_worker(10).build().unwrap();
    let pids = par_map!(pid, 0..100; pool = pool).unwrap();
    let mut of_each: HashMap<u32, u32> = HashMap::new();
    pids.iter().for_each(|&pid| *of_each.entry(pid).or_default() += 1);
    assert_eq!(of_each.len(), 10, "{of_each:?}");
    assert!(of_each.values().all(|&items| items == 10), "{of_each:?}");
    let calls = (0..4).map(|_| par_apply!(pid(0); pool = pool).unwrap()).collect::<Vec<_>>();
    assert!(calls.windows(2).all(|pair| pair[0] == pair[1]), "they are of one worker: {calls:?}");
}

#[test]
fn replacement_loses_nothing_and_repeats_nothing() {
    let _dog = watchdog();
    for (count, limit, items) in
        [(1, 1, 20), (1, 2, 7), (2, 1, 30), (2, 2, 8), (2, 7, 100), (4, 3, 50), (3, 100, 10)]
    {
        let scratch = Scratch::new();
        let pool = Pool::builder().workers(count).max_tasks_per_worker(limit).build().unwrap();
        let directory = scratch.path().to_owned();
        let all = par_map_async!(touch(directory, _), 0..items; pool = pool).unwrap();
        pool.close();
        pool.join().unwrap();
        all.get().unwrap();
        let names: Vec<String> = std::fs::read_dir(scratch.path())
            .unwrap()
            .map(|name| name.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        let distinct: HashSet<&str> =
            names.iter().map(|name| name.rsplit_once('-').unwrap().0).collect();
        assert_eq!((names.len(), distinct.len()), (items as usize, items as usize));
    }
}

static OPENED: OnceLock<u32> = OnceLock::new();

#[pool_task]
fn open(number: u32) {
    OPENED.set(number).unwrap();
}

#[pool_task]
fn opened(_: u32) -> Option<u32> {
    OPENED.get().copied()
}

#[test]
fn the_initializer_runs_before_the_first_task_and_the_finalizer_at_the_end() {
    let (_dog, scratch) = (watchdog(), Scratch::new());
    let pool = Pool::builder()
        .workers(3)
        .initializer(task!(open(7)))
        .finalizer(task!(touch(scratch.path().to_owned(), 0)))
        .build()
        .unwrap();
    assert_eq!(par_map!(opened, 0..200; pool = pool, chunk_size = 1).unwrap(), vec![Some(7); 200]);
    assert_eq!(scratch.count("item-"), 0);
    drop(pool);
    assert_eq!(scratch.count("item-"), 3);
}

#[test]
fn workers_run_a_backlog_and_no_more_are_started() {
    let (_dog, pool, scratch) = (watchdog(), workers(2), Scratch::new());
    let calls: Vec<_> = (0..30)
        .map(|x| par_apply_async!(wait_then(scratch.at("gate"), x); pool = pool).unwrap())
        .collect();
    eventually("busy workers", || pool.stats().workers_busy == 2);
    assert_eq!(pool.worker_pids().len(), 2);
    assert_eq!(pool.stats().items_pending, 30);
    scratch.open("gate");
    assert!((0..).zip(calls).all(|(x, call)| call.get().unwrap() == x));
    assert_eq!(pool.stats().workers_replaced, 0);
}

#[test]
fn many_pools_one_after_another() {
    let _dog = watchdog();
    let out = run_well(&mut program("a_program_with_many_pools"));
    assert!(out.contains("no descriptor is left"), "{out}");
}

/// Alone in its process, for it counts descriptors.
#[test]
fn a_program_with_many_pools() {
    if !is_program() {
        return;
    }
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert_eq!(par_map!(square, 0..3; pool = workers(2)).unwrap(), [0, 1, 4]);
    let before = descriptors();
    for _ in 0..50 {
        assert_eq!(par_map!(square, 0..3; pool = workers(2)).unwrap(), [0, 1, 4]);
    }
    // Whoever saw the last worker go may hold the pool a moment longer.
    eventually("closed descriptors", || descriptors() <= before);
    println!("no descriptor is left");
}

#[test]
fn a_pool_of_two_hundred() {
    let (_dog, pool) = (watchdog(), workers(200));
    assert_eq!(
        par_map!(square, 0..1000; pool = pool, timeout = Duration::from_secs(60)).unwrap().len(),
        1000
    );
}

#[pool_task]
fn append(path: PathBuf) {
    mark(&path);
}

#[test]
fn a_pool_without_workers_ends_like_the_others() {
    let scratch = Scratch::new();
    let end = scratch.at("end");
    let builder = Pool::builder().in_process().finalizer(task!(append(end.clone())));
    let pool = builder.build().unwrap();
    assert_eq!(pool.join().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(par_map!(square, 0..3; pool = pool).unwrap(), [0, 1, 4]);
    pool.close();
    assert_eq!(par_map!(square, 0..3; pool = pool).unwrap_err().kind(), ErrorKind::Closed);
    assert!(!end.exists());
    pool.join().unwrap();
    assert!(end.exists(), "the finalizer did not run");
    std::fs::remove_file(&end).unwrap();
    drop(pool);
    assert!(!end.exists(), "the finalizer ran twice");
}
