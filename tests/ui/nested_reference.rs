use pool_runtime::prelude::*;

#[pool_task]
fn len(text: Option<&str>) -> usize {
    text.map_or(0, str::len)
}

fn main() {}
