use pool_runtime::managed;

#[managed]
fn alone() {}

fn main() {}
