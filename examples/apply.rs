//! A task, called in every way.

use pool_runtime::prelude::*;

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

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
    println!("{:?}", par_map!(square, 0..4)?);
    println!("{:?}", par_starmap!(add, [(1, 2), (3, 4)])?);
    println!("{:?}", par_apply!(add(2, 3))?);
    println!("{:?}", par_map!(norm, vec![vec![3.0, 4.0]])?);
    println!("{:?}", par_map!(shout("a", _), 1..3)?);
    println!("{:?}", par_map!(|x: u64| -> u64 { x + 1 }, 1..3)?);
    for x in par_imap!(square, 1..)?.take(3) {
        println!("{}", x?);
    }
    println!("{:?}", par_map_async!(square, 0..4; callback = |v| println!("{v:?}"))?.get()?);
    println!("{:?}", par_apply_async!(add(1, 2))?.get()?);
    let call = task!(add(1, 2));
    println!("{call:?}");
    Ok(())
}
