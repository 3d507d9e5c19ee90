//! The barrier: it lets all go or breaks for all, whoever dies.

use loom::sync::Arc;
use loom::thread;

use super::stage::{Process, World, each_death, each_step, model};
use crate::sync::ground::Ground;
use crate::sync::held::Patience;
use crate::sync::parties::{Parties, words};

/// The order in which it came; `None` when the barrier is broken.
fn wait(process: &Process) -> Option<usize> {
    Parties(process).wait(Patience::Forever).ok()
}

/// A barrier, and its parties.
fn barrier<const N: usize>(more: usize) -> (Arc<World>, [Process; N]) {
    barrier_of(N as u64, 2 * N, more)
}

/// A barrier for so many parties with so many places, and those that come.
fn barrier_of<const N: usize>(
    n_parties: u64,
    places: usize,
    more: usize,
) -> (Arc<World>, [Process; N]) {
    let world = World::new(words(places), N + more);
    let maker = Process::new(&world, 1, None);
    let own_lock = (&maker).enter();
    Parties(&maker).begin(n_parties, 0);
    drop(own_lock);
    let parties = std::array::from_fn(|n| Process::new(&world, n as u64 + 1, None));
    (world, parties)
}

/// Nobody dies, and no slice ends: all are let go, twice, and each has a number of its own.
#[test]
fn all_are_let_go() {
    model(2, || {
        let (_world, parties) = barrier::<2>(0);
        let parties = parties.map(|party| thread::spawn(move || [wait(&party), wait(&party)]));
        let orders = parties.map(|party| party.join().expect("no panic"));
        for round in 0..2 {
            let mut came = orders.map(|orders| orders[round]);
            came.sort();
            assert_eq!(came, [Some(0), Some(1)]);
        }
    });
}

/// Nobody dies, and no slice ends: who finds the only place taken, by one that was let go, is woken when it is left.
#[test]
fn who_finds_no_place_gets_the_next() {
    model(1, || {
        let (_world, [party, others @ ..]) = barrier_of::<4>(2, 1, 0);
        let others: [_; 3] = others.map(|party| thread::spawn(move || wait(&party)));
        let mut came = vec![wait(&party)];
        came.extend(others.map(|other| other.join().expect("no panic")));
        came.sort();
        assert_eq!(came, [Some(0), Some(0), Some(1), Some(1)]);
    });
}

/// One of three dies before any of its steps, come in any order or as the last, and another comes in its stead, who does not
/// wait. The two that live are both let go or both told that the barrier is broken; and what the dead one or the new one was
/// told, they were.
#[test]
fn a_death_lets_all_go_or_breaks_for_all() {
    for before in [0, 2] {
        each_death(1, move |step| {
            let (world, [mortal, one, other]) = barrier::<3>(1);
            let others = [one, other].map(|party| thread::spawn(move || wait(&party)));
            while Parties(&mortal).count() < before {
                thread::yield_now();
            }
            mortal.dies_before(step);
            let mut came = None;
            let lived = mortal.live(|| came = wait(&mortal));
            let late = Parties(&Process::new(&world, 4, None)).wait(Patience::None).ok();
            let [one, other] = others.map(|party| party.join().expect("no panic"));
            assert_eq!(one.is_some(), other.is_some());
            assert!(one.is_some() || came.is_none() && late.is_none());
            assert!(one.is_none() || one != other);
            lived
        });
    }
}

/// Steps before the first sleep of one that waits: the lock, and two words of its place.
const COMES: u32 = 3;

fn two_die<const N: usize>() {
    each_step(|step| {
        let mut given = model(0, move || {
            let (world, parties) = barrier::<N>(1);
            let [first, second] = [&parties[0], &parties[1]];
            first.dies_before(COMES);
            first.live(|| assert_eq!(wait(first), None));
            second.dies_before(step);
            let lived = second.live(|| assert_eq!(wait(second), None));
            assert_eq!(wait(&Process::new(&world, N as u64 + 1, None)), None);
            lived
        });
        given.pop().expect("one case")
    });
}

/// One dies that waits, and a second one before any of its steps while it finds that out, be it the last to come or not: the
/// barrier is broken for a third.
#[test]
fn a_death_is_not_forgotten_with_who_saw_it() {
    two_die::<2>();
    two_die::<3>();
}

/// One dies before any of its steps while it breaks or resets the barrier: who waits is told, if need be by the next.
#[test]
fn breaking_is_all_or_nothing() {
    let abort: fn(&Process) = |process| Parties(process).abort().expect("its lock");
    let reset: fn(&Process) = |process| Parties(process).reset().expect("its lock");
    for act in [abort, reset] {
        each_death(2, move |step| {
            let (world, [mortal, party]) = barrier::<2>(1);
            mortal.dies_before(step);
            let party = thread::spawn(move || wait(&party));
            let lived = mortal.live(|| act(&mortal));
            let last = Process::new(&world, 3, None);
            // Not begun, or done with before the party came.
            if !Parties(&last).is_broken() {
                abort(&last);
            }
            assert_eq!(party.join().expect("no panic"), None);
            reset(&last);
            assert!(!Parties(&last).is_broken() && Parties(&last).count() == 0);
            lived
        });
    }
}
