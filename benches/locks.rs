//! What a lock costs: beside the C library's robust process-shared mutex, and beside Python's.
//!
//! Prints one table; each row has its peer in the same run. Run with `cargo bench --bench locks`.
#![expect(unsafe_code, reason = "the peer is the C library's mutex")]

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;

const PAIRS: u32 = 1_000_000;
const PROCESSES: usize = 4;
const INCREMENTS: u32 = 100_000;

/// A robust process-shared mutex and a counter, as C would have them, in memory that forks share.
struct Peer {
    mutex: libc::pthread_mutex_t,
    count: u64,
}

impl Peer {
    fn new() -> &'static mut Self {
        // SAFETY: a fresh anonymous mapping that is large enough, never unmapped, and initialised before it is used.
        unsafe {
            let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
            let memory = libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            );
            assert_ne!(memory, libc::MAP_FAILED);
            let peer = &mut *memory.cast::<Self>();
            let mut attributes = std::mem::zeroed();
            libc::pthread_mutexattr_init(&mut attributes);
            libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST);
            libc::pthread_mutex_init(&mut peer.mutex, &attributes);
            peer
        }
    }

    fn increment(&mut self) {
        // SAFETY: the mutex is initialised, and this is the only use of it.
        unsafe {
            libc::pthread_mutex_lock(&mut self.mutex);
            self.count = black_box(self.count) + 1;
            libc::pthread_mutex_unlock(&mut self.mutex);
        }
    }
}

/// The best of several runs, per operation.
fn per_operation(operations: u32, mut run: impl FnMut()) -> Duration {
    let times = (0..7).map(|_| {
        let begun = Instant::now();
        run();
        begun.elapsed()
    });
    times.min().unwrap_or_default() / operations
}

/// Four forked children that increment; the time from the first fork to the last end.
fn forked(peer: &mut Peer) -> Duration {
    let begun = Instant::now();
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            // SAFETY: the child only increments and leaves.
            match unsafe { libc::fork() } {
                0 => {
                    (0..INCREMENTS).for_each(|_| peer.increment());
                    // SAFETY: leaves without the parent's exit handlers.
                    unsafe { libc::_exit(0) }
                }
                pid => pid,
            }
        })
        .collect();
    for child in children {
        // SAFETY: it is our child, and is waited for once.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }
    begun.elapsed()
}

#[pool_task]
fn increment(value: Value<u64>, start: Barrier, times: u32) -> Result<(), Error> {
    start.wait()?;
    for _ in 0..times {
        *value.lock()? += 1;
    }
    Ok(())
}

fn pooled(pool: &Pool, value: &Value<u64>, start: &Barrier) -> Result<Duration, Error> {
    let begun = Instant::now();
    let done = par_map!(increment(value.clone(), start.clone(), _), [INCREMENTS; PROCESSES]; pool = pool, chunk_size = 1)?;
    done.into_iter().collect::<Result<(), _>>()?;
    Ok(begun.elapsed())
}

const PYTHON: &str = "
import time
from multiprocessing import Barrier, Lock, Process, Value
lock = Lock()
begun = time.perf_counter()
for _ in range(1000000):
    lock.acquire(); lock.release()
print((time.perf_counter() - begun) * 1000)
def increment(value, start):
    start.wait()
    for _ in range(100000):
        with value.get_lock():
            value.value += 1
value, start = Value('q', 0), Barrier(5)
children = [Process(target=increment, args=(value, start)) for _ in range(4)]
for child in children: child.start()
start.wait()
begun = time.perf_counter()
for child in children: child.join()
print((time.perf_counter() - begun) * 1e9 / 400000)
";

/// Nanoseconds per lock and unlock, and per increment of four processes.
fn python() -> Option<(f64, f64)> {
    let output = Command::new("python3").args(["-c", PYTHON]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.lines().filter_map(|line| line.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

fn main() -> Result<(), Error> {
    let python = python();
    let row = |what: &str, ours: f64, theirs: f64, python: Option<f64>| {
        let python = python.map_or("-".into(), |python| format!("{python:.0}"));
        println!("{what:42} {ours:8.1} {theirs:8.1} {:6.2} {python:>8}", ours / theirs);
    };
    println!("{:42} {:>8} {:>8} {:>6} {:>8}", "nanoseconds", "ours", "C", "ratio", "Python");

    let (lock, peer) = (Lock::new()?, Peer::new());
    let ours = per_operation(PAIRS, || (0..PAIRS).for_each(|_| drop(black_box(lock.lock()))));
    let theirs = per_operation(PAIRS, || (0..PAIRS).for_each(|_| peer.increment()));
    let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9;
    row(
        "lock and unlock, nobody else",
        nanoseconds(ours),
        nanoseconds(theirs),
        python.map(|python| python.0),
    );

    let (pool, start) = (Pool::new(PROCESSES)?, Barrier::new(PROCESSES)?);
    let value = Value::new(0)?;
    pooled(&pool, &value, &start)?;
    let ours = (0..5).map(|_| pooled(&pool, &value, &start)).collect::<Result<Vec<_>, _>>()?;
    let theirs = (0..5).map(|_| forked(peer)).min().unwrap_or_default();
    assert_eq!(value.get()?, 6 * u64::from(INCREMENTS) * PROCESSES as u64);
    let each = |time: Duration| nanoseconds(time) / f64::from(INCREMENTS) / PROCESSES as f64;
    let ours = ours.into_iter().min().unwrap_or_default();
    row(
        "increment, four processes at once",
        each(ours),
        each(theirs),
        python.map(|python| python.1),
    );
    Ok(())
}
