use pool_runtime::prelude::*;

#[pool_task]
struct Counter;

fn main() {}
