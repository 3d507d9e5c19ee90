//! rayon: threads, which copy nothing and lose everything with one of them. The ceiling.

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::shared::contender::{Contender, Lend, Vectors};
use crate::shared::kernels::{self, Filter};

pub struct Rayon(Option<ThreadPool>);

impl Rayon {
    fn pool(&self) -> &ThreadPool {
        self.0.as_ref().unwrap()
    }

    fn map<T: Sync, R: Send>(
        &self,
        items: &[T],
        chunk: usize,
        f: impl Fn(&T) -> R + Sync + Send,
    ) -> Vec<R> {
        self.pool().install(|| items.par_iter().with_max_len(most(chunk)).map(f).collect())
    }
}

fn most(chunk: usize) -> usize {
    if chunk == 0 { usize::MAX } else { chunk }
}

impl Contender for Rayon {
    const PROCESSES: bool = false;

    fn start(workers: usize) -> Self {
        Self(Some(ThreadPoolBuilder::new().num_threads(workers).build().unwrap()))
    }

    fn noop(&self, n: u64, chunk: usize) -> Vec<u64> {
        // Only ranges of `usize` know their length.
        let items = (0..n as usize).into_par_iter().with_max_len(most(chunk));
        self.pool().install(|| items.map(|x| kernels::noop(x as u64)).collect())
    }

    fn call(&self, x: u64) -> u64 {
        self.pool().install(|| kernels::noop(x))
    }

    fn work(&self, steps: &[u32], chunk: usize) -> Vec<u32> {
        self.map(steps, chunk, |&steps| kernels::work(steps))
    }

    fn sums(&self, vectors: &Vectors, _: Lend) -> Option<Vec<f64>> {
        Some(self.map(vectors, 0, |vector| kernels::sum(vector)))
    }

    fn fills(&self, n: u64, len: usize) -> Vec<Vec<f64>> {
        self.map(&(0..n).collect::<Vec<_>>(), 0, |&seed| kernels::fill(seed, len))
    }

    fn sleeps(&self, n: u64, micros: u64) {
        self.map(&vec![micros; n as usize], 0, |&micros| kernels::pause(micros));
    }

    fn echo(&self, payloads: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        self.pool()
            .install(|| payloads.into_par_iter().with_max_len(1).map(|bytes| bytes).collect())
    }

    fn convolve(&self, image: &[f64], filters: Vec<Filter>) -> Vec<Vec<f64>> {
        self.map(&filters, 0, |filter| kernels::convolve(image, *filter))
    }

    fn prefixes(&self, documents: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
        // One state for each thread, as each process has one.
        use std::cell::RefCell;
        thread_local!(static SEEN: RefCell<std::collections::HashMap<Vec<u8>, u32>> = RefCell::default());
        self.map(&documents, 0, |document| {
            SEEN.with_borrow_mut(|seen| kernels::count(seen, document))
        })
    }

    fn predict(&self, inputs: u64) -> Vec<f64> {
        self.map(&(0..inputs).collect::<Vec<_>>(), 0, |&input| kernels::predict(input))
    }
}

impl Drop for Rayon {
    fn drop(&mut self) {
        // Threads end by themselves some time after; that is left out, in rayon's favour.
        drop(self.0.take());
    }
}
