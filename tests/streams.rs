//! Inputs are taken as they are needed: never collected, never further ahead than a window, on the caller's thread.

mod common;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;

use common::{Scratch, eventually, mark, wait_for, watchdog, workers};
use pool_runtime::prelude::*;

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn odd_panics(x: u64) -> u64 {
    assert!(x.is_multiple_of(2), "{x} is odd");
    x
}

#[pool_task]
fn mark_zero(x: u64, path: PathBuf) -> u64 {
    if x == 0 {
        mark(&path);
    }
    x
}

#[pool_task]
fn zero_after_one(x: u64, one: PathBuf) -> u64 {
    match x {
        0 => wait_for(&one),
        1 => mark(&one),
        _ => {}
    }
    x
}

/// Item 0 ends when item 1 has begun; the others wait for a gate that nobody opens.
#[pool_task]
fn only_zero_ends(x: u64, one: PathBuf, never: PathBuf) -> u64 {
    match x {
        0 => wait_for(&one),
        1 => {
            mark(&one);
            wait_for(&never)
        }
        _ => wait_for(&never),
    }
    x
}

/// Counts what is taken from it. It is neither `Send` nor `'static`.
fn counted<'a>(taken: &'a Rc<Cell<u64>>) -> impl Iterator<Item = u64> + 'a {
    (0..).inspect(|_| taken.set(taken.get() + 1))
}

#[test]
fn an_endless_input_gives_as_many_as_are_wanted() {
    let (_dog, pool) = (watchdog(), workers(2));
    let some: Vec<u64> =
        par_imap!(square, 0..; pool = pool).unwrap().take(1000).map(Result::unwrap).collect();
    assert_eq!(some, (0..1000).map(|x| x * x).collect::<Vec<_>>());
    let unordered = par_imap_unordered!(square, 0..; pool = pool).unwrap();
    assert!(unordered.take(1000).all(|(index, square)| square.unwrap() == (index * index) as u64));
}

#[test]
fn no_more_than_a_window_is_taken_ahead() {
    let (_dog, pool) = (watchdog(), workers(2));
    for window in [1, 2, 16, 1000] {
        let taken = Rc::new(Cell::new(0));
        let mut squares = par_imap!(square, counted(&taken); pool = pool, window = window).unwrap();
        for given in 1..=100 {
            squares.next().unwrap().unwrap();
            assert!(taken.get() <= given + window as u64, "{} of {given} + {window}", taken.get());
        }
    }
}

#[test]
fn the_default_window_is_bounded_too() {
    let (_dog, pool) = (watchdog(), workers(2));
    let taken = Rc::new(Cell::new(0));
    let mut squares = par_imap_unordered!(square, counted(&taken); pool = pool).unwrap();
    (0..10).for_each(|_| drop(squares.next()));
    assert!(taken.get() <= 10 + 4096, "{} were taken", taken.get());
}

#[test]
fn a_finished_result_comes_before_the_next_item_is_taken() {
    let (_dog, pool, scratch) = (watchdog(), workers(2), Scratch::new());
    let (taken, one) = (Rc::new(Cell::new(0)), scratch.at("one"));
    let items = counted(&taken);
    let mut items =
        par_imap!(zero_after_one(_, one), items; pool = pool, window = 8, chunk_size = 1).unwrap();
    // Item 1 was taken before the result of item 0 could come, which waits for it.
    assert_eq!(items.next().unwrap().unwrap(), 0);
    // What was taken is finished by and by, with nobody asking for it.
    eventually("the items that are out", || pool.stats().items_finished >= taken.get());
    let before = taken.get();
    assert_eq!(items.next().unwrap().unwrap(), 1);
    assert_eq!(taken.get(), before, "an item was taken though a result was there");
}

