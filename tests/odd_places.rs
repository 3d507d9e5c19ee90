//! Calls from where programs seldom are: a `Drop` while a panic unwinds, the last moments of a thread and of the process, and copies that
//! `fork` makes.
#![expect(unsafe_code, reason = "forks, and handlers that C calls at the end")]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{
    Scratch, eventually, is_alive, is_program, mark, program, run, run_well, text, watchdog,
    workers,
};
use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn panics(text: String) -> u64 {
    panic!("{text}")
}

/// Bound, it is decoded once per job and kept.
#[derive(Serialize, Deserialize)]
struct Word(String);

#[pool_task]
fn joined(x: u64, word: &Word) -> String {
    format!("{}{x}", word.0)
}

fn without_workers() -> Pool {
    Pool::builder().in_process().build().expect("a pool")
}

fn maps(pool: &Pool) {
    assert_eq!(par_map!(square, 0..3; pool = pool).expect("values"), [0, 1, 4]);
    let word = Word("a".to_owned());
    assert_eq!(par_map!(joined(_, &word), 0..2; pool = pool).expect("values"), ["a0", "a1"]);
    assert_eq!(par_apply!(joined(7, &word); pool = pool).expect("a value"), "a7");
    let error = par_apply!(panics("no".to_owned()); pool = pool).expect_err("it panics");
    assert_eq!(error.panic_message(), Some("no"));
}

/// Handles go along, which the library notes for the thread.
fn shares(pool: &Pool) {
    let (lock, value) = (Lock::new().expect("memory"), Value::new(1_u64).expect("memory"));
    assert_eq!(
        par_map!(raises(_, &lock, &value), [1, 2, 3]; pool = pool).expect("values").len(),
        3
    );
    assert_eq!(*value.lock().expect("its lock"), 7);
}

#[pool_task]
fn raises(x: u64, lock: &Lock, value: &Value<u64>) {
    let _guard = lock.lock().expect("a lock");
    *value.lock().expect("its lock") += x;
}

fn spawns() {
    let process = Process::spawn(task!(square(3))).expect("it starts");
    assert_eq!(process.join().expect("a value"), 9);
}

#[pool_task]
fn total(part: &[u64]) -> u64 {
    part.iter().sum()
}

fn parts() {
    let buffer = SharedBuffer::from_slice(&[1_u64, 2, 3, 4]).expect("memory");
    let pool = without_workers();
    let sums = par_map!(total, buffer.chunks(2); pool = &pool);
    assert_eq!(sums.expect("values"), [3, 7]);
}

fn queues() {
    let queue = Queue::bounded(2).expect("memory");
    queue.put("text".to_owned()).expect("room");
    assert_eq!(queue.get().expect("an item"), "text");
}

fn everything() {
    spawns();
    queues();
    parts();
    pools();
}

fn pools() {
    for pool in [without_workers(), workers(1)] {
        maps(&pool);
        shares(&pool);
    }
    println!("pools work");
}

/// Runs `work` in a program of its own; gives what it wrote, where this is not that program.
fn alone(test: &str, work: impl FnOnce()) -> Option<String> {
    if is_program() {
        let _dog = watchdog();
        work();
        return None;
    }
    Some(run_well(&mut program(test)))
}

struct Cleanup(fn());

impl Drop for Cleanup {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_drop_while_a_panic_unwinds_may_call_everything() {
    let written = alone("a_drop_while_a_panic_unwinds_may_call_everything", || {
        let caught = std::panic::catch_unwind(|| {
            let _cleanup = Cleanup(everything);
            panic!("the user's");
        });
        assert_eq!(*caught.expect_err("a panic").downcast::<&str>().expect("text"), "the user's");
        // From now on panics are noted, as ever.
        let error = par_apply!(panics("no".to_owned()); pool = &without_workers());
        let place = error.expect_err("it panics").panic_location().map(str::to_owned);
        assert!(place.is_some_and(|place| place.contains("odd_places.rs")));
    });
    assert!(written.is_none_or(|written| written.contains("pools work")));
}

thread_local! {
    static LAST: Cleanup = const { Cleanup(everything) };
}

#[test]
fn the_destructor_of_a_thread_local_may_call_everything() {
    let written = alone("the_destructor_of_a_thread_local_may_call_everything", || {
        let thread = std::thread::spawn(|| {
            // The first there, and so the last to go: what the library keeps for the thread has gone before.
            LAST.with(|_| ());
            everything();
        });
        thread.join().expect("no panic");
    });
    assert!(written.is_none_or(|written| written.matches("pools work").count() == 2));
}

extern "C" fn at_exit() {
    everything();
}

#[test]
fn a_handler_at_exit_may_call_everything() {
    let written = alone("a_handler_at_exit_may_call_everything", || {
        everything();
        // SAFETY: the handler takes nothing and gives nothing.
        assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
        std::process::exit(0)
    });
    assert!(written.is_none_or(|written| written.matches("pools work").count() == 2));
}

/// Forks, and leaves a mark that names the copy. Both come back.
fn fork(directory: &Path) -> bool {
    // SAFETY: whoever forks here has no thread that holds a lock.
    let copy = unsafe { libc::fork() };
    if copy > 0 {
        mark(&directory.join(format!("copy-{copy}")));
    }
    copy == 0
}

/// Waits until `count` copies were made and have gone.
#[track_caller]
fn copies_go(scratch: &Scratch, count: usize) {
    eventually("the copies", || scratch.count("copy-") == count);
    for entry in std::fs::read_dir(scratch.path()).expect("a directory") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        if let Some(pid) = name.strip_prefix("copy-") {
            let pid = pid.parse().expect("a number");
            eventually("the end of a copy", || !is_alive(pid));
        }
    }
}

