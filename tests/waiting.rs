//! Semaphores, conditions, events and barriers, within a process and between processes.
//!
//! The rows of CPython's `_TestSemaphore`, `_TestCondition`, `_TestEvent` and `_TestBarrier` are named where they are tested.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;

/// Long beyond anything that a machine under load needs.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(20);

type Flag = RawValue<AtomicU32>;

fn flag() -> Flag {
    Flag::new(0).expect("a flag")
}

/// Waits until the flag has come to `value`, without sleeping through it.
#[track_caller]
fn until(flag: &Flag, value: u32) {
    let begun = Instant::now();
    while flag.load(SeqCst) < value {
        assert!(begun.elapsed() < LONG, "waited in vain for {value}, it is {}", flag.load(SeqCst));
        thread::yield_now();
    }
}

// test_semaphore, test_bounded_semaphore, test_timeout
#[test]
fn a_semaphore_has_so_many_permits() {
    let semaphore = Semaphore::new(2).expect("a semaphore");
    let one = semaphore.acquire().expect("a permit");
    let two = semaphore.acquire().expect("a permit");
    assert_eq!(semaphore.available(), 0);
    assert!(semaphore.try_acquire().expect("no error").is_none());
    let begun = Instant::now();
    assert!(semaphore.acquire_timeout(SHORT).expect("no error").is_none());
    assert!(begun.elapsed() >= SHORT);
    drop(one);
    assert!(semaphore.try_acquire().expect("no error").is_some());
    two.forget();
    assert_eq!(semaphore.available(), 1);
    semaphore.release().expect("an unbounded one takes any");
    semaphore.release().expect("an unbounded one takes any");
    assert_eq!(semaphore.available(), 3);
}

#[test]
fn a_bounded_semaphore_refuses_one_too_many() {
    let semaphore = BoundedSemaphore::new(2).expect("a semaphore");
    semaphore.acquire().expect("a permit").forget();
    semaphore.release().expect("one was out");
    assert_eq!(semaphore.release().expect_err("none is out").kind(), ErrorKind::InvalidInput);
    assert_eq!(semaphore.available(), 2);
}

#[test]
fn a_permit_goes_to_another_thread() {
    let semaphore = Semaphore::new(1).expect("a semaphore");
    let permit = semaphore.acquire().expect("a permit");
    thread::spawn(move || drop(permit)).join().expect("it ends");
    assert_eq!(semaphore.available(), 1);
}

#[pool_task]
fn acquire_and_forget(semaphore: Semaphore) -> Result<(), Error> {
    semaphore.acquire()?.forget();
    Ok(())
}

#[pool_task]
fn acquire_and_die(semaphore: Semaphore, permits: u32) {
    let _permits: Vec<_> = (0..permits).map(|_| semaphore.acquire().expect("a permit")).collect();
    std::process::abort();
}

#[test]
fn permits_of_the_dead_are_free_again_and_forgotten_ones_are_not() {
    let semaphore = Semaphore::new(3).expect("a semaphore");
    Process::spawn(task!(acquire_and_forget(semaphore.clone())))
        .expect("a process")
        .join()
        .expect("ends")
        .expect("a permit");
    assert_eq!(semaphore.available(), 2);
    Process::spawn(task!(acquire_and_die(semaphore.clone(), 2)))
        .expect("a process")
        .join()
        .expect_err("it aborts");
    let _two = [semaphore.acquire().expect("a permit"), semaphore.acquire().expect("a permit")];
    assert!(semaphore.try_acquire().expect("no error").is_none());
    semaphore.release().expect("the forgotten one");
    assert!(semaphore.try_acquire().expect("no error").is_some());
}

#[pool_task]
fn wait_once(lock: Lock, condition: Condition, sleeping: Flag, woken: Flag) -> Result<(), Error> {
    let guard = lock.lock()?;
    sleeping.fetch_add(1, SeqCst);
    let guard = condition.wait(guard)?;
    woken.fetch_add(1, SeqCst);
    drop(guard);
    Ok(())
}

// test_notify, test_notify_n
#[test]
fn a_notification_wakes_as_many_as_it_says() {
    let lock = Lock::new().expect("a lock");
    let condition = Condition::new(&lock).expect("a condition");
    let (sleeping, woken) = (flag(), flag());
    let call = || wait_once(lock.clone(), condition.clone(), sleeping.clone(), woken.clone());
    let children: Vec<_> = (0..3)
        .map(|_| {
            Process::spawn(task!(wait_once(
                lock.clone(),
                condition.clone(),
                sleeping.clone(),
                woken.clone()
            )))
            .expect("a process")
        })
        .collect();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(call)).collect();
        until(&sleeping, 6);
        // All six have said so under the lock, so when it can be had they wait.
        drop(lock.lock().expect("the lock"));
        assert_eq!(condition.n_waiting(), 6);
        condition.notify_one().expect("notifies");
        until(&woken, 1);
        assert_eq!(condition.n_waiting(), 5);
        condition.notify(2).expect("notifies");
        until(&woken, 3);
        assert_eq!((condition.n_waiting(), woken.load(SeqCst)), (3, 3));
        condition.notify(4).expect("notifies");
        until(&woken, 6);
        condition.notify(3).expect("nobody waits");
        assert_eq!(condition.n_waiting(), 0);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic").expect("it waits"));
    });
    children.into_iter().for_each(|child| child.join().expect("ends").expect("it waits"));
}

