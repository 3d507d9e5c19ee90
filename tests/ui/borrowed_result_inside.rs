use pool_runtime::prelude::*;

#[pool_task]
fn first(text: &str) -> Option<&str> {
    text.split(' ').next()
}

fn main() {}
