//! Runs pools under kills, deadlines, replacements and changes of shape for as long as `SOAK_SECONDS` says, and checks every
//! outcome, the number of descriptors, and the memory of this process. Does nothing when that is not set.
//!
//! `SOAK_SECONDS=3600 cargo bench --bench soak`

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;

#[pool_task]
fn work(x: u64) -> Vec<u64> {
    let end = Instant::now() + Duration::from_micros(x % 300);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    if x % 10_007 == 10_006 {
        std::thread::sleep(Duration::from_secs(60));
    }
    vec![x; (x % 50) as usize]
}

fn main() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let Some(seconds) = seconds else {
        println!("SOAK_SECONDS is not set: nothing to do");
        return;
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut rounds, mut failed, mut first) = (0_u64, 0_u64, None);
    while Instant::now() < end {
        failed += round(rounds);
        rounds += 1;
        let now = (descriptors(), resident_kib());
        let (files, memory) = *first.get_or_insert(now);
        // The first rounds warm things up; after that nothing may grow.
        if rounds == 20 {
            first = Some(now);
        } else if rounds > 20 {
            assert!(now.0 <= files + 8, "descriptors grow: {files} to {}", now.0);
            assert!(now.1 <= memory + (64 << 10), "memory grows: {memory} KiB to {} KiB", now.1);
        }
    }
    println!("{rounds} rounds, {failed} items failed, as they should; {} KiB", resident_kib());
}

/// One pool, some thousand items, and whatever may happen to them; gives how many failed.
fn round(number: u64) -> u64 {
    let mut builder = Pool::builder()
        .workers(1 + (number % 4) as usize)
        .task_timeout(Duration::from_millis(200))
        .memory_limit(1 << 30);
    if number % 3 == 0 {
        builder = builder.max_tasks_per_worker(100);
    }
    let pool = builder.build().expect("a pool");
    let (over, failed) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        if number % 2 == 0 {
            scope.spawn(|| strike(&pool, &over));
        }
        let items = number * 1000..number * 1000 + 3000;
        let stream = par_imap!(work, items.clone(); pool = &pool).expect("a stream");
        for (x, outcome) in items.zip(stream) {
            match outcome {
                Ok(values) => {
                    assert!(values.len() as u64 == x % 50 && values.iter().all(|y| *y == x))
                }
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::WorkerDied | ErrorKind::TimedOut),
                        "{error}"
                    );
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    failed.into_inner()
}

/// Kills a worker now and then.
fn strike(pool: &Pool, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        if let Some(pid) = pool
            .worker_pids()
            .first()
            .and_then(|&pid| rustix::process::Pid::from_raw(pid.cast_signed()))
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(25));
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
