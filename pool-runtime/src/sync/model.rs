//! The lock under every interleaving that matters: threads that take turns, and threads that die at any step.
//!
//! A model runs the very code of `word` on a ground whose words, sleeps and wake-ups loom knows.

mod flag;
mod notices;
mod parties;
mod permits;
mod stage;

use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::word::{self, Ground, Taken};
use crate::shm::owner::process_of;
use crate::sys::alive::Thread;

/// What the threads of a model share.
struct World {
    word: AtomicU64,
    bed: Mutex<()>,
    bell: Condvar,
    dead: [AtomicBool; 2],
    /// What the lock guards.
    guarded: UnsafeCell<u32>,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU64::new(0),
            bed: Mutex::new(()),
            bell: Condvar::new(),
            dead: [AtomicBool::new(false), AtomicBool::new(false)],
            guarded: UnsafeCell::new(0),
        })
    }

    fn enter(&self) {
        #[expect(unsafe_code, reason = "loom itself finds out whether two are here at once")]
        // SAFETY: if two were, loom would end the model here.
        self.guarded.with_mut(|guarded| unsafe { *guarded += 1 });
    }
}

/// A lock word that names thread `n`, of process `n`.
fn name(n: u64) -> u64 {
    1 | n << 32
}

/// One thread's view of the world. It dies before its step number `left`.
struct View {
    world: Arc<World>,
    left: std::cell::Cell<Option<u32>>,
    /// Sleeps end by themselves, as slices do; else only by a wake-up.
    slices: bool,
    /// Its time is over once it was woken; else it waits for ever.
    time: std::cell::Cell<Option<Duration>>,
}

/// How a thread of a model dies: it unwinds, and does nothing on its way.
struct Death;

impl View {
    fn step(&self) {
        match self.left.get() {
            Some(0) => std::panic::resume_unwind(Box::new(Death)),
            Some(left) => self.left.set(Some(left - 1)),
            None => {}
        }
    }
}

impl Ground for View {
    const LOOKS: u32 = 0;

    fn load(&self) -> u64 {
        self.step();
        self.world.word.load(Ordering::Relaxed)
    }

    fn replace(&self, old: u64, new: u64) -> bool {
        self.step();
        self.world.word.compare_exchange(old, new, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn swap(&self, new: u64) -> u64 {
        self.step();
        self.world.word.swap(new, Ordering::AcqRel)
    }

    fn sleep(&self, word: u64, _: Duration) -> bool {
        self.step();
        if self.slices {
            thread::yield_now();
            return false;
        }
        let bed = self.world.bed.lock().expect("no panic");
        // As the kernel does: the word is compared while nobody can wake.
        if self.world.word.load(Ordering::SeqCst) as u32 == word as u32 {
            drop(self.world.bell.wait(bed).expect("no panic"));
        }
        self.time.set(self.time.get().map(|_| Duration::ZERO));
        true
    }

    fn wake_one(&self) {
        self.step();
        let _bed = self.world.bed.lock().expect("no panic");
        self.world.bell.notify_one();
    }

    fn fate(&self, word: u64) -> Thread {
        self.step();
        match process_of(word).and_then(|process| self.world.dead.get(process)) {
            Some(dead) if dead.load(Ordering::SeqCst) => Thread::ProcessEnded,
            _ => Thread::Lives,
        }
    }

    fn left(&self) -> Option<Duration> {
        self.time.get()
    }
}

fn view(world: &Arc<World>, dies_after: Option<u32>, slices: bool) -> View {
    let (left, time) = (std::cell::Cell::new(dies_after), std::cell::Cell::new(None));
    View { world: Arc::clone(world), left, slices, time }
}

fn model(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

/// Nobody dies, and no slice ends: every wake-up that is needed comes, or loom finds all threads asleep.
#[test]
fn one_at_a_time_and_no_wake_up_lost() {
    model(3, || {
        let world = World::new();
        let threads: Vec<_> = (0..2)
            .map(|n| {
                let view = view(&world, None, false);
                thread::spawn(move || {
                    for _ in 0..2 {
                        assert_eq!(word::lock(&view, name(n)), Ok(Taken::Plainly));
                        view.world.enter();
                        word::unlock(&view);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(world.word.load(Ordering::SeqCst) & !crate::shm::owner::WAITERS, 0);
    });
}

#[test]
fn three_that_wait_for_each_other() {
    model(2, || {
        let world = World::new();
        let turn = |n| {
            let view = view(&world, None, false);
            move || {
                assert_eq!(word::lock(&view, name(n)), Ok(Taken::Plainly));
                view.world.enter();
                word::unlock(&view);
            }
        };
        let (one, two) = (thread::spawn(turn(0)), thread::spawn(turn(1)));
        turn(2)();
        one.join().expect("no panic");
        two.join().expect("no panic");
    });
}

/// Nobody dies, and no slice ends: one that gives up when it is woken leaves word that others wait.
#[test]
fn one_that_gives_up_takes_no_wake_up_along() {
    model(3, || {
        let world = World::new();
        let turn = |n, time| {
            let view = view(&world, None, false);
            view.time.set(time);
            move || match word::lock(&view, name(n)) {
                Ok(_) => word::unlock(&view),
                Err(refused) => assert_eq!(refused, word::Refused::NotNow),
            }
        };
        let (first, again) = (view(&world, None, false), turn(0, None));
        assert_eq!(word::lock(&first, name(0)), Ok(Taken::Plainly));
        let impatient = thread::spawn(turn(1, Some(Duration::MAX)));
        let patient = thread::spawn(turn(2, None));
        word::unlock(&first);
        again();
        impatient.join().expect("no panic");
        patient.join().expect("no panic");
    });
}

/// One dies before any of its steps; the other gets through twice, and is told at most once.
#[test]
fn a_death_at_any_step_leaves_a_lock_that_can_be_taken() {
    /// More than a thread takes to lock, be told, and unlock, so that it also dies outside.
    const STEPS: u32 = 9;
    for step in 0..STEPS {
        model(2, move || {
            let world = World::new();
            let mortal = view(&world, Some(step), true);
            let victim = thread::spawn(move || {
                let world = Arc::clone(&mortal.world);
                let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    if word::lock(&mortal, name(0)).is_ok() {
                        mortal.world.enter();
                        word::unlock(&mortal);
                    }
                }));
                // What a process has done is done before others see it dead.
                world.dead[0].store(true, Ordering::SeqCst);
                drop(lived);
            });
            let survivor = view(&world, None, true);
            let told: Vec<_> = (0..2)
                .map(|_| {
                    let taken = word::lock(&survivor, name(1)).expect("it can be had");
                    survivor.world.enter();
                    word::unlock(&survivor);
                    taken
                })
                .collect();
            assert!(told.iter().filter(|&&taken| taken == Taken::FromTheDead).count() <= 1);
            victim.join().expect("it is caught");
        });
    }
}
