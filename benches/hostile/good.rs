//! The good client: it is served, whatever else goes on.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use pool_runtime::manager::{LockGuard, Permit};
use pool_runtime::prelude::*;

use crate::killed::Scene;
use crate::target::Target;

/// No call takes longer, and nothing that the dead held is missed longer.
const LONG: Duration = Duration::from_secs(10);
const PERMITS: usize = 3;
/// How often somebody new comes.
const NEW: u64 = 50;

pub struct Good<'t> {
    target: &'t Target,
    scene: Scene,
    own: Dict<u64, u64>,
    objects: usize,
    slowest: Duration,
    /// How often the lock came from somebody who had died with it.
    deaths: Cell<u64>,
}

impl<'t> Good<'t> {
    pub fn new(target: &'t Target) -> Self {
        let m = &target.manager;
        let scene = Scene {
            place: target.place.clone(),
            lock: m.lock().expect("a lock"),
            permits: m.bounded_semaphore(PERMITS).expect("a semaphore"),
            queue: m.bounded_queue(10).expect("a queue"),
            dict: m.dict().expect("a dict"),
        };
        let own = m.dict().expect("a dict");
        let objects = m.objects().expect("count");
        Self { target, scene, own, objects, slowest: Duration::ZERO, deaths: Cell::new(0) }
    }

    pub fn scene(&self) -> Scene {
        self.scene.clone()
    }

    pub fn round(&mut self, round: u64) {
        let begun = Instant::now();
        let key = round % 100;
        self.own.insert(key, round).expect("it is served");
        assert_eq!(self.own.get(&key).expect("it is served"), Some(round));
        self.slowest = self.slowest.max(begun.elapsed());
        assert!(self.slowest < LONG, "{:?}", self.slowest);
        let permit = self.scene.permits.acquire_timeout(LONG).expect("it is served");
        assert!(permit.is_some(), "a permit was lost");
        drop(self.lock());
        for values in self.scene.dict.values().expect("it is served") {
            assert!(values.len() == 100 && values.iter().all(|value| *value == values[0]));
        }
        if round.is_multiple_of(NEW) {
            self.come_anew();
        }
    }

    /// Those that had it may have been killed, which is said once.
    fn lock(&self) -> LockGuard<'_> {
        let taken = self.scene.lock.lock_timeout(LONG).or_else(|error| {
            self.deaths.set(self.deaths.get() + 1);
            error.into_guard().map(Some).ok_or("no lock")
        });
        taken.expect("it is served").expect("a lock was lost")
    }

    /// Somebody who knows the key is let in. Whoever stands at the door when many come may be sent away, and comes again.
    fn come_anew(&self) {
        let begun = Instant::now();
        while let Err(error) = self.target.place.manager() {
            assert!(begun.elapsed() < LONG, "{error}");
        }
    }

    /// Afterwards everything is there that was lost with the dead, and nothing else.
    pub fn finish(&self) {
        let take = || self.scene.permits.acquire_timeout(LONG).expect("it is served");
        let all: Vec<Permit> = (0..PERMITS).filter_map(|_| take()).collect();
        assert_eq!(all.len(), PERMITS);
        assert!(self.scene.permits.try_acquire().expect("it is served").is_none());
        while self.scene.queue.try_get().is_ok() {}
        let (begun, objects) = (Instant::now(), || self.target.manager.objects().expect("count"));
        // Loans last a minute.
        while objects() > self.objects {
            assert!(begun.elapsed() < Duration::from_secs(90), "{} of {}", objects(), self.objects);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl fmt::Display for Good<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slowest call {:?}, {} died with the lock", self.slowest, self.deaths.get())
    }
}
