use pool_runtime::prelude::*;

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {
    let _ = par_apply!(add);
}
