//! A structure, a short integer and a text, shared: what Python does with `ctypes`.
//!
//! A structure can be shared when it is `repr(C)` and plain: no pointer, nothing that owns. The derives say so, and the
//! compiler checks them.
//!
//! Run with `cargo run --example ctypes_struct`.
//!
//! `cargo run --release --example ctypes_struct`

use pool_runtime::bytemuck::{Pod, Zeroable};
use pool_runtime::prelude::*;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[bytemuck(crate = "pool_runtime::bytemuck")]
#[repr(C)]
struct Point {
    x: f64,
    y: f64,
}

#[pool_task]
fn modify(
    count: Value<i32>,
    factor: Value<f64>,
    text: Array<u8>,
    points: Array<Point>,
) -> Result<(), Error> {
    *count.lock()? *= 7;
    let factor = factor.get()?;
    text.lock()?.make_ascii_uppercase();
    for point in &mut *points.lock()? {
        (point.x, point.y) = (point.x * factor, point.y * factor);
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    // One lock for all of them, so that they can be seen in one state.
    let lock = Lock::new()?;
    let count = Value::with_lock(7, &lock)?;
    let factor = Value::with_lock(0.5, &lock)?;
    let text = Array::with_lock(b"hello world", &lock)?;
    let points = [(1.875, -6.25), (-5.75, 2.0), (2.375, 9.5)].map(|(x, y)| Point { x, y });
    let points = Array::with_lock(&points, &lock)?;

    Process::spawn(task!(modify(count.clone(), factor.clone(), text.clone(), points.clone())))?
        .join()??;

    println!("{}", count.get()?);
    println!("{}", String::from_utf8_lossy(&text.to_vec()?));
    for point in points.to_vec()? {
        println!("{} {}", point.x, point.y);
    }
    Ok(())
}
