//! A panic, a crash, an exit and an endless loop: each is the `Err` of its own item, and the others get their results.
//!
//! `cargo run --release --example failures`

use std::time::Duration;

use pool_runtime::prelude::*;

#[pool_task]
fn divide(a: i32, b: i32) -> i32 {
    match (a, b) {
        (13, _) => std::process::abort(),
        (14, _) => std::process::exit(3),
        (15, _) => loop {
            std::thread::yield_now();
        },
        _ => a / b,
    }
}

fn main() -> Result<(), Error> {
    let tasks = [(6, 3), (1, 0), (13, 1), (14, 1), (15, 1), (8, 2)];
    let pool = Pool::builder().workers(2).task_timeout(Duration::from_millis(500)).build()?;
    // Each call by itself; `par_map!` would stop at the first failure.
    let calls = tasks.map(|(a, b)| par_apply_async!(divide(a, b); pool = pool));
    for ((a, b), call) in tasks.into_iter().zip(calls) {
        match call?.get() {
            Ok(quotient) => println!("{a} / {b} = {quotient}"),
            Err(error) => println!("{a} / {b}: {:?}: {error}", error.kind()),
        }
    }
    println!("{} workers were replaced", pool.stats().workers_replaced);
    Ok(())
}
