use pool_runtime::prelude::*;

#[pool_task]
async fn many(text: &'static str, (a, b): (u64, u64), out: &mut u64) -> u64 {
    *out = a + b;
    text.len() as u64
}

fn main() {}
