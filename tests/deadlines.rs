//! Deadlines stop the work of one item, memory limits too, and cancelling stops what runs.

mod failing;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use failing::{Scratch, eventually, is_alive, mark, mark_pid, sort, watchdog};
use pool_runtime::prelude::*;

fn ignore_sigterm() {
    #[expect(unsafe_code, reason = "a task that cannot be asked to end is the point")]
    // SAFETY: it changes only what this process does on SIGTERM.
    unsafe {
        libc::signal(libc::SIGTERM, libc::SIG_IGN)
    };
}

#[pool_task]
fn loops(x: u64, bad: u64, place: PathBuf) -> u64 {
    if x == bad {
        ignore_sigterm();
        mark_pid(&place, "looping");
        loop {
            std::hint::spin_loop();
        }
    }
    x + 1
}

#[pool_task]
fn sleeps(x: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(x));
    x
}

#[pool_task(timeout = "100ms")]
fn impatient(x: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(x));
    x
}

#[test]
fn p9_r14_an_endless_loop_costs_one_item() {
    let _dog = watchdog(60);
    let (pool, scratch) = (Pool::new(2).expect("a pool"), Scratch::new());
    par_map!(sleeps, [0, 0]; pool = &pool).expect("warm workers");
    let start = Instant::now();
    let timeout = Duration::from_millis(200);
    let stream = par_imap!(loops(_, 50, scratch.path()), 0..100; pool = &pool, timeout = timeout);
    let (values, errors) = sort(stream.expect("a stream"));
    let took = start.elapsed();
    assert_eq!((values.len(), errors.len()), (99, 1));
    assert_eq!((errors[0].kind(), errors[0].index()), (ErrorKind::TimedOut, Some(50)));
    assert!(took >= timeout && took < Duration::from_secs(2), "{took:?}");
    let pid = scratch.pid_of("looping");
    assert_eq!(errors[0].worker_pid(), Some(pid));
    assert!(!is_alive(pid), "the loop goes on");
}

#[test]
fn other_items_of_its_chunk_go_on() {
    let _dog = watchdog(60);
    let (pool, scratch) = (Pool::new(1).expect("a pool"), Scratch::new());
    let timeout = Duration::from_millis(100);
    // One chunk holds all items; two of them in a row loop.
    let looping = par_imap!(
        loops(_, 7, scratch.path()), [0, 1, 7, 7, 2, 3, 4, 5, 6, 8];
        pool = &pool, timeout = timeout, chunk_size = 10
    );
    let (values, errors) = sort(looping.expect("a stream"));
    assert_eq!((values.len(), errors.len()), (8, 2));
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::TimedOut));
}

#[test]
fn the_call_wins_over_the_task_and_the_task_over_the_pool() {
    let _dog = watchdog(60);
    let pool =
        Pool::builder().workers(1).task_timeout(Duration::from_millis(30)).build().expect("a pool");
    // The pool's.
    let error = par_apply!(sleeps(10_000); pool = &pool).expect_err("a failure");
    assert!(error.kind() == ErrorKind::TimedOut && error.to_string().contains("30ms"), "{error}");
    // The task's.
    let error = par_apply!(impatient(10_000); pool = &pool).expect_err("a failure");
    assert!(error.kind() == ErrorKind::TimedOut && error.to_string().contains("100ms"), "{error}");
    // The call's.
    let long = Duration::from_secs(30);
    assert_eq!(par_apply!(impatient(200); pool = &pool, timeout = long).expect("a value"), 200);
    let short = Duration::from_millis(20);
    let error =
        par_apply!(impatient(10_000); pool = &pool, timeout = short).expect_err("a failure");
    assert!(error.to_string().contains("20ms"), "{error}");
}

#[test]
fn deadline_of_a_stream_that_waits_between_items() {
    let _dog = watchdog(60);
    let pool = Pool::new(1).expect("a pool");
    // The pool has been asleep for long when the item that is too slow comes.
    let slow = (0..3).map(|x| {
        std::thread::sleep(Duration::from_millis(150));
        if x == 2 { 60_000 } else { x }
    });
    let (values, errors) = sort(par_imap!(impatient, slow; pool = &pool).expect("a stream"));
    assert_eq!((values.len(), errors.len()), (2, 1));
    assert_eq!((errors[0].kind(), errors[0].index()), (ErrorKind::TimedOut, Some(2)));
}

#[pool_task]
fn counts(x: u64, place: PathBuf, good_from: usize) -> usize {
    let tried = failing::marks(&place, &format!("try-{x}-")).len();
    failing::mark(&place, &format!("try-{x}-{tried}"));
    if x == 3 && tried + 1 < good_from {
        std::process::abort();
    }
    tried + 1
}

#[test]
fn retries_have_an_end() {
    let _dog = watchdog(60);
    let pool = Pool::new(2).expect("a pool");
    let scratch = Scratch::new();
    let good = par_map!(counts(_, scratch.path(), 3), 0..6; pool = &pool, retries = 2);
    assert_eq!(good.expect("values"), [1, 1, 1, 3, 1, 1]);
    let scratch = Scratch::new();
    let (values, errors) = sort(
        par_imap!(counts(_, scratch.path(), 99), 0..6; pool = &pool, retries = 2)
            .expect("a stream"),
    );
    assert_eq!((values.len(), errors.len()), (5, 1));
    assert_eq!((errors[0].index(), errors[0].signal()), (Some(3), Some(6)));
    assert_eq!(scratch.marks("try-3-").len(), 3);
    assert_eq!(scratch.marks("").len(), 8, "no other item was run twice");
}

