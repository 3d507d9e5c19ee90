//! What the tests share: pools with real workers, a watchdog, gates between processes, and waiting with a deadline.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;

/// Whatever is waited for comes sooner on the slowest machine, or does not come.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A pool for a test that cares for nothing else.
pub fn pool() -> Pool {
    workers(2)
}

/// A pool of so many workers.
pub fn workers(count: usize) -> Pool {
    Pool::new(count).expect("a pool")
}

/// Ends the whole test process with a message unless it is dropped in time: a hang is a failure, not a wait.
#[must_use = "the watchdog sleeps only while it is held"]
pub struct Watchdog(Sender<()>);

pub fn watchdog() -> Watchdog {
    watchdog_of(DEADLINE * 3)
}

pub fn watchdog_of(limit: Duration) -> Watchdog {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let (dog, dropped) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if dropped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{test} hangs: it did not end within {limit:?}");
            std::process::exit(101);
        }
    });
    Watchdog(dog)
}

/// Waits until `ready`; fails with `what` when that does not come.
#[track_caller]
pub fn eventually(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !ready() {
        assert!(Instant::now() < end, "this did not come: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A directory of this test alone, through which it and its workers tell each other how far they are.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("scratch-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Opens the gate of that name.
    pub fn open(&self, name: &str) {
        mark(&self.at(name));
    }

    /// How many names begin with `prefix`.
    pub fn count(&self, prefix: &str) -> usize {
        let names = std::fs::read_dir(&self.0).expect("a directory");
        names
            .filter(|name| {
                name.as_ref()
                    .is_ok_and(|name| name.file_name().to_string_lossy().starts_with(prefix))
            })
            .count()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Leaves a mark that other processes see.
pub fn mark(path: &Path) {
    std::fs::write(path, "").expect("a file");
}

/// Waits until somebody opens the gate, or gives up.
pub fn wait_for(path: &Path) {
    eventually(&path.display().to_string(), || path.exists());
}

/// Runs one test of this executable as a program of its own. The test asks `is_program` what it is to do.
pub fn program(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(PROGRAM, test).stdin(Stdio::null());
    command
}

const PROGRAM: &str = "POOL_TEST_PROGRAM";

/// Whether this process was started by `program`.
pub fn is_program() -> bool {
    std::env::var_os(PROGRAM).is_some()
}

/// Runs it to its end, within the deadline, and gives what it wrote.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    let (pid, (done, gone)) = (child.id(), mpsc::channel::<()>());
    let killer = std::thread::spawn(move || {
        if gone.recv_timeout(DEADLINE * 2) == Err(RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    });
    let output = child.wait_with_output().expect("its output");
    drop(done);
    killer.join().expect("the killer");
    output
}

/// The same, and it must leave with code 0; gives its stdout.
#[track_caller]
pub fn run_well(command: &mut Command) -> String {
    let output = run(command);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether the process exists and is more than a zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !matches!(rest.trim().chars().next(), None | Some('Z' | 'X')))
}

/// A line of this process's status in KiB, such as `VmHWM`.
pub fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    kib(&status, name)
}

/// A line of the machine's memory in KiB, such as `MemAvailable`.
pub fn memory_kib(name: &str) -> u64 {
    kib(&std::fs::read_to_string("/proc/meminfo").expect("procfs"), name)
}

fn kib(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name)).expect("a line of that name");
    line.split_ascii_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}
