use pool_runtime::prelude::*;

struct Handle(#[expect(dead_code)] u64);

#[pool_task]
fn open(number: u64) -> Vec<Handle> {
    vec![Handle(number)]
}

fn main() {}
