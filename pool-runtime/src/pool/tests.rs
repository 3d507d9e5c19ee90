//! The engine by itself, on tasks made by hand: numbers in, numbers out.

mod counts;

use std::any::TypeId;
use std::time::Duration;

use super::{Pool, Running, Turn};
use crate::batch::Batch;
use crate::codec::{Level, POD, Stop};
use crate::error::{Error, ErrorKind};
use crate::job::{Baggage, Filled, ItemWriter, JobSpec, Options, Sink, Source};
use crate::payload::Payload;
use crate::registry::TaskDef;

fn number(batch: &mut Batch<'_>, f: impl Fn(u64) -> u64) {
    batch.each::<u64, Level<POD>, true>(|mut item| Ok(f(item.u64()?)));
}

const fn task(name: &'static str, marker: TypeId, run: fn(&mut Batch<'_>)) -> TaskDef {
    TaskDef {
        name,
        named: true,
        place: (file!(), line!(), column!()),
        marker,
        run,
        failed: |_| None,
        retries: None,
        timeout: None,
        result_stride: Some(8),
        plain_result: true,
        writes_in_place: false,
    }
}

macro_rules! tasks {
    ($($name:ident = $f:expr;)*) => {$(
        struct $name;
        impl $name {
            const DEF: &'static TaskDef = &task(stringify!($name), TypeId::of::<$name>(), |batch| number(batch, $f));
        }
        inventory::submit! { task(stringify!($name), TypeId::of::<$name>(), |batch| number(batch, $f)) }
    )*};
}

tasks! {
    Double = |x| x * 2;
    Picky = |x| if x == 77 { panic!("seventy-seven") } else { x };
    Dies = |x| if x == 500 { std::process::abort() } else { x + 1 };
    Leaves = |x| if x == 5 { std::process::exit(3) } else { x + 1 };
    Spins = |x| if x == 5 { loop { std::hint::spin_loop() } } else { x + 1 };
    Pid = |_| u64::from(std::process::id());
    Touch = |x| { std::fs::write(mark(std::os::unix::process::parent_id(), x), []).map_or(0, |()| 1) };
}

struct Numbers(std::ops::Range<u64>);