#[test]
fn a_map_does_not_collect_its_input() {
    let (_dog, pool, scratch) = (watchdog(), workers(2), Scratch::new());
    let path = scratch.at("first");
    // The last item waits until the first has run.
    let items = (0..1000).inspect(|&x| {
        if x == 999 {
            wait_for(&path)
        }
    });
    let all = par_map!(mark_zero(_, scratch.at("first")), items; pool = pool);
    assert_eq!(all.unwrap(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn the_input_is_taken_on_the_calling_thread() {
    let (_dog, pool) = (watchdog(), workers(2));
    let here = std::thread::current().id();
    let items = (0..100).inspect(|_| assert_eq!(std::thread::current().id(), here));
    assert_eq!(par_map!(square, items; pool = pool).unwrap().len(), 100);
}

#[test]
fn a_map_over_an_endless_input_stops_at_the_first_failure() {
    let (_dog, pool) = (watchdog(), workers(2));
    let error = par_map!(odd_panics, 0..; pool = pool).unwrap_err();
    // Of several that failed at once, the lowest that is known.
    let index = error.index().unwrap();
    assert_eq!((error.kind(), index % 2), (ErrorKind::Panicked, 1));
    assert_eq!(error.panic_message(), Some(&*format!("{index} is odd")));
    assert_eq!(par_map!(square, 0..3; pool = pool).unwrap(), [0, 1, 4]);
}

#[test]
fn a_stream_goes_on_past_a_failed_item() {
    let (_dog, pool) = (watchdog(), workers(2));
    for (x, result) in par_imap!(odd_panics, 0..10; pool = pool).unwrap().enumerate() {
        match result {
            Ok(value) => assert_eq!((x % 2, value), (0, x as u64)),
            Err(error) => assert_eq!((x % 2, error.index()), (1, Some(x))),
        }
    }
}

#[test]
fn a_panic_of_the_input_reaches_the_caller() {
    let (_dog, pool) = (watchdog(), workers(2));
    let bad = || (0..100).inspect(|&x| assert!(x < 50, "the input ends badly"));
    let caught = catch_unwind(AssertUnwindSafe(|| par_map!(square, bad(); pool = pool)));
    let payload = caught.unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"the input ends badly"));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        par_imap!(square, bad(); pool = pool).unwrap().for_each(drop);
    }));
    assert!(caught.is_err());
    // Later, on a thread that is not the caller's, it can only be an error.
    let error = par_map_async!(square, bad(); pool = pool).unwrap().get().unwrap_err();
    assert_eq!(error.panic_message(), Some("the input ends badly"));
    assert_eq!(par_map!(square, 0..3; pool = pool).unwrap(), [0, 1, 4]);
}

#[test]
fn results_before_a_panic_of_the_input_are_given() {
    let (_dog, pool) = (watchdog(), workers(2));
    let bad = (0..100).inspect(|&x| assert!(x < 50, "the input ends badly"));
    let mut squares = par_imap!(square, bad; pool = pool, window = 1).unwrap();
    for x in 0..50 {
        assert_eq!(squares.next().unwrap().unwrap(), x * x);
    }
    assert!(catch_unwind(AssertUnwindSafe(|| squares.next())).is_err());
}

#[test]
fn dropping_a_stream_ends_its_work() {
    let (_dog, pool, scratch) = (watchdog(), workers(2), Scratch::new());
    let (one, never) = (scratch.at("one"), scratch.at("never"));
    let mut stream =
        par_imap!(only_zero_ends(_, one, never), 0..; pool = pool, window = 8, chunk_size = 1)
            .unwrap();
    // Item 1 is running when the result of item 0 comes, which waits for it, and goes on running.
    assert_eq!(stream.next().unwrap().unwrap(), 0);
    eventually("busy workers", || pool.stats().workers_busy > 0);
    drop(stream);
    eventually("nothing pending", || pool.stats().items_pending == 0);
    assert_eq!(par_map!(square, 0..3; pool = pool).unwrap(), [0, 1, 4]);
}

