//! Processes killed at random moments while they hold, take, give back and wait: whatever they were doing, the others go on.
//!
//! Some thousand kills per run in all. Each kill falls at a random moment of a loop that does nothing but take and give back,
//! and after each the survivors must get through within a bound, with whatever the dead one held given back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;

/// The most that going on after a death may take, on a machine under load.
const BOUND: Duration = Duration::from_secs(10);

/// One at a time: a busy machine makes the moments of the kills less random, not more.
static TURN: Mutex<()> = Mutex::new(());

/// A number below `n`, and other ones every run.
fn random(n: u64) -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(0);
    if STATE.load(SeqCst) == 0 {
        STATE.store(
            u64::from(std::process::id())
                ^ std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 7),
            SeqCst,
        );
    }
    let state = STATE
        .load(SeqCst)
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    STATE.store(state, SeqCst);
    (state >> 33) % n
}

/// Kills children of `make` at random moments, `rounds` in all, two living at any time, and runs `check` after each kill.
fn rounds(
    rounds: u32,
    beats: &RawValue<AtomicU64>,
    make: impl Fn() -> Process<()>,
    mut check: impl FnMut(),
) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut living = [make(), make()];
    for round in 0..rounds {
        let victim = round as usize % 2;
        // Not before it has begun; from then on at a random moment.
        let (before, begun) = (beats.load(SeqCst), Instant::now());
        while beats.load(SeqCst) < before + 2 && begun.elapsed() < BOUND {
            std::thread::yield_now();
        }
        a_moment();
        let next = make();
        let dead = std::mem::replace(&mut living[victim], next);
        dead.kill().expect("it is ours");
        dead.join().expect_err("it was killed");
        let begun = Instant::now();
        check();
        assert!(begun.elapsed() < BOUND, "round {round}: {:?}", begun.elapsed());
    }
}

/// Spins for a random moment.
fn a_moment() {
    (0..random(20_000)).for_each(|_| std::hint::spin_loop());
}

/// Waits until something holds, which takes no longer than [`BOUND`].
#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < BOUND, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

fn kill(process: Process<()>) {
    process.kill().expect("it is ours");
    process.join().expect_err("it was killed");
}

fn beats() -> RawValue<AtomicU64> {
    RawValue::new(0).expect("a count")
}

#[pool_task]
fn lock_for_ever(lock: Lock, inside: RawValue<AtomicU64>, beats: RawValue<AtomicU64>) {
    loop {
        let taken = lock.lock();
        let died = taken.is_err();
        let guard = taken.or_else(|error| error.into_guard().ok_or(())).expect("the lock");
        if died {
            inside.store(0, SeqCst);
        }
        assert_eq!(inside.swap(1, SeqCst), 0, "two hold the lock");
        inside.store(0, SeqCst);
        drop(guard);
        beats.fetch_add(1, SeqCst);
    }
}

#[test]
fn holders_and_waiters_of_a_lock() {
    let (lock, inside, beats) = (Lock::new().expect("a lock"), beats(), beats());
    let make = || {
        Process::spawn(task!(lock_for_ever(lock.clone(), inside.clone(), beats.clone())))
            .expect("a process")
    };
    rounds(400, &beats, make, || {
        let guard = lock.lock().or_else(|error| error.into_guard().ok_or(())).expect("the lock");
        // One that died inside has left this, and whoever takes the lock after it is told.
        inside.store(0, SeqCst);
        drop(guard);
    });
}

#[pool_task]
fn acquire_for_ever(semaphore: BoundedSemaphore, beats: RawValue<AtomicU64>) {
    loop {
        let permits = [semaphore.acquire(), semaphore.acquire()];
        beats.fetch_add(1, SeqCst);
        drop(permits);
    }
}

#[test]
fn holders_and_waiters_of_a_semaphore() {
    // Two processes of two permits each, and one that is asked for here: nobody can have the others' last.
    let (semaphore, beats) = (BoundedSemaphore::new(4).expect("a semaphore"), beats());
    let make = || {
        Process::spawn(task!(acquire_for_ever(semaphore.clone(), beats.clone())))
            .expect("a process")
    };
    rounds(250, &beats, make, || {
        drop(semaphore.acquire_timeout(BOUND).expect("no error").expect("a permit"));
        assert!(semaphore.available() <= 4);
    });
    // With everybody dead, all four can be had, and no fifth.
    let _all: Vec<_> = (0..4)
        .map(|_| semaphore.acquire_timeout(BOUND).expect("no error").expect("a permit"))
        .collect();
    assert!(semaphore.try_acquire().expect("no error").is_none());
}

#[pool_task]
fn wait_for_ever(value: Value<u64>, condition: Condition, beats: RawValue<AtomicU64>) {
    loop {
        let taken = value.lock().or_else(|error| error.into_guard().ok_or(()));
        beats.fetch_add(1, SeqCst);
        drop(condition.wait_timeout(taken.expect("the lock"), Duration::from_millis(1)));
    }
}

#[test]
fn waiters_for_a_condition() {
    let lock = Lock::new().expect("a lock");
    let condition = Condition::new(&lock).expect("a condition");
    let (value, beats) = (Value::with_lock(0, &lock).expect("a value"), beats());
    let make = || {
        Process::spawn(task!(wait_for_ever(value.clone(), condition.clone(), beats.clone())))
            .expect("a process")
    };
    rounds(200, &beats, make, || {
        condition.notify_one().expect("notifies");
        drop(lock.lock().or_else(|error| error.into_guard().ok_or(())).expect("the lock"));
    });
    condition.notify_all().expect("notifies");
    assert_eq!(condition.n_waiting(), 0);
}

