use pool_runtime::prelude::*;

#[pool_task]
fn trim(text: &str) -> &str {
    text.trim()
}

fn main() {}
