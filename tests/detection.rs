//! A worker is killed in every state it can be in: that is noticed at once, costs at most the item it was running, and
//! nothing that it held is needed by another.

mod failing;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use failing::{Scratch, eventually, kill, mark_pid, watchdog};
use pool_runtime::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn stay(place: PathBuf) -> u64 {
    mark_pid(&place, "running");
    failing::hang()
}

/// The longest that it takes from a worker's death until its caller hears of it, in 99 cases of 100.
const SOON: Duration = Duration::from_millis(100);

/// Of a hundred times, the second longest.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() - 1 - times.len() / 100]
}

/// How long a plain parent waits for a plain child that was killed: what the machine itself takes, whatever else it does.
fn bare() -> Duration {
    let mut child = sleeper();
    let start = Instant::now();
    child.kill().expect("it runs");
    child.wait().expect("it ended");
    start.elapsed()
}

/// The same, and the start of another child in its place.
fn bare_with_successor() -> Duration {
    let (before, start) = (bare(), Instant::now());
    let mut successor = sleeper();
    let took = before + start.elapsed();
    successor.kill().expect("it runs");
    successor.wait().expect("it ended");
    took
}

fn sleeper() -> std::process::Child {
    Command::new("sleep").arg("60").spawn().expect("a child")
}

/// News goes from the kernel to the supervisor, to the thread that has the call, and to the caller: where a plain parent is
/// scheduled once, they are three times. Gathered in pairs, so that both saw the same machine.
fn soon(pairs: Vec<(Duration, Duration)>) {
    let (times, bare): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let (time, machine) = (p99(times), p99(bare));
    assert!(time < SOON + 4 * machine, "{time:?}, where a plain parent waited {machine:?}");
}

#[test]
fn p1_running_worker_is_missed_within_100_ms() {
    let _dog = watchdog(120);
    let pool = Pool::new(2).expect("a pool");
    let times = (0..100).map(|_| {
        let scratch = Scratch::new();
        let call = par_apply_async!(stay(scratch.path()); pool = &pool).expect("a call");
        let pid = scratch.pid_of("running");
        let start = Instant::now();
        kill(pid);
        let error = call.get().expect_err("a failure");
        let took = start.elapsed();
        assert_eq!((error.signal(), error.worker_pid()), (Some(9), Some(pid)), "{error}");
        (took, bare())
    });
    soon(times.collect());
    assert_eq!(par_map!(square, 0..100; pool = &pool).expect("values").len(), 100);
}

/// What it takes to start a worker keeps nobody from hearing of another.
#[test]
fn p1_twenty_workers_killed_at_once_are_missed_within_100_ms() {
    let _dog = watchdog(120);
    let pool = Pool::new(20).expect("a pool");
    let rounds = (0..5).flat_map(|_| {
        let scratch = Scratch::new();
        let call = |_| par_apply_async!(stay(scratch.path()); pool = &pool).expect("a call");
        let calls: Vec<_> = (0..20).map(call).collect();
        eventually("all run", || scratch.marks("running").len() == 20);
        let pid_of = |mark: String| mark.rsplit('-').next().and_then(|pid| pid.parse().ok());
        let pids: Vec<u32> = scratch.marks("running").into_iter().filter_map(pid_of).collect();
        let mut children: Vec<_> = (0..20).map(|_| sleeper()).collect();
        let start = Instant::now();
        pids.into_iter().for_each(kill);
        let times = calls.into_iter().map(|call| {
            let error = call.get().expect_err("a failure");
            assert_eq!(error.signal(), Some(9), "{error}");
            start.elapsed()
        });
        let times: Vec<_> = times.collect();
        let start = Instant::now();
        children.iter_mut().for_each(|child| child.kill().expect("it runs"));
        let bare = children.iter_mut().map(|child| {
            child.wait().expect("it ended");
            start.elapsed()
        });
        times.into_iter().zip(bare.collect::<Vec<_>>()).collect::<Vec<_>>()
    });
    soon(rounds.collect());
}

#[test]
fn r2_idle_worker_is_replaced_within_100_ms() {
    let _dog = watchdog(120);
    let pool = Pool::new(1).expect("a pool");
    let times = (0..100).map(|round| {
        assert_eq!(par_apply!(square(round); pool = &pool).expect("a value"), round * round);
        let pid = pool.worker_pids()[0];
        let start = Instant::now();
        kill(pid);
        eventually("a successor", || pool.worker_pids().first().is_some_and(|&new| new != pid));
        (start.elapsed(), bare_with_successor())
    });
    soon(times.collect());
    // And without a look in between: a call that comes right behind the death.
    for x in 0..50 {
        kill(pool.worker_pids()[0]);
        match par_apply!(square(x); pool = &pool) {
            Ok(value) => assert_eq!(value, x * x),
            // It had taken the item before it died.
            Err(error) => assert_eq!(error.signal(), Some(9), "{error}"),
        }
    }
}

