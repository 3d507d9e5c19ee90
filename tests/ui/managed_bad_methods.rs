use pool_runtime::managed;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Counter(u64);

#[managed]
impl Counter {
    pub async fn later(&self) {}

    pub fn any<T>(&self, _of: T) {}

    pub fn in_place(&mut self, _numbers: &mut [f64]) {}

    pub fn name(&self) -> &str {
        "counter"
    }

    pub fn fine(&self) -> u64 {
        self.0
    }
}

fn main() {}
