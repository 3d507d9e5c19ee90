use pool_runtime::prelude::*;

#[pool_task]
unsafe fn read(at: u64) -> u64 {
    at
}

fn main() {}