#[test]
fn cancel_stops_what_runs() {
    let _dog = watchdog(60);
    let (pool, scratch) = (Pool::new(2).expect("a pool"), Scratch::new());
    let call = par_apply_async!(loops(1, 1, scratch.path()); pool = &pool).expect("a call");
    let pid = scratch.pid_of("looping");
    call.cancel();
    assert_eq!(call.get().expect_err("a failure").kind(), ErrorKind::Cancelled);
    eventually("the loop is gone", || !is_alive(pid));
    // A whole job, of which most has not started.
    let job = par_map_async!(sleeps, vec![50_u64; 10_000]; pool = &pool).expect("a job");
    eventually("it runs", || pool.stats().workers_busy > 0);
    let start = Instant::now();
    job.cancel();
    assert_eq!(job.get().expect_err("a failure").kind(), ErrorKind::Cancelled);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(par_apply!(sleeps(1); pool = &pool).expect("a value"), 1);
}

#[pool_task]
fn waits(x: u64, place: PathBuf) -> u64 {
    mark_pid(&place, "waiting");
    eventually("the gate opens", || !failing::marks(&place, "gate").is_empty());
    x
}

// test_cancel_futures of CPython.
#[test]
fn all_that_is_cancelled_before_it_runs_is_cancelled() {
    let _dog = watchdog(120);
    let (pool, scratch) = (Pool::new(2).expect("a pool"), Scratch::new());
    let call = |x| par_apply_async!(waits(x, scratch.path()); pool = &pool).expect("a call");
    let running = [call(0), call(1)];
    eventually("both workers are held", || scratch.marks("waiting").len() == 2);
    let others: Vec<_> =
        (2..50).map(|x| par_apply_async!(sleeps(x); pool = &pool).expect("a call")).collect();
    others.iter().skip(1).for_each(AsyncResult::cancel);
    mark(&scratch.path(), "gate");
    pool.close();
    pool.join().expect("an end");
    assert_eq!(running.map(|call| call.get().expect("a value")), [0, 1]);
    let mut others = others.into_iter().map(AsyncResult::get);
    assert_eq!(others.next().expect("the first").expect("a value"), 2);
    let kinds: Vec<_> = others.map(|other| other.expect_err("it was cancelled").kind()).collect();
    assert_eq!(kinds, [ErrorKind::Cancelled; 47]);
}

#[test]
fn cancelled_before_its_first_item_is_cancelled() {
    let _dog = watchdog(60);
    let pool = Pool::new(1).expect("a pool");
    let (input, items) = std::sync::mpsc::channel::<u64>();
    let job = par_map_async!(sleeps, items; pool = &pool).expect("a job");
    job.cancel();
    drop(input);
    assert_eq!(job.get().expect_err("a failure").kind(), ErrorKind::Cancelled);
    // And while its input keeps it waiting.
    let ((input, items), (asks, asked)) =
        (std::sync::mpsc::channel::<u64>(), std::sync::mpsc::channel());
    let items = std::iter::from_fn(move || {
        asks.send(()).ok()?;
        items.recv().ok()
    });
    let job = par_map_async!(sleeps, items; pool = &pool).expect("a job");
    asked.recv().expect("a question");
    job.cancel();
    drop(input);
    assert_eq!(job.get().expect_err("a failure").kind(), ErrorKind::Cancelled);
}

#[test]
fn dropping_a_stream_stops_what_runs() {
    let _dog = watchdog(60);
    let (pool, scratch) = (Pool::new(2).expect("a pool"), Scratch::new());
    // A stream goes on only while somebody takes from it; the other worker has always something to give.
    let stream = par_imap_unordered!(loops(_, 3, scratch.path()), 0..; pool = &pool);
    let mut stream = stream.expect("a stream");
    while scratch.marks("looping").is_empty() {
        stream.next().expect("an item").1.expect("a value");
    }
    let pid = scratch.pid_of("looping");
    drop(stream);
    eventually("the loop is gone", || !is_alive(pid));
    pool.close();
    pool.join().expect("an end");
}

#[pool_task]
fn eats(x: u64, bytes: usize) -> u64 {
    if x == 5 {
        let mut food = Vec::new();
        while food.len() * (1 << 20) < bytes {
            food.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        }
        food.len() as u64
    } else {
        x
    }
}

#[test]
fn p28_memory_limit_is_one_items() {
    let _dog = watchdog(60);
    let pool = Pool::builder().workers(2).memory_limit(200 << 20).build().expect("a pool");
    let (values, errors) =
        sort(par_imap!(eats(_, 4 << 30), 0..20; pool = &pool).expect("a stream"));
    assert_eq!((values.len(), errors.len()), (19, 1));
    assert_eq!(
        (errors[0].kind(), errors[0].index()),
        (ErrorKind::MemoryLimit, Some(5)),
        "{}",
        errors[0]
    );
    // A value may be as large as it likes as long as it is in shared windows.
    let bytes = par_apply!(echo(vec![7_u8; 300 << 20]); pool = &pool).expect("a value");
    assert_eq!(bytes, 300 << 20);
}

#[pool_task]
fn echo(bytes: &[u8]) -> usize {
    bytes.len()
}

#[pool_task]
fn leaks(_x: u64) -> u32 {
    std::mem::forget(std::hint::black_box(vec![1_u8; 20 << 20]));
    std::process::id()
}

#[test]
fn p28_a_task_that_leaks_is_given_a_new_worker_in_time() {
    let _dog = watchdog(60);
    let pool = Pool::builder().workers(2).memory_limit(200 << 20).build().expect("a pool");
    let pids = par_map!(leaks, 0..100; pool = &pool).expect("no failure");
    let mut workers = pids.clone();
    workers.sort();
    workers.dedup();
    // A worker holds four or five of them before half of its room is gone.
    assert!((15..=40).contains(&workers.len()), "{}", workers.len());
    assert_eq!(pids.len(), 100);
}
