use pool_runtime::prelude::*;

struct Counter;

#[pool_task]
impl Counter {
    #[expect(dead_code)]
    fn next(&self, by: u64) -> u64 {
        by
    }
}

fn main() {}
