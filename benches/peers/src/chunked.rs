//! For libraries that run one call in a process and have no map: chunks of items become calls.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::shared::contender::{Contender, Lend, Vectors};
use crate::shared::kernels::{self, Filter};

/// A chunk, as it travels.
#[derive(Clone, Serialize, Deserialize)]
pub enum Call {
    Noop(Vec<u64>),
    Work(Vec<u32>),
    Sums(Vec<Arc<Vec<f64>>>),
    Fills(Vec<u64>, usize),
    Sleeps(Vec<u64>),
    Echo(Vec<Vec<u8>>),
    Convolve(Arc<Vec<f64>>, Vec<Filter>),
    Prefixes(Vec<Vec<u8>>),
    Predict(Vec<u64>),
}

#[derive(Serialize, Deserialize)]
pub enum Reply {
    U64(Vec<u64>),
    U32(Vec<u32>),
    F64(Vec<f64>),
    Vectors(Vec<Vec<f64>>),
    Bytes(Vec<Vec<u8>>),
    Lists(Vec<Vec<Vec<u8>>>),
}

pub fn perform(call: Call) -> Reply {
    match call {
        Call::Noop(items) => Reply::U64(items.into_iter().map(kernels::noop).collect()),
        Call::Work(items) => Reply::U32(items.into_iter().map(kernels::work).collect()),
        Call::Sums(items) => Reply::F64(items.iter().map(|vector| kernels::sum(vector)).collect()),
        Call::Fills(items, len) => {
            Reply::Vectors(items.into_iter().map(|seed| kernels::fill(seed, len)).collect())
        }
        Call::Sleeps(items) => {
            items.into_iter().for_each(kernels::pause);
            Reply::U64(Vec::new())
        }
        Call::Echo(items) => Reply::Bytes(items),
        Call::Convolve(image, items) => Reply::Vectors(
            items.into_iter().map(|filter| kernels::convolve(&image, filter)).collect(),
        ),
        Call::Prefixes(items) => {
            Reply::Lists(items.iter().map(|text| kernels::prefixes(text)).collect())
        }
        Call::Predict(items) => Reply::F64(items.into_iter().map(kernels::predict).collect()),
    }
}

/// Runs calls in processes and gives their replies in order. `large`: each is more than a socket holds.
pub trait Calls {
    fn start(workers: usize) -> Self;
    fn run(&mut self, calls: impl Iterator<Item = Call>, large: Large) -> Vec<Reply>;
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Large {
    No,
    Yes,
}

/// A map on top of that.
pub struct Chunked<P> {
    pool: std::cell::RefCell<P>,
    workers: usize,
}

macro_rules! join {
    ($replies:expr, $kind:ident) => {
        $replies
            .into_iter()
            .flat_map(|reply| match reply {
                Reply::$kind(values) => values,
                _ => unreachable!(),
            })
            .collect()
    };
}

impl<P: Calls> Chunked<P> {
    /// CPython's rule: four chunks a worker.
    fn chunk(&self, n: usize, chunk: usize) -> usize {
        if chunk > 0 { chunk } else { n.div_ceil(4 * self.workers).max(1) }
    }

    fn map<T: Clone>(
        &self,
        items: &[T],
        chunk: usize,
        large: Large,
        call: impl Fn(Vec<T>) -> Call,
    ) -> Vec<Reply> {
        let chunks = items.chunks(self.chunk(items.len(), chunk));
        self.pool.borrow_mut().run(chunks.map(|chunk| call(chunk.to_vec())), large)
    }
}

impl<P: Calls> Contender for Chunked<P> {
    fn start(workers: usize) -> Self {
        Self { pool: P::start(workers).into(), workers }
    }

    fn noop(&self, n: u64, chunk: usize) -> Vec<u64> {
        let chunk = self.chunk(n as usize, chunk);
        let calls = (0..n)
            .step_by(chunk)
            .map(|from| Call::Noop((from..n.min(from + chunk as u64)).collect()));
        let large = if chunk > 1000 { Large::Yes } else { Large::No };
        join!(self.pool.borrow_mut().run(calls, large), U64)
    }

    fn call(&self, x: u64) -> u64 {
        let call = std::iter::once(Call::Noop(vec![x]));
        let replies: Vec<u64> = join!(self.pool.borrow_mut().run(call, Large::No), U64);
        replies[0]
    }

    fn work(&self, steps: &[u32], chunk: usize) -> Vec<u32> {
        let large = if self.chunk(steps.len(), chunk) > 1000 { Large::Yes } else { Large::No };
        join!(self.map(steps, chunk, large, Call::Work), U32)
    }

    fn sums(&self, vectors: &Vectors, lend: Lend) -> Option<Vec<f64>> {
        (lend == Lend::No).then(|| join!(self.map(vectors, 1, Large::Yes, Call::Sums), F64))
    }

    fn fills(&self, n: u64, len: usize) -> Vec<Vec<f64>> {
        let items: Vec<u64> = (0..n).collect();
        join!(self.map(&items, 1, Large::Yes, |items| Call::Fills(items, len)), Vectors)
    }

    fn sleeps(&self, n: u64, micros: u64) {
        self.map(&vec![micros; n as usize], 1, Large::No, Call::Sleeps);
    }

    fn echo(&self, payloads: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let large = if payloads.first().is_some_and(|first| first.len() > 1000) {
            Large::Yes
        } else {
            Large::No
        };
        let calls = payloads.into_iter().map(|payload| Call::Echo(vec![payload]));
        join!(self.pool.borrow_mut().run(calls, large), Bytes)
    }

    fn convolve(&self, image: &[f64], filters: Vec<Filter>) -> Vec<Vec<f64>> {
        // The image travels once per worker, as well as can be done by hand.
        let (image, chunk) = (Arc::new(image.to_vec()), filters.len().div_ceil(self.workers));
        let call = |filters| Call::Convolve(Arc::clone(&image), filters);
        join!(self.map(&filters, chunk, Large::Yes, call), Vectors)
    }

    fn prefixes(&self, documents: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
        let calls = documents.into_iter().map(|document| Call::Prefixes(vec![document]));
        join!(self.pool.borrow_mut().run(calls, Large::Yes), Lists)
    }

    fn predict(&self, inputs: u64) -> Vec<f64> {
        join!(self.map(&(0..inputs).collect::<Vec<_>>(), 1, Large::No, Call::Predict), F64)
    }
}
