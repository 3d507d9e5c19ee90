//! Room that was given out and not used.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Release;

use super::{EXTENT_BUDGET, LARGEST_IN_RING, Place, SMALLEST_SEGMENT, Writer};
use crate::board::ControlMap;
use crate::board::layout::{FAILURE, Tag};
use crate::sys::memory::{self, Access, Map};

// An item whose large result has its room already may still fail. If that room were lost, the worker would soon wait for some
// that nobody gives back.
#[test]
fn room_for_a_large_result_that_does_not_come_is_used_again() {
    let results = memory::create("results", SMALLEST_SEGMENT).expect("a file");
    let map = Map::new(results.as_fd(), SMALLEST_SEGMENT, Access::Write).expect("a mapping");
    let board = memory::create("board", ControlMap::LEN).expect("a file");
    let control = ControlMap::new(board.as_fd()).expect("a board");
    let place = Place { cell: &control.workers[0], head: &control.head };
    let mut writer = Writer::new(map);
    for post in 1..=(EXTENT_BUDGET / LARGEST_IN_RING) as u64 {
        writer.room(&place, LARGEST_IN_RING + 1).expect("an extent");
        writer.room(&place, 8).expect("room for the error");
        assert_eq!(writer.extents.in_use(), 0);
        writer.post(&place, Tag::new(1, 0), (0, 1), 8, FAILURE);
        place.cell.taken.store(post, Release);
    }
}
