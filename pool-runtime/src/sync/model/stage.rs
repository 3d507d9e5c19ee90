//! What the models of objects stand on: words that loom knows, and processes that die before any step.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loom::sync::atomic::AtomicBool;
use loom::sync::{Arc, Condvar, Mutex};

use crate::error::Error;
use crate::sync::ground::Ground;
use crate::sync::slices::{Slice, Slices};

/// What the processes of a model share.
pub(super) struct World {
    /// Loom need not know them: who changes them holds the object's own lock, and who only looks is let between.
    words: Vec<AtomicU64>,
    /// Who holds the object's own lock; 0 is nobody. How it is taken, also from the dead, has models of its own.
    holder: Mutex<u64>,
    given_back: Condvar,
    /// Who sleeps on which word, as they came.
    asleep: Mutex<Vec<(usize, u64)>>,
    /// One per process.
    bells: Vec<Condvar>,
    dead: Vec<AtomicBool>,
}

impl World {
    pub(super) fn new(words: usize, processes: usize) -> Arc<Self> {
        Arc::new(Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            holder: Mutex::new(0),
            given_back: Condvar::new(),
            asleep: Mutex::new(Vec::new()),
            bells: (0..processes).map(|_| Condvar::new()).collect(),
            dead: (0..processes).map(|_| AtomicBool::new(false)).collect(),
        })
    }

    fn take(&self, process: u64) {
        let mut holder = self.holder.lock().expect("no panic");
        assert_ne!(*holder, process, "it would wait for itself");
        while *holder != 0 {
            holder = self.given_back.wait(holder).expect("no panic");
        }
        *holder = process;
    }

    fn give_back(&self, process: u64) {
        let mut holder = self.holder.lock().expect("no panic");
        if *holder == process {
            *holder = 0;
            self.given_back.notify_one();
        }
    }

    fn deaths(&self) -> usize {
        self.dead.iter().filter(|dead| dead.load(Ordering::SeqCst)).count()
    }

    /// Its lock is free, it is seen dead, and who sleeps finds out, as by the end of a slice. In this order, since one that was
    /// alive a moment ago may be taken for alive by those who have its lock already.
    fn bury(&self, process: u64) {
        self.give_back(process);
        self.dead[process as usize - 1].store(true, Ordering::SeqCst);
        self.asleep.lock().expect("no panic").clear();
        self.bells.iter().for_each(Condvar::notify_all);
    }
}

/// A process of a model, numbered from 1.
pub(super) struct Process {
    world: Arc<World>,
    me: u64,
    /// Whether it holds the object's own lock.
    holds: Cell<bool>,
    /// Steps that it takes before it dies.
    left: Cell<Option<u32>>,
    /// Deaths that it has looked after.
    heard: Cell<usize>,
}

/// How a process of a model dies: it unwinds, and does nothing on its way.
struct Death;

impl Process {
    pub(super) fn new(world: &Arc<World>, me: u64, left: Option<u32>) -> Self {
        Self {
            world: Arc::clone(world),
            me,
            holds: Cell::new(false),
            left: Cell::new(left),
            heard: Cell::new(0),
        }
    }

    pub(super) fn dies_before(&self, step: u32) {
        self.left.set(Some(step));
    }

    /// Runs what the process does, after which it is dead in any case. Says whether it had got through.
    pub(super) fn live(&self, run: impl FnOnce()) -> bool {
        let ended = catch_unwind(AssertUnwindSafe(run));
        // What a process has done is done before others see it dead.
        self.world.bury(self.me);
        match ended {
            Err(what) if !what.is::<Death>() => resume_unwind(what),
            ended => ended.is_ok(),
        }
    }

    pub(super) fn step(&self) {
        match self.left.get() {
            Some(0) => resume_unwind(Box::new(Death)),
            Some(left) => self.left.set(Some(left - 1)),
            None => {}
        }
    }

