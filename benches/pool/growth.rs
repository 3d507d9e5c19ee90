//! How cost grows: with the number of items, of workers, and with their size; and what memory the caller's process had at most.

use std::fs;
use std::hint::black_box;
use std::time::Instant;

use pool_runtime::prelude::*;

use crate::bare;
use crate::options::Options;
use crate::ours::{Ours, noop, sum};
use crate::plan::Better;
use crate::run::{OURS, Row};
use crate::shared::contender::Contender;
use crate::shared::kernels;
use crate::table::number;

pub fn run(options: &Options) -> Vec<Row> {
    let mut rows = items(if options.full { 100_000_000 } else { 10_000_000 });
    rows.extend(workers());
    rows.extend(payloads(options.full));
    rows
}

fn row(key: String, workers: usize, unit: &'static str, better: Better, value: f64) -> Row {
    Row { key, workers, figure: "", unit, better, contender: OURS, values: vec![value] }
}

/// Streams ever more items through a pool and drops each result.
fn items(most: u64) -> Vec<Row> {
    println!("\n**Growth with items** (2 workers, no-op, streamed and dropped)\n");
    println!("| items | ns an item | peak memory of the caller, MiB |\n|---|---|---|");
    let pool = Pool::new(2).unwrap();
    let sizes = std::iter::successors(Some(1000), |n| Some(n * 10)).take_while(|&n| n <= most);
    let measure = |n: u64| {
        let reps = (1_000_000 / n).clamp(1, 100);
        stream(&pool, n);
        forget_peak();
        let start = Instant::now();
        (0..reps).for_each(|_| stream(&pool, n));
        let nanos = start.elapsed().as_secs_f64() * 1e9 / (n * reps) as f64;
        println!("| {n:e} | {} | {} |", number(nanos), number(peak_mib()));
        row(format!("growth items {n}"), 2, "ns", Better::Lower, nanos)
    };
    sizes.map(measure).collect()
}

fn stream(pool: &Pool, n: u64) {
    let results = par_imap!(noop, 0..n; pool = pool).unwrap();
    black_box(results.map(Result::unwrap).fold(0, u64::wrapping_add));
}

/// More workers than cores must cost little.
fn workers() -> Vec<Row> {
    println!("\n**Growth with workers** (relative to 2 workers; above 1 is faster)\n");
    println!(
        "| workers | up and down, ms | no-op, default chunks | no-op, chunk size 1 | tasks of 20 µs, chunk size 1 |"
    );
    println!("|---|---|---|---|---|");
    let steps = vec![kernels::steps(20.0); 5000];
    let measured: Vec<(usize, [f64; 4])> = [1, 2, 4, 8, 16, 32, 64]
        .map(|workers| {
            let start = Instant::now();
            drop(Ours::start(workers));
            let up = start.elapsed().as_secs_f64() * 1e3;
            let pool = Ours::start(workers);
            pool.noop(100_000, 0);
            let rate = |n: u64, run: &dyn Fn()| {
                let times = [(); 3].map(|()| {
                    let start = Instant::now();
                    run();
                    start.elapsed().as_secs_f64()
                });
                n as f64 / times.into_iter().fold(f64::MAX, f64::min)
            };
            let default = rate(1_000_000, &|| drop(black_box(pool.noop(1_000_000, 0))));
            let single = rate(100_000, &|| drop(black_box(pool.noop(100_000, 1))));
            let longer = rate(5000, &|| drop(black_box(pool.work(&steps, 1))));
            (workers, [up, default, single, longer])
        })
        .into();
    let base = measured[1].1;
    let mut rows = Vec::new();
    for (workers, [up, rates @ ..]) in measured {
        let rates = [rates[0] / base[1], rates[1] / base[2], rates[2] / base[3]];
        println!("| {workers} | {} | {} |", number(up), rates.map(number).join(" | "));
        let names = ["default", "single", "longer"];
        rows.extend(names.iter().zip(rates).map(|(name, rate)| {
            row(format!("growth workers {name}"), workers, "times 2 workers", Better::Higher, rate)
        }));
    }
    rows
}

/// Passes over all payloads of a size; the best counts.
const PASSES: usize = 5;

/// To hand on smaller vectors one by one costs a channel more than to copy them.
const HANDED_ON: usize = 256 << 10;

/// From eight bytes to many megabytes, borrowed by the worker.
fn payloads(full: bool) -> Vec<Row> {
    println!(
        "\n**Growth with payload** (2 workers, each vector lent and summed up; and threads, through two buffers)\n"
    );
    println!(
        "| bytes | µs an item | GB/s | threads, GB/s | peak memory of the caller above its input, MiB |\n|---|---|---|---|---|"
    );
    let pool = Pool::new(2).unwrap();
    let most = if full { 26 } else { 24 };
    let total: usize = if full { 512 << 20 } else { 128 << 20 };
    let measure = |power: u32| {
        let bytes = 1_usize << power;
        let count = (total / bytes).clamp(4, 200_000);
        let vectors: Vec<Vec<f64>> =
            (0..count).map(|i| kernels::fill(i as u64, bytes / 8)).collect();
        let pass = || {
            let start = Instant::now();
            black_box(par_map!(sum, &vectors; pool = &pool).unwrap());
            start.elapsed().as_secs_f64()
        };
        let worth = bytes >= HANDED_ON;
        let threads = || if worth { bare::through_two_buffers(&vectors) } else { f64::MAX };
        pass();
        forget_peak();
        let before = peak_mib();
        pass();
        let above = number((peak_mib() - before).max(0.0));
        let gigabytes = (count * bytes) as f64 / 1e9;
        // In turns, so that both see the same machine.
        let turns: Vec<(f64, f64)> = (0..PASSES).map(|_| (pass(), threads())).collect();
        let best = |took: fn(&(f64, f64)) -> f64| turns.iter().map(took).fold(f64::MAX, f64::min);
        let (took, theirs) = (best(|turn| turn.0), best(|turn| turn.1));
        let (rate, theirs) = (gigabytes / took, gigabytes / theirs);
        let micros = took * 1e6 / count as f64;
        let theirs = if worth { number(theirs) } else { "–".to_owned() };
        println!("| {bytes} | {} | {} | {theirs} | {above} |", number(micros), number(rate));
        row(format!("growth payload {bytes}"), 2, "GB/s", Better::Higher, rate)
    };
    (3..=most).step_by(if full { 1 } else { 3 }).map(measure).collect()
}

/// Lets the kernel's note of the most memory that was resident begin anew.
fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn peak_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
