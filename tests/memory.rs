//! What goes through a pool does not stay in it.

mod common;

use std::path::PathBuf;

use common::{
    Scratch, eventually, is_program, mark, program, run_well, status_kib, watchdog, watchdog_of,
    workers,
};
use pool_runtime::prelude::*;

const MEBIBYTE: usize = 1 << 20;
/// What the parent may have resident at most, ever, in KiB.
const LIMIT: u64 = 200 << 10;

#[pool_task]
fn weigh(bytes: &[u8]) -> (usize, u8) {
    (bytes.len(), bytes[bytes.len() / 2])
}

#[pool_task]
fn make(x: u64) -> Vec<u8> {
    vec![x as u8; MEBIBYTE]
}

#[pool_task]
fn make_and_mark(directory: PathBuf, x: u64) -> Vec<u8> {
    mark(&directory.join(format!("item-{x}")));
    vec![x as u8; MEBIBYTE]
}

#[pool_task]
fn resident(_: u32) -> u64 {
    status_kib("VmHWM")
}

/// Runs the test alone in a process of its own: the high-water mark is the process's.
fn alone(test: &str) {
    let _dog = watchdog_of(common::DEADLINE * 3);
    let out = run_well(&mut program(test));
    let peak = out.lines().find_map(|line| line.strip_prefix("peak ")).expect("a peak");
    println!("{test}: at most {peak} KiB resident");
    assert!(peak.parse::<u64>().unwrap() < LIMIT, "{peak} KiB");
}

#[test]
fn ten_gigabytes_stream_through_a_map() {
    if !is_program() {
        return alone("ten_gigabytes_stream_through_a_map");
    }
    let pool = workers(2);
    let items = (0..10_000_u64).map(|x| vec![x as u8; MEBIBYTE]);
    let weights = par_map!(weigh, items; pool = pool).unwrap();
    assert!((0..).zip(weights).all(|(x, weight)| weight == (MEBIBYTE, x as u8)));
    let most = par_map!(resident, 0..10; pool = pool, chunk_size = 1).unwrap().into_iter().max();
    assert!(most < Some(LIMIT), "a worker has had {most:?} KiB");
    println!("\npeak {}", status_kib("VmHWM"));
}

#[test]
fn a_gigabyte_of_results_streams_back() {
    if !is_program() {
        return alone("a_gigabyte_of_results_streams_back");
    }
    let pool = workers(2);
    let all = par_imap!(make, 0..; pool = pool).unwrap().take(1000);
    assert!((0..).zip(all).all(|(x, bytes): (u64, _)| bytes.unwrap() == vec![x as u8; MEBIBYTE]));
    println!("\npeak {}", status_kib("VmHWM"));
}

#[test]
fn a_consumer_that_stalls_holds_little() {
    if !is_program() {
        return alone("a_consumer_that_stalls_holds_little");
    }
    let (_dog, pool, scratch) = (watchdog(), workers(2), Scratch::new());
    let directory = scratch.path().to_owned();
    let mut all = par_imap!(make_and_mark(directory, _), 0..; pool = pool).unwrap();
    assert_eq!(all.next().unwrap().unwrap()[0], 0);
    // Nobody takes more; the workers stop when what may wait for a consumer is full.
    let mut seen = (scratch.count("item-"), 0);
    eventually("workers at rest", || {
        let now = scratch.count("item-");
        seen = (now, if now == seen.0 { seen.1 + 1 } else { 0 });
        std::thread::sleep(std::time::Duration::from_millis(2));
        seen.1 > 100
    });
    assert!(seen.0 < 200, "{} results of a mebibyte were made ahead", seen.0);
    for x in 1..300 {
        assert_eq!(all.next().unwrap().unwrap(), vec![x as u8; MEBIBYTE]);
    }
    println!("\npeak {}", status_kib("VmHWM"));
}
