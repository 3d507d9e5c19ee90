//! Results stand where their items stood, however many there are and however they are cut into chunks.

mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;

use common::{Scratch, mark, wait_for, watchdog, workers};
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
fn power(base: f64, exponent: i32, scale: f64) -> f64 {
    scale * base.powi(exponent)
}

/// Costs from nothing to some ten microseconds, in no order.
#[pool_task]
fn uneven(x: u32) -> String {
    let rounds = x.wrapping_mul(2_654_435_761) >> 21;
    for step in 0..rounds {
        std::hint::black_box(step);
    }
    format!("{x}:0")
}

/// The first item ends last.
#[pool_task]
fn first_waits(x: u32, gate: PathBuf) -> u32 {
    match x {
        0 => wait_for(&gate),
        1 => mark(&gate),
        _ => {}
    }
    x
}

/// The first item waits for the test.
#[pool_task]
fn zero_waits(x: u32, gate: PathBuf) -> u32 {
    if x == 0 {
        wait_for(&gate);
    }
    x
}

#[test]
fn map_keeps_the_order() {
    let (_dog, pool) = (watchdog(), workers(3));
    let expected: Vec<u64> = (0..100).map(|x| x * x).collect();
    assert_eq!(par_map!(square, 0..100; pool = pool).unwrap(), expected);
    assert_eq!(par_map!(square, 0..100; pool = pool, chunk_size = 20).unwrap(), expected);
    assert_eq!(pool.map::<square>(0..100).unwrap(), expected);
}

#[test]
fn map_keeps_the_order_of_uneven_items() {
    let (_dog, pool) = (watchdog(), workers(4));
    let expected: Vec<String> = (0..5000).map(|x| format!("{x}:0")).collect();
    assert_eq!(par_map!(uneven, 0..5000; pool = pool).unwrap(), expected);
    for chunk_size in [1, 3, 64, 4999, 5000, 5001, 100_000] {
        let found = par_map!(uneven, 0..5000; pool = pool, chunk_size = chunk_size).unwrap();
        assert_eq!(found, expected, "in chunks of {chunk_size}");
    }
}

#[test]
fn starmap_unpacks_tuples() {
    let (_dog, pool) = (watchdog(), workers(3));
    let pairs: Vec<(i64, i64)> = (0..100).zip((0..100).rev()).collect();
    assert_eq!(par_starmap!(add, pairs.clone(); pool = pool).unwrap(), vec![99; 100]);
    assert_eq!(
        par_starmap!(add, pairs.clone(); pool = pool, chunk_size = 10).unwrap(),
        vec![99; 100]
    );
    assert_eq!(pool.starmap::<add>(pairs).unwrap(), vec![99; 100]);
    let triples = (0..10).map(|n| (2.0, n, 0.5));
    let expected: Vec<f64> = (0..10).map(|n| 0.5 * f64::powi(2.0, n)).collect();
    assert_eq!(par_starmap!(power, triples; pool = pool).unwrap(), expected);
}

#[test]
fn starmap_fills_the_holes_in_order() {
    let (_dog, pool) = (watchdog(), workers(2));
    let items = [(2.0, 10.0), (3.0, 100.0)];
    assert_eq!(par_starmap!(power(_, 2, _), items; pool = pool).unwrap(), [40.0, 900.0]);
}

#[test]
fn starmap_async_equals_serial() {
    let (_dog, pool) = (watchdog(), workers(3));
    let pairs: Vec<(i64, i64)> = (0..100).map(|x| (x, x * 3)).collect();
    let expected: Vec<i64> = pairs.iter().map(|&(a, b)| a + b).collect();
    assert_eq!(
        par_starmap_async!(add, pairs.clone(); pool = pool).unwrap().get().unwrap(),
        expected
    );
    assert_eq!(pool.starmap_async::<add>(pairs).unwrap().get().unwrap(), expected);
}

