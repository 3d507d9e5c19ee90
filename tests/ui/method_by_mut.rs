use pool_runtime::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Counter;

#[pool_task]
impl Counter {
    #[pool_task]
    fn next(&mut self, by: u64) -> u64 {
        by
    }
}

fn main() {}
