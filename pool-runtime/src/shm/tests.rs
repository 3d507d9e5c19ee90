//! The arena by itself: objects made, opened, let go, and what is left afterwards.

use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::handle::{Handle, Kind, Mark, Ticket};
use super::layout::{INLINE, PAGE, SLOTS};
use super::{pins, process, slot, sweep, transit};
use crate::error::ErrorKind;
use crate::sys::alive::Identity;

/// The tests take turns: what opens bytes that mean nothing, or mean what is gone, holds for a moment whatever has the place now.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make(size: usize) -> Handle {
    Handle::make(Mark::plain(Kind::Buffer), (size, 8), None, |_| ()).expect("an object")
}

fn open(ticket: &Ticket) -> Result<Handle, crate::error::Error> {
    Handle::open(ticket, Mark::plain(Kind::Buffer))
}

#[test]
fn an_object_lives_while_any_handle_does() {
    let _alone = alone();
    let first = make(100);
    let ticket = first.ticket().expect("a ticket");
    let second = open(&ticket).expect("it lives");
    drop(first);
    let third = open(&ticket).expect("it still lives");
    assert!(second.is(&third));
    drop((second, third));
    assert_eq!(open(&ticket).expect_err("it is gone").kind(), ErrorKind::NotFound);
}

#[test]
fn a_stale_ticket_does_not_open_what_took_the_place() {
    let _alone = alone();
    let ticket = make(40).ticket().expect("a ticket");
    let others: Vec<_> = (0..1000).map(|_| make(40)).collect();
    assert_eq!(open(&ticket).expect_err("it is gone").kind(), ErrorKind::NotFound);
    drop(others);
}

#[test]
fn another_kind_is_refused() {
    let _alone = alone();
    let object = make(8);
    let ticket = object.ticket().expect("a ticket");
    for mark in
        [Mark::plain(Kind::Lock), Mark::of::<u64>(Kind::Value), Mark::of::<f64>(Kind::Buffer)]
    {
        assert_eq!(Handle::open(&ticket, mark).expect_err("refused").kind(), ErrorKind::Decode);
    }
}

#[test]
fn whatever_bytes_are_opened_nothing_but_an_error_comes_of_it() {
    let _alone = alone();
    let object = make(8);
    let mut bytes = Vec::new();
    crate::codec::message::encode(&object.ticket().expect("a ticket"), &mut bytes)
        .expect("encodes");
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut forged = bytes.clone();
            forged[at] ^= flip;
            let Ok(ticket) = crate::codec::message::decode::<Ticket>(&forged) else { continue };
            if let Ok(opened) = open(&ticket) {
                assert!(opened.is(&object));
            }
        }
    }
}

#[test]
fn recycled_memory_is_zero() {
    let _alone = alone();
    for size in [1, INLINE, 200, 1000, PAGE, 100_000, 5 << 20] {
        for _ in 0..3 {
            let object = make(size);
            let bytes = object.block();
            #[expect(unsafe_code, reason = "looks at the block")]
            // SAFETY: the object is this test's alone, and is at least `size` bytes.
            let bytes = unsafe { std::slice::from_raw_parts_mut(bytes.as_ptr(), size) };
            assert!(bytes.iter().all(|&byte| byte == 0), "{size} bytes");
            bytes.fill(0xa5);
        }
    }
}

#[test]
fn memory_of_large_objects_is_given_back() {
    let _alone = alone();
    let blocks = || {
        rustix::fs::fstat(process::own().expect("an arena").arena.file()).expect("fstat").st_blocks
    };
    let before = blocks();
    let object = make(64 << 20);
    // Other tests of this process use the arena too, but not by this much.
    assert!(blocks() >= before + (32 << 20) / 512);
    drop(object);
    assert!(blocks() < before + (32 << 20) / 512);
}

