use pool_runtime::prelude::*;

trait Next {
    fn next(&self, by: u64) -> u64;
}

struct Counter;

#[pool_task]
impl Next for Counter {
    #[pool_task]
    fn next(&self, by: u64) -> u64 {
        by
    }
}

fn main() {}
