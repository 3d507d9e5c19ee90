//! A task in an example.

use pool_runtime::prelude::*;

#[pool_task]
fn twice(x: u64) -> u64 {
    2 * x
}

fn main() {
    programs::check();
    assert_eq!(par_map!(twice, 0..3).unwrap(), [0, 2, 4]);
    println!("fine");
}
