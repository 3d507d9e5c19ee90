//! Types are found as in a plain call, and values are lent as in one.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, mpsc};

use common::{watchdog, workers};
use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn total(values: Vec<u64>) -> u64 {
    values.iter().sum()
}

#[pool_task]
fn greet(name: String) -> String {
    format!("hello, {name}")
}

#[pool_task]
fn label(id: u32, name: String) -> String {
    format!("{id}:{name}")
}

#[pool_task]
fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[pool_task]
fn repeat(text: &str, times: &usize) -> String {
    text.repeat(*times)
}

#[pool_task]
fn stored(value: Value<i64>) -> i64 {
    value.get().unwrap_or(-1)
}

/// Names that the macros might use themselves.
#[derive(Serialize, Deserialize)]
struct Asked(u8);

#[derive(Serialize, Deserialize)]
struct Methods(u8);

#[pool_task]
fn inner(asked: Asked, methods: Methods) -> u8 {
    asked.0 + methods.0
}

#[managed]
impl Methods {
    pub fn value(&self) -> u8 {
        self.0
    }
}

#[pool_task]
#[expect(clippy::too_many_arguments, reason = "as many as a call may have")]
#[expect(clippy::many_single_char_names, reason = "they are only counted")]
fn sixteen(
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: u8,
    m: u8,
    n: u8,
    o: u8,
    p: u8,
) -> u8 {
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p].iter().sum()
}

#[test]
fn the_items_types_are_found() {
    let (_dog, pool) = (watchdog(), &workers(2));
    let text = "1\n2\n3";
    let lines = || text.lines().map(|line| line.parse().unwrap());
    assert_eq!(par_map!(square, lines(); pool = pool).unwrap(), [1, 4, 9]);
    assert_eq!(par_imap!(square, lines(); pool = pool).unwrap().flatten().sum::<u64>(), 14);
    let sums = par_map!(total, (0..4).map(|n| (0..n).collect()); pool = pool);
    assert_eq!(sums.unwrap(), [0, 0, 1, 3]);
    let hellos = par_map!(greet, ["a".into(), "b".into()]; pool = pool);
    assert_eq!(hellos.unwrap(), ["hello, a", "hello, b"]);
    let pairs = [(1, "x"), (2, "y")];
    let labels = par_starmap!(label, pairs.iter().map(|p| (p.0, p.1.into())); pool = pool);
    assert_eq!(labels.unwrap(), ["1:x", "2:y"]);
    let later =
        par_map_async!(square, vec!["5"].into_iter().map(|x| x.parse().unwrap()); pool = pool);
    assert_eq!(later.unwrap().get().unwrap(), [25]);
    let none: Vec<u64> = par_map!(square, []; pool = pool).unwrap();
    assert!(none.is_empty());
}

#[test]
fn borrowed_items_do_as_before() {
    let (_dog, pool) = (watchdog(), &workers(2));
    let numbers = vec![1, 2, 3];
    assert_eq!(par_map!(square, &numbers; pool = pool).unwrap(), [1, 4, 9]);
    assert_eq!(par_map!(square, numbers.iter(); pool = pool).unwrap(), [1, 4, 9]);
    let pairs = [(1, "x".to_owned())];
    assert_eq!(par_starmap!(label, &pairs; pool = pool).unwrap(), ["1:x"]);
    let mixed = pairs.iter().map(|(id, name)| (*id, name));
    assert_eq!(par_starmap!(label, mixed; pool = pool).unwrap(), ["1:x"]);
}

#[test]
fn arguments_of_an_async_call_may_be_borrowed() {
    let (_dog, pool) = (watchdog(), workers(1));
    let here = Pool::builder().in_process().build().unwrap();
    for pool in [&pool, &here] {
        let later = {
            let (data, text) = (vec![3.0, 4.0], String::from("ab"));
            let first = par_apply_async!(norm(&data); pool = pool).unwrap();
            (first, par_apply_async!(repeat(&text, &2); pool = pool).unwrap())
        };
        assert_eq!((later.0.get().unwrap(), later.1.get().unwrap()), (5.0, "abab".to_owned()));
        // What the encoded arguments name lives until they are decoded.
        let value = par_apply_async!(stored(Value::new(7).unwrap()); pool = pool).unwrap();
        assert_eq!(value.get().unwrap(), 7);
    }
    let large = vec![1.0; 3 << 20];
    let root = par_apply_async!(norm(&large); pool = &pool).unwrap();
    assert!((root.get().unwrap() - f64::from(3 << 20).sqrt()).abs() < 1e-6);
}

#[test]
fn callbacks_may_return_something() {
    let (_dog, pool) = (watchdog(), &workers(1));
    let (tell, told) = mpsc::channel();
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    par_apply_async!(square(3); pool = pool, callback = move |x| tell.send(x)).unwrap().wait();
    assert_eq!(told.recv(), Ok(9));
    let later = par_map_async!(square, 0..9; pool = pool,
        callback = move |_| count.fetch_add(1, Ordering::SeqCst), error_callback = |e| e.kind());
    later.unwrap().get().unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[test]
fn a_pool_is_whatever_derefs_to_one() {
    static POOL: LazyLock<Pool> = LazyLock::new(|| workers(1));
    let _dog = watchdog();
    assert_eq!(par_map!(square, 0..2; pool = &POOL).unwrap(), [0, 1]);
    assert_eq!(par_map!(square, 0..2; pool = POOL).unwrap(), [0, 1]);
    let (boxed, counted) = (Box::new(workers(1)), Arc::new(workers(1)));
    assert_eq!(par_map!(square, 0..2; pool = boxed).unwrap(), [0, 1]);
    assert_eq!(par_map!(square, 0..2; pool = &counted).unwrap(), [0, 1]);
    let mut owned = workers(1);
    let lent = &mut owned;
    assert_eq!(par_map!(square, 0..2; pool = lent).unwrap(), [0, 1]);
    let locked = Mutex::new(owned);
    assert_eq!(par_apply!(square(3); pool = locked.lock().unwrap()).unwrap(), 9);
}

#[test]
fn names_and_numbers_of_arguments() {
    let (_dog, pool) = (watchdog(), &workers(1));
    assert_eq!(par_apply!(inner(Asked(1), Methods(2)); pool = pool).unwrap(), 3);
    let sum =
        par_apply!(sixteen(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); pool = pool);
    assert_eq!(sum.unwrap(), 120);
    let manager = Manager::start().unwrap();
    assert_eq!(manager.create(Methods(4)).unwrap().value().unwrap(), 4);
}

#[test]
fn unlike_things_are_waited_for_together() {
    let (_dog, pool) = (watchdog(), &workers(1));
    let call = par_apply_async!(square(2); pool = pool).unwrap();
    let process = Process::spawn(task!(square(3))).unwrap();
    let all: [&dyn Waitable; 2] = [&call, &process];
    assert_eq!(as_completed(&all).count(), 2);
}