impl Source for Numbers {
    fn fill(&mut self, items: &mut ItemWriter<'_>, max: usize) -> Filled {
        for _ in 0..max {
            let Some(next) = self.0.clone().next() else { return Filled::End };
            match items.put(|out| out.write(&next.to_le_bytes())) {
                Ok(()) => self.0.start += 1,
                Err(Stop::Full) => return Filled::Full,
                Err(Stop::Failed(error)) => return Filled::Failed(error),
            }
        }
        Filled::More
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

#[derive(Default)]
struct All {
    results: std::collections::BTreeMap<u64, u64>,
    errors: Vec<Error>,
}

impl Sink for All {
    fn results(&mut self, first: u64, count: usize, payload: &Payload<'_>) {
        for at in 0..count {
            let mut bytes = [0; 8];
            assert!(payload.copy_at(at * 8, &mut bytes));
            let twice = self.results.insert(first + at as u64, u64::from_le_bytes(bytes));
            assert!(twice.is_none(), "item {} came twice", first + at as u64);
        }
    }

    fn failed(&mut self, _index: u64, error: Error) {
        self.errors.push(error);
    }
}

fn run(pool: &Pool, task: &'static TaskDef, items: std::ops::Range<u64>, options: Options) -> All {
    let spec = JobSpec {
        task,
        bound: Vec::new(),
        bound_mask: 0,
        item_stride: Some(8),
        options,
        baggage: Baggage::default(),
    };
    let mut running = Running::start(pool.inner(), spec).expect("the job starts");
    let (mut source, mut all) = (Numbers(items), All::default());
    while running.turn(&mut source, &mut all, u64::MAX).expect("the job goes on") == Turn::Again {}
    all
}

#[test]
fn every_item_comes_back_once() {
    let pool = Pool::new(2).expect("a pool");
    for count in [0, 1, 2, 1000, 1_000_000] {
        let all = run(&pool, Double::DEF, 0..count, Options::default());
        assert_eq!(all.results.len() as u64, count);
        assert!(all.results.iter().all(|(item, result)| *result == item * 2));
    }
}

#[test]
fn chunk_of_one() {
    let pool = Pool::new(2).expect("a pool");
    let all =
        run(&pool, Double::DEF, 0..100_000, Options { chunk_size: Some(1), ..Options::default() });
    assert_eq!(all.results.len(), 100_000);
}

#[test]
fn a_panic_is_one_items() {
    let pool = Pool::new(2).expect("a pool");
    let all = run(&pool, Picky::DEF, 0..1000, Options::default());
    assert_eq!(all.results.len(), 999);
    assert_eq!(all.errors[0].index(), Some(77));
    assert_eq!(all.errors[0].panic_message(), Some("seventy-seven"));
    assert_eq!(all.errors[0].kind(), ErrorKind::Panicked);
}

#[test]
fn a_death_is_one_items() {
    let pool = Pool::new(2).expect("a pool");
    let all = run(&pool, Dies::DEF, 0..1000, Options::default());
    assert_eq!(all.results.len(), 999);
    assert_eq!(
        (all.errors.len(), all.errors[0].index(), all.errors[0].signal()),
        (1, Some(500), Some(6))
    );
    let all = run(&pool, Leaves::DEF, 0..1000, Options::default());
    assert_eq!(
        (all.errors.len(), all.errors[0].index(), all.errors[0].exit_code()),
        (1, Some(5), Some(3))
    );
    assert_eq!(all.results.len(), 999);
}

#[test]
fn a_deadline_stops_the_work() {
    let pool = Pool::new(2).expect("a pool");
    let options = Options { timeout: Some(Duration::from_millis(100)), ..Options::default() };
    let all = run(&pool, Spins::DEF, 0..1000, options);
    assert_eq!(all.results.len(), 999);
    assert_eq!((all.errors[0].index(), all.errors[0].kind()), (Some(5), ErrorKind::TimedOut));
}

#[test]
fn workers_are_replaced_after_their_items() {
    let pool = Pool::builder().workers(2).max_tasks_per_worker(10).build().expect("a pool");
    let all = run(&pool, Pid::DEF, 0..100, Options::default());
    let mut counts = std::collections::HashMap::new();
    all.results.values().for_each(|pid| *counts.entry(pid).or_insert(0) += 1);
    assert_eq!(all.results.len(), 100);
    assert!(counts.values().all(|&count| count <= 10), "{counts:?}");
}

fn mark(parent: u32, item: u64) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("pool-runtime-test-{parent}-{item}"))
}

/// Numbers at full speed, and a stop until all of them have been run.
struct Stops {
    numbers: Numbers,
    at: u64,
}

impl Source for Stops {
    fn fill(&mut self, items: &mut ItemWriter<'_>, max: usize) -> Filled {
        for _ in 0..max {
            if self.numbers.0.start == self.at {
                let end = std::time::Instant::now() + Duration::from_secs(10);
                let waits = || (0..self.at).any(|item| !mark(std::process::id(), item).exists());
                while waits() {
                    assert!(
                        std::time::Instant::now() < end,
                        "items wait for the input, and it for them"
                    );
                    std::thread::yield_now();
                }
            }
            match self.numbers.fill(items, 1) {
                Filled::More => {}
                other => return other,
            }
        }
        Filled::More
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.numbers.size_hint()
    }
}

#[test]
fn an_input_may_wait_for_what_it_gave() {
    let pool = Pool::new(2).expect("a pool");
    let options = Options::default();
    let spec = JobSpec {
        task: Touch::DEF,
        bound: Vec::new(),
        bound_mask: 0,
        item_stride: Some(8),
        options,
        baggage: Baggage::default(),
    };
    let mut running = Running::start(pool.inner(), spec).expect("the job starts");
    let (mut source, mut all) = (Stops { numbers: Numbers(0..1100), at: 1000 }, All::default());
    while running.turn(&mut source, &mut all, u64::MAX).expect("the job goes on") == Turn::Again {}
    assert_eq!(all.results.len(), 1100);
    (0..1100).for_each(|item| drop(std::fs::remove_file(mark(std::process::id(), item))));
}