// test_timeout, test_waitfor_timeout
#[test]
fn a_wait_ends_when_its_time_is_over() {
    let lock = Lock::new().expect("a lock");
    let condition = Condition::new(&lock).expect("a condition");
    let begun = Instant::now();
    let (guard, notified) =
        condition.wait_timeout(lock.lock().expect("free"), SHORT).expect("no error");
    assert!(!notified && begun.elapsed() >= SHORT);
    let (guard, notified) = condition.wait_timeout(guard, Duration::ZERO).expect("no error");
    assert!(!notified);
    let begun = Instant::now();
    let (guard, holds) = condition.wait_for_timeout(guard, || false, SHORT).expect("no error");
    assert!(!holds && begun.elapsed() >= SHORT);
    assert_eq!(condition.n_waiting(), 0);
    drop(guard);
}

#[pool_task]
fn notify_once(lock: Lock, condition: Condition) -> Result<(), Error> {
    let _guard = lock.lock()?;
    condition.notify_one()?;
    Ok(())
}

// test_wait_result
#[test]
fn a_wait_says_that_it_was_notified() {
    let lock = Lock::new().expect("a lock");
    let condition = Condition::new(&lock).expect("a condition");
    // Whoever notifies has to have the lock, and has it when this one waits.
    let guard = lock.lock().expect("free");
    let child =
        Process::spawn(task!(notify_once(lock.clone(), condition.clone()))).expect("a process");
    let (guard, notified) = condition.wait_timeout(guard, LONG).expect("no error");
    assert!(notified);
    drop(guard);
    child.join().expect("ends").expect("notifies");
}

#[pool_task]
fn count_down(lock: Lock, condition: Condition, count: Flag) -> Result<(), Error> {
    while count.load(SeqCst) > 0 {
        let _guard = lock.lock()?;
        count.fetch_sub(1, SeqCst);
        condition.notify_one()?;
    }
    Ok(())
}

// test_waitfor
#[test]
fn waiting_for_what_another_process_does() {
    let lock = Lock::new().expect("a lock");
    let condition = Condition::new(&lock).expect("a condition");
    let count = flag();
    count.store(4, SeqCst);
    let guard = lock.lock().expect("free");
    let child = Process::spawn(task!(count_down(lock.clone(), condition.clone(), count.clone())))
        .expect("a process");
    drop(condition.wait_for(guard, || count.load(SeqCst) == 0).expect("waits"));
    child.join().expect("ends").expect("counts");
}

#[test]
fn a_condition_waits_with_the_guard_of_a_value_too() {
    let lock = Lock::new().expect("a lock");
    let condition = Condition::new(&lock).expect("a condition");
    let value = Value::with_lock(0, &lock).expect("a value");
    thread::scope(|scope| {
        scope.spawn(|| {
            *value.lock().expect("the lock") = 1;
            condition.notify_all().expect("notifies");
        });
        let mut guard = value.lock().expect("the lock");
        while *guard == 0 {
            (guard, _) = condition.wait_timeout(guard, SHORT).expect("waits");
        }
    });
}

#[test]
fn a_foreign_guard_is_refused_and_its_lock_given_back() {
    let (lock, other) = (Lock::new().expect("a lock"), Lock::new().expect("a lock"));
    let condition = Condition::new(&lock).expect("a condition");
    let error = condition.wait(other.lock().expect("free")).expect_err("a foreign guard");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(other.try_lock().expect("no error").is_some());
}

#[test]
fn a_word_to_a_waiter_that_died_goes_to_the_next() {
    let lock = Lock::new().expect("a lock");
    let condition = Condition::new(&lock).expect("a condition");
    let (sleeping, woken) = (flag(), flag());
    let spawn = || {
        let call =
            task!(wait_once(lock.clone(), condition.clone(), sleeping.clone(), woken.clone()));
        Process::spawn(call).expect("a process")
    };
    let first = spawn();
    until(&sleeping, 1);
    let second = spawn();
    until(&sleeping, 2);
    drop(lock.lock().expect("the lock"));
    first.kill().expect("it is ours");
    first.join().expect_err("it was killed");
    condition.notify_one().expect("notifies");
    second.join().expect("ends").expect("it was woken");
    assert_eq!(woken.load(SeqCst), 1);
}

#[pool_task]
fn wait_for_event(event: Event) -> Result<(), Error> {
    event.wait()
}

