//! Events, between one that sets them and one that clears them.

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
