use pool_runtime::prelude::*;

struct Counter;

impl Counter {
    #[pool_task]
    fn next(&self, by: u64) -> u64 {
        by
    }
}

fn main() {}
