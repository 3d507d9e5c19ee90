use pool_runtime::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Counter;

#[pool_task]
impl Counter {
    #[pool_task]
    fn next<T>(&self, by: T) -> T {
        by
    }
}

fn main() {}