// test_event, test_repr
#[test]
fn an_event_is_set_for_all() {
    let event = Event::new().expect("an event");
    assert!(!event.is_set());
    assert_eq!(format!("{event:?}"), "Event(unset)");
    assert!(!event.wait_timeout(Duration::ZERO).expect("no error"));
    let begun = Instant::now();
    assert!(!event.wait_timeout(SHORT).expect("no error"));
    assert!(begun.elapsed() >= SHORT);
    let children: Vec<_> = (0..2)
        .map(|_| Process::spawn(task!(wait_for_event(event.clone()))).expect("a process"))
        .collect();
    event.set().expect("sets");
    assert_eq!(format!("{event:?}"), "Event(set)");
    event.wait().expect("at once");
    children.into_iter().for_each(|child| child.join().expect("ends").expect("waits"));
    assert!(event.is_set() && event.wait_timeout(Duration::ZERO).expect("no error"));
    event.clear().expect("clears");
    assert!(!event.is_set());
    assert_eq!(format!("{event:?}"), "Event(unset)");
}

#[pool_task]
fn pass(
    barrier: Barrier,
    times: u32,
    passed: RawArray<AtomicU64>,
    me: u32,
) -> Result<Vec<usize>, Error> {
    let mut orders = Vec::new();
    for round in 0..u64::from(times) {
        passed[me as usize].store(round, SeqCst);
        orders.push(barrier.wait()?);
        // Nobody is a round behind, and nobody two ahead.
        for other in passed.iter() {
            let other = other.load(SeqCst);
            assert!(other == round || other == round + 1, "{other} in round {round}");
        }
        barrier.wait()?;
    }
    Ok(orders)
}

// test_barrier, test_barrier_10, test_wait_return, test_thousand
#[test]
fn parties_pass_a_barrier_in_lockstep() {
    const PARTIES: usize = 5;
    let barrier = Barrier::new(PARTIES).expect("a barrier");
    let passed = RawArray::<AtomicU64>::zeroed(PARTIES).expect("an array");
    let children: Vec<_> = (0..PARTIES as u32)
        .map(|me| {
            Process::spawn(task!(pass(barrier.clone(), 200, passed.clone(), me)))
                .expect("a process")
        })
        .collect();
    let orders: Vec<_> =
        children.into_iter().map(|child| child.join().expect("ends").expect("passes")).collect();
    for round in 0..200 {
        let mut all: Vec<_> = orders.iter().map(|orders| orders[round]).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4], "each number once");
    }
    assert_eq!((barrier.n_waiting(), barrier.parties(), barrier.is_broken()), (0, PARTIES, false));
}

// test_abort, test_abort_and_reset
#[test]
fn an_abort_breaks_a_barrier_until_it_is_reset() {
    let barrier = Barrier::new(3).expect("a barrier");
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..2).map(|_| scope.spawn(|| barrier.wait())).collect();
        let begun = Instant::now();
        while barrier.n_waiting() < 2 {
            assert!(begun.elapsed() < LONG);
            thread::yield_now();
        }
        barrier.abort().expect("aborts");
        for waiter in waiting {
            assert_eq!(
                waiter.join().expect("no panic").expect_err("broken").kind(),
                ErrorKind::Broken
            );
        }
    });
    assert!(barrier.is_broken());
    assert_eq!(barrier.wait().expect_err("broken").kind(), ErrorKind::Broken);
    barrier.reset().expect("resets");
    assert!(!barrier.is_broken());
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| barrier.wait())).collect();
        let mut orders: Vec<_> = waiting
            .into_iter()
            .map(|waiter| waiter.join().expect("no panic").expect("passes"))
            .collect();
        orders.sort_unstable();
        assert_eq!(orders, [0, 1, 2]);
    });
}

// test_timeout, test_default_timeout
#[test]
fn a_party_that_is_late_breaks_the_barrier() {
    let barrier = Barrier::new(2).expect("a barrier");
    assert_eq!(barrier.wait_timeout(SHORT).expect_err("nobody came").kind(), ErrorKind::Broken);
    assert!(barrier.is_broken());
    // Who comes after that is told too, here and elsewhere.
    assert_eq!(barrier.wait_timeout(LONG).expect_err("broken").kind(), ErrorKind::Broken);
    let late = Process::spawn(task!(wait_at(barrier.clone()))).expect("a process");
    assert_eq!(late.join().expect("ends").expect_err("broken").kind(), ErrorKind::Broken);
    let barrier = Barrier::with_timeout(2, SHORT).expect("a barrier");
    let begun = Instant::now();
    assert_eq!(barrier.wait().expect_err("nobody came").kind(), ErrorKind::Broken);
    assert!(begun.elapsed() >= SHORT);
    assert_eq!(Barrier::new(0).expect_err("nobody").kind(), ErrorKind::InvalidInput);
    assert_eq!(Barrier::new(1).expect("a barrier").wait().expect("alone"), 0);
}

#[pool_task]
fn wait_at(barrier: Barrier) -> Result<usize, Error> {
    barrier.wait()
}

#[test]
fn a_party_that_dies_breaks_the_barrier() {
    let barrier = Barrier::new(3).expect("a barrier");
    let party = Process::spawn(task!(wait_at(barrier.clone()))).expect("a process");
    let other = Process::spawn(task!(wait_at(barrier.clone()))).expect("a process");
    let begun = Instant::now();
    while barrier.n_waiting() < 2 {
        assert!(begun.elapsed() < LONG);
        thread::yield_now();
    }
    party.kill().expect("it is ours");
    assert_eq!(other.join().expect("ends").expect_err("broken").kind(), ErrorKind::Broken);
}
