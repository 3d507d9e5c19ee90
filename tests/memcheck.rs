//! The whole way from arguments to results in one process, for tools that look at every access: `.ci/valgrind` runs this under
//! memcheck.

use std::sync::atomic::{AtomicU64, Ordering};

use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Shape {
    name: String,
    corners: Vec<(f64, f64)>,
    inner: Option<Box<Shape>>,
}

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[pool_task]
fn nest(shape: Shape, name: &str, depth: u32) -> Shape {
    (0..depth).fold(shape, |inner, at| Shape {
        name: format!("{name}{at}"),
        corners: inner.corners.clone(),
        inner: Some(Box::new(inner)),
    })
}

#[pool_task]
fn repeat(x: u8, times: usize) -> Vec<u8> {
    vec![x; times]
}

#[pool_task]
fn picky(x: u64) -> Result<String, String> {
    assert!(x != 7, "seven");
    if x == 5 { Err("five".to_owned()) } else { Ok(x.to_string()) }
}

#[test]
fn everything_in_one_process() {
    let pool = Pool::builder().in_process().build().expect("a pool");
    assert_eq!(par_map!(square, 0..200; pool = &pool).expect("values")[199], 199 * 199);
    let rows = (0..20).map(|len| vec![1.0; len * 100]);
    assert_eq!(par_map!(norm, rows; pool = &pool).expect("values")[4], 20.0);
    let shape = Shape { name: "a".into(), corners: vec![(0.0, 1.0); 50], inner: None };
    let shapes = par_map!(nest(shape.clone(), "b", _), 0..10; pool = &pool).expect("values");
    assert_eq!((shapes[0].clone(), shapes[9].name.as_str()), (shape, "b8"));
    let long = par_starmap!(repeat, [(1, 0), (2, 70_000), (3, 3_000_000)]; pool = &pool);
    assert_eq!(long.expect("values").iter().map(Vec::len).sum::<usize>(), 3_070_000);
    let outcomes: Vec<_> = par_imap!(picky, 0..10; pool = &pool).expect("a stream").collect();
    assert_eq!(outcomes[7].as_ref().expect_err("a panic").panic_message(), Some("seven"));
    assert_eq!(outcomes[5].as_ref().expect("a value"), &Err("five".to_owned()));
    static CALLED: AtomicU64 = AtomicU64::new(0);
    let later = par_apply_async!(square(4); pool = &pool, callback = |x| CALLED.store(x, Ordering::Relaxed));
    assert_eq!(
        (later.expect("a call").get().expect("a value"), CALLED.load(Ordering::Relaxed)),
        (16, 16)
    );
}
