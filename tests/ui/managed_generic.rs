use pool_runtime::managed;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Holder<T>(T);

#[managed]
impl<T> Holder<T> {
    pub fn get(&self) -> u64 {
        1
    }
}

fn main() {}