#[pool_task]
fn forks(x: u64, directory: PathBuf) -> u64 {
    if x == 7 && fork(&directory) { 1000 } else { x }
}

#[pool_task]
fn forks_and_panics(x: u64, directory: PathBuf) -> u64 {
    assert!(x != 7 || !fork(&directory), "the copy");
    x
}

#[pool_task]
fn forks_among_texts(x: u64, directory: PathBuf) -> String {
    if x == 7 && fork(&directory) { "the copy's".to_owned() } else { x.to_string() }
}

#[test]
fn a_task_that_forks_and_returns_twice_counts_once() {
    let _dog = watchdog();
    for count in [1, 2] {
        let (pool, scratch) = (workers(count), Scratch::new());
        let place = || scratch.path().to_owned();
        assert_eq!(
            par_map!(forks(_, place()), [1, 7, 2, 3]; pool = &pool).expect("values"),
            [1, 7, 2, 3]
        );
        let items = [1, 7, 2, 3];
        assert_eq!(
            par_map!(forks_and_panics(_, place()), items; pool = &pool).expect("values"),
            items
        );
        let texts = par_map!(forks_among_texts(_, place()), items; pool = &pool).expect("values");
        assert_eq!(texts, ["1", "7", "2", "3"]);
        copies_go(&scratch, 3);
        let many: Vec<u64> = (0..200).map(|x| x * x).collect();
        assert_eq!(par_map!(square, 0..200; pool = &pool).expect("values"), many);
    }
}

#[pool_task]
fn forks_once(directory: PathBuf) {
    mark(&directory.join(format!("call-{}", std::process::id())));
    print!("written before");
    fork(&directory);
}

#[test]
fn an_initializer_and_a_finalizer_that_fork_and_return_twice_count_once() {
    let test = "an_initializer_and_a_finalizer_that_fork_and_return_twice_count_once";
    let written = alone(test, || {
        let scratch = Scratch::new();
        let place = || scratch.path().to_owned();
        let builder = Pool::builder().workers(1).initializer(task!(forks_once(place())));
        let pool = builder.finalizer(task!(forks_once(place()))).build().expect("a pool");
        assert_eq!(par_map!(square, 0..3; pool = &pool).expect("values"), [0, 1, 4]);
        copies_go(&scratch, 1);
        drop(pool);
        copies_go(&scratch, 2);
        assert_eq!(scratch.count("call-"), 1);
    });
    assert!(written.is_none_or(|written| written.matches("written before").count() == 2));
}

static PLACE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();

extern "C" fn note_exit() {
    mark(&PLACE.get().expect("a place").join(format!("exit-{}", std::process::id())));
}

#[pool_task]
fn forks_before_its_end(directory: PathBuf) -> u64 {
    PLACE.get_or_init(|| directory.clone());
    // SAFETY: the handler takes nothing and gives nothing.
    unsafe { libc::atexit(note_exit) };
    print!("written before");
    if fork(&directory) { 1 } else { 2 }
}

#[test]
fn a_process_that_forks_and_returns_twice_ends_once() {
    let written = alone("a_process_that_forks_and_returns_twice_ends_once", || {
        let scratch = Scratch::new();
        let process = Process::spawn(task!(forks_before_its_end(scratch.path().to_owned())));
        assert_eq!(process.expect("it starts").join().expect("a value"), 2);
        copies_go(&scratch, 1);
        assert_eq!(scratch.count("exit-"), 1);
    });
    assert!(written.is_none_or(|written| written.matches("written before").count() == 1));
}

#[pool_task]
fn refuses() -> Result<(), String> {
    Err("too late".to_owned())
}

#[test]
fn a_finalizer_that_returns_an_error_is_told_as_a_finalizer() {
    let test = "a_finalizer_that_returns_an_error_is_told_as_a_finalizer";
    if is_program() {
        drop(Pool::builder().workers(1).finalizer(task!(refuses())).build().expect("a pool"));
        return;
    }
    let written = text(&run(&mut program(test)).stderr);
    assert!(written.contains("the finalizer of a pool worker failed: task `"), "{written}");
    assert!(written.contains("refuses`: too late"), "{written}");
    assert!(!written.contains("initializer"), "{written}");
}

/// What its drop does in a worker.
#[derive(Serialize, Deserialize)]
enum Ends {
    Late(Duration),
    InAnAbort,
}

impl Drop for Ends {
    fn drop(&mut self) {
        match self {
            _ if !is_worker() => {}
            Self::Late(time) => std::thread::sleep(*time),
            Self::InAnAbort => std::process::abort(),
        }
    }
}

#[pool_task]
fn uses(x: u64, _ends: &Ends) -> u64 {
    x
}

#[test]
fn a_bound_argument_that_is_long_to_drop_costs_the_next_call_no_item() {
    let _dog = watchdog();
    let pool = workers(1);
    let late = Ends::Late(Duration::from_millis(1500));
    assert_eq!(par_map!(uses(_, &late), [1, 2]; pool = &pool).expect("values"), [1, 2]);
    let (word, limit) = (Word("a".to_owned()), Duration::from_millis(500));
    let next = par_map!(joined(_, &word), [1, 2]; pool = &pool, timeout = limit);
    assert_eq!(next.expect("values"), ["a1", "a2"]);
}

#[test]
fn a_bound_argument_that_aborts_when_it_is_dropped_costs_the_next_call_no_item() {
    let _dog = watchdog();
    let pool = workers(1);
    assert_eq!(par_map!(uses(_, &Ends::InAnAbort), [1, 2]; pool = &pool).expect("values"), [1, 2]);
    let word = Word("a".to_owned());
    let next = par_map!(joined(_, &word), [1, 2]; pool = &pool).expect("values");
    assert_eq!(next, ["a1", "a2"]);
}