#[test]
fn a_stream_that_is_not_asked_does_nothing() {
    let (_dog, pool) = (watchdog(), workers(2));
    let taken = Rc::new(Cell::new(0));
    let stream = par_imap!(square, counted(&taken); pool = pool).unwrap();
    assert_eq!(taken.get(), 0);
    drop(stream);
    assert_eq!(par_map!(square, 0..3; pool = pool).unwrap(), [0, 1, 4]);
}

#[test]
fn two_streams_on_one_pool_go_side_by_side() {
    let (_dog, pool) = (watchdog(), workers(2));
    let evens = par_imap!(square, (0..).step_by(2); pool = pool).unwrap();
    let odds = par_imap!(square, (1..).step_by(2); pool = pool).unwrap();
    for (x, (even, odd)) in (0..).step_by(2).zip(evens.zip(odds)).take(5000) {
        assert_eq!((even.unwrap(), odd.unwrap()), (x * x, (x + 1) * (x + 1)));
    }
}

#[test]
fn a_pipeline_feeds_one_stream_from_another() {
    let (_dog, pool) = (watchdog(), workers(2));
    let squares = par_imap!(square, 0..; pool = pool).unwrap().map(Result::unwrap);
    let fourth = par_imap!(square, squares; pool = pool).unwrap();
    for (x, power) in (0..200_u64).zip(fourth) {
        assert_eq!(power.unwrap(), x.pow(4));
    }
}

#[test]
fn a_window_smaller_than_a_chunk_cuts_the_chunk() {
    let (_dog, pool) = (watchdog(), workers(2));
    let taken = Rc::new(Cell::new(0));
    let items = counted(&taken);
    let squares = par_imap!(square, items; pool = pool, window = 8, chunk_size = 100).unwrap();
    for (x, square) in (0..1000).zip(squares) {
        assert_eq!(square.unwrap(), x * x);
        assert!(taken.get() <= x + 1 + 8);
    }
}

#[test]
fn what_was_taken_is_given_after_the_end_of_the_pool() {
    let (_dog, pool) = (watchdog(), workers(2));
    let taken = Rc::new(Cell::new(0));
    let items = counted(&taken);
    let mut squares = par_imap!(square, items; pool = pool, chunk_size = 10, window = 15).unwrap();
    // A part of a chunk has been taken that its chunk is not whole with.
    (0..11).for_each(|x| assert_eq!(squares.next().unwrap().unwrap(), x * x));
    drop(pool);
    let all: Vec<u64> = (11..).zip(&mut squares).map(|(x, y)| y.unwrap() - x * x).collect();
    assert_eq!((all.len() as u64 + 11, all.iter().sum::<u64>()), (taken.get(), 0));
}

#[test]
fn an_input_that_panics_may_be_asked_again() {
    let (_dog, pool) = (watchdog(), workers(2));
    for slow in [false, true] {
        let bad = (0..100_u64).inspect(|&x| {
            // Long enough for what was taken to be published by others.
            if slow && x == 49 {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            assert!(x != 50, "the input stumbles");
        });
        let mut squares = par_imap!(square, bad; pool = pool).unwrap();
        let mut seen = Vec::new();
        for _ in 0..1000 {
            let next = catch_unwind(AssertUnwindSafe(|| squares.next()));
            match next {
                Ok(Some(square)) => seen.push(square.unwrap()),
                Ok(None) => break,
                Err(_) => {}
            }
        }
        assert_eq!(seen, (0..50).map(|x| x * x).collect::<Vec<u64>>());
    }
}

#[test]
fn many_idle_streams_hold_nobody_up() {
    let (_dog, pool) = (watchdog(), workers(2));
    let mut streams: Vec<_> =
        (0..1500).map(|_| par_imap!(square, 0..; pool = pool, window = 2).unwrap()).collect();
    streams.iter_mut().for_each(|stream| assert_eq!(stream.next().unwrap().unwrap(), 0));
    assert_eq!(par_map!(square, 0..3; pool = pool).unwrap(), [0, 1, 4]);
    streams.iter_mut().for_each(|stream| assert_eq!(stream.next().unwrap().unwrap(), 1));
}
