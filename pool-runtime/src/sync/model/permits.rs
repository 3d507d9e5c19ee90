//! The semaphore: no permit is lost or doubled, whoever dies.

use loom::sync::Arc;
use loom::thread;

use super::stage::{Process, World, each_death, each_step, model};
use crate::sync::ground::Ground;
use crate::sync::held::Patience;
use crate::sync::permits::{Permits, words};

const UNBOUNDED: u64 = u64::MAX >> 1;

/// A semaphore of `permits`, for so many processes, two of which it remembers.
fn semaphore(permits: u64, bound: u64, processes: usize) -> Arc<World> {
    let world = World::new(words(2), processes);
    let maker = Process::new(&world, 1, None);
    let own_lock = (&maker).enter();
    Permits(&maker).begin(permits, bound);
    drop(own_lock);
    world
}

fn take(process: &Process) -> bool {
    Permits(process).acquire(Patience::None).expect("no lock of a thread that ended")
}

fn wait(process: &Process) {
    assert!(Permits(process).acquire(Patience::Forever).expect("no lock of a thread that ended"));
}

/// How many permits can be had, by one that sees all others dead.
fn count(process: &Process) -> u64 {
    (0..9).take_while(|_| take(process)).count() as u64
}

/// Has a permit twice, the second time until it dies.
fn takes_and_leaves(process: &Process) {
    wait(process);
    Permits(process).leave(1);
    wait(process);
}

/// Has both permits, and one of them until it dies.
fn takes_both(process: &Process) {
    wait(process);
    wait(process);
    Permits(process).leave(1);
}

/// Keeps a permit away, and gives it back by hand.
fn forgets_and_releases(process: &Process) {
    wait(process);
    Permits(process).leave(0);
    Permits(process).release().expect("it was forgotten");
    wait(process);
}

/// What one does before it dies, and how many permits are lost at most, since nobody has them.
type Life = (fn(&Process), u64);
const LIVES: [Life; 3] = [(takes_and_leaves, 0), (takes_both, 0), (forgets_and_releases, 1)];

/// Nobody dies, and no slice ends: every wake-up that is needed comes, or loom finds all asleep.
#[test]
fn each_permit_that_is_given_back_wakes_one() {
    model(3, || {
        let world = semaphore(2, 2, 3);
        let giver = Process::new(&world, 3, None);
        (0..2).for_each(|_| wait(&giver));
        let takers = [1, 2].map(|me| {
            let taker = Process::new(&world, me, None);
            thread::spawn(move || wait(&taker))
        });
        (0..2).for_each(|_| Permits(&giver).leave(1));
        takers.into_iter().for_each(|taker| taker.join().expect("no panic"));
        assert_eq!(Permits(&giver).available(), 0);
    });
}

/// One dies before any of its steps, beside one that waits for the permit that the other may have.
#[test]
fn who_waits_gets_what_the_dead_had() {
    each_death(2, |step| {
        let world = semaphore(1, UNBOUNDED, 2);
        let mortal = Process::new(&world, 1, Some(step));
        let survivor = Process::new(&world, 2, None);
        let victim = thread::spawn(move || mortal.live(|| takes_and_leaves(&mortal)));
        wait(&survivor);
        Permits(&survivor).leave(1);
        let lived = victim.join().expect("it is caught");
        assert_eq!(count(&survivor), 1);
        lived
    });
}

/// One that was woken dies, before it took what it was woken for or after: another that sleeps gets it.
#[test]
fn a_wake_up_to_the_dead_is_not_missed() {
    each_death(2, |step| {
        let world = semaphore(1, UNBOUNDED, 3);
        let giver = Process::new(&world, 3, None);
        wait(&giver);
        let mortal = Process::new(&world, 1, Some(step));
        let survivor = Process::new(&world, 2, None);
        let sleeper = thread::spawn(move || {
            wait(&survivor);
            Permits(&survivor).leave(1);
        });
        let victim = thread::spawn(move || mortal.live(|| wait(&mortal)));
        Permits(&giver).leave(1);
        sleeper.join().expect("no panic");
        let lived = victim.join().expect("it is caught");
        assert_eq!(count(&giver), 1);
        lived
    });
}

/// One dies before any of its steps, a second one before any of its own while it finishes what the first had begun; then a
/// third counts. Only deaths come between steps that are made under the lock, so these three follow each other.
#[test]
fn two_deaths_leave_all_permits() {
    for (first, second) in LIVES.iter().flat_map(|first| LIVES.map(|second| (*first, second))) {
        each_step(move |step| {
            let mut first_lived = false;
            each_step(|next| {
                let lived = one_after_another((first, step), (second, next));
                first_lived = lived[0];
                lived[1]
            });
            first_lived
        });
    }
}

fn one_after_another(first: (Life, u32), second: (Life, u32)) -> [bool; 2] {
    let mut given = model(0, move || {
        let world = semaphore(3, UNBOUNDED, 3);
        let lived = [(1, first), (2, second)].map(|(me, ((life, _), step))| {
            let process = Process::new(&world, me, Some(step));
            process.live(|| life(&process))
        });
        let forgotten = first.0.1 + second.0.1;
        let left = count(&Process::new(&world, 3, None));
        assert!((3 - forgotten..=3).contains(&left), "{left} permits of 3");
        lived
    });
    given.pop().expect("one case")
}

/// Another gives back by hand what the dead one had, and takes it for itself: more than the bound are never out or free.
#[test]
fn a_bound_is_kept() {
    each_death(2, |step| {
        let world = semaphore(1, 1, 3);
        let mortal = Process::new(&world, 1, Some(step));
        let survivor = Process::new(&world, 2, None);
        let victim = thread::spawn(move || mortal.live(|| _ = take(&mortal)));
        let _ = Permits(&survivor).release();
        let took = take(&survivor);
        let lived = victim.join().expect("it is caught");
        let third = Process::new(&world, 3, None);
        assert_eq!(count(&third) + u64::from(took), 1);
        let last = if took { &survivor } else { &third };
        Permits(last).leave(1);
        assert_eq!(Permits(last).available(), 1);
        lived
    });
}
