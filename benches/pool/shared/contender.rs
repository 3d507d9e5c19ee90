//! What a contender can do, and how each question is put to it and timed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::job::{Answer, Job};
use super::kernels::{self, Filter};

/// A pool. Made by `start`; dropping it must end its workers and wait for them. `chunk` is 0 for its own choice.
pub trait Contender: Sized {
    /// Whether its workers are processes, and so have memory of their own.
    const PROCESSES: bool = true;

    fn start(workers: usize) -> Self;
    fn noop(&self, n: u64, chunk: usize) -> Vec<u64>;
    fn call(&self, x: u64) -> u64;
    fn work(&self, steps: &[u32], chunk: usize) -> Vec<u32>;
    /// `None` when it has no way to lend.
    fn sums(&self, vectors: &Vectors, lend: Lend) -> Option<Vec<f64>>;
    fn fills(&self, n: u64, len: usize) -> Vec<Vec<f64>>;
    fn sleeps(&self, n: u64, micros: u64);
    /// One payload per chunk.
    fn echo(&self, payloads: Vec<Vec<u8>>) -> Vec<Vec<u8>>;
    fn convolve(&self, image: &[f64], filters: Vec<Filter>) -> Vec<Vec<f64>>;
    fn prefixes(&self, documents: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>>;
    fn predict(&self, inputs: u64) -> Vec<f64>;
}

pub type Vectors = Vec<std::sync::Arc<Vec<f64>>>;

/// Whether the function takes its vector, or only looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lend {
    No,
    Yes,
}

/// Workers that can run at one time.
pub fn cores(workers: usize) -> f64 {
    workers.min(std::thread::available_parallelism().map_or(1, usize::from)) as f64
}

fn seconds<R>(run: impl FnOnce() -> R) -> f64 {
    let start = Instant::now();
    black_box(run());
    start.elapsed().as_secs_f64()
}

fn repeat<R>(reps: usize, mut run: impl FnMut() -> R) -> Answer {
    Ok((0..reps).map(|_| seconds(&mut run)).collect())
}

/// Puts one question to a contender. All times are in seconds, but where another unit is named.
pub fn answer<C: Contender>(job: &Job) -> Answer {
    let start = || C::start(job.workers);
    match &*job.kind {
        // A pool up, `n` tasks, and down again.
        "start" => repeat(job.reps, || C::start(job.workers).noop(job.n, 1)),
        "map" => map(&start(), job),
        "apply" => apply(&start(), job),
        // `n` tasks of so many microseconds. The answer is the efficiency: the best possible time by the time it took.
        "grain" => grain(&start(), job),
        "owned" => inputs(&start(), job, Lend::No),
        "lent" => inputs(&start(), job, Lend::Yes),
        "results" => results(&start(), job),
        // Tasks of uneven length, `micros` in all; the answer is the time by the best possible.
        "uneven" => uneven(&start(), job),
        // The first sample has the start in it.
        "sleeps" => {
            let begun = Instant::now();
            let pool = start();
            pool.sleeps(job.n, job.micros as u64);
            let cold = begun.elapsed().as_secs_f64();
            Ok(vec![cold, seconds(|| pool.sleeps(job.n, job.micros as u64))])
        }
        "idle" => idle(&start(), job),
        "echo" => echo(&start(), job),
        "numerical" => numerical::<C>(job),
        "stateful" => stateful::<C>(job),
        "costly" => costly::<C>(job),
        kind => Err(format!("there is no `{kind}`")),
    }
}

fn map<C: Contender>(pool: &C, job: &Job) -> Answer {
    let run = || {
        let results = pool.noop(job.n, job.chunk);
        assert_eq!(results.last(), Some(&job.n));
        results
    };
    run();
    repeat(job.reps, run)
}

/// `n` calls with a pause before each. The answer: the median and the 99th percentile.
fn apply<C: Contender>(pool: &C, job: &Job) -> Answer {
    (0..100.min(job.n)).for_each(|x| {
        black_box(pool.call(x));
    });
    let mut times: Vec<f64> = (0..job.n)
        .map(|x| {
            if job.micros > 0.0 {
                std::thread::sleep(Duration::from_secs_f64(job.micros / 1e6));
            }
            seconds(|| pool.call(x))
        })
        .collect();
    times.sort_by(f64::total_cmp);
    Ok(vec![times[times.len() / 2], times[times.len() * 99 / 100]])
}

fn grain<C: Contender>(pool: &C, job: &Job) -> Answer {
    let steps = kernels::steps(job.micros);
    let items = vec![steps; job.n as usize];
    pool.work(&items[..items.len().min(100)], job.chunk);
    let ideal = ideal(u64::from(steps) * job.n, job.workers);
    let took = repeat(job.reps, || pool.work(&items, job.chunk))?;
    Ok(took.iter().map(|took| ideal / took).collect())
}

/// What can be had, at this moment: as many threads as workers may use cores, each with its share of the work and nothing to
/// wait for.
fn ideal(steps: u64, workers: usize) -> f64 {
    const PIECE: u64 = 100_000;
    let cores = cores(workers) as u64;
    let pieces = (steps / cores).div_ceil(PIECE);
    let share = || {
        for _ in 0..pieces {
            black_box(kernels::work(black_box(PIECE as u32)));
        }
    };
    let all = || {
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(share);
            }
        });
    };
    let took = seconds(all).min(seconds(all));
    took * steps as f64 / (cores * pieces * PIECE) as f64
}

