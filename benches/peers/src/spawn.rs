//! procspawn: a pool that runs functions in processes.

use std::collections::VecDeque;

use procspawn::Pool;

use crate::chunked::{Call, Calls, Large, Reply, perform};

pub struct Procspawn {
    pool: Pool,
    workers: usize,
}

/// Each call that is out costs about three descriptors.
const OUT: usize = 256;

impl Calls for Procspawn {
    fn start(workers: usize) -> Self {
        Self { pool: Pool::new(workers).unwrap(), workers }
    }

    fn run(&mut self, calls: impl Iterator<Item = Call>, large: Large) -> Vec<Reply> {
        // More large arguments than workers, and it waits for itself.
        let most = if large == Large::Yes { self.workers } else { OUT };
        let mut out = VecDeque::new();
        let mut replies = Vec::new();
        for call in calls {
            if out.len() == most
                && let Some(oldest) = out.pop_front()
            {
                replies.push(join(oldest));
            }
            out.push_back(self.pool.spawn(call, perform));
        }
        replies.extend(out.into_iter().map(join));
        replies
    }
}

fn join(handle: procspawn::JoinHandle<Reply>) -> Reply {
    handle.join().unwrap()
}

impl Drop for Procspawn {
    fn drop(&mut self) {
        self.pool.shutdown();
    }
}
