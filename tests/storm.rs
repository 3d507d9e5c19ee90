//! A thousand random kills over ten thousand items: every item has exactly one outcome, and only victims fail.

mod failing;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use failing::{eventually, kill, watchdog};
use pool_runtime::prelude::*;

#[pool_task]
fn work(x: u64) -> (u64, u32) {
    let end = Instant::now() + Duration::from_micros(200 + x % 7 * 100);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    (x * 3, std::process::id())
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

const ITEMS: u64 = 10_000;
const KILLS: u64 = 1_000;

/// Kills random workers until `over`, at most `KILLS` times; gives how often.
fn strike(pool: &Pool, over: &AtomicBool, killed: &AtomicU64) {
    let mut numbers = Numbers(u64::from(std::process::id()));
    while !over.load(Ordering::Relaxed) && killed.load(Ordering::Relaxed) < KILLS {
        let pids = pool.worker_pids();
        if let Some(&pid) = pids.get(numbers.next(pids.len().max(1) as u64) as usize) {
            kill(pid);
            killed.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_micros(numbers.next(8_000)));
    }
}

/// Ends the storm, also when the test fails.
struct Calm<'a>(&'a AtomicBool);

impl Drop for Calm<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn p1_kill_storm() {
    let _dog = watchdog(300);
    let pool = Pool::new(4).expect("a pool");
    let (over, killed) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut outcomes, mut failures) = (HashMap::new(), 0_u64);
    std::thread::scope(|scope| {
        scope.spawn(|| strike(&pool, &over, &killed));
        let _calm = Calm(&over);
        // Until the thousand are through.
        let mut base = 0;
        while base < ITEMS || killed.load(Ordering::Relaxed) < KILLS {
            let stream = par_imap_unordered!(work, base..base + 1000; pool = &pool);
            for (index, outcome) in stream.expect("a stream") {
                let item = base + index as u64;
                failures += u64::from(outcome.is_err());
                assert!(outcomes.insert(item, outcome).is_none(), "item {item} came twice");
            }
            base += 1000;
        }
        assert_eq!(outcomes.len() as u64, base, "an item is missing");
    });
    for (item, outcome) in &outcomes {
        match outcome {
            Ok((value, _)) => assert_eq!(*value, item * 3),
            Err(error) => {
                assert_eq!(
                    (error.kind(), error.signal()),
                    (ErrorKind::WorkerDied, Some(9)),
                    "{error}"
                );
                assert_eq!(error.index(), Some((item % 1000) as usize));
            }
        }
    }
    let killed = killed.load(Ordering::Relaxed);
    assert!(failures <= killed, "{failures} items failed of {killed} kills");
    eventually("all are back", || pool.worker_pids().len() == 4);
    assert_eq!(par_map!(work, 0..100; pool = &pool).map_or(0, |values| values.len()), 100);
}

#[test]
fn storm_over_chunks_of_cheap_items() {
    let _dog = watchdog(300);
    let pool = Pool::new(2).expect("a pool");
    let (over, killed) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| strike(&pool, &over, &killed));
        let _calm = Calm(&over);
        for chunk in [1, 7, 1000] {
            let (mut values, mut failures) = (0_u64, 0_u64);
            let before = killed.load(Ordering::Relaxed);
            let stream = par_imap!(cheap, 0..200_000; pool = &pool, chunk_size = chunk);
            for (index, outcome) in stream.expect("a stream").enumerate() {
                match outcome {
                    Ok(value) => assert_eq!(value, index as u64 + 1),
                    Err(error) => {
                        assert_eq!(
                            (error.index(), error.signal()),
                            (Some(index), Some(9)),
                            "{error}"
                        );
                        failures += 1;
                    }
                }
                values += 1;
            }
            assert_eq!(values, 200_000);
            // A kill may have been sent before and be felt now.
            assert!(failures <= killed.load(Ordering::Relaxed) - before + 2);
        }
    });
}

#[pool_task]
fn cheap(x: u64) -> u64 {
    x + 1
}

#[test]
fn storm_with_retries_loses_nothing() {
    let _dog = watchdog(300);
    let pool = Pool::builder().workers(2).max_tasks_per_worker(50).build().expect("a pool");
    let (over, killed) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| strike(&pool, &over, &killed));
        let _calm = Calm(&over);
        let values = par_map!(words, 0..3000; pool = &pool, retries = 1000).expect("values");
        assert!(values.into_iter().enumerate().all(|(index, value)| value == index.to_string()));
    });
}

/// Results that differ in size.
#[pool_task]
fn words(x: u64) -> String {
    work(x);
    x.to_string()
}
