use pool_runtime::prelude::*;

#[pool_task(retry = 2)]
fn one(x: u64) -> u64 {
    x
}

fn main() {}