    /// Whether another one has died since it was asked last.
    fn hears(&self) -> bool {
        let deaths = self.world.deaths();
        self.heard.replace(deaths) < deaths
    }

    /// As the kernel does: the word is compared while nobody can wake. No slice ends, but when somebody has died.
    pub(super) fn sleep_while(
        &self,
        slices: &Slices,
        at: usize,
        is_still: impl FnOnce() -> bool,
    ) -> Slice {
        self.step();
        if slices.left() == Some(Duration::ZERO) {
            return Slice::Over;
        }
        let mut asleep = self.world.asleep.lock().expect("no panic");
        if self.hears() {
            return Slice::Passed;
        }
        if is_still() {
            asleep.push((at, self.me));
            drop(self.world.bells[self.me as usize - 1].wait(asleep));
        }
        if self.hears() { Slice::Passed } else { Slice::Woken }
    }

    /// Wakes all that sleep, where there is only one word to sleep on.
    pub(super) fn wake_all(&self) {
        self.step();
        let mut asleep = self.world.asleep.lock().expect("no panic");
        asleep.drain(..).for_each(|(_, one)| self.world.bells[one as usize - 1].notify_one());
    }
}

/// The object's own lock. One that dies keeps it until it is buried.
pub(super) struct Held<'a>(&'a Process);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.holds.set(false);
            self.0.world.give_back(self.0.me);
        }
    }
}

impl<'a> Ground for &'a Process {
    type Held = Held<'a>;

    fn enter(self) -> Result<Self::Held, Error> {
        self.step();
        self.world.take(self.me);
        self.holds.set(true);
        Ok(Held(self))
    }

    fn size(self) -> usize {
        self.world.words.len()
    }

    fn load(self, at: usize) -> u64 {
        if !self.holds.get() {
            drop(self.world.holder.lock().expect("no panic"));
        }
        self.world.words[at].load(Ordering::Acquire)
    }

    fn store(self, at: usize, value: u64) {
        self.step();
        assert!(self.holds.get(), "the object's own lock is not held");
        self.world.words[at].store(value, Ordering::Release);
    }

    fn me(self) -> u64 {
        self.me
    }

    fn seems_alive(self, process: u64) -> bool {
        !self.world.dead[process as usize - 1].load(Ordering::SeqCst)
    }

    fn sleep(self, slices: &mut Slices, at: usize, value: u32) -> Slice {
        self.sleep_while(slices, at, || self.load(at) as u32 == value)
    }

    fn wake(self, at: usize) {
        self.step();
        let mut asleep = self.world.asleep.lock().expect("no panic");
        if let Some(first) = asleep.iter().position(|&(word, _)| word == at) {
            self.world.bells[asleep.remove(first).1 as usize - 1].notify_one();
        }
    }
}

/// Runs every interleaving with so many preemptions; what each gave.
pub(super) fn model<R: Send + 'static>(
    preemptions: usize,
    run: impl Fn() -> R + Sync + Send + 'static,
) -> Vec<R> {
    let given = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let all = std::sync::Arc::clone(&given);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let one = run();
        all.lock().expect("no panic").push(one);
    });
    std::mem::take(&mut given.lock().expect("no panic"))
}

/// Runs `case` with a death before step 0, 1, and so on, until it says that the mortal one got through.
pub(super) fn each_step(mut case: impl FnMut(u32) -> bool) {
    let steps = (0..1000).take_while(|&step| !case(step)).count();
    assert!((1..1000).contains(&steps), "{steps} steps");
}

/// Every interleaving, with so many preemptions, of a case for every step before which its mortal one dies. It says whether that
/// one got through.
pub(super) fn each_death(
    preemptions: usize,
    case: impl Fn(u32) -> bool + Clone + Sync + Send + 'static,
) {
    each_step(|step| {
        let case = case.clone();
        model(preemptions, move || case(step)).into_iter().all(|lived| lived)
    });
}
