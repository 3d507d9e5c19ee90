//! The condition: no notification is lost while one that lives waits, whoever dies or gives up.

use loom::sync::Arc;
use loom::thread;

use super::stage::{Process, World, each_death, each_step, model};
use crate::sync::held::Patience;
use crate::sync::notices::Notices;
use crate::sync::waiters::words;

fn enlist(process: &Process) -> usize {
    Notices(process).enlist().expect("there is a place")
}

/// Between the two steps it would take the user's lock, which may last.
fn wait(process: &Process, at: usize, patience: Patience) -> bool {
    Notices(process).wait(at, patience).expect("no lock of a thread that ended");
    process.step();
    Notices(process).leave(at).expect("no lock of a thread that ended")
}

fn notify(process: &Process, n: usize) {
    Notices(process).notify(n).expect("no lock of a thread that ended");
}

/// Enlists processes 1, 2 and so on, in this order.
fn enlisted<const N: usize>(world: &Arc<World>) -> [(Process, usize); N] {
    std::array::from_fn(|n| {
        let process = Process::new(world, n as u64 + 1, None);
        let at = enlist(&process);
        (process, at)
    })
}

/// Nobody dies, and no slice ends: those that are told wake up, one by one or all at once.
#[test]
fn who_is_told_wakes_up() {
    for (times, n) in [(2, 1), (1, 2), (1, usize::MAX)] {
        model(2, move || {
            let world = World::new(words(2), 3);
            let waiters = enlisted::<2>(&world).map(|(process, at)| {
                thread::spawn(move || assert!(wait(&process, at, Patience::Forever)))
            });
            let notifier = Process::new(&world, 3, None);
            (0..times).for_each(|_| notify(&notifier, n));
            waiters.into_iter().for_each(|waiter| waiter.join().expect("no panic"));
        });
    }
}

/// The first of two is told, and dies before any of its steps, or gives up: if it did not hear, the second one does.
#[test]
fn a_word_that_was_not_heard_goes_to_the_next() {
    for patience in [Patience::Forever, Patience::None] {
        each_death(2, move |step| {
            let world = World::new(words(2), 3);
            let [(mortal, place), (survivor, other)] = enlisted(&world);
            let notifier = Process::new(&world, 3, None);
            let victim = thread::spawn(move || {
                let mut heard = false;
                mortal.dies_before(step);
                let lived = mortal.live(|| heard = wait(&mortal, place, patience));
                (heard, lived)
            });
            let waiter = thread::spawn(move || assert!(wait(&survivor, other, Patience::Forever)));
            notify(&notifier, 1);
            let (heard, lived) = victim.join().expect("it is caught");
            if heard {
                notify(&notifier, 1);
            }
            waiter.join().expect("no panic");
            lived
        });
    }
}

/// One dies while it notifies all: each of the others was told or can still be.
#[test]
fn a_notifier_that_dies_leaves_a_list_in_order() {
    each_death(2, |step| {
        let world = World::new(words(2), 4);
        let waiters = enlisted::<2>(&world).map(|(process, at)| {
            thread::spawn(move || assert!(wait(&process, at, Patience::Forever)))
        });
        let mortal = Process::new(&world, 3, Some(step));
        let lived = mortal.live(|| notify(&mortal, usize::MAX));
        if !lived {
            notify(&Process::new(&world, 4, None), usize::MAX);
        }
        waiters.into_iter().for_each(|waiter| waiter.join().expect("no panic"));
        lived
    });
}

/// One dies that was told, and a second one before any of its steps while it hands this on: a third one hears it.
#[test]
fn a_word_survives_who_hands_it_on() {
    each_step(|step| {
        let mut given = model(0, move || {
            let world = World::new(words(3), 4);
            let [(told, _), (heir, _), (last, at)] = enlisted(&world);
            notify(&Process::new(&world, 4, None), 1);
            told.live(|| ());
            heir.dies_before(step);
            let lived = heir.live(|| Notices(&heir).pass_on().expect("no lock of such a thread"));
            assert!(wait(&last, at, Patience::Forever));
            lived
        });
        given.pop().expect("one case")
    });
}

/// Whoever takes the place of a dead one, because there is no other, hands on what that one had been told.
#[test]
fn a_full_list_keeps_its_words() {
    model(0, || {
        let world = World::new(words(2), 3);
        let [(told, _), (waiter, at)] = enlisted(&world);
        let newcomer = Process::new(&world, 3, None);
        notify(&newcomer, 1);
        told.live(|| ());
        enlist(&newcomer);
        assert!(wait(&waiter, at, Patience::None));
    });
}
