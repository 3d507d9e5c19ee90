use pool_runtime::prelude::*;

#[pool_task]
fn stop(code: i32) -> ! {
    std::process::exit(code)
}

fn main() {}
