use pool_runtime::prelude::*;

#[pool_task(retries = -1)]
fn negative(x: u64) -> u64 {
    x
}

#[pool_task(retries = "3")]
fn text(x: u64) -> u64 {
    x
}

#[pool_task(timeout = 5)]
fn number(x: u64) -> u64 {
    x
}

fn main() {}
