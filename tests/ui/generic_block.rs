use pool_runtime::prelude::*;

struct Counter<T>(T);

#[pool_task]
impl<T> Counter<T> {
    #[pool_task]
    fn next(&self, by: u64) -> u64 {
        by
    }
}

fn main() {}
