use pool_runtime::prelude::*;

#[pool_task(timeout = "5 lightyears")]
fn one(x: u64) -> u64 {
    x
}

fn main() {}
