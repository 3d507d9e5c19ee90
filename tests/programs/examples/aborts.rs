//! A panic that ends its worker at once, as all do with `panic = "abort"`, is told by that worker.

use pool_runtime::prelude::*;

#[pool_task]
fn breaks(x: u64) -> u64 {
    assert_ne!(x, 1, "one is too much");
    x
}

fn main() {
    let error = par_map!(breaks, 0..2).expect_err("one of them breaks");
    assert_eq!(error.kind(), ErrorKind::WorkerDied, "{error}");
    println!("fine");
}
