//! The ring by itself: against a model, and on memory that somebody wrote nonsense into.

use std::collections::VecDeque;

use super::*;
use crate::shm::handle::{Kind, Mark};

const ROOM: usize = 1 << 20;

fn make(most: u64) -> Handle {
    let found = |block| Header::found(block, most, 1 << 30);
    let mark = Mark::plain(Kind::Queue);
    Handle::make_sparse(mark, (ROOM, ALIGN), BACKED, None, found).expect("there is memory")
}

fn plain(bytes: &[u8]) -> Parts<'_> {
    Parts { bytes, ..Parts::default() }
}

fn no_lock() -> Result<(), Error> {
    Ok(())
}

/// xorshift: every run is the same.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

#[test]
fn it_does_what_a_queue_does() {
    let handle = make(u64::MAX);
    let ring = Ring::new(&handle).expect("it is large enough");
    let (mut model, mut item, mut random) = (VecDeque::new(), Item::default(), 7_u64);
    for step in 0..20_000_u64 {
        let up = (step / 3000) % 2 == 0;
        if next(&mut random) % 10 < if up { 7 } else { 3 } {
            let len = next(&mut random) as usize % if step % 50 == 0 { LARGEST } else { 300 };
            let bytes = vec![step as u8; len];
            match ring.push(plain(&bytes), no_lock) {
                Ok(()) => model.push_back(bytes),
                Err(Refusal::NoRoom { .. }) => assert!(model.len() > 20),
                Err(Refusal::Failed(error)) => panic!("{error}"),
            }
        } else {
            let some = ring.pop(&mut item, |_| 0).expect("it is whole");
            assert_eq!(some.then(|| item.bytes.clone()), model.pop_front());
        }
        ring.shrink(|| Some(()));
        assert_eq!(ring.len(), model.len() as u64);
    }
}

#[test]
fn a_count_bounds_it() {
    let handle = make(2);
    let ring = Ring::new(&handle).expect("it is large enough");
    let push = || ring.push(plain(b"x"), no_lock);
    assert!(push().is_ok() && push().is_ok());
    assert!(matches!(push(), Err(Refusal::NoRoom { .. })));
    assert!(ring.pop(&mut Item::default(), |_| 0).expect("it is whole"));
    assert!(push().is_ok());
}

#[test]
fn bytes_outside_bound_it_but_one_always_fits() {
    let handle = make(10);
    let ring = Ring::new(&handle).expect("it is large enough");
    let push = |outside| ring.push(Parts { outside, ..plain(b"x") }, no_lock);
    assert!(push(2 << 30).is_ok());
    assert!(matches!(push(1), Err(Refusal::NoRoom { .. })));
    assert!(push(0).is_ok());
    assert!(ring.pop(&mut Item::default(), |_| 2 << 30).expect("it is whole"));
    assert!(push(1).is_ok());
}

#[test]
fn nonsense_is_an_error_and_not_the_end() {
    let mut random = 99_u64;
    for round in 0..300 {
        let handle = make(u64::MAX);
        let ring = Ring::new(&handle).expect("it is large enough");
        for len in 0..20 {
            ring.push(plain(&vec![1; len * 31]), no_lock).expect("there is room");
        }
        // Words at random places become others: small ones, huge ones, and such as have a meaning.
        for _ in 0..=round % 7 {
            let word = [next(&mut random), next(&mut random) % 100, SKIP, 0][round % 4];
            let at = next(&mut random) as usize % 800 * 16;
            ring.bytes.write_words(at, [word, next(&mut random)]).expect("it lies within");
        }
        let mut item = Item::default();
        // At most as many as there were, each as it was or an error; then it goes on as an empty one.
        for _ in 0..=20 {
            let _ = ring.pop(&mut item, |_| 0);
        }
        assert_eq!(ring.len(), 0);
        ring.push(plain(b"again"), no_lock).expect("there is room");
        assert!(ring.pop(&mut item, |_| 0).expect("it is whole"));
        assert_eq!(item.bytes, b"again");
    }
}