#[test]
fn too_much_is_an_error() {
    let _alone = alone();
    let error = Handle::make(Mark::plain(Kind::Buffer), (65 << 30, 8), None, |_| ())
        .expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = Handle::make(Mark::plain(Kind::Buffer), (8, 1 << 20), None, |_| ())
        .expect_err("too aligned");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn pins_keep_what_was_encoded() {
    let _alone = alone();
    let object = make(8);
    let (ticket, pins) = pins::collect(|| object.ticket().expect("a ticket"));
    assert!(!pins.is_empty());
    drop(object);
    drop(open(&ticket).expect("the pin keeps it"));
    drop(pins);
    assert_eq!(open(&ticket).expect_err("it is gone").kind(), ErrorKind::NotFound);
}

/// A worker says which to hold.
#[test]
fn pins_on_places_that_are_none_are_passed_over() {
    let _alone = alone();
    let object = make(8);
    let slot = pins::collect(|| object.ticket()).1.slots().next().expect("a pin");
    let own = process::own().expect("an arena");
    let fresh = (0..SLOTS).rfind(|&at| slot::is_fresh(own.arena, at)).expect("one is fresh");
    for odd in [u32::MAX, SLOTS as u32, SLOTS as u32 - 1, fresh as u32] {
        assert_eq!(
            pins::Pins::open(&[(odd, 0), slot, (odd, 1)]).slots().collect::<Vec<_>>(),
            [slot]
        );
    }
}

#[test]
fn what_is_in_transit_lives_until_it_is_opened() {
    let _alone = alone();
    let object = make(8);
    let (ticket, on_its_way) = pins::in_transit(|| object.ticket().expect("a ticket"));
    drop(object);
    let opened = open(&ticket).expect("it is on its way");
    drop(on_its_way);
    let again = open(&ticket).expect("it lives");
    drop((opened, again));
    assert_eq!(open(&ticket).expect_err("it is gone").kind(), ErrorKind::NotFound);
}

#[test]
fn what_was_in_transit_and_is_not_wanted_goes() {
    let _alone = alone();
    let object = make(8);
    let (ticket, on_its_way) = pins::in_transit(|| object.ticket().expect("a ticket"));
    drop(object);
    drop(on_its_way);
    assert_eq!(open(&ticket).expect_err("it is gone").kind(), ErrorKind::NotFound);
}

#[test]
fn threads_that_open_and_drop_at_once_agree() {
    let _alone = alone();
    for _ in 0..200 {
        let object = make(8);
        let ticket = object.ticket().expect("a ticket");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        if let Ok(opened) = open(&ticket) {
                            opened.slot().bell.fetch_add(1, Relaxed);
                            drop(opened.clone());
                        }
                    }
                });
            }
            drop(object);
        });
        assert_eq!(open(&ticket).expect_err("it is gone").kind(), ErrorKind::NotFound);
    }
}

/// An entry of a process that is dead, and that the process `parent` started.
fn dead(parent: u64) -> process::Own {
    // No process has such a pid: it is beyond what the kernel gives.
    let word = process::here(Identity { pid: (1 << 24) - 1, start: 1 });
    let arena = process::own().expect("an entry").arena;
    let index = 4000;
    arena.head().processes_used.fetch_max(index as u64 + 1, Relaxed);
    arena.entry(index).parent.store(parent, Relaxed);
    arena.entry(index).seen_dead.store(u64::MAX, Relaxed);
    arena.entry(index).state.store(word, Release);
    process::Own { arena, index, word }
}

#[test]
fn what_is_left_to_a_parent_lives_as_long_as_the_parent() {
    let _alone = alone();
    let own = process::own().expect("an entry");
    let (object, child) = (make(8), dead(own.word));
    let slot = crate::shm::slot::unpack(object.object()).expect("a slot").0;
    transit::enter(&child, slot as usize).expect("a record");
    let ticket = object.ticket().expect("a ticket");
    drop(object);
    sweep::all(own, 1);
    sweep::all(own, u64::MAX - 1);
    drop(open(&ticket).expect("it is left to the parent"));
    // Of the parent's own death nobody need tell: its word names no living process any more.
    own.arena.entry(child.index).parent.store(child.word, Relaxed);
    // Another test may be at it at this moment.
    while open(&ticket).is_ok() {
        sweep::all(own, 1);
    }
}

#[test]
fn sweeping_the_living_does_nothing() {
    let _alone = alone();
    let own = process::own().expect("an entry");
    let object = make(8);
    sweep::sweep(own, own.index);
    sweep::all(own, 1);
    assert!(open(&object.ticket().expect("a ticket")).is_ok());
    assert_eq!(transit::count(own.arena, 4095), 0);
}

/// As many are in use all the time, and go in any order: a search that gives up early does not take fresh ones for ever.
#[test]
fn records_are_used_again() {
    let _alone = alone();
    let (own, object) = (process::own().expect("an entry"), make(8));
    let slot = slot::unpack(object.object()).expect("a slot").0 as usize;
    let enter = || transit::enter(own, slot).expect("a record");
    let mut records: Vec<_> = (0..1000).map(|_| enter()).collect();
    let used = || own.arena.head().transits_used.load(Relaxed);
    let before = used();
    for n in 0..50_000 {
        let record = records.swap_remove(n * 7919 % 1000);
        assert_eq!(transit::strike(own.arena, record), Some(slot));
        assert!(transit::names(own.arena, slot));
        records.push(enter());
    }
    assert!(used() - before < 500, "{before} records, and then {}", used());
    records.into_iter().for_each(|record| _ = transit::strike(own.arena, record));
    assert!(!transit::names(own.arena, slot));
    let head = own.arena.slot(slot);
    assert_eq!(head.transits_begun.load(Relaxed), head.transits_struck.load(Relaxed));
}