#[pool_task]
fn meet_for_ever(barrier: Barrier, beats: RawValue<AtomicU64>) {
    loop {
        beats.fetch_add(1, SeqCst);
        if barrier.wait().is_err() {
            barrier.reset().expect("resets");
        }
    }
}

#[test]
fn parties_of_a_barrier() {
    let (barrier, beats) = (Barrier::new(2).expect("a barrier"), beats());
    let make =
        || Process::spawn(task!(meet_for_ever(barrier.clone(), beats.clone()))).expect("a process");
    rounds(150, &beats, make, || assert_eq!(barrier.parties(), 2));
    barrier.reset().expect("resets");
    assert_eq!(barrier.n_waiting(), 0);
}

#[pool_task]
fn make_and_drop_for_ever(beats: RawValue<AtomicU64>) {
    loop {
        let values: Vec<_> =
            (0..10).map(|n| Array::from_slice(&[n; 1000]).expect("an array")).collect();
        drop(values);
        beats.fetch_add(1, SeqCst);
    }
}

#[test]
fn makers_of_objects() {
    let beats = beats();
    let make = || Process::spawn(task!(make_and_drop_for_ever(beats.clone()))).expect("a process");
    rounds(100, &beats, make, || {
        let array = Array::<u64>::zeroed(1000).expect("an array");
        assert!(array.to_vec().expect("the values").iter().all(|&value| value == 0));
    });
}

#[pool_task]
fn hold_among_threads(lock: Lock, held: RawValue<AtomicU64>, end: Event) {
    for _ in 0..40 {
        let end = end.clone();
        std::thread::spawn(move || end.wait());
    }
    let _guard = lock.lock().expect("the lock");
    held.fetch_add(1, SeqCst);
    end.wait().expect("an end");
}

#[test]
fn a_holder_whose_process_is_being_killed_is_no_thread_that_ended() {
    for _ in 0..20 {
        let lock = Lock::new().expect("a lock");
        let held = RawValue::<AtomicU64>::new(0).expect("a flag");
        let end = Event::new().expect("an event");
        let holder = task!(hold_among_threads(lock.clone(), held.clone(), end));
        let holder = Process::spawn(holder).expect("a process");
        let begun = Instant::now();
        while held.load(SeqCst) == 0 {
            assert!(begun.elapsed() < BOUND, "it does not begin");
            std::thread::yield_now();
        }
        holder.kill().expect("it is ours");
        let error = loop {
            match lock.try_lock() {
                Ok(guard) => assert!(guard.is_none(), "nobody is told"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::OwnerDied, "{error}");
    }
}

#[pool_task]
fn wait_for_a_word(lock: Lock, condition: Condition, beats: RawValue<AtomicU64>) {
    let guard = lock.lock().expect("the lock");
    let _guard = condition.wait(guard).expect("a word");
    beats.fetch_add(1, SeqCst);
}

#[test]
fn a_word_to_one_that_dies_before_it_has_the_lock_goes_to_the_next() {
    let (lock, beats) = (Lock::new().expect("a lock"), beats());
    let condition = Condition::new(&lock).expect("a condition");
    let waits = |n| {
        let task = task!(wait_for_a_word(lock.clone(), condition.clone(), beats.clone()));
        let process = Process::spawn(task).expect("a process");
        until("it waits", || condition.n_waiting() == n);
        process
    };
    for round in 1..=30 {
        let (first, second) = (waits(1), waits(2));
        let guard = lock.lock().expect("the lock");
        condition.notify_one().expect("notifies");
        a_moment();
        kill(first);
        drop(guard);
        until("the second hears the word", || beats.load(SeqCst) == round);
        second.join().expect("it ends");
    }
}

#[test]
fn the_dead_do_not_wait_for_a_condition() {
    let lock = Lock::new().expect("a lock");
    let condition = Condition::new(&lock).expect("a condition");
    let task = task!(wait_for_a_word(lock.clone(), condition.clone(), beats()));
    let process = Process::spawn(task).expect("a process");
    until("it waits", || condition.n_waiting() == 1);
    kill(process);
    until("its death is seen", || condition.n_waiting() == 0);
}

#[test]
fn a_barrier_breaks_when_the_only_one_that_waits_dies() {
    let asks: [fn(&Barrier) -> bool; 2] = [Barrier::is_broken, |barrier| barrier.n_waiting() == 0];
    for has_seen in asks {
        let barrier = Barrier::new(3).expect("a barrier");
        let process = Process::spawn(task!(meet_for_ever(barrier.clone(), beats())));
        until("it waits", || barrier.n_waiting() == 1);
        kill(process.expect("a process"));
        until("its death is seen", || has_seen(&barrier));
        assert!(barrier.is_broken() && barrier.n_waiting() == 0);
        assert_eq!(barrier.wait().expect_err("it broke").kind(), ErrorKind::Broken);
    }
}

#[pool_task]
fn die_with_a_permit(semaphore: Semaphore) {
    std::mem::forget(semaphore.acquire().expect("a permit"));
    std::process::abort()
}

#[test]
fn the_permits_of_many_dead_come_back() {
    const MANY: usize = 300;
    let semaphore = Semaphore::new(MANY).expect("a semaphore");
    for _ in 0..MANY / 20 {
        let make = || Process::spawn(task!(die_with_a_permit(semaphore.clone())));
        let processes: Vec<_> = (0..20).map(|_| make().expect("a process")).collect();
        processes.into_iter().for_each(|process| drop(process.join().expect_err("it aborts")));
    }
    assert_eq!(semaphore.available(), 0);
    let permit = semaphore.acquire_timeout(BOUND).expect("no error");
    assert!(permit.is_some());
    assert_eq!(semaphore.available(), MANY - 1);
}
