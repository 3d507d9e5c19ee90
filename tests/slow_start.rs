//! The system takes its time to start a worker: nobody waits for that who does not need the worker. In a program of its own, for
//! all pools of a program share the thread that starts workers.

mod failing;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use failing::{Scratch, eventually, kill, mark_pid, watchdog};
use pool_runtime::prelude::*;

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn stay(place: PathBuf) -> u64 {
    mark_pid(&place, "running");
    failing::hang()
}

/// Takes a lease on a file, or gives it back: whoever wants to run it waits as long, or for the kernel's lease-break-time, which
/// is 45 seconds. <https://man7.org/linux/man-pages/man2/F_GETLEASE.2const.html>
fn lease(file: &File, kind: libc::c_int) -> bool {
    // `libc` does not have it for this system: the signal that tells that somebody waits.
    const F_SETSIG: libc::c_int = 10;
    // SAFETY: numbers only. The signal is one that nobody takes notice of.
    #[expect(unsafe_code, reason = "std has no leases")]
    unsafe {
        libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGWINCH) == 0
            && libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) == 0
    }
}

#[test]
fn p1_deaths_are_told_while_a_successor_cannot_start() {
    let _dog = watchdog(120);
    let (scratch, soon) = (Scratch::new(), Duration::from_secs(20));
    let own = std::env::current_exe().expect("a path");
    let [program, held] = ["program", "held"].map(|name| scratch.path().join(name));
    std::os::unix::fs::symlink(&own, &program).expect("a link");
    let pool = Pool::builder().workers(2).worker_exe(&program).build().expect("a pool");
    let call = par_apply_async!(stay(scratch.path()); pool = &pool).expect("a call");
    let pid = scratch.pid_of("running");
    std::fs::copy(&own, &held).expect("a copy");
    let file = File::open(&held).expect("a file");
    eventually("nobody writes it any more", || lease(&file, libc::F_WRLCK));
    std::fs::rename(&held, &program).expect("the next start runs the copy");
    let start = Instant::now();
    kill(pid);
    let error = call.get_timeout(soon).expect_err("a failure");
    assert_eq!((error.signal(), error.worker_pid()), (Some(9), Some(pid)), "{error}");
    // The other worker's results are taken meanwhile, too.
    let squares = par_map_async!(square, 0..100; pool = &pool).expect("a call");
    assert_eq!(squares.get_timeout(soon).expect("values").len(), 100);
    // And so is another death.
    let second = Scratch::new();
    let call = par_apply_async!(stay(second.path()); pool = &pool).expect("a call");
    let other = second.pid_of("running");
    kill(other);
    let error = call.get_timeout(soon).expect_err("a failure");
    assert_eq!((error.signal(), error.worker_pid()), (Some(9), Some(other)), "{error}");
    assert!(pool.worker_pids().is_empty());
    assert!(start.elapsed() < soon, "they came when the lease was over");
    // To close it would not do: who waits to run it has a copy of the descriptor.
    assert!(lease(&file, libc::F_UNLCK));
    eventually("both are back", || pool.worker_pids().len() == 2);
}
