//! Everything that the macros accept, written as a user would.

mod common;

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use common::pool;
use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

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

#[pool_task]
fn scale(factor: f64, x: f64) -> f64 {
    factor * x
}

#[pool_task]
fn join(parts: &[String], mut tail: String, _: bool) -> String {
    tail.insert_str(0, &parts.join("/"));
    tail
}

#[pool_task]
fn extension(path: PathBuf) -> Result<String, String> {
    let name = path.extension().ok_or_else(|| format!("{} has none", path.display()))?;
    Ok(name.to_string_lossy().into_owned())
}

#[pool_task]
fn or_zero(x: Option<i64>) -> i64 {
    x.unwrap_or(0)
}

#[pool_task]
fn nothing() {}

#[pool_task]
fn answer() -> u8 {
    42
}

#[pool_task]
fn evens(n: u64) -> Vec<u64> {
    (0..n).map(|x| 2 * x).collect()
}

#[pool_task]
fn is_vowel(c: char) -> bool {
    "aeiou".contains(c)
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: f64,
    y: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Plain {
    a: u32,
    b: u32,
}

#[pool_task(name = "grammar.swap", retries = 2, timeout = "5s")]
fn swap(p: &Point) -> Point {
    Point { x: p.y, y: p.x }
}

#[pool_task]
fn turn(p: Plain, all: &[Plain]) -> Vec<Plain> {
    all.iter().map(|q| Plain { a: q.b + p.a, b: q.a + p.b }).collect()
}

#[derive(Serialize, Deserialize)]
struct Renderer {
    width: u32,
    #[serde(skip)]
    _cache: Vec<u8>,
}

#[pool_task]
impl Renderer {
    #[expect(dead_code, reason = "stands between the tasks")]
    const DEPTH: u32 = 3;

    fn new(width: u32) -> Self {
        Self { width, _cache: Vec::new() }
    }

    /// A pixel.
    #[pool_task]
    fn tile(&self, x: u32, y: u32) -> u32 {
        self.width * y + x
    }

    #[pool_task(name = "grammar.wider")]
    fn wider(&self, by: u32) -> Self {
        Self::new(self.width + by)
    }

    #[pool_task]
    fn area(&self) -> u32 {
        self.width * self.width
    }
}

struct Scene {
    renderer: std::sync::Arc<Renderer>,
}

mod shapes {
    pub mod deep {
        use pool_runtime::prelude::*;

        #[pool_task]
        pub fn cube(x: i64) -> i64 {
            x.pow(3)
        }

        #[pool_task]
        pub fn r#match(x: i64) -> i64 {
            -x
        }
    }

    pub use deep::cube as renamed;
    pub use deep::*;
}

