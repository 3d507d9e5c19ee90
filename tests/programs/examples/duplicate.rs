//! Two tasks of one given name.

use pool_runtime::prelude::*;

#[pool_task(name = "the.same")]
fn one(x: u64) -> u64 {
    x
}

#[pool_task(name = "the.same")]
fn other(x: u64) -> u64 {
    x
}

fn main() {
    let error = Pool::new(1).unwrap_err();
    println!("{:?}: {error}", error.kind());
    println!("{:?}", par_map!(one, 0..3).unwrap_err().kind());
    println!("{:?}", par_apply!(other(3)).unwrap_err().kind());
}
