//! How pools end: at once, in order, twice, from anywhere; and workers that are replaced lose nothing.

mod failing;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use failing::{
    Scratch, descendants, eventually, is_alive, mark, mark_pid, place_of_program, program, watchdog,
};
use pool_runtime::prelude::*;

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn ignores(x: u64, place: PathBuf) -> u64 {
    #[expect(unsafe_code, reason = "a worker that cannot be asked to end is the point")]
    // SAFETY: it changes only what this process does on SIGTERM.
    unsafe {
        libc::signal(libc::SIGTERM, libc::SIG_IGN)
    };
    mark_pid(&place, "busy");
    std::thread::sleep(Duration::from_secs(60));
    x
}

#[test]
fn p26_terminate_with_ten_thousand_long_tasks_queued() {
    let _dog = watchdog(60);
    let (pool, scratch) = (Pool::new(2).expect("a pool"), Scratch::new());
    let job = par_map_async!(ignores(_, scratch.path()), 0..10_000; pool = &pool).expect("a job");
    let calls: Vec<_> = (0..3000)
        .map(|x| par_apply_async!(ignores(x, scratch.path()); pool = &pool).expect("a call"))
        .collect();
    eventually("both are busy", || scratch.marks("busy").len() == 2);
    let pids = pool.worker_pids();
    let start = Instant::now();
    pool.terminate();
    pool.join().expect("an end");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(!pids.into_iter().any(is_alive));
    assert_eq!(job.get().expect_err("a failure").kind(), ErrorKind::Cancelled);
    for call in calls {
        assert_eq!(call.get().expect_err("a failure").kind(), ErrorKind::Cancelled);
    }
}

#[test]
fn every_end_may_come_twice_and_in_any_order() {
    let _dog = watchdog(60);
    let pool = Pool::new(2).expect("a pool");
    assert_eq!(pool.join().expect_err("too early").kind(), ErrorKind::InvalidInput);
    par_map!(square, 0..10; pool = &pool).expect("values");
    pool.close();
    pool.close();
    assert_eq!(par_apply!(square(1); pool = &pool).expect_err("closed").kind(), ErrorKind::Closed);
    pool.join().expect("an end");
    pool.join().expect("an end");
    pool.terminate();
    pool.terminate();
    pool.join().expect("an end");
    pool.close();
    assert_eq!(par_map!(square, 0..9; pool = &pool).expect_err("closed").kind(), ErrorKind::Closed);
    let closed = par_apply_async!(square(1); pool = &pool).expect_err("closed");
    assert_eq!(closed.kind(), ErrorKind::Closed);
    assert!(pool.worker_pids().is_empty());
}

#[test]
fn ends_from_other_threads_side_by_side() {
    let _dog = watchdog(60);
    for round in 0..20 {
        let pool = Pool::new(2).expect("a pool");
        std::thread::scope(|scope| {
            let work = scope.spawn(|| par_map!(square, 0..50_000; pool = &pool));
            for thread in 0..4 {
                let pool = &pool;
                scope.spawn(move || match (round + thread) % 3 {
                    0 => pool.terminate(),
                    1 => pool.close(),
                    _ => drop(pool.join()),
                });
            }
            match work.join().expect("no panic") {
                Ok(values) => assert_eq!(values.len(), 50_000),
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Closed),
                        "{error}"
                    );
                }
            }
        });
    }
}

#[test]
fn r6_p6_callbacks_may_do_anything() {
    let _dog = watchdog(60);
    let pool = Arc::new(Pool::new(2).expect("a pool"));
    // It panics: that harms nobody, and the result is there.
    let call = par_apply_async!(square(3); pool = &pool, callback = |_| panic!("in a callback"));
    assert_eq!(call.expect("a call").get().expect("a value"), 9);
    let job = par_map_async!(square, 0..3; pool = &pool, callback = |_| panic!("in a callback"));
    assert_eq!(job.expect("a job").get().expect("values"), [0, 1, 4]);
    // It submits, and waits for what it submitted.
    let (give, take) = mpsc::channel();
    let own = Arc::clone(&pool);
    let call = par_apply_async!(square(3); pool = &pool, callback = move |nine| {
        let later = par_apply_async!(square(nine); pool = &own).and_then(AsyncResult::get);
        let _ = give.send((later, par_map!(square, 0..4; pool = &own)));
    });
    let (later, values) = take.recv().expect("the callback was called");
    assert_eq!((later.expect("a value"), values.expect("values")), (81, vec![0, 1, 4, 9]));
    assert_eq!(call.expect("a call").get().expect("a value"), 9);
}

