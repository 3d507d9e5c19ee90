//! Items of many megabytes run in all workers at a time, as small ones do.

mod common;

use std::path::{Path, PathBuf};

use common::{Scratch, eventually, mark, watchdog, workers};
use pool_runtime::prelude::*;

const WORKERS: usize = 3;

/// Waits until an item of the same round runs in each worker.
fn meet(directory: &Path, round: usize) {
    mark(&directory.join(format!("{round}-{}", std::process::id())));
    let names = || std::fs::read_dir(directory).expect("a directory").flatten();
    let prefix = format!("{round}-");
    eventually("each worker has an item", || {
        let here =
            |name: &std::fs::DirEntry| name.file_name().to_string_lossy().starts_with(&prefix);
        names().filter(here).count() == WORKERS
    });
}

#[pool_task]
fn take(directory: PathBuf, round: usize, bytes: &[u8]) -> usize {
    if bytes.len() >= 1 << 20 {
        meet(&directory, round);
    }
    bytes.len()
}

#[pool_task]
fn give(directory: PathBuf, len: usize, number: usize) -> Vec<u8> {
    meet(&directory, number / WORKERS);
    vec![number as u8; len]
}

fn directory(scratch: &Scratch, mebibytes: usize) -> PathBuf {
    let directory = scratch.at(&format!("{mebibytes}"));
    std::fs::create_dir(&directory).expect("a directory");
    directory
}

#[test]
fn large_inputs() {
    let (_dog, scratch, pool) = (watchdog(), Scratch::new(), workers(WORKERS));
    for mebibytes in [1, 7, 15, 16, 24] {
        let directory = directory(&scratch, mebibytes);
        let bytes = vec![1; mebibytes << 20];
        let items = (0..WORKERS * 3).map(|number| (number / WORKERS, &*bytes));
        let lens = par_starmap!(take(directory, _, _), items; pool = pool).expect("values");
        assert_eq!(lens, [bytes.len(); WORKERS * 3]);
    }
}

#[test]
fn large_inputs_between_small_ones() {
    let (_dog, scratch, pool) = (watchdog(), Scratch::new(), workers(WORKERS));
    let directory = directory(&scratch, 24);
    let (large, small) = (vec![1; 24 << 20], [1; 24]);
    let items = (0..WORKERS * 3).flat_map(|number| {
        let round = number / WORKERS;
        [(round, &*large), (round, &small[..])]
    });
    let lens = par_starmap!(take(directory, _, _), items; pool = pool).expect("values");
    assert_eq!(lens.iter().sum::<usize>(), (large.len() + small.len()) * WORKERS * 3);
}

#[test]
fn large_results_of_a_stream() {
    let (_dog, scratch, pool) = (watchdog(), Scratch::new(), workers(WORKERS));
    for mebibytes in [1, 24] {
        let directory = directory(&scratch, mebibytes);
        let len = mebibytes << 20;
        let items = 0..WORKERS * 8;
        let all = par_imap!(give(directory, len, _), items; pool = pool).expect("a stream");
        for (number, bytes) in all.enumerate() {
            let bytes = bytes.expect("a value");
            assert_eq!((bytes.len(), bytes[0]), (len, number as u8));
        }
    }
}
