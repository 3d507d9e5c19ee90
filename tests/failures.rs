//! Every way to fail is an error of the item that failed, and of nothing else.
#![expect(unsafe_code, reason = "crashes are the point")]

mod failing;

use std::hint::black_box;

use failing::{sort, watchdog};
use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// What an item does instead of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Way {
    PanicStr,
    PanicString,
    PanicOther,
    PanicPayloadDrop,
    PanicTwice,
    Exit(i32),
    ExitAtOnce(i32),
    Abort,
    Null,
    Bus,
    Divide,
    Raise(i32),
    Overflow,
    Kill,
    ThreadExits,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + room[(depth % 64) as usize] }
}

fn fail(way: Way) -> u64 {
    match way {
        Way::PanicStr => panic!("plain words"),
        Way::PanicString => panic!("formatted {}", 20),
        Way::PanicOther => std::panic::panic_any(5_i32),
        Way::PanicPayloadDrop => std::panic::panic_any(Bomb),
        Way::PanicTwice => {
            let _bomb = Bomb;
            panic!("first");
        }
        Way::Exit(code) => std::process::exit(code),
        // SAFETY: it does not return.
        Way::ExitAtOnce(code) => unsafe { libc::_exit(code) },
        Way::Abort => std::process::abort(),
        // SAFETY: none; the crash is the point.
        Way::Null => unsafe { black_box(std::ptr::null_mut::<u64>()).write_volatile(1) },
        Way::Bus => bus_error(),
        // SAFETY: none; the C library's way to report it.
        Way::Divide => drop(unsafe { libc::raise(libc::SIGFPE) }),
        // SAFETY: none; the signal is the point.
        Way::Raise(signal) => drop(unsafe { libc::raise(signal) }),
        Way::Overflow => return recurse(0),
        Way::Kill => failing::kill(std::process::id()),
        // SAFETY: none; a library that ends its caller's thread is the point.
        Way::ThreadExits => unsafe { libc::pthread_exit(std::ptr::null_mut()) },
    }
    unreachable!("{way:?} did not fail")
}

/// Reads behind the end of a mapped file.
fn bus_error() {
    let path = std::env::temp_dir().join(format!("pool-bus-{}", std::process::id()));
    let file = std::fs::File::create_new(&path).expect("a file");
    std::fs::remove_file(&path).expect("its name");
    // SAFETY: the mapping is new; to read behind the end of the file is the point.
    unsafe {
        use std::os::fd::AsRawFd;
        let at = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        black_box(at.cast::<u8>().read_volatile());
    }
}

const VICTIM: u64 = 20;
const ITEMS: u64 = 100;

#[pool_task]
fn work(x: u64, way: Way) -> u64 {
    if x == VICTIM { fail(way) } else { x * 2 }
}

/// Runs a hundred items of which one fails in that way; gives its error.
fn error_of(pool: &Pool, way: Way) -> Error {
    let (values, mut errors) =
        sort(par_imap!(work(_, way), 0..ITEMS; pool = pool).expect("a stream"));
    assert_eq!(errors.len(), 1, "{way:?}: {errors:?}");
    assert_eq!(values.len() as u64, ITEMS - 1);
    assert!(values.iter().all(|&(index, value)| value == index as u64 * 2), "{way:?}");
    let error = errors.remove(0);
    assert_eq!(error.index(), Some(VICTIM as usize), "{way:?}");
    assert!(error.task().is_some_and(|task| task.ends_with("work")), "{error}");
    assert!(error.worker_pid().is_some_and(|pid| pid != std::process::id()), "{error}");
    let text = error.to_string();
    assert!(text.contains("work") && text.contains("item 20"), "{text}");
    // The pool goes on, with as many workers.
    assert_eq!(par_map!(work(_, way), 100..200; pool = pool).expect("no failure").len(), 100);
    error
}

fn pool() -> Pool {
    Pool::new(2).expect("a pool")
}

fn dies_by(way: Way, signal: i32) -> Error {
    let _dog = watchdog(60);
    let error = error_of(&pool(), way);
    assert_eq!((error.kind(), error.signal()), (ErrorKind::WorkerDied, Some(signal)), "{error}");
    error
}

fn leaves_with(way: Way, code: i32) {
    let _dog = watchdog(60);
    let error = error_of(&pool(), way);
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::WorkerDied, Some(code)), "{error}");
    assert!(error.to_string().contains(&format!("exit code {code}")), "{error}");
}

fn panics_with(way: Way, message: &str) {
    let _dog = watchdog(60);
    let error = error_of(&pool(), way);
    assert_eq!((error.kind(), error.panic_message()), (ErrorKind::Panicked, Some(message)));
    let place = error.panic_location().expect("a place");
    assert!(place.contains("failures.rs:"), "{place}");
    assert!(error.to_string().contains(message), "{error}");
}

#[test]
fn panic_with_a_str() {
    panics_with(Way::PanicStr, "plain words");
}

#[test]
fn panic_with_a_string() {
    panics_with(Way::PanicString, "formatted 20");
}

#[test]
fn r4_panic_with_something_else() {
    panics_with(Way::PanicOther, "a panic whose payload is no string");
}

