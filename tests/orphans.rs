//! Nobody outlives the process that he belongs to, and nobody is ended by what does not concern him.

mod failing;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use failing::{
    Killed, Scratch, Signal, descendants, eventually, is_alive, mark, mark_pid, place_of_program,
    program, watchdog,
};
use pool_runtime::prelude::*;

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn spins(place: PathBuf) -> u64 {
    mark_pid(&place, "busy");
    loop {
        std::hint::spin_loop();
    }
}

/// A pool in a worker, which has one of its own.
#[pool_task]
fn nests(depth: u32, place: PathBuf) -> u64 {
    if depth == 0 {
        mark_pid(&place, "busy");
        failing::hang();
    }
    let pool = Pool::new(2).expect("a pool");
    par_apply!(nests(depth - 1, place); pool = &pool).expect("a value")
}

/// Starts `test` as a program, waits until it has left the mark, kills it, and looks that all it started is gone in a second.
fn killed_program(test: &str, ready: &str, least: usize) {
    let _dog = watchdog(120);
    let scratch = Scratch::new();
    let mut command = program(test, &scratch.path());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = Killed(command.spawn().expect("a program"));
    eventually(ready, || !scratch.marks(ready).is_empty());
    let tree = descendants(child.0.id());
    assert!(tree.len() >= least, "{tree:?}");
    child.0.kill().expect("a kill");
    let start = Instant::now();
    eventually("all are gone", || !tree.iter().any(|&pid| is_alive(pid)));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    child.0.wait().expect("its end");
}

#[test]
fn r22_parent_killed_while_its_workers_are_idle() {
    let Some(place) = place_of_program() else {
        return killed_program("r22_parent_killed_while_its_workers_are_idle", "idle", 2);
    };
    let pool = Pool::new(2).expect("a pool");
    par_map!(square, 0..100; pool = &pool).expect("values");
    mark(&place, "idle");
    failing::hang();
}

#[test]
fn r21_r23_parent_killed_while_its_workers_are_busy() {
    let Some(place) = place_of_program() else {
        return killed_program("r21_r23_parent_killed_while_its_workers_are_busy", "busy", 2);
    };
    let pool = Pool::new(2).expect("a pool");
    let _ = par_map!(spins, [place.clone(), place]; pool = &pool);
    unreachable!("the work never ends");
}

#[test]
fn p24_parent_killed_above_nested_pools() {
    let Some(place) = place_of_program() else {
        // Two workers, of which one has two, of which one has two.
        return killed_program("p24_parent_killed_above_nested_pools", "busy", 4);
    };
    let pool = Pool::new(2).expect("a pool");
    let _ = par_apply!(nests(2, place); pool = &pool);
    unreachable!("the work never ends");
}

