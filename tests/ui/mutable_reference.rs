use pool_runtime::prelude::*;

#[pool_task]
fn push(items: &mut Vec<u8>) {
    items.push(1);
}

fn main() {}
