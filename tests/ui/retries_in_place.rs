use pool_runtime::prelude::*;

#[pool_task(retries = 2)]
fn fill(part: &mut [f64], value: f64) {
    part.fill(value);
}

fn main() {}