#[test]
fn nested_pools_end_with_the_root_when_it_is_terminated() {
    let _dog = watchdog(60);
    let (pool, scratch) = (Pool::new(1).expect("a pool"), Scratch::new());
    let call = par_apply_async!(nests(2, scratch.path()); pool = &pool).expect("a call");
    scratch.pid_of("busy");
    let tree: Vec<u32> = pool.worker_pids().into_iter().flat_map(descendants).collect();
    assert!(tree.len() >= 2, "{tree:?}");
    let start = Instant::now();
    pool.terminate();
    pool.join().expect("an end");
    assert_eq!(call.get().expect_err("a failure").kind(), ErrorKind::Cancelled);
    eventually("all are gone", || !tree.iter().any(|&pid| is_alive(pid)));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn p12_a_thread_that_makes_a_pool_and_ends_kills_nobody() {
    let _dog = watchdog(60);
    let pool = std::thread::spawn(|| {
        let pool = Pool::new(2).expect("a pool");
        par_map!(square, 0..100; pool = &pool).expect("values");
        pool
    });
    let pool = pool.join().expect("a pool");
    let pids = pool.worker_pids();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(par_map!(square, 0..100; pool = &pool).expect("values").len(), 100);
    assert_eq!((pool.worker_pids(), pool.stats().workers_replaced), (pids, 0));
}

/// Starts `test` in a process group of its own.
fn grouped(test: &str, place: &Path) -> (Killed, rustix::process::Pid) {
    let mut command = program(test, place);
    command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().expect("a program");
    let group = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("a pid");
    (Killed(child), group)
}

#[test]
fn r24_p11_interrupt_of_the_whole_group_is_quiet_and_final() {
    if let Some(place) = place_of_program() {
        #[expect(unsafe_code, reason = "std does not set signals")]
        // SAFETY: the default is no handler. Whoever runs the tests in the background may have had interrupts ignored.
        unsafe {
            libc::signal(libc::SIGINT, libc::SIG_DFL)
        };
        let pool = Pool::new(2).expect("a pool");
        let _ = par_map!(spins, [place.clone(), place]; pool = &pool);
        unreachable!("the work never ends");
    }
    let _dog = watchdog(60);
    let scratch = Scratch::new();
    let (mut child, group) =
        grouped("r24_p11_interrupt_of_the_whole_group_is_quiet_and_final", &scratch.path());
    eventually("both are busy", || scratch.marks("busy").len() == 2);
    let tree = descendants(child.0.id());
    let start = Instant::now();
    rustix::process::kill_process_group(group, Signal::INT).expect("an interrupt");
    assert_eq!(child.0.wait().expect("its end").signal(), Some(libc::SIGINT));
    eventually("all are gone", || !tree.iter().any(|&pid| is_alive(pid)));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let mut said = String::new();
    let mut stderr = child.0.stderr.take().expect("its stderr");
    std::io::Read::read_to_string(&mut stderr, &mut said).expect("text");
    assert_eq!(said, "", "nobody complains");
}

extern "C" fn takes_note(_signal: i32) {}

#[test]
fn interrupts_that_the_parent_survives_harm_no_worker() {
    if let Some(place) = place_of_program() {
        #[expect(unsafe_code, reason = "std has no signal handlers")]
        // SAFETY: the handler does nothing.
        unsafe {
            libc::signal(libc::SIGINT, takes_note as *const () as usize)
        };
        mark(&place, "begun");
        for _ in 0..20 {
            let pool = Pool::new(4).expect("a pool");
            assert_eq!(par_map!(square, 0..2000; pool = &pool).expect("values").len(), 2000);
            assert_eq!(pool.stats().workers_replaced, 0);
        }
        return;
    }
    let _dog = watchdog(60);
    let scratch = Scratch::new();
    let (mut child, group) =
        grouped("interrupts_that_the_parent_survives_harm_no_worker", &scratch.path());
    eventually("it has begun", || !scratch.marks("begun").is_empty());
    let status = loop {
        let _ = rustix::process::kill_process_group(group, Signal::INT);
        match child.0.try_wait().expect("its state") {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    // After its test the harness may be interrupted; before, it must not have failed.
    assert!(status.success() || status.signal() == Some(libc::SIGINT), "{status}");
}

/// Does something in a child of a plain fork, and gives whether that went well.
#[expect(unsafe_code, reason = "a plain fork is the point")]
fn in_fork(work: impl FnOnce()) -> bool {
    // SAFETY: the child does only what is tested, and leaves without going back.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let fine = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok();
        // SAFETY: it does not return.
        unsafe { libc::_exit(i32::from(!fine)) }
    }
    let mut status = 0;
    // SAFETY: the child is ours and `status` is a place for its end.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    status == 0
}

#[test]
fn a_fork_that_drops_its_copies_does_nothing() {
    if place_of_program().is_none() {
        let _dog = watchdog(60);
        let status = program("a_fork_that_drops_its_copies_does_nothing", Path::new("/")).status();
        assert!(status.expect("a program").success());
        return;
    }
    let pool = Pool::new(2).expect("a pool");
    let mut stream = par_imap!(square, 0..; pool = &pool, window = 100).expect("a stream");
    assert_eq!(stream.next().expect("an item").expect("a value"), 0);
    let later = par_map_async!(square, 0..1000; pool = &pool).expect("a job");
    let mut kept = Some((pool, stream, later));
    assert!(in_fork(|| drop(kept.take())));
    let (pool, mut stream, later) = kept.expect("it is still there");
    let error = std::cell::RefCell::new(None);
    // To use them is an error there, and so is to make others; neither waits for threads that the fork does not have.
    assert!(in_fork(|| {
        *error.borrow_mut() = par_apply!(square(3); pool = &pool).err();
        assert_eq!(error.borrow().as_ref().map(Error::kind), Some(ErrorKind::Closed));
        assert_eq!(Pool::new(1).map(drop).expect_err("no pool").kind(), ErrorKind::Spawn);
    }));
    // The parent's go on.
    assert_eq!(stream.nth(998).expect("an item").expect("a value"), 999 * 999);
    assert_eq!(later.get().expect("values").len(), 1000);
    assert_eq!(par_map!(square, 0..100; pool = &pool).expect("values").len(), 100);
    assert_eq!(pool.stats().workers_replaced, 0);
}

#[test]
fn a_pool_in_a_global_does_not_keep_the_program_from_its_end() {
    if place_of_program().is_none() {
        let _dog = watchdog(60);
        let test = "a_pool_in_a_global_does_not_keep_the_program_from_its_end";
        let output = program(test, Path::new("/")).output().expect("a program");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        return;
    }
    // The default pool lives as long as the program.
    assert_eq!(par_map!(square, 0..10).expect("values").len(), 10);
    let _ = par_map_async!(square, 0..).map(std::mem::forget);
}
