//! Which questions are asked, and how an answer becomes a figure.

use crate::options::Options;
use crate::shared::job::Job;

/// One question to all contenders.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What it is chosen by on the command line.
    pub id: &'static str,
    /// What marks and plots know it by, with the number of workers.
    pub key: String,
    pub title: String,
    pub job: Job,
    /// Items for contenders that take milliseconds where others take microseconds; 0 when all get the same. Figures are per item.
    pub slow_n: u64,
    pub figures: Vec<Figure>,
    /// At most so many repeats.
    pub most: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    pub better: Better,
    pub of: fn(&Job, &[f64]) -> Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

use Better::{Higher, Lower};

fn each(values: &[f64], f: impl Fn(f64) -> f64) -> Vec<f64> {
    values.iter().map(|&value| f(value)).collect()
}

fn bytes(job: &Job) -> f64 {
    job.n as f64 * job.bytes as f64 / 1e9
}

/// Three sleeps, one after the other, in each worker.
fn sleeps(job: &Job) -> f64 {
    job.n as f64 / job.workers as f64 * job.micros / 1e6
}

const MILLIS: Figure =
    Figure { name: "", unit: "ms", better: Lower, of: |_, v| each(v, |s| s * 1e3) };
const RATE: Figure = Figure {
    name: "",
    unit: "items/s",
    better: Higher,
    of: |job, v| each(v, |s| job.n as f64 / s),
};
const TASKS: Figure = Figure { name: "", unit: "tasks/s", better: Higher, of: |_, v| v.to_vec() };
const MEDIAN: Figure =
    Figure { name: "median", unit: "µs", better: Lower, of: |_, v| each(&v[..1], |s| s * 1e6) };
const TAIL: Figure = Figure {
    name: "99th percentile",
    unit: "µs",
    better: Lower,
    of: |_, v| each(&v[1..2], |s| s * 1e6),
};
const GRAIN: Figure = Figure { name: "", unit: "µs", better: Lower, of: |_, v| v.to_vec() };
const FIRST: Figure = Figure {
    name: "first pass",
    unit: "GB/s",
    better: Higher,
    of: |job, v| each(&v[..1], |s| bytes(job) / s),
};
const WARM: Figure = Figure {
    name: "warm",
    unit: "GB/s",
    better: Higher,
    of: |job, v| each(&v[1..], |s| bytes(job) / s),
};
const IDEAL: Figure =
    Figure { name: "", unit: "times the ideal", better: Lower, of: |_, v| v.to_vec() };
const COLD: Figure = Figure {
    name: "with the start",
    unit: "times the ideal",
    better: Lower,
    of: |job, v| each(&v[..1], |s| s / sleeps(job)),
};
const AGAIN: Figure = Figure {
    name: "warm",
    unit: "times the ideal",
    better: Lower,
    of: |job, v| each(&v[1..], |s| s / sleeps(job)),
};
const CPU: Figure = Figure {
    name: "",
    unit: "ms of CPU per second",
    better: Lower,
    of: |_, v| each(v, |s| s * 1e3),
};
const FASTER: Figure = Figure {
    name: "",
    unit: "times one process of the same language",
    better: Higher,
    of: |_, v| v.to_vec(),
};

fn workload(id: &'static str, key: &str, title: &str, job: Job, figures: &[Figure]) -> Workload {
    let (key, title) = (key.to_owned(), title.to_owned());
    Workload { id, key, title, job, slow_n: 0, figures: figures.to_vec(), most: usize::MAX }
}

impl Workload {
    fn slow(self, slow_n: u64) -> Self {
        Self { slow_n, ..self }
    }

