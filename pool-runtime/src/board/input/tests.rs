//! Where blocks go.

use super::space::Space;
use super::{ASK_FIRST, GRAIN, Input};

/// Memory stays with the segment, so large blocks of another size must not lie behind those that were there.
#[test]
fn blocks_go_where_others_have_been() {
    let mut space = Space::new(1000 * ASK_FIRST);
    for len in (1..50).map(|large| large * ASK_FIRST) {
        let taken: Vec<_> = (0..10).map(|_| space.take(len).expect("room").0).collect();
        assert!(taken.iter().all(|at| at + len <= 10 * len), "{len}: {taken:?}");
        assert_eq!(space.in_use(), 10 * len);
        taken.into_iter().rev().for_each(|at| space.give_back(at, len));
    }
    assert_eq!(space.in_use(), 0);
    assert_eq!(space.take(1000 * ASK_FIRST), Some((0, false)), "all of it is free again");
}

#[test]
fn small_blocks_break_no_large_ones_up() {
    let mut space = Space::new(1000 * ASK_FIRST);
    let large = 8 * ASK_FIRST;
    let (first, _) = space.take(large).expect("room");
    space.give_back(first, large);
    for _ in 0..10 {
        space.take(GRAIN).expect("room");
        assert_eq!(space.take(large), Some((first, true)));
        space.give_back(first, large);
    }
}

#[test]
fn the_last_that_was_freed_comes_first() {
    let mut space = Space::new(100 * GRAIN);
    let [first, second] = [(); 2].map(|()| space.take(GRAIN).expect("room").0);
    space.give_back(second, GRAIN);
    space.give_back(first, GRAIN);
    assert_eq!(space.take(GRAIN), Some((first, true)));
    assert_eq!(space.take(GRAIN), Some((second, true)));
}

#[test]
fn what_does_not_fit_takes_nothing() {
    let input = Input::new().expect("a segment");
    let block = input.block(10 * ASK_FIRST + 1).expect("room");
    assert!(block.len() > 10 * ASK_FIRST && block.len() <= 12 * ASK_FIRST);
    let used = input.in_use();
    assert_eq!(used, block.len());
    input.block(input.len()).expect_err("some of it is in use");
    assert_eq!(input.in_use(), used);
    drop(block);
    assert_eq!(input.in_use(), 0);
}
