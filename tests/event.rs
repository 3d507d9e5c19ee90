//! Events, between one that sets them and one that clears them; barriers and conditions with more threads than places.

use std::sync::atomic::{
    AtomicU32,
    Ordering::{Relaxed, SeqCst},
};
use std::thread;
use std::time::Duration;

use pool_runtime::prelude::*;

/// Long beyond anything that a machine under load needs.
const LONG: Duration = Duration::from_secs(20);

type Flag = RawValue<AtomicU32>;

fn flag() -> Flag {
    Flag::new(0).expect("a flag")
}

/// Leaves work before it sets an event that is set already, while another clears it and then looks for work: either that one
/// finds it, or the event is set again.
#[test]
fn work_left_before_a_set_is_not_missed_by_one_that_clears() {
    const ROUNDS: u32 = 50_000;
    let (event, work, turn) = (Event::new().expect("an event"), flag(), flag());
    let both_are_at = |turn: &Flag, round: u32| {
        turn.fetch_add(1, SeqCst);
        let waits = |_| {
            std::hint::spin_loop();
            turn.load(SeqCst) < 2 * round
        };
        while (0..1000).all(waits) {
            thread::yield_now();
        }
    };
    let (set, leave, come) = (event.clone(), work.clone(), turn.clone());
    let worker = thread::spawn(move || {
        for round in 1..=ROUNDS {
            both_are_at(&come, round);
            leave.store(round, Relaxed);
            set.set().expect("sets");
        }
    });
    for round in 1..=ROUNDS {
        event.set().expect("sets");
        both_are_at(&turn, round);
        event.clear().expect("clears");
        while work.load(Relaxed) < round {
            assert!(event.wait_timeout(LONG).expect("waits"), "round {round} of work was missed");
            event.clear().expect("clears");
        }
    }
    worker.join().expect("no panic");
}

#[test]
fn more_threads_than_a_barrier_has_places_get_through() {
    const WAITS: u32 = 20_000;
    let (barrier, begun) = (Barrier::new(2).expect("a barrier"), flag());
    let meet = || {
        let more = || (begun.fetch_add(1, SeqCst) < WAITS).then(|| barrier.wait());
        std::iter::from_fn(more).sum::<Result<usize, _>>()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..200).map(|_| scope.spawn(meet)).collect();
        let orders = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        let sum: usize = orders.map(|order| order.expect("nobody breaks it")).sum();
        assert_eq!(sum, WAITS as usize / 2);
    });
}

#[test]
fn a_condition_has_places_for_500_that_wait() {
    let lock = Lock::new().expect("a lock");
    let condition = Condition::new(&lock).expect("a condition");
    let wait = || {
        let waited = condition.wait(lock.lock().expect("the lock"));
        waited.map(drop).map_err(Error::from)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..500).map(|_| scope.spawn(wait)).collect();
        while condition.n_waiting() < 500 {
            thread::yield_now();
        }
        assert_eq!(wait().expect_err("no place is left").kind(), ErrorKind::Full);
        drop(lock.lock().expect("it was given back"));
        condition.notify_all().expect("notifies");
        for thread in threads {
            thread.join().expect("no panic").expect("it was notified");
        }
    });
}