    fn most(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

/// All that is asked for.
pub fn plan(options: &Options) -> Vec<Workload> {
    let counts: &[usize] = if options.full { &[2, 4, 10] } else { &[2] };
    let mut all = starts();
    for &workers in counts {
        all.extend(small(workers, options.full));
    }
    all.extend(grains(options.full));
    all.extend(large(options.full));
    for &workers in counts {
        all.push(imbalance(workers, options.full));
    }
    all.extend(sleeping(options.full));
    all.extend(sweep(options.full));
    all.extend(published(options.full));
    all.retain(|workload| options.wants(workload.id));
    all
}

fn starts() -> Vec<Workload> {
    [2, 4, 10]
        .map(|workers| {
            let job = Job::new("start", workers, 4).reps(5);
            workload("W1", "W1", "pool up, four tasks, and down", job, &[MILLIS])
        })
        .into()
}

fn small(workers: usize, full: bool) -> Vec<Workload> {
    let map = |n| Job::new("map", workers, n).reps(3);
    let calls = |n| Job::new("apply", workers, n);
    let few = if full { 20_000 } else { 5_000 };
    vec![
        workload("W2", "W2", "no-op map of a million, default chunks", map(1_000_000), &[RATE]),
        workload("W2", "W2c", "no-op map, chunk size 1", map(1_000_000).chunk(1), &[RATE])
            .slow(few),
        workload("W3", "W3", "apply, one call after the other", calls(5000), &[MEDIAN, TAIL])
            .slow(1000),
        workload(
            "W3",
            "W3s",
            "apply, 2 ms of silence before each call",
            calls(100).micros(2000.0),
            &[MEDIAN, TAIL],
        ),
    ]
}

/// The smallest task at which half of the time is useful. `bytes` is the largest number of tasks in one map.
fn grains(full: bool) -> Vec<Workload> {
    let job = |chunk| Job::new("metg", 2, 200_000).chunk(chunk);
    let most = if full { 3 } else { 1 };
    vec![
        workload("W4", "W4", "METG(50 %), chunk size 1", job(1), &[GRAIN]).slow(5000).most(most),
        workload("W4", "W4d", "METG(50 %), default chunks", job(0), &[GRAIN]).most(most),
    ]
}

fn large(full: bool) -> Vec<Workload> {
    let job = |kind| Job::new(kind, 2, if full { 64 } else { 24 }).bytes(8 << 20);
    let figures = &[FIRST, WARM];
    vec![
        workload("W5", "W5i", "inputs of 8 MiB, owned", job("owned"), figures),
        workload("W5", "W5b", "inputs of 8 MiB, borrowed", job("lent"), figures),
        workload("W5", "W5o", "results of 8 MiB", job("results"), figures),
    ]
}

fn imbalance(workers: usize, full: bool) -> Workload {
    let total = if full { 2e6 } else { 0.6e6 };
    let job = Job::new("uneven", workers, 1000).micros(total);
    workload("W6", "W6", "1000 tasks of uneven length (Pareto 1.2)", job, &[IDEAL])
}

fn sleeping(full: bool) -> Vec<Workload> {
    let nap = if full { 3e6 } else { 3e5 };
    let idle = Job::new("idle", 4, 0).micros(2e6);
    vec![
        workload(
            "W7",
            "W7",
            "30 sleeps, 10 workers",
            Job::new("sleeps", 10, 30).micros(nap),
            &[COLD, AGAIN],
        )
        .most(1),
        workload("idle", "idle", "a pool with nothing to do", idle, &[CPU]).most(1),
    ]
}

fn sweep(full: bool) -> Vec<Workload> {
    let workers = 2;
    (0..=20)
        .step_by(if full { 1 } else { 4 })
        .map(|power| {
            let bytes = 1 << power;
            let reps = if power > 18 {
                3
            } else if power > 16 {
                5
            } else {
                10
            };
            let job = Job::new("echo", workers, 50 * workers as u64).bytes(bytes).reps(reps);
            let title = format!("mpi4py's `bench futures`, payloads of {bytes} B, chunk size 1");
            workload("sweep", &format!("sweep {bytes}"), &title, job, &[TASKS]).most(1)
        })
        .collect()
}

/// The comparisons published by Ray and mpire, at a size for two cores.
fn published(full: bool) -> Vec<Workload> {
    let side = if full { 3000 } else { 1000 };
    let words = if full { 10_000 } else { 1000 };
    let job = |kind, n| Job::new(kind, 2, n).reps(if full { 3 } else { 1 });
    vec![
        workload(
            "published",
            "numerical",
            "Ray 1: convolution of one image by four filters",
            job("numerical", 4).bytes(side * side * 8),
            &[FASTER],
        )
        .most(3),
        workload(
            "published",
            "stateful",
            "Ray 2: prefix counts over 20 documents, state in each worker",
            job("stateful", 20).bytes(words * 20),
            &[FASTER],
        )
        .most(3),
        workload(
            "published",
            "costly",
            "Ray 3: ten rounds of predictions by a model that takes 50 ms to load",
            job("costly", 100),
            &[FASTER],
        )
        .most(3),
    ]
}
