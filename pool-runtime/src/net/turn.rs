//! A mutex that is waited for no longer than there is time: whoever holds it may be waiting for somebody far away.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Turn<T> {
    /// Held for moments only.
    queue: Mutex<Queue>,
    over: Condvar,
    /// Locked by the one whose turn it is, so without a wait.
    thing: Mutex<T>,
}

#[derive(Debug, Default)]
struct Queue {
    taken: bool,
    waiting: usize,
}

/// It is the holder's turn until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken<'a, T> {
    thing: MutexGuard<'a, T>,
    // Dropped last: whoever comes next finds the mutex free.
    _end: End<'a>,
}

#[derive(Debug)]
struct End<'a> {
    queue: &'a Mutex<Queue>,
    over: &'a Condvar,
}

impl<T> Turn<T> {
    pub(crate) fn new(thing: T) -> Self {
        Self { queue: Mutex::default(), over: Condvar::new(), thing: Mutex::new(thing) }
    }

    /// Waits until it is nobody else's turn; `None` when that was not before `until`.
    pub(crate) fn take(&self, until: Option<Instant>) -> Option<Taken<'_, T>> {
        let mut queue = lock(&self.queue);
        while queue.taken {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return None;
            }
            queue.waiting += 1;
            queue = match left {
                None => self.over.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    self.over.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            queue.waiting -= 1;
        }
        queue.taken = true;
        drop(queue);
        let _end = End { queue: &self.queue, over: &self.over };
        Some(Taken { thing: lock(&self.thing), _end })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.thing
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.thing
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut queue = lock(self.queue);
        queue.taken = false;
        // A wake-up costs a system call, also when nobody waits.
        if queue.waiting > 0 {
            self.over.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn nobody_waits_longer_than_there_is_time() {
        let turn = Turn::new(0);
        let taken = turn.take(None).expect("it is free");
        assert!(turn.take(Some(Instant::now())).is_none());
        let soon = Instant::now() + Duration::from_millis(5);
        assert!(turn.take(Some(soon)).is_none());
        assert!(Instant::now() >= soon);
        drop(taken);
        assert!(turn.take(Some(Instant::now())).is_some());
    }

    #[test]
    fn one_after_the_other() {
        let turn = Turn::new(0_u32);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let mut taken = turn.take(None).expect("there is time");
                        let before = *taken;
                        std::thread::yield_now();
                        *taken = before + 1;
                    }
                });
            }
        });
        assert_eq!(*turn.take(None).expect("it is free"), 4000);
    }
}
