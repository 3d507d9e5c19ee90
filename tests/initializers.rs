//! Initializers that panic, leave, fail or hang end in an error within a bounded time and number of starts.

mod failing;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use failing::{Scratch, eventually, hang, mark, mark_pid, watchdog};
use pool_runtime::prelude::*;

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn begins(place: PathBuf, how: &str) -> Result<(), String> {
    mark_pid(&place, "start");
    match how {
        "panic" => panic!("no database"),
        "exit" => std::process::exit(9),
        "abort" => std::process::abort(),
        "err" => Err("no such file".to_owned()),
        "hang" => hang(),
        // Every start whose number is even goes well.
        "odd" if failing::marks(&place, "start").len() % 2 == 1 => Err("not this time".to_owned()),
        _ => Ok(()),
    }
}

/// The error of a pool whose workers all begin so, and how often one was started.
fn error_of(how: &str, workers: usize) -> (Error, usize) {
    let scratch = Scratch::new();
    let pool = Pool::builder()
        .workers(workers)
        .initializer(task!(begins(scratch.path(), how)))
        // Long enough for any start on a busy machine; only what hangs takes so long.
        .start_timeout(Duration::from_secs(if how == "hang" { 1 } else { 60 }));
    let pool = pool.build().expect("a pool");
    let start = Instant::now();
    let error = par_map!(square, 0..100; pool = &pool).expect_err("a failure");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    // It stays so, at once, and nothing is started any more.
    let again = par_apply!(square(1); pool = &pool).expect_err("a failure");
    assert_eq!(again.kind(), error.kind());
    pool.close();
    pool.join().expect("an end");
    assert!(pool.worker_pids().is_empty());
    (error, scratch.marks("start").len())
}

#[test]
fn r7_failing_initializer_is_an_error_after_a_few_starts() {
    let _dog = watchdog(120);
    for workers in [1, 2, 4] {
        for how in ["panic", "err", "exit", "abort"] {
            let (error, starts) = error_of(how, workers);
            assert_eq!(error.kind(), ErrorKind::Initializer, "{how}: {error}");
            assert!((1..=2 * workers + 4).contains(&starts), "{how}: {starts} starts");
            match how {
                "panic" => assert_eq!(error.panic_message(), Some("no database"), "{error}"),
                "err" => assert!(error.to_string().contains("no such file"), "{error}"),
                "exit" => assert_eq!(error.exit_code(), Some(9)),
                _ => assert_eq!(error.signal(), Some(6)),
            }
            assert!(error.worker_pid().is_some(), "{error}");
        }
    }
}

#[test]
fn p7_initializer_that_hangs_is_an_error_in_time() {
    let _dog = watchdog(120);
    for workers in [1, 2] {
        let (error, starts) = error_of("hang", workers);
        assert_eq!(error.kind(), ErrorKind::Initializer, "{error}");
        assert!(error.to_string().contains("300ms"), "{error}");
        assert!(starts <= 2 * workers + 4, "{starts} starts");
    }
}

#[test]
fn p7_initializer_that_fails_every_other_time_is_started_again() {
    let _dog = watchdog(120);
    for _ in 0..5 {
        let scratch = Scratch::new();
        let pool = Pool::builder()
            .workers(1)
            .max_tasks_per_worker(5)
            .initializer(task!(begins(scratch.path(), "odd")));
        let pool = pool.build().expect("a pool");
        assert_eq!(par_map!(square, 0..20; pool = &pool).expect("values").len(), 20);
        // Four workers, each at the second start.
        let starts = scratch.marks("start").len();
        assert!((8..=10).contains(&starts), "{starts}");
    }
}

#[pool_task]
fn notes(place: PathBuf, what: &str) {
    mark(&place, &format!("{what}-{}", std::process::id()));
}

#[pool_task]
fn has_begun(_x: u64, place: PathBuf) -> bool {
    !failing::marks(&place, &format!("begin-{}", std::process::id())).is_empty()
}

#[test]
fn initializer_ran_once_in_each_worker_before_its_first_task() {
    let _dog = watchdog(60);
    let scratch = Scratch::new();
    let pool = Pool::builder()
        .workers(3)
        .initializer(task!(notes(scratch.path(), "begin")))
        .finalizer(task!(notes(scratch.path(), "end")));
    let pool = pool.build().expect("a pool");
    let begun = par_map!(has_begun(_, scratch.path()), 0..300; pool = &pool);
    assert!(begun.expect("values").into_iter().all(|begun| begun));
    let pids = pool.worker_pids();
    eventually("all have begun", || scratch.marks("begin").len() == 3);
    pool.close();
    pool.join().expect("an end");
    for pid in pids {
        assert_eq!(scratch.marks(&format!("begin-{pid}")).len(), 1);
        assert_eq!(scratch.marks(&format!("end-{pid}")).len(), 1);
    }
}

#[test]
fn initializer_and_finalizer_run_without_any_task() {
    let _dog = watchdog(60);
    let scratch = Scratch::new();
    let pool = Pool::builder()
        .workers(2)
        .initializer(task!(notes(scratch.path(), "begin")))
        .finalizer(task!(notes(scratch.path(), "end")));
    let pool = pool.build().expect("a pool");
    drop(pool);
    assert_eq!((scratch.marks("begin").len(), scratch.marks("end").len()), (2, 2));
}

#[pool_task]
fn takes_long() {
    std::thread::sleep(Duration::from_millis(700));
}

#[test]
fn slow_initializer_within_its_time_is_waited_for() {
    let _dog = watchdog(60);
    let pool = Pool::builder().workers(2).initializer(task!(takes_long()));
    let pool = pool.start_timeout(Duration::from_secs(20)).build().expect("a pool");
    assert_eq!(par_map!(square, 0..10; pool = &pool).expect("values").len(), 10);
}