#[test]
fn imap_keeps_the_order_and_ends() {
    let (_dog, pool) = (watchdog(), workers(3));
    for chunk_size in [1, 100, 7] {
        let mut squares = par_imap!(square, 0..1000; pool = pool, chunk_size = chunk_size).unwrap();
        for x in 0..1000 {
            assert_eq!(squares.next().unwrap().unwrap(), x * x);
        }
        assert!(squares.next().is_none());
        assert!(squares.next().is_none(), "it stays at its end");
    }
}

#[test]
fn imap_unordered_gives_each_once_with_its_position() {
    let (_dog, pool) = (watchdog(), workers(3));
    let items = (0..1000).map(|x| x * 7);
    let found: BTreeSet<(usize, u64)> = par_imap_unordered!(square, items; pool = pool)
        .unwrap()
        .map(|(index, result)| (index, result.unwrap()))
        .collect();
    let expected = (0..1000).map(|x| (x, 49 * (x * x) as u64)).collect();
    assert_eq!(found, expected);
}

#[test]
fn imap_unordered_gives_what_ends_first() {
    let (_dog, pool, scratch) = (watchdog(), workers(2), Scratch::new());
    let results = par_imap_unordered!(
        zero_waits(_, scratch.at("gate")), 0..2; pool = pool, chunk_size = 1
    );
    let mut order = results.unwrap().map(|(index, _)| index);
    assert_eq!(order.next(), Some(1), "the first item runs still");
    scratch.open("gate");
    assert_eq!(order.collect::<Vec<_>>(), [0]);
}

#[test]
fn map_waits_for_what_ends_last() {
    let (_dog, pool, scratch) = (watchdog(), workers(2), Scratch::new());
    let all = par_map!(first_waits(_, scratch.at("gate")), 0..50; pool = pool, chunk_size = 1);
    assert_eq!(all.unwrap(), (0..50).collect::<Vec<_>>());
}

#[test]
fn nothing_gives_nothing() {
    let (_dog, pool) = (watchdog(), workers(2));
    assert!(par_map!(square, 0..0; pool = pool, chunk_size = 1).unwrap().is_empty());
    assert!(par_starmap!(add, Vec::<(i64, i64)>::new(); pool = pool).unwrap().is_empty());
    assert!(par_map_async!(square, 0..0; pool = pool).unwrap().get().unwrap().is_empty());
    assert!(par_imap!(square, 0..0; pool = pool).unwrap().next().is_none());
    assert!(par_imap_unordered!(square, 0..0; pool = pool).unwrap().next().is_none());
}

#[test]
fn one_item_is_enough() {
    let (_dog, pool) = (watchdog(), workers(3));
    assert_eq!(par_map!(square, [9]; pool = pool).unwrap(), [81]);
    assert_eq!(par_starmap!(add, [(1, 2)]; pool = pool).unwrap(), [3]);
    assert_eq!(par_apply!(add(1, 2); pool = pool).unwrap(), 3);
    assert_eq!(pool.apply::<add>((1, 2)).unwrap(), 3);
    assert_eq!(par_imap!(square, [9]; pool = pool).unwrap().next().unwrap().unwrap(), 81);
}

#[test]
fn a_million_items() {
    let (_dog, pool) = (watchdog(), workers(2));
    let all = par_map!(square, 0..1_000_000; pool = pool).unwrap();
    assert_eq!(all.len(), 1_000_000);
    assert!((0..).zip(&all).all(|(x, &y): (u64, _)| y == x * x));
}

/// Says that it has so many items, whatever it has.
struct Liar<I>(I, usize);

impl<I: Iterator> Iterator for Liar<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.1, Some(self.1))
    }
}

#[test]
fn a_wrong_size_hint_changes_nothing() {
    let (_dog, pool) = (watchdog(), workers(2));
    let expected: Vec<u64> = (0..100).map(|x| x * x).collect();
    for said in [0, 1, 7, 1000, 1 << 40, usize::MAX] {
        let found = par_map!(square, Liar(0..100, said); pool = pool);
        assert_eq!(found.unwrap(), expected, "100 items that say they are {said}");
        let found = par_map_async!(square, Liar(0..100, said); pool = pool).unwrap().get();
        assert_eq!(found.unwrap(), expected, "100 items that say they are {said}, later");
    }
}
