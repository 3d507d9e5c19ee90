use pool_runtime::prelude::*;

#[pool_task]
fn show(value: impl ToString) -> String {
    value.to_string()
}

fn main() {}
