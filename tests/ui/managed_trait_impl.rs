use pool_runtime::managed;
use serde::{Deserialize, Serialize};

trait Adds {
    fn add(&mut self, n: u64);
}

#[derive(Serialize, Deserialize)]
struct Counter(u64);

#[managed]
impl Adds for Counter {
    fn add(&mut self, n: u64) {
        self.0 += n;
    }
}

fn main() {}
