use pool_runtime::prelude::*;

#[pool_task]
extern "C" fn read(at: u64) -> u64 {
    at
}

fn main() {}
