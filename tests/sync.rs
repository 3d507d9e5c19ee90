//! Locks, within a process and between processes.
//!
//! The rows of CPython's `_TestLock` are named where they are tested; those of the others are in `waiting`.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::mpsc;
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

#[pool_task]
fn add_under(lock: Lock, counter: Flag, times: u32) -> Result<(), Error> {
    for _ in 0..times {
        let _guard = lock.lock()?;
        let now = counter.load(SeqCst);
        counter.store(now + 1, SeqCst);
    }
    Ok(())
}

#[pool_task]
fn add_to(value: Value<u64>, times: u32) -> Result<(), Error> {
    for _ in 0..times {
        *value.lock()? += 1;
    }
    Ok(())
}

/// Takes the lock, says so, and ends without giving it back.
#[pool_task]
fn die_with(lock: Lock, held: Flag) {
    let _guard = lock.lock().expect("the lock");
    held.store(1, SeqCst);
    std::process::abort();
}

#[pool_task]
fn die_with_value(value: Value<u64>) {
    let mut guard = value.lock().expect("the lock");
    *guard = 77;
    std::process::abort();
}

#[pool_task]
fn die_with_rlock(lock: RLock) {
    let _three = [lock.lock(), lock.lock(), lock.lock()];
    std::process::abort();
}

/// Holds the lock until told to go on.
#[pool_task]
fn hold(lock: Lock, held: Flag, go: Event) {
    let _guard = lock.lock().expect("the lock");
    held.store(1, SeqCst);
    go.wait().expect("waits");
}

// test_lock
#[test]
fn a_lock_has_one_holder() {
    let lock = Lock::new().expect("a lock");
    let guard = lock.lock().expect("it is free");
    assert!(lock.try_lock().expect("no error").is_none());
    thread::scope(|scope| {
        scope.spawn(|| assert!(lock.try_lock().expect("no error").is_none()));
    });
    drop(guard);
    assert!(lock.try_lock().expect("no error").is_some());
}

// test_lock_context
#[test]
fn a_guard_gives_back_what_it_holds_also_in_a_panic() {
    let lock = Lock::new().expect("a lock");
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _guard = lock.lock().expect("it is free");
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    assert!(lock.try_lock().expect("no error").is_some());
}

// test_lock: "release twice" cannot be written here; taking it twice is told.
#[test]
fn taking_a_lock_again_is_a_deadlock_and_no_hang() {
    let lock = Lock::new().expect("a lock");
    let _guard = lock.lock().expect("it is free");
    let error = lock.lock().expect_err("it is held here");
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    assert!(error.into_guard().is_none());
    let begun = Instant::now();
    assert!(lock.lock_timeout(SHORT).expect("no error").is_none());
    assert!(begun.elapsed() >= SHORT);

    let value = Value::with_lock(1, &lock).expect("a value");
    assert_eq!(value.get().expect_err("its lock is held here").kind(), ErrorKind::Deadlock);
    assert_eq!(value.set(2).expect_err("its lock is held here").kind(), ErrorKind::Deadlock);
}

// test_rlock, test_rlock_context
#[test]
fn an_rlock_counts() {
    let lock = RLock::new().expect("a lock");
    let guards =
        [lock.lock(), lock.lock(), lock.lock()].map(|guard| guard.expect("it is held here"));
    assert_eq!(lock.depth(), 3);
    let free_elsewhere = || {
        thread::scope(|scope| {
            scope.spawn(|| lock.try_lock().expect("no error").is_some()).join().expect("ends")
        })
    };
    for (n, guard) in guards.into_iter().enumerate() {
        assert!(!free_elsewhere());
        drop(guard);
        assert_eq!(lock.depth(), 2 - n);
    }
    assert!(free_elsewhere());
}

// test_repr_lock, test_repr_rlock
#[test]
fn the_debug_text_says_who_holds_it() {
    let (lock, rlock, event) = (
        Lock::new().expect("a lock"),
        RLock::new().expect("a lock"),
        Event::new().expect("an event"),
    );
    assert_eq!(format!("{lock:?}"), "Lock(held by nobody)");
    let guard = lock.lock().expect("it is free");
    let _twice = [rlock.lock(), rlock.lock()];
    assert_eq!(format!("{lock:?}"), "Lock(held by this thread)");
    assert_eq!(format!("{rlock:?}"), "RLock(held by this thread, 2 times)");
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(format!("{lock:?}"), "Lock(held by another thread)"));
    });
    drop(guard);
    let held = flag();
    let child =
        Process::spawn(task!(hold(lock.clone(), held.clone(), event.clone()))).expect("a process");
    until(&held, 1);
    assert_eq!(format!("{lock:?}"), "Lock(held by another process)");
    event.set().expect("sets");
    child.join().expect("it ends");
}

