//! A program killed while it starts its workers, a thousand times, at any moment between the start of a worker and its first
//! word: the program's `main` ran once each time, never in a child, and nobody is left.
//!
//! It has no harness: it is its own victim.

mod failing;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use failing::{Scratch, eventually, mark_pid, watchdog};
use pool_runtime::prelude::*;

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

const ROUNDS: u64 = 1000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "victim", place] => be_killed(Path::new(place)),
        _ if pool_runtime::is_worker() => unreachable!("a worker has come to `main`"),
        // As a harness would, for those who list tests.
        [_, "--list", ..] => println!("p14_main_runs_once: test"),
        _ => drive(),
    }
}

fn be_killed(place: &Path) {
    mark_pid(place, "main");
    let pool = Pool::new(3).expect("a pool");
    let _ = par_map!(square, 0..10; pool = &pool);
    failing::hang();
}

fn drive() {
    let _dog = watchdog(300);
    let scratch = Scratch::new();
    for round in 0..ROUNDS {
        let place = scratch.path().join(round.to_string());
        std::fs::create_dir(&place).expect("a directory");
        kill_one(&place, Duration::from_micros(round % 100 * 60));
    }
    // Whoever was to come late has come.
    eventually("nobody is left", || left_over(&scratch.path()) == 0);
    for round in 0..ROUNDS {
        let marks = failing::marks(&scratch.path().join(round.to_string()), "main");
        assert_eq!(marks.len(), 1, "round {round}: `main` ran as {marks:?}");
    }
    println!("test p14_main_runs_once ... ok\n\ntest result: ok. 1 passed; 0 failed");
}

/// Starts a victim, waits until its `main` has begun and `wait` has passed, and kills it.
fn kill_one(place: &PathBuf, wait: Duration) {
    let mut victim = Command::new(std::env::current_exe().expect("a path"));
    victim.arg("victim").arg(place).env(OF, place).stdin(Stdio::null()).stderr(Stdio::null());
    let mut victim = victim.spawn().expect("a victim");
    eventually("`main` has begun", || !failing::marks(place, "main").is_empty());
    let start = Instant::now();
    while start.elapsed() < wait {
        std::hint::spin_loop();
    }
    victim.kill().expect("a kill");
    victim.wait().expect("its end");
}

/// In the environment of victims, and so of all that they start.
const OF: &str = "POOL_TEST_VICTIM_OF";

/// Victims with a directory in this one, and all that they started.
fn left_over(place: &Path) -> usize {
    let place = format!("{OF}={}", place.display());
    let processes = std::fs::read_dir("/proc").expect("procfs").flatten();
    let ours = std::process::id().to_string();
    processes
        .filter(|process| process.file_name().to_str().is_some_and(|pid| pid != ours))
        .filter(|process| {
            let text = std::fs::read(process.path().join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&text).contains(&place)
        })
        .count()
}