/// Ends a pool in the callback of a call, or of a job.
fn end_in_callback(one: bool, end: impl Fn(&Pool) + Send + Copy + 'static) {
    let pool = Arc::new(Pool::new(2).expect("a pool"));
    let (own, (give, take)) = (Arc::clone(&pool), mpsc::channel());
    let ended = move || {
        end(&own);
        drop(own);
        let _ = give.send(());
    };
    if one {
        par_apply_async!(square(3); pool = &pool, callback = move |_| ended())
            .map(drop)
            .expect("a call");
    } else {
        par_map_async!(square, 0..9; pool = &pool, callback = move |_| ended())
            .map(drop)
            .expect("a job");
    }
    take.recv().expect("the callback has ended");
    drop(pool);
}

#[test]
fn p6_callbacks_may_end_their_pool() {
    let _dog = watchdog(60);
    for one in [true, false] {
        end_in_callback(one, Pool::terminate);
        end_in_callback(one, |pool| {
            pool.close();
            pool.join().expect("an end");
        });
        end_in_callback(one, |pool| {
            pool.terminate();
            pool.join().expect("an end");
        });
        end_in_callback(one, |_| ());
    }
}

#[test]
fn p10_streams_that_nobody_takes_hold_up_no_end() {
    let _dog = watchdog(60);
    let pool = Pool::new(2).expect("a pool");
    let never = par_imap!(square, 0..; pool = &pool).expect("a stream");
    let mut partly = par_imap!(square, 0..; pool = &pool).expect("a stream");
    assert_eq!(partly.by_ref().take(10).filter(Result::is_ok).count(), 10);
    pool.close();
    pool.join().expect("an end");
    // What was taken of the input is given, and then it ends.
    assert!(partly.all(|value| value.is_ok()));
    assert_eq!(never.count(), 0);
}

#[pool_task]
fn notes(x: u64, place: PathBuf) -> u64 {
    let tries = failing::marks(&place, &format!("{x}-")).len();
    mark(&place, &format!("{x}-{tries}"));
    x
}

#[test]
fn p8_replaced_workers_lose_and_repeat_nothing() {
    let _dog = watchdog(300);
    for workers in [1, 2, 8] {
        for limit in [1, 2, 7] {
            for (round, items) in [1, 2, 7, 30, 100].into_iter().enumerate() {
                recycle(workers, limit, items, round % 3);
            }
        }
    }
}

#[test]
fn workers_that_end_with_their_pool_are_not_replaced() {
    let _dog = watchdog(60);
    for end in [Pool::close, Pool::terminate] {
        let pool = Pool::new(2).expect("a pool");
        par_map!(square, 0..10; pool = &pool).expect("values");
        end(&pool);
        pool.join().expect("an end");
        assert_eq!(pool.stats().workers_replaced, 0);
    }
}

/// Every item runs once, whichever way the pool ends.
fn recycle(workers: usize, limit: u64, items: u64, end: usize) {
    let scratch = Scratch::new();
    let pool =
        Pool::builder().workers(workers).max_tasks_per_worker(limit).build().expect("a pool");
    let job = par_map_async!(notes(_, scratch.path()), 0..items; pool = &pool).expect("a job");
    let what = format!("{workers} workers, {limit} each, {items} items");
    match end {
        0 => {
            pool.close();
            pool.join().expect("an end");
            assert_eq!(job.get().expect("values"), (0..items).collect::<Vec<_>>(), "{what}");
        }
        1 => {
            drop(pool);
            assert_eq!(job.get().expect("values"), (0..items).collect::<Vec<_>>(), "{what}");
        }
        _ => {
            assert_eq!(job.get().expect("values"), (0..items).collect::<Vec<_>>(), "{what}");
            pool.terminate();
        }
    }
    let mut ran = scratch.marks("");
    ran.sort();
    let mut once: Vec<String> = (0..items).map(|x| format!("{x}-0")).collect();
    once.sort();
    assert_eq!(ran, once, "{what}");
}

