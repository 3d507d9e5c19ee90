//! What the tests of failures share: a watchdog, waiting with a deadline, processes looked at from outside, and programs of
//! their own.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;
pub use rustix::process::Signal;

/// Whatever is waited for comes sooner on the slowest machine, or does not come.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Ends the whole test process with a message unless it is dropped in time: a hang is a failure, not a wait.
#[must_use = "the watchdog sleeps only while it is held"]
pub struct Watchdog {
    _held: Sender<()>,
}

pub fn watchdog(seconds: u64) -> Watchdog {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let (held, dropped) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let limit = Duration::from_secs(seconds);
        if dropped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{test} hangs: it did not end within {limit:?}");
            std::process::exit(101);
        }
    });
    Watchdog { _held: held }
}

/// Waits until `ready`; fails with `what` when that does not come.
#[track_caller]
pub fn eventually(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !ready() {
        assert!(Instant::now() < end, "this did not come: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

pub fn send(pid: u32, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
    let _ = rustix::process::kill_process(pid, signal);
}

pub fn kill(pid: u32) {
    send(pid, Signal::KILL);
}

/// Whether the process exists and is more than a zombie.
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The letter that `ps` shows.
pub fn state(pid: u32) -> Option<char> {
    fields(pid)?.0
}

fn fields(pid: u32) -> Option<(Option<char>, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit(')').next()?.split_ascii_whitespace();
    Some((fields.next()?.chars().next(), fields.next()?.parse().ok()?))
}

/// Children of the process, and theirs, that are alive.
pub fn descendants(root: u32) -> Vec<u32> {
    let processes: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .expect("procfs")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, fields(pid)?.1)))
        .collect();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let children = processes.iter().filter(|(_, parent)| *parent == found[at]);
        let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
        found.extend(children);
        at += 1;
    }
    found.into_iter().skip(1).filter(|&pid| is_alive(pid)).collect()
}

/// Descriptors that are open in a process.
pub fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// A directory of this test alone, through which it and its workers tell each other how far they are.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("failing-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub fn path(&self) -> PathBuf {
        self.0.clone()
    }

    /// The names of the marks that begin with `prefix`.
    pub fn marks(&self, prefix: &str) -> Vec<String> {
        marks(&self.0, prefix)
    }

    /// Waits for a mark `PREFIX-PID`, and gives the pid.
    #[track_caller]
    pub fn pid_of(&self, prefix: &str) -> u32 {
        let prefix = format!("{prefix}-");
        let found =
            || self.marks(&prefix).first().and_then(|name| name[prefix.len()..].parse().ok());
        eventually(&prefix, || found().is_some());
        found().expect("a pid")
    }

    pub fn clear(&self) {
        for name in self.marks("") {
            let _ = std::fs::remove_file(self.0.join(name));
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn marks(directory: &Path, prefix: &str) -> Vec<String> {
    let names = std::fs::read_dir(directory).expect("a directory");
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names
}

/// Leaves a mark of that name that other processes see.
pub fn mark(directory: &Path, name: &str) {
    std::fs::write(directory.join(name), "").expect("a mark");
}

/// Leaves a mark `PREFIX-PID`.
pub fn mark_pid(directory: &Path, prefix: &str) {
    mark(directory, &format!("{prefix}-{}", std::process::id()));
}

/// Work that never ends by itself.
pub fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// All outcomes of a stream: values by position, and errors.
pub fn sort<T>(outcomes: impl Iterator<Item = Result<T, Error>>) -> (Vec<(usize, T)>, Vec<Error>) {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for (index, outcome) in outcomes.enumerate() {
        match outcome {
            Ok(value) => values.push((index, value)),
            Err(error) => {
                assert_eq!(error.index(), Some(index), "{error}");
                errors.push(error);
            }
        }
    }
    (values, errors)
}

const PROGRAM: &str = "POOL_TEST_PROGRAM";
const PLACE: &str = "POOL_TEST_PLACE";

/// One test of this executable as a program of its own, which asks `place_of_program` whether it is that.
pub fn program(test: &str, place: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(PROGRAM, test).env(PLACE, place).stdin(Stdio::null());
    command
}

/// The directory of a program that `program` started; `None` in the test itself, and in workers.
pub fn place_of_program() -> Option<PathBuf> {
    let ours = std::env::var_os(PROGRAM).is_some() && !pool_runtime::is_worker();
    ours.then(|| PathBuf::from(std::env::var_os(PLACE).expect("a place")))
}

/// A child that is killed when the test ends early.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