/// Three passes over `n` vectors of so many bytes, the first with a new pool whose workers are up.
fn inputs<C: Contender>(pool: &C, job: &Job, lend: Lend) -> Answer {
    let vectors = vectors(job);
    pool.noop(100, 1);
    let mut missing = false;
    let took = repeat(3, || missing |= pool.sums(&vectors, lend).is_none());
    if missing { Err("has no borrowed parameters".to_owned()) } else { took }
}

pub fn vectors(job: &Job) -> Vectors {
    (0..job.n).map(|i| std::sync::Arc::new(kernels::fill(i, job.bytes / 8))).collect()
}

fn results<C: Contender>(pool: &C, job: &Job) -> Answer {
    pool.noop(100, 1);
    repeat(3, || pool.fills(job.n, job.bytes / 8))
}

fn uneven<C: Contender>(pool: &C, job: &Job) -> Answer {
    let steps: Vec<u32> =
        kernels::uneven(job.n, job.micros).into_iter().map(kernels::steps).collect();
    let steps = &steps;
    pool.work(&[1; 100], 1);
    let ideal = ideal(steps.iter().map(|&steps| u64::from(steps)).sum(), job.workers);
    let took = repeat(job.reps, || pool.work(steps, job.chunk))?;
    Ok(took.iter().map(|took| took / ideal).collect())
}

/// What this process and its children do while the pool has nothing to do.
fn idle<C: Contender>(pool: &C, job: &Job) -> Answer {
    pool.noop(1000, 1);
    Ok(vec![idling(job.micros)])
}

/// CPU seconds per second over so many microseconds in which nothing is asked for.
fn idling(micros: f64) -> f64 {
    std::thread::sleep(Duration::from_millis(200));
    let (begun, before) = (Instant::now(), cpu_seconds());
    std::thread::sleep(Duration::from_secs_f64(micros / 1e6));
    (cpu_seconds() - before) / begun.elapsed().as_secs_f64()
}

/// Of all threads of this process but the one that looks, and of its children.
fn cpu_seconds() -> f64 {
    let names = |dir: &str| -> Vec<String> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect()
    };
    let nanos = |thread: &String| {
        let text = std::fs::read_to_string(format!("{thread}/schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let own = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let own = own.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut threads = names("/proc/self/task");
    let children: Vec<String> = threads
        .iter()
        .filter_map(|thread| std::fs::read_to_string(format!("{thread}/children")).ok())
        .flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    threads.retain(|thread| !thread.ends_with(&format!("/{own}")));
    threads.extend(children.iter().flat_map(|pid| names(&format!("/proc/{pid}/task"))));
    threads.iter().map(nanos).sum::<f64>() / 1e9
}

/// mpi4py's `bench futures`: the identity on 50 payloads a worker, one per chunk. The answer: tasks per second.
fn echo<C: Contender>(pool: &C, job: &Job) -> Answer {
    let payloads = || (0..job.n).map(|i| vec![i as u8; job.bytes]).collect::<Vec<_>>();
    pool.echo(payloads());
    let rate = |_| {
        let payloads = payloads();
        job.n as f64 / seconds(|| pool.echo(payloads))
    };
    Ok((0..job.reps).map(rate).collect())
}

/// One image, `n` filters; the answer is how many times faster than one process of the same language.
fn numerical<C: Contender>(job: &Job) -> Answer {
    let image = vec![0.0; job.bytes / 8];
    let filters = kernels::filters(job.n);
    let serial = seconds(|| {
        filters.iter().map(|filter| kernels::convolve(&image, *filter)).collect::<Vec<_>>()
    });
    let pool = C::start(job.workers);
    pool.noop(100, 1);
    Ok(repeat(job.reps, || pool.convolve(&image, filters.clone()))?
        .iter()
        .map(|took| serial / took)
        .collect())
}

/// `n` documents of so many bytes, made within the time that is taken, and what a process knows of those it has seen.
fn stateful<C: Contender>(job: &Job) -> Answer {
    let documents =
        || (0..job.n).map(|i| kernels::document(i, job.bytes / kernels::WORD)).collect::<Vec<_>>();
    let serial = seconds(|| {
        let mut seen = Default::default();
        kernels::union(documents().iter().map(|document| kernels::count(&mut seen, document)))
    });
    // The state is a process's own, and begins empty.
    let once = || {
        let pool = C::start(job.workers);
        pool.noop(100, 1);
        seconds(|| kernels::union(pool.prefixes(documents())))
    };
    Ok((0..job.reps).map(|_| serial / once()).collect())
}

/// A model that takes long to load, then `n` predictions in ten rounds.
fn costly<C: Contender>(job: &Job) -> Answer {
    if !C::PROCESSES {
        return Err("threads share the model".to_owned());
    }
    let serial = seconds(|| {
        black_box(kernels::load());
        for _ in 0..job.n {
            black_box(kernels::work(kernels::steps(kernels::PREDICT_MICROS)));
        }
    });
    let once = || {
        let pool = C::start(job.workers);
        pool.noop(100, 1);
        seconds(|| (0..10).map(|_| pool.predict(job.n / 10)).collect::<Vec<_>>())
    };
    Ok((0..job.reps).map(|_| serial / once()).collect())
}
