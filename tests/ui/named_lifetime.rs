use pool_runtime::prelude::*;

#[pool_task]
fn len<'a>(text: &'a str) -> usize {
    text.len()
}

fn main() {}
