//! The functions that items are put through, the same for each contender, and the inputs they get.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// An item of which the compiler does not know what it is: else it makes one loop over vectors of the million that threads
/// share, and nothing is called any more.
pub fn noop(x: u64) -> u64 {
    black_box(x).wrapping_add(1)
}

/// Work of a known length: a chain in which each step waits for the one before.
pub fn work(steps: u32) -> u32 {
    (0..steps).fold(black_box(1), |x: u32, _| x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
}

/// Steps of `work` in a microsecond: the best of several tries, as others may be using the core.
pub fn steps_per_micro() -> f64 {
    static FOUND: OnceLock<f64> = OnceLock::new();
    *FOUND.get_or_init(|| {
        const STEPS: u32 = 1_000_000;
        let rate = || {
            let start = Instant::now();
            black_box(work(black_box(STEPS)));
            f64::from(STEPS) / start.elapsed().as_secs_f64() / 1e6
        };
        (0..10).map(|_| rate()).fold(0.0, f64::max)
    })
}

pub fn steps(micros: f64) -> u32 {
    (micros * steps_per_micro()).round().max(1.0) as u32
}

/// In lanes, as one chain of additions would be slower than the memory is.
pub fn sum(values: &[f64]) -> f64 {
    let (lanes, rest) = values.as_chunks::<16>();
    let mut sums = [0.0; 16];
    for lane in lanes {
        sums.iter_mut().zip(lane).for_each(|(sum, value)| *sum += value);
    }
    sums.iter().chain(rest).sum()
}

pub fn fill(seed: u64, len: usize) -> Vec<f64> {
    vec![seed as f64; len]
}

pub fn pause(micros: u64) {
    std::thread::sleep(Duration::from_micros(micros));
}

/// Numbers that are the same in each run and each language.
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Between 0 and 1, neither of them.
    pub fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as f64 + 0.5) / (1_u64 << 31) as f64
    }
}

/// `n` times of work in microseconds, by Pareto's law of 1.2, that are `total` together.
pub fn uneven(n: u64, total: f64) -> Vec<f64> {
    let mut numbers = Numbers::new(42);
    let raw: Vec<f64> = (0..n).map(|_| numbers.next().powf(-1.0 / 1.2)).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|time| time * total / sum).collect()
}

pub type Filter = [f64; 16];

/// `convolve2d(image, filter)[::5, ::5]` of a square image, where filter and image overlap wholly.
pub fn convolve(image: &[f64], filter: Filter) -> Vec<f64> {
    let side = image.len().isqrt();
    let all: Vec<f64> = (0..side.saturating_sub(3))
        .flat_map(|y| (0..side - 3).map(move |x| (y, x)))
        .map(|(y, x)| {
            let row = |i: usize| &image[(y + i) * side + x..][..4];
            (0..4)
                .map(|i| row(i).iter().zip(&filter[i * 4..]).map(|(a, b)| a * b).sum::<f64>())
                .sum()
        })
        .collect();
    let width = side - 3;
    (0..width)
        .step_by(5)
        .flat_map(|y| (0..width).step_by(5).map(move |x| y * width + x))
        .map(|at| all[at])
        .collect()
}

pub fn filters(n: u64) -> Vec<Filter> {
    let mut numbers = Numbers::new(7);
    (0..n).map(|_| std::array::from_fn(|_| numbers.next() - 0.5)).collect()
}

pub const WORD: usize = 20;

/// A document: so many words of 20 random bytes, side by side.
pub fn document(number: u64, words: usize) -> Vec<u8> {
    let mut numbers = Numbers::new(number + 1);
    (0..words * WORD).map(|_| (numbers.next() * 256.0) as u8).collect()
}

/// Counts each proper prefix of each word over all documents this process has seen, and gives those that have just become
/// popular: seen more than three times.
pub fn prefixes(document: &[u8]) -> Vec<Vec<u8>> {
    static SEEN: Mutex<Option<HashMap<Vec<u8>, u32>>> = Mutex::new(None);
    let mut seen = SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    count(seen.get_or_insert_default(), document)
}

pub fn count(seen: &mut HashMap<Vec<u8>, u32>, document: &[u8]) -> Vec<Vec<u8>> {
    let mut popular = Vec::new();
    for word in document.chunks_exact(WORD) {
        for end in 1..WORD {
            let count = seen.entry(word[..end].to_vec()).or_default();
            *count += 1;
            if *count == 4 {
                popular.push(word[..end].to_vec());
            }
        }
    }
    popular
}

pub fn union(popular: impl IntoIterator<Item = Vec<Vec<u8>>>) -> usize {
    popular.into_iter().flatten().collect::<HashSet<_>>().len()
}

/// A model takes this long to load, and a prediction this long.
pub const LOAD_MICROS: f64 = 50_000.0;
pub const PREDICT_MICROS: f64 = 2_000.0;

/// A prediction by a model that each process loads once, when it first needs it.
pub fn predict(input: u64) -> f64 {
    static MODEL: OnceLock<Vec<f64>> = OnceLock::new();
    let model = MODEL.get_or_init(load);
    black_box(work(steps(PREDICT_MICROS)));
    model[input as usize % model.len()]
}

pub fn load() -> Vec<f64> {
    black_box(work(steps(LOAD_MICROS)));
    (0..784 * 512).map(f64::from).collect()
}
