use pool_runtime::managed;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Counter(u64);

#[managed]
impl Counter {
    fn hidden(&self) -> u64 {
        self.0
    }

    pub fn new() -> Self {
        Self(0)
    }
}

fn main() {}
