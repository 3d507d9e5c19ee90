use pool_runtime::prelude::*;

#[pool_task]
async fn wait(seconds: u64) -> u64 {
    seconds
}

fn main() {}
