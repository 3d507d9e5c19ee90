use pool_runtime::managed;

struct Counter(u64);

#[managed]
impl Counter {
    pub fn get(&self) -> u64 {
        self.0
    }
}

fn main() {}