#[test]
fn processes_and_threads_exclude_each_other() {
    let (lock, counter, value) =
        (Lock::new().expect("a lock"), flag(), Value::new(0_u64).expect("a value"));
    let children: Vec<_> = (0..3)
        .map(|_| {
            Process::spawn(task!(add_under(lock.clone(), counter.clone(), 2000)))
                .expect("a process")
        })
        .collect();
    let others: Vec<_> = (0..3)
        .map(|_| Process::spawn(task!(add_to(value.clone(), 2000))).expect("a process"))
        .collect();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| add_under(lock.clone(), counter.clone(), 2000).expect("adds"));
            scope.spawn(|| add_to(value.clone(), 2000).expect("adds"));
        }
    });
    for child in children.into_iter().chain(others) {
        child.join().expect("it ends").expect("it adds");
    }
    assert_eq!(counter.load(SeqCst), 10_000);
    assert_eq!(value.get().expect("the value"), 10_000);
}

#[test]
fn a_dead_holder_is_told_at_once_and_once() {
    let (lock, held) = (Lock::new().expect("a lock"), flag());
    let child = Process::spawn(task!(die_with(lock.clone(), held.clone()))).expect("a process");
    until(&held, 1);
    child.join().expect_err("it aborts");
    let begun = Instant::now();
    let error = lock.lock().expect_err("its holder died");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(error.kind(), ErrorKind::OwnerDied);
    // The error has the lock, until it is dropped or converted.
    assert!(thread::scope(|scope| scope
        .spawn(|| lock.try_lock().expect("no error").is_none())
        .join()
        .expect("ends")));
    let guard = error.into_guard().expect("the lock");
    drop(guard);
    drop(lock.lock().expect("it is a lock like any other again"));
}

#[test]
fn converting_the_error_gives_the_lock_back() {
    fn convert(lock: &Lock) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        drop(lock.lock()?);
        Ok(())
    }
    fn convert_plainly(lock: &Lock) -> Result<(), Box<dyn std::error::Error>> {
        drop(lock.lock()?);
        Ok(())
    }
    let (lock, held) = (Lock::new().expect("a lock"), flag());
    let ways = [convert as fn(&Lock) -> _, |lock| {
        Ok(convert_plainly(lock).map_err(|error| error.to_string())?)
    }];
    for convert in ways {
        held.store(0, SeqCst);
        Process::spawn(task!(die_with(lock.clone(), held.clone())))
            .expect("a process")
            .join()
            .expect_err("it aborts");
        let told: Result<(), Box<dyn std::error::Error + Send + Sync>> = convert(&lock);
        let text = told.expect_err("its holder died").to_string();
        assert!(text.contains("died"), "{text}");
        convert(&lock).expect("it was told once");
    }
}

#[test]
fn a_value_tells_once_of_a_dead_holder() {
    let value = Value::new(1_u64).expect("a value");
    Process::spawn(task!(die_with_value(value.clone())))
        .expect("a process")
        .join()
        .expect_err("it aborts");
    assert_eq!(value.get().expect_err("its holder died").kind(), ErrorKind::OwnerDied);
    assert_eq!(value.get().expect("told once"), 77);
    Process::spawn(task!(die_with_value(value.clone())))
        .expect("a process")
        .join()
        .expect_err("it aborts");
    assert_eq!(value.set(5).expect_err("its holder died").kind(), ErrorKind::OwnerDied);
    assert_eq!(value.get().expect("told once"), 77);
}

#[test]
fn an_rlock_of_a_dead_holder_begins_anew() {
    let lock = RLock::new().expect("a lock");
    Process::spawn(task!(die_with_rlock(lock.clone())))
        .expect("a process")
        .join()
        .expect_err("it aborts");
    let error = lock.lock().expect_err("its holder died");
    assert_eq!(error.kind(), ErrorKind::OwnerDied);
    let guard = error.into_guard().expect("the lock");
    assert_eq!(lock.depth(), 1);
    drop(guard);
    assert!(lock.try_lock().expect("no error").is_some());
}

#[pool_task]
fn wait_for_lock(lock: Lock, ready: Flag) -> bool {
    ready.fetch_add(1, SeqCst);
    lock.lock().is_err()
}