#[test]
fn paths() {
    use shapes::deep::cube;
    use shapes::deep::cube as c;
    assert_eq!(square(3), 9);
    assert_eq!(par_map!(square, 0..4).unwrap(), [0, 1, 4, 9]);
    assert_eq!(par_map!(shapes::deep::cube, [1, 2]).unwrap(), [1, 8]);
    assert_eq!(par_map!(self::shapes::renamed, [1, 2]).unwrap(), [1, 8]);
    assert_eq!(par_map!(crate::shapes::cube, [1, 2]).unwrap(), [1, 8]);
    assert_eq!(par_map!(shapes::r#match, [1, 2]).unwrap(), [-1, -2]);
    assert_eq!(par_map!(cube, [3]).unwrap(), [27]);
    assert_eq!(par_map!(c, [3]).unwrap(), [27]);
    {
        use shapes::*;
        assert_eq!(par_map!(cube, [3]).unwrap(), [27]);
    }
}

#[test]
fn a_local_variable_of_the_same_name() {
    let square = 3;
    assert_eq!(par_map!(square, [square]).unwrap(), [9]);
}

#[test]
fn inside_functions_and_generic_callers() {
    fn of<I: IntoIterator<Item = u64>>(items: I) -> Vec<u64> {
        #[pool_task]
        fn inner(x: u64) -> u64 {
            x + 1
        }
        par_map!(inner, items).unwrap()
    }
    assert_eq!(of(vec![1, 2]), [2, 3]);
    assert_eq!(of(5..6), [6]);
}

#[test]
fn items_of_all_kinds() {
    let points = vec![Point { x: 1.0, y: 2.0 }];
    assert_eq!(par_map!(square, [1_u64, 2].iter()).unwrap(), [1, 4]);
    assert_eq!(par_map!(square, &vec![1, 2]).unwrap(), [1, 4]);
    assert_eq!(par_map!(square, vec![1, 2, 3].into_iter().filter(|x| x % 2 == 1)).unwrap(), [1, 9]);
    assert_eq!(par_map!(swap, &points).unwrap(), [Point { x: 2.0, y: 1.0 }]);
    assert_eq!(par_map!(swap, points.clone()).unwrap(), [Point { x: 2.0, y: 1.0 }]);
    assert_eq!(par_map!(norm, vec![vec![3.0, 4.0], vec![]]).unwrap(), [5.0, 0.0]);
    assert_eq!(par_map!(norm, [[3.0, 4.0]]).unwrap(), [5.0]);
    let rows = [&[3.0, 4.0][..], &[1.0]];
    assert_eq!(par_map!(norm, rows).unwrap(), [5.0, 1.0]);
    assert_eq!(par_map!(or_zero, [None, Some(3)]).unwrap(), [0, 3]);
    assert_eq!(par_map!(or_zero, [None]).unwrap(), [0]);
    assert_eq!(par_map!(is_vowel, "pea".chars()).unwrap(), [false, true, true]);
    assert_eq!(par_map!(evens, 0..3).unwrap(), [vec![], vec![0], vec![0, 2]]);
    assert!(par_map!(square, std::iter::empty::<u64>()).unwrap().is_empty());
    let not_send = std::rc::Rc::new(2);
    assert_eq!(par_map!(square, (0..3).map(|x| x * *not_send)).unwrap(), [0, 4, 16]);
}

#[test]
fn partial_application() {
    let mut calls = 0;
    let mut once = || {
        calls += 1;
        2.5
    };
    assert_eq!(par_map!(scale(once(), _), [1.0, 2.0]).unwrap(), [2.5, 5.0]);
    assert_eq!(calls, 1);
    assert_eq!(par_map!(scale(_, 2.0), [1.0, 2.0]).unwrap(), [2.0, 4.0]);
    let name = String::from("a");
    assert_eq!(par_map!(shout(&name, _), 1..3).unwrap(), ["A", "AA"]);
    assert_eq!(par_map!(shout(name, _), 1..2).unwrap(), ["A"]);
    assert_eq!(par_map!(shout(_, 2), ["a", "b"]).unwrap(), ["AA", "BB"]);
    let parts = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(
        par_map!(join(&parts, _, true), vec!["/x".into(), String::new()]).unwrap(),
        ["a/b/x", "a/b"]
    );
    assert_eq!(par_map!(join(&parts, "/x".into(), _), [true, false]).unwrap(), ["a/b/x", "a/b/x"]);
    let all = [Plain { a: 1, b: 2 }];
    assert_eq!(
        par_map!(turn(_, &all), [Plain { a: 10, b: 20 }]).unwrap(),
        [[Plain { a: 12, b: 21 }]]
    );
    assert_eq!(
        par_map!(turn(all[0], _), [all, all]).unwrap(),
        [[Plain { a: 3, b: 3 }], [Plain { a: 3, b: 3 }]]
    );
}

#[test]
fn starmap_with_and_without_holes() {
    assert_eq!(par_starmap!(add, [(1, 2), (3, 4)]).unwrap(), [3, 7]);
    assert_eq!(par_starmap!(add, (0..3).zip(10..)).unwrap(), [10, 12, 14]);
    let (left, right) = ([1, 2], vec![3, 4]);
    assert_eq!(par_starmap!(add, left.iter().zip(&right)).unwrap(), [4, 6]);
    assert_eq!(par_starmap!(add, &[(1, 2), (3, 4)]).unwrap(), [3, 7]);
    assert_eq!(par_starmap!(add(_, _), [(1, 2)]).unwrap(), [3]);
    assert_eq!(par_starmap!(add(_, 5), [(1,), (2,)]).unwrap(), [6, 7]);
    assert_eq!(par_starmap!(square, [(3,)]).unwrap(), [9]);
    assert_eq!(par_starmap!(answer, [(), ()]).unwrap(), [42, 42]);
    let parts = [String::from("a")];
    assert_eq!(par_starmap!(join(_, "!".into(), _), [(&parts, true)]).unwrap(), ["a!"]);
    assert_eq!(par_starmap!(|a: i64, b: i64| -> i64 { a - b }, [(3, 1)]).unwrap(), [2]);
}

#[test]
fn apply() {
    assert_eq!(par_apply!(add(2, 3)).unwrap(), 5);
    assert_eq!(par_apply!(answer()).unwrap(), 42);
    par_apply!(nothing()).unwrap();
    assert_eq!(par_apply!(shout("a", 3)).unwrap(), "AAA");
    assert_eq!(par_apply!(or_zero(None)).unwrap(), 0);
    assert_eq!(par_apply!(or_zero(Default::default())).unwrap(), 0);
    assert_eq!(par_apply!(extension("a.rs".into())).unwrap(), Ok("rs".to_owned()));
    assert_eq!(par_apply!(extension("a".into())).unwrap(), Err("a has none".to_owned()));
    assert_eq!(
        par_apply!(join(&["a".to_owned()], "b".chars().rev().collect(), false)).unwrap(),
        "ab"
    );
    assert_eq!(par_apply!(norm(vec![3.0, 4.0])).unwrap(), 5.0);
    assert_eq!(par_apply!(swap(&Point { x: 1.0, y: 2.0 })).unwrap().x, 2.0);
}

#[test]
fn methods() {
    let renderer = Renderer::new(10);
    assert_eq!(par_map!(renderer.tile(_, 7), 0..3).unwrap(), [70, 71, 72]);
    assert_eq!(par_map!(renderer.tile(7, _), 0..3).unwrap(), [7, 17, 27]);
    assert_eq!(par_starmap!(renderer.tile, [(1, 2)]).unwrap(), [21]);
    assert_eq!(par_starmap!(renderer.tile(_, _), [(1, 2)]).unwrap(), [21]);
    assert_eq!(par_apply!(renderer.tile(0, 7)).unwrap(), 70);
    assert_eq!(par_apply!(renderer.area()).unwrap(), 100);
    let wider = par_map!(renderer.wider, [1, 2]).unwrap();
    assert_eq!(wider.iter().map(|r| r.width).collect::<Vec<_>>(), [11, 12]);
    let scene = Scene { renderer: std::sync::Arc::new(Renderer::new(5)) };
    assert_eq!(par_map!(scene.renderer.tile(_, 1), [0]).unwrap(), [5]);
    assert_eq!(par_map!(Renderer::new(3).tile(_, 1), [0]).unwrap(), [3]);
    assert_eq!(
        par_imap!(scene.renderer.tile(_, 1), 0..2).unwrap().map(Result::unwrap).collect::<Vec<_>>(),
        [5, 6]
    );
    assert_eq!(par_apply_async!(renderer.tile(1, 1)).unwrap().get().unwrap(), 11);
    assert_eq!(renderer.tile(1, 1), 11);
}

#[test]
fn closures() {
    assert_eq!(par_map!(|x: u64| -> u64 { x + 1 }, 0..3).unwrap(), [1, 2, 3]);
    assert_eq!(par_map!(|s: &str| -> usize { s.len() }, ["a", "bb"]).unwrap(), [1, 2]);
    assert_eq!(par_map!(|(a, b): (u8, u8)| -> u8 { a + b }, [(1, 2)]).unwrap(), [3]);
    let nested = par_map!(
        |n: u64| -> u64 { par_map!(|x: u64| -> u64 { x * 2 }, 0..n).unwrap().iter().sum() },
        0..4
    );
    assert_eq!(nested.unwrap(), [0, 0, 2, 6]);
}

#[test]
fn options() {
    let pool = pool();
    let shared = std::sync::Arc::new(common::pool());
    let ms = Duration::from_millis;
    assert_eq!(par_map!(square, 0..3; pool = pool).unwrap(), [0, 1, 4]);
    assert_eq!(
        par_map!(square, 0..3; pool = &pool, chunk_size = 2, timeout = ms(500), retries = 1)
            .unwrap(),
        [0, 1, 4]
    );
    assert_eq!(par_map!(square, 0..3; pool = shared, progress = true).unwrap(), [0, 1, 4]);
    assert_eq!(par_map!(square, 0..3; progress = "squares",).unwrap(), [0, 1, 4]);
    assert_eq!(par_map!(square, 0..3; progress = false).unwrap(), [0, 1, 4]);
    assert_eq!(par_starmap!(add, [(1, 2)]; chunk_size = 1).unwrap(), [3]);
    assert_eq!(par_apply!(add(1, 2); pool = pool, timeout = ms(500)).unwrap(), 3);
    assert_eq!(par_imap!(square, 0..; window = 2, pool = pool).unwrap().take(2).count(), 2);
    assert_eq!(par_map!(square, 0..3; pool = common::pool()).unwrap(), [0, 1, 4]);
}

#[test]
fn imap() -> Result<(), Error> {
    let squares: Vec<u64> = par_imap!(square, 0..)?.take(3).collect::<Result<_, _>>()?;
    assert_eq!(squares, [0, 1, 4]);
    let mut sum = 0;
    for x in par_imap!(square, Vec::from([1, 2]).iter().copied())? {
        sum += x?;
    }
    for (index, x) in par_imap_unordered!(square, [3, 4]; window = 1)? {
        sum += x? + index as u64;
    }
    assert_eq!(sum, 1 + 4 + 9 + 16 + 1);
    assert_eq!(par_imap!(scale(2.0, _), [1.0])?.next().unwrap()?, 2.0);
    Ok(())
}

#[test]
fn asynchronous() -> Result<(), Error> {
    let (tell, told) = mpsc::channel();
    let failures = tell.clone();
    let squares = par_map_async!(square, 0..3; callback = move |all| tell.send(all.len()).unwrap(), error_callback = move |_| failures.send(99).unwrap())?;
    assert_eq!(squares.get()?, [0, 1, 4]);
    assert_eq!(told.iter().collect::<Vec<_>>(), [3]);
    assert_eq!(par_starmap_async!(add, vec![(1, 2)])?.get()?, [3]);
    let sum = par_apply_async!(add(1, 2); callback = |sum| assert_eq!(sum, 3))?;
    assert!(sum.wait_timeout(Duration::from_secs(5)) && sum.is_ready() && sum.is_successful());
    assert_eq!(sum.get_timeout(Duration::ZERO)?, 3);
    assert_eq!(sum.get().unwrap_err().kind(), ErrorKind::InvalidInput);
    Ok(())
}

#[test]
fn calls() {
    let renderer = Renderer::new(2);
    let calls: Vec<Call<u32>> = vec![task!(renderer.tile(1, 2)), task!(renderer.area())];
    let again = calls.clone();
    assert_eq!(again.len(), 2);
    let partial: PartialCall<f64, f64> = task!(scale(_, 2.0));
    let other: PartialCall<Option<i64>, i64> = task!(or_zero(_));
    assert!(format!("{partial:?}{other:?}").contains("scale"));
    fn sent<T: Clone + Send + 'static>(_: T) {}
    sent((calls, partial));
}

#[test]
fn without_macros() -> Result<(), Error> {
    let pool = pool();
    assert_eq!(pool.map::<square>(0..3)?, [0, 1, 4]);
    assert_eq!(pool.map::<norm>(vec![vec![3.0, 4.0]])?, [5.0]);
    assert_eq!(pool.starmap::<add>([(1, 2)])?, [3]);
    assert_eq!(pool.apply::<add>((1, 2))?, 3);
    assert_eq!(pool.apply::<extension>(("a.b".into(),))?, Ok("b".to_owned()));
    assert_eq!(pool.apply::<answer>(())?, 42);
    assert_eq!(pool.imap::<square>(0..)?.nth(2).unwrap()?, 4);
    assert_eq!(pool.imap_unordered::<square>([2])?.next().unwrap().1?, 4);
    assert_eq!(pool.map_async::<square>(0..3)?.get()?, [0, 1, 4]);
    assert_eq!(pool.starmap_async::<add>([(1, 2)])?.get()?, [3]);
    assert_eq!(pool.apply_async::<add>((1, 2))?.get()?, 3);
    Ok(())
}

#[test]
fn names() {
    let name = |error: Error| error.task().map(str::to_owned).unwrap_or_default();
    #[pool_task]
    fn fails(x: u8) -> u8 {
        assert!(x > 200, "too small");
        x
    }
    assert_eq!(name(par_map!(fails, [1]).unwrap_err()), "grammar::fails");
    assert_eq!(name(par_apply!(failing::named(1)).unwrap_err()), "a.name");
    let closure = name(par_map!(|x: u8| -> u8 { x / (x - 1) }, [1]).unwrap_err());
    assert!(closure.starts_with("grammar::closure@"), "{closure}");
}

mod failing {
    use pool_runtime::prelude::*;

    #[pool_task(name = "a.name")]
    pub fn named(x: u8) -> u8 {
        assert!(x > 200, "too small");
        x
    }
}
