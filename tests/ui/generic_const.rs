use pool_runtime::prelude::*;

#[pool_task]
fn sum<const N: usize>(items: [u8; 4]) -> usize {
    items.len() + N
}

fn main() {}