#[test]
fn many_waiters_of_a_dead_holder_go_on_and_one_is_told() {
    let (lock, held, ready, event) =
        (Lock::new().expect("a lock"), flag(), flag(), Event::new().expect("an event"));
    let holder =
        Process::spawn(task!(hold(lock.clone(), held.clone(), event.clone()))).expect("a process");
    until(&held, 1);
    let waiters: Vec<_> = (0..8)
        .map(|_| {
            Process::spawn(task!(wait_for_lock(lock.clone(), ready.clone()))).expect("a process")
        })
        .collect();
    until(&ready, 8);
    holder.kill().expect("it is ours");
    let told: Vec<_> =
        waiters.into_iter().map(|waiter| waiter.join().expect("it goes on")).collect();
    assert_eq!(told.into_iter().filter(|&died| died).count(), 1);
}

/// glibc's robust mutex would report a dead owner here, and give out a second guard.
#[test]
fn a_thread_that_ended_with_its_guard_keeps_the_lock() {
    let lock: &'static Value<u64> = Box::leak(Box::new(Value::new(1).expect("a value")));
    let (give, take) = mpsc::channel();
    thread::spawn(move || {
        // The guard is leaked, and what it lends is still in use after the thread.
        let guard = Box::leak(Box::new(lock.lock().expect("it is free")));
        let leaked: &'static mut u64 = guard;
        give.send(leaked).expect("sent");
    })
    .join()
    .expect("it ends");
    let lent = take.recv().expect("sent");
    *lent = 5;
    assert_eq!(lock.lock().expect_err("no second guard").kind(), ErrorKind::Deadlock);
    assert_eq!(lock.get().expect_err("no second guard").kind(), ErrorKind::Deadlock);
    assert_eq!(*lent, 5);
    let elsewhere = Process::spawn(task!(kind_of_get(lock.clone())))
        .expect("a process")
        .join()
        .expect("it ends");
    assert_eq!(elsewhere, Some(ErrorKind::Deadlock));
}

#[pool_task]
fn kind_of_get(value: Value<u64>) -> Option<ErrorKind> {
    value.get().err().map(|error| error.kind())
}

/// Today's naive robust mutex crashes here: the kernel's list would run through memory that is gone.
#[test]
fn a_lock_whose_guard_was_forgotten_is_not_recycled() {
    for _ in 0..50 {
        let lock = Lock::new().expect("a lock");
        std::mem::forget(lock.lock().expect("it is free"));
        let bytes = serde_json::to_string(&lock).expect("bytes");
        drop(lock);
        let others: Vec<_> = (0..10).map(|_| Lock::new().expect("a lock")).collect();
        others.iter().for_each(|other| drop(other.lock().expect("it is free")));
        // It is still there, still held, and still this thread's.
        let again: Lock = serde_json::from_str(&bytes).expect("it lives");
        assert_eq!(again.lock().expect_err("it is held").kind(), ErrorKind::Deadlock);
    }
}

#[test]
fn a_permit_that_was_released_by_hand_does_not_count_twice() {
    let semaphore = BoundedSemaphore::new(1).expect("there is memory");
    let permit = semaphore.acquire().expect("it is free");
    semaphore.release().expect("one is taken");
    drop(permit);
    let first = semaphore.try_acquire().expect("it is ours");
    assert!(first.is_some() && semaphore.try_acquire().expect("it is ours").is_none());
}

#[pool_task]
fn has_a_permit(semaphore: BoundedSemaphore, connection: Connection<()>) {
    let _permit = semaphore.acquire().expect("it is free");
    connection.send(()).expect("the parent listens");
    let _ = connection.recv();
    std::process::abort()
}

#[test]
fn a_permit_that_is_out_again_does_not_come_back_from_the_dead() {
    let semaphore = BoundedSemaphore::new(1).expect("there is memory");
    let (here, there) = pipe().expect("a pipe");
    let process = Process::spawn(task!(has_a_permit(semaphore.clone(), there))).expect("it starts");
    here.recv().expect("it has the permit");
    semaphore.release().expect("one is taken");
    let permit = semaphore.acquire().expect("it was released");
    drop(here);
    process.join().expect_err("it died");
    assert!(semaphore.try_acquire().expect("it is ours").is_none());
    drop(permit);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn a_permit_that_is_out_again_does_not_come_back_from_the_living() {
    let semaphore = BoundedSemaphore::new(1).expect("there is memory");
    let permit = semaphore.acquire().expect("it is free");
    semaphore.release().expect("one is taken");
    let again = semaphore.acquire().expect("it was released");
    drop(permit);
    assert!(semaphore.try_acquire().expect("it is ours").is_none());
    drop(again);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn a_semaphore_of_all_permits_that_can_be_counted_gets_them_back() {
    let semaphore = Semaphore::new(usize::MAX).expect("there is memory");
    let permits: Vec<_> = (0..3).map(|_| semaphore.acquire().expect("they are free")).collect();
    drop(permits);
    assert_eq!(semaphore.available(), usize::MAX);
}
