//! Each way to call a task: at once, later, with some arguments given, as a closure, and on your own pool.
//!
//! `cargo run --release --example apply`

use pool_runtime::prelude::*;

#[pool_task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[pool_task]
fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[pool_task]
fn shout(name: &str, times: u32) -> String {
    name.to_uppercase().repeat(times as usize)
}

fn main() -> Result<(), Error> {
    // One call, and its result. The pool starts on first use.
    println!("{}", par_apply!(add(2, 3))?);
    println!("{}", par_apply!(norm([3.0, 4.0]))?);

    // The same, but it goes on by itself meanwhile.
    let later = par_apply_async!(shout("hip", 3))?;
    println!("{}", add(20, 22));
    println!("{}", later.get()?);

    // A callback is called with the result, before `get` gives it.
    let sum = par_apply_async!(add(1, 2); callback = |sum| println!("it is {sum}"))?;
    println!("{}", sum.get()?);

    // `_` is what an item fills.
    println!("{:?}", par_map!(add(100, _), [1, 2, 3])?);
    println!("{:?}", par_map!(|x: u64| -> u64 { x + 1 }, 1..4)?);

    // A pool of your own, and its methods for code that wants no macro.
    let pool = Pool::new(2)?;
    println!("{:?}", par_starmap!(add, [(1, 2), (3, 4)]; pool = pool)?);
    println!("{}", pool.apply::<add>((5, 6))?);
    Ok(())
}
