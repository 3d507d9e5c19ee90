use pool_runtime::prelude::*;

#[pool_task]
fn len(text: &'static str) -> usize {
    text.len()
}

fn main() {}