#[test]
fn r1_all_workers_killed_one_busy_one_idle() {
    let _dog = watchdog(60);
    let pool = Pool::new(2).expect("a pool");
    let scratch = Scratch::new();
    let call = par_apply_async!(stay(scratch.path()); pool = &pool).expect("a call");
    scratch.pid_of("running");
    pool.worker_pids().into_iter().for_each(kill);
    let error = call.get_timeout(Duration::from_secs(3)).expect_err("a failure");
    assert_eq!(error.kind(), ErrorKind::WorkerDied, "{error}");
    assert_eq!(par_map!(square, 0..1000; pool = &pool).expect("values").len(), 1000);
    eventually("both are back", || pool.worker_pids().len() == 2);
}

const LARGE: usize = 64 << 20;

/// A large value that says when it is being read or written.
struct Large {
    bytes: Vec<u8>,
    place: PathBuf,
}

impl Serialize for Large {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if pool_runtime::is_worker() {
            mark_pid(&self.place, "writing");
        }
        (&self.place, Bytes(self.bytes.clone())).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Large {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if pool_runtime::is_worker() {
            let place = PathBuf::from(std::env::var_os("PLACE").expect("a place"));
            mark_pid(&place, "reading");
        }
        let (place, bytes) = <(PathBuf, Bytes)>::deserialize(deserializer)?;
        Ok(Self { bytes: bytes.0, place })
    }
}

/// Bytes in pieces, so that to read or write them all takes some milliseconds.
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let words: Vec<u128> = self.0.chunks(16).map(|chunk| u128::from(chunk[0])).collect();
        (self.0.len(), words).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (len, words) = <(usize, Vec<u128>)>::deserialize(deserializer)?;
        Ok(Self(vec![words.first().map_or(0, |word| *word as u8); len]))
    }
}

#[pool_task]
fn measure(large: Large) -> usize {
    large.bytes.len()
}

#[pool_task]
fn produce(len: usize, place: PathBuf) -> Large {
    Large { bytes: vec![1; len], place }
}

/// Kills the worker that leaves a mark, a little later each time; some get by.
fn kill_marked(what: &str, call: impl Fn(&Pool, PathBuf) -> Result<usize, Error> + Sync) {
    let _dog = watchdog(180);
    let scratch = Scratch::new();
    let pool = Pool::builder().workers(2).env("PLACE", scratch.path()).build().expect("a pool");
    for round in 0..5 {
        scratch.clear();
        std::thread::scope(|scope| {
            let result = scope.spawn(|| call(&pool, scratch.path()));
            let pid = scratch.pid_of(what);
            std::thread::sleep(Duration::from_millis(round * 7));
            kill(pid);
            match result.join().expect("no panic") {
                Ok(len) => assert_eq!(len, LARGE),
                Err(error) => assert_eq!(error.signal(), Some(9), "{error}"),
            }
        });
        assert_eq!(par_map!(square, 0..100; pool = &pool).expect("values").len(), 100);
    }
}

#[test]
fn p3_killed_while_it_reads_64_mb() {
    kill_marked("reading", |pool, place| {
        let large = Large { bytes: vec![2; LARGE], place };
        par_apply!(measure(large); pool = pool)
    });
}

#[test]
fn p3_killed_while_it_writes_64_mb() {
    kill_marked("writing", |pool, place| {
        par_apply!(produce(LARGE, place); pool = pool).map(|large| large.bytes.len())
    });
}

#[pool_task]
fn begin(place: PathBuf) {
    let first = failing::marks(&place, "beginning").is_empty();
    mark_pid(&place, "beginning");
    if first {
        failing::hang();
    }
}

#[test]
fn killed_in_its_initializer() {
    let _dog = watchdog(60);
    let scratch = Scratch::new();
    let pool = Pool::builder().workers(1).initializer(task!(begin(scratch.path())));
    let pool = pool.build().expect("a pool");
    kill(scratch.pid_of("beginning"));
    // The next start goes well.
    assert_eq!(par_map!(square, 0..10; pool = &pool).expect("values").len(), 10);
    assert_eq!(scratch.marks("beginning").len(), 2);
}

#[test]
fn killed_at_its_start() {
    let _dog = watchdog(120);
    for _ in 0..50 {
        let pool = Pool::new(2).expect("a pool");
        // Once each: a worker is killed again only if it is another one.
        let pids = pool.worker_pids();
        pids.into_iter().for_each(kill);
        assert_eq!(par_map!(square, 0..100; pool = &pool).expect("values").len(), 100);
    }
}