#[test]
fn more_runs_than_places_in_the_queue_while_a_stream_stays_open() {
    let _dog = watchdog(120);
    let pool = Pool::new(2).expect("a pool");
    let (input, items) = mpsc::channel();
    let job = par_map_async!(square, items; pool = &pool).expect("a job");
    input.send(1).expect("the job takes it");
    // The job's run keeps its place while five thousand others come and go.
    for x in 0..5000 {
        assert_eq!(par_apply!(square(x); pool = &pool).expect("a value"), x * x);
    }
    input.send(2).expect("the job takes it");
    eventually("its items are run", || pool.stats().items_pending == 0);
    drop(input);
    assert_eq!(job.get().expect("values"), [1, 4]);
}

#[pool_task]
fn square_unless_odd(x: u64) -> u64 {
    match x % 4 {
        1 => panic!("{x} is odd"),
        3 => std::process::exit(3),
        _ => x * x,
    }
}

// gh-132969 of CPython: there the shutdown hangs.
#[test]
fn replaced_workers_whose_items_fail_hold_up_no_end() {
    let _dog = watchdog(60);
    for (workers, limit) in [(1, 1), (2, 1), (2, 3)] {
        let pool =
            Pool::builder().workers(workers).max_tasks_per_worker(limit).build().expect("a pool");
        let stream = par_imap!(square_unless_odd, 0..20; pool = &pool).expect("a stream");
        let streamed: Vec<_> = stream.collect();
        let calls: Vec<_> = (0..20)
            .map(|x| par_apply_async!(square_unless_odd(x); pool = &pool).expect("a call"))
            .collect();
        pool.close();
        pool.join().expect("an end");
        assert!(pool.worker_pids().is_empty());
        assert!(pool.stats().workers_replaced > 2);
        let called: Vec<_> = calls.into_iter().map(AsyncResult::get).collect();
        for outcomes in [streamed, called] {
            assert_eq!(outcomes.len(), 20);
            for (x, outcome) in (0..).zip(outcomes) {
                match (x % 4, outcome.map_err(|error| (error.kind(), error.exit_code()))) {
                    (1, Err((ErrorKind::Panicked, None)))
                    | (3, Err((ErrorKind::WorkerDied, Some(3)))) => {}
                    (0 | 2, Ok(value)) => assert_eq!(value, x * x),
                    (_, other) => panic!("{x} has {other:?}"),
                }
            }
        }
    }
}

#[test]
fn terminate_while_workers_are_replaced() {
    // Alone: the other tests start workers too.
    if place_of_program().is_none() {
        let scratch = Scratch::new();
        let test = "terminate_while_workers_are_replaced";
        let output = program(test, &scratch.path()).output().expect("a program");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{text}", output.status);
        assert_eq!(scratch.marks("done").len(), 1);
        return;
    }
    let _dog = watchdog(120);
    let children = || descendants(std::process::id());
    let mut ended = Vec::new();
    for _ in 0..20 {
        let pool = Pool::builder().workers(2).max_tasks_per_worker(1).build().expect("a pool");
        let job = par_map_async!(square, 0..200; pool = &pool).expect("a job");
        eventually("some are replaced", || pool.stats().workers_replaced > 2);
        pool.terminate();
        pool.join().expect("an end");
        assert!(pool.worker_pids().is_empty());
        assert_eq!(children(), [0; 0]);
        let _ = job.get();
        ended.push((pool.stats().workers_replaced, pool));
    }
    // All starts of a program are made one after the other: had one been left over, it would have been made before this one's.
    assert_eq!(par_apply!(square(3); pool = Pool::new(1).expect("a pool")).expect("a value"), 9);
    assert_eq!(children(), [0; 0]);
    for (replaced, pool) in ended {
        assert!(pool.worker_pids().is_empty());
        assert_eq!(pool.stats().workers_replaced, replaced);
    }
    mark(&place_of_program().expect("a place"), "done");
}
