//! The event: whoever waits learns of each set, and what was done before it is seen by whoever was woken or had cleared it.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;

use super::stage::{Process, World, each_death, model};
use crate::sync::flag::{self, Ground};
use crate::sync::held::Patience;
use crate::sync::slices::{Slice, Slices};

/// What a process sees of the event that all share.
struct View {
    process: Process,
    word: Arc<AtomicU32>,
}

impl Ground for View {
    fn load(&self) -> u32 {
        self.process.step();
        self.word.load(Ordering::Acquire)
    }

    fn replace(&self, old: u32, new: u32) -> bool {
        self.process.step();
        self.word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn sleep(&self, slices: &mut Slices, word: u32) -> Slice {
        // The kernel compares with what was written last.
        let last = || self.word.fetch_add(0, Ordering::SeqCst);
        self.process.sleep_while(slices, 0, || last() == word)
    }

    fn wake_all(&self) {
        self.process.wake_all();
    }
}

/// An event that is not set, and the processes that share it.
fn event<const N: usize>() -> [View; N] {
    let (world, word) = (World::new(0, N), Arc::new(AtomicU32::new(0)));
    std::array::from_fn(|n| View {
        process: Process::new(&world, n as u64 + 1, None),
        word: Arc::clone(&word),
    })
}

/// Waits from now on.
fn wait(view: &View) {
    let now = view.load();
    wait_since(view, now);
}

/// Waits, and had begun to when the word was `before`.
fn wait_since(view: &View, before: u32) {
    assert!(flag::wait(view, before, Patience::Forever));
}

/// Nobody dies, and no slice ends: a set wakes all that wait, or loom finds them asleep.
#[test]
fn a_set_wakes_all() {
    model(3, || {
        let [setter, one, other] = event();
        let waiters = [one, other].map(|view| thread::spawn(move || wait(&view)));
        flag::set(&setter);
        waiters.into_iter().for_each(|waiter| waiter.join().expect("no panic"));
        assert!(flag::is_set(setter.load()));
    });
}

/// Those that wait learn of a set that lasts a moment only, also when two set it and two clear it.
#[test]
fn who_waits_does_not_miss_a_set_that_is_cleared() {
    model(2, || {
        let [one, other, waiter] = event();
        let before = waiter.load();
        let waits = thread::spawn(move || wait_since(&waiter, before));
        let sets = |view: View| {
            flag::set(&view);
            flag::clear(&view);
            view
        };
        let beside = thread::spawn(move || drop(sets(one)));
        let other = sets(other);
        beside.join().expect("no panic");
        waits.join().expect("no panic");
        assert!(!flag::is_set(other.load()));
    });
}

/// One that clears an event that was set, looks whether there is work, and waits if there is none, gets the work: the other
/// leaves it before it sets the event, and finds it set, clear, or just being cleared.
#[test]
fn what_was_done_before_a_set_is_seen_after_a_clear() {
    model(3, || {
        let [setter, waiter] = event();
        let work = Arc::new(AtomicBool::new(false));
        flag::set(&waiter);
        let there = Arc::clone(&work);
        let beside = thread::spawn(move || {
            there.store(true, Ordering::Relaxed);
            flag::set(&setter);
        });
        flag::clear(&waiter);
        while !work.load(Ordering::Relaxed) {
            wait(&waiter);
            flag::clear(&waiter);
        }
        beside.join().expect("no panic");
    });
}

/// One dies before any of its steps while it sets the event. It was not set, or who waits goes on; and whoever sets it next
/// lets all go on.
#[test]
fn a_setter_that_dies_leaves_an_event_that_can_be_set() {
    each_death(2, |step| {
        let [mortal, waiter, last] = event();
        let waits = thread::spawn(move || wait(&waiter));
        mortal.process.dies_before(step);
        let lived = mortal.process.live(|| flag::set(&mortal));
        if !flag::is_set(last.load()) {
            flag::set(&last);
        }
        waits.join().expect("no panic");
        lived
    });
}

/// One dies before any of its steps while it clears the event: it can be set and cleared as before.
#[test]
fn one_that_dies_while_it_clears_leaves_an_event_like_any_other() {
    each_death(2, |step| {
        let [mortal, waiter, last] = event();
        flag::set(&last);
        let waits = thread::spawn(move || wait(&waiter));
        mortal.process.dies_before(step);
        let lived = mortal.process.live(|| flag::clear(&mortal));
        flag::set(&last);
        waits.join().expect("no panic");
        flag::clear(&last);
        assert!(!flag::is_set(last.load()));
        lived
    });
}

/// One of two that wait dies before any of its steps: the other is woken, without the end of a slice or with it.
#[test]
fn a_waiter_that_dies_takes_no_wake_up_along() {
    each_death(2, |step| {
        let [mortal, waiter, setter] = event();
        mortal.process.dies_before(step);
        let waits = thread::spawn(move || wait(&waiter));
        let victim = thread::spawn(move || mortal.process.live(|| wait(&mortal)));
        flag::set(&setter);
        waits.join().expect("no panic");
        victim.join().expect("it is caught")
    });
}
