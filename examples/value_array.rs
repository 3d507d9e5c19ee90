//! A value and an array that another process changes.
//!
//! The tutorial's `Value` and `Array`: the child sets the one and negates the other, and the parent sees it.
//!
//! Run with `cargo run --example value_array`.
//!
//! `cargo run --release --example value_array`

use pool_runtime::prelude::*;

#[pool_task]
fn change(number: Value<f64>, numbers: Array<i64>) -> Result<(), Error> {
    number.set(std::f64::consts::PI)?;
    numbers.lock()?.iter_mut().for_each(|number| *number = -*number);
    Ok(())
}

fn main() -> Result<(), Error> {
    let number = Value::new(0.0)?;
    let numbers = Array::from_slice(&(0..10).collect::<Vec<i64>>())?;

    Process::spawn(task!(change(number.clone(), numbers.clone())))?.join()??;

    println!("{}", number.get()?);
    println!("{:?}", numbers.to_vec()?);
    Ok(())
}
