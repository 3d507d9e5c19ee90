//! This library, as its users get it.

use pool_runtime::prelude::*;

use crate::shared::contender::{Contender, Lend, Vectors};
use crate::shared::kernels::{self, Filter};

pub struct Ours(pub Pool);

#[pool_task]
pub fn noop(x: u64) -> u64 {
    kernels::noop(x)
}

#[pool_task]
pub fn work(steps: u32) -> u32 {
    kernels::work(steps)
}

#[pool_task]
pub fn sum_of(vector: Vec<f64>) -> f64 {
    kernels::sum(&vector)
}

#[pool_task]
pub fn sum(vector: &[f64]) -> f64 {
    kernels::sum(vector)
}

#[pool_task]
fn fill(seed: u64, len: usize) -> Vec<f64> {
    kernels::fill(seed, len)
}

#[pool_task]
fn pause(micros: u64) {
    kernels::pause(micros);
}

#[pool_task]
fn echo(payload: Vec<u8>) -> Vec<u8> {
    payload
}

#[pool_task]
fn convolve(image: &[f64], filter: Filter) -> Vec<f64> {
    kernels::convolve(image, filter)
}

#[pool_task]
fn prefixes(document: &[u8]) -> Vec<Vec<u8>> {
    kernels::prefixes(document)
}

#[pool_task]
fn predict(input: u64) -> f64 {
    kernels::predict(input)
}

impl Contender for Ours {
    fn start(workers: usize) -> Self {
        Self(Pool::new(workers).unwrap())
    }

    fn noop(&self, n: u64, chunk: usize) -> Vec<u64> {
        match chunk {
            0 => par_map!(noop, 0..n; pool = &self.0).unwrap(),
            chunk => par_map!(noop, 0..n; pool = &self.0, chunk_size = chunk).unwrap(),
        }
    }

    fn call(&self, x: u64) -> u64 {
        par_apply!(noop(x); pool = &self.0).unwrap()
    }

    fn work(&self, steps: &[u32], chunk: usize) -> Vec<u32> {
        match chunk {
            0 => par_map!(work, steps; pool = &self.0).unwrap(),
            chunk => par_map!(work, steps; pool = &self.0, chunk_size = chunk).unwrap(),
        }
    }

    fn sums(&self, vectors: &Vectors, lend: Lend) -> Option<Vec<f64>> {
        let vectors = vectors.iter().map(|vector| &**vector);
        Some(match lend {
            Lend::No => par_map!(sum_of, vectors; pool = &self.0).unwrap(),
            Lend::Yes => par_map!(sum, vectors; pool = &self.0).unwrap(),
        })
    }

    fn fills(&self, n: u64, len: usize) -> Vec<Vec<f64>> {
        par_map!(fill(_, len), 0..n; pool = &self.0).unwrap()
    }

    fn sleeps(&self, n: u64, micros: u64) {
        par_map!(pause, (0..n).map(|_| micros); pool = &self.0).unwrap();
    }

    fn echo(&self, payloads: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        par_map!(echo, payloads; pool = &self.0, chunk_size = 1).unwrap()
    }

    fn convolve(&self, image: &[f64], filters: Vec<Filter>) -> Vec<Vec<f64>> {
        par_map!(convolve(image, _), filters; pool = &self.0).unwrap()
    }

    fn prefixes(&self, documents: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
        par_map!(prefixes, documents; pool = &self.0).unwrap()
    }

    fn predict(&self, inputs: u64) -> Vec<f64> {
        par_map!(predict, 0..inputs; pool = &self.0).unwrap()
    }
}
