use pool_runtime::prelude::*;

struct Handle(#[expect(dead_code)] u64);

#[pool_task]
fn open(handle: Handle) -> u64 {
    drop(handle);
    1
}

fn main() {}