#[test]
fn panic_whose_payload_panics_when_dropped() {
    panics_with(Way::PanicPayloadDrop, "a panic whose payload is no string");
}

#[test]
fn panic_in_a_panic_aborts_one_worker() {
    dies_by(Way::PanicTwice, libc::SIGABRT);
}

/// Nothing but stderr is left to tell it: the process ends before its panic can travel.
#[test]
fn a_panic_that_aborts_is_told_on_stderr() {
    let output = std::process::Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "panic_in_a_panic_aborts_one_worker", "--nocapture"])
        .output()
        .expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let told = |line: &str| {
        line.starts_with("a task panicked at tests/failures.rs:") && line.ends_with("dropped")
    };
    assert!(stderr.lines().any(told), "{stderr}");
}

#[test]
fn r5_exit_with_any_code() {
    for code in [0, 3, 113] {
        leaves_with(Way::Exit(code), code);
        leaves_with(Way::ExitAtOnce(code), code);
    }
}

#[test]
fn p5_abort() {
    let error = dies_by(Way::Abort, libc::SIGABRT);
    assert!(error.to_string().contains("SIGABRT"), "{error}");
}

#[test]
fn p27_segfault_is_named() {
    let error = dies_by(Way::Null, libc::SIGSEGV);
    assert!(error.to_string().contains("SIGSEGV"), "{error}");
    assert!(!error.to_string().contains("stack"), "{error}");
}

#[test]
fn bus_error_behind_a_file() {
    dies_by(Way::Bus, libc::SIGBUS);
}

#[test]
fn arithmetic_signal_of_a_c_library() {
    dies_by(Way::Divide, libc::SIGFPE);
}

#[test]
fn signals_that_are_sent_and_not_raised_by_a_fault() {
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGTERM, libc::SIGILL] {
        dies_by(Way::Raise(signal), signal);
    }
}

#[test]
fn stack_overflow_says_so() {
    let error = dies_by(Way::Overflow, libc::SIGSEGV);
    assert!(error.to_string().contains("stack overflowed"), "{error}");
}

#[test]
fn r17_a_kill_fails_one_item() {
    dies_by(Way::Kill, libc::SIGKILL);
}

#[test]
fn a_library_that_ends_the_thread() {
    let _dog = watchdog(60);
    // The C library unwinds frames that are not its own for that: how the process ends is not for us to say.
    assert_eq!(error_of(&pool(), Way::ThreadExits).kind(), ErrorKind::WorkerDied);
}

#[test]
fn every_way_in_a_row_in_one_pool() {
    let _dog = watchdog(120);
    let pool = pool();
    let ways = [Way::Abort, Way::PanicStr, Way::Exit(1), Way::Overflow, Way::Kill, Way::Null];
    for way in ways.into_iter().cycle().take(18) {
        error_of(&pool, way);
    }
}

#[test]
fn map_fails_fast_with_the_lowest_that_is_known() {
    let _dog = watchdog(60);
    let pool = pool();
    let error = par_map!(work(_, Way::Abort), 0..ITEMS; pool = &pool).expect_err("a failure");
    assert_eq!((error.index(), error.signal()), (Some(20), Some(libc::SIGABRT)));
    let error = par_apply!(work(VICTIM, Way::Exit(7)); pool = &pool).expect_err("a failure");
    assert_eq!(error.exit_code(), Some(7));
    let later = par_apply_async!(work(VICTIM, Way::Kill); pool = &pool).expect("a call");
    assert_eq!(later.get().expect_err("a failure").signal(), Some(libc::SIGKILL));
    let later = par_map_async!(work(_, Way::PanicStr), 0..ITEMS; pool = &pool).expect("a job");
    assert_eq!(later.get().expect_err("a failure").index(), Some(20));
}

#[derive(Serialize, Deserialize)]
struct Fragile {
    x: u64,
    armed: bool,
}

impl Drop for Fragile {
    fn drop(&mut self) {
        if self.armed && pool_runtime::is_worker() && !std::thread::panicking() {
            panic!("fragile");
        }
    }
}

#[pool_task]
fn take_fragile(fragile: Fragile) -> u64 {
    fragile.x
}

#[pool_task]
fn make_fragile(x: u64) -> Fragile {
    Fragile { x, armed: x == VICTIM }
}

#[test]
fn panic_when_an_argument_or_a_result_is_dropped() {
    let _dog = watchdog(60);
    let pool = pool();
    let items = (0..ITEMS).map(|x| Fragile { x, armed: x == VICTIM });
    let (values, errors) = sort(par_imap!(take_fragile, items; pool = &pool).expect("a stream"));
    assert_eq!((values.len(), errors.len()), (99, 1));
    assert_eq!(errors[0].panic_message(), Some("fragile"));
    let (values, errors) = sort(par_imap!(make_fragile, 0..ITEMS; pool = &pool).expect("a stream"));
    assert_eq!((values.len(), errors.len()), (99, 1));
    assert_eq!((errors[0].panic_message(), errors[0].index()), (Some("fragile"), Some(20)));
}
