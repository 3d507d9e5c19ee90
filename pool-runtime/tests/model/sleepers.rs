//! Sleepers and those who wake them, in every order: no wake-up is lost. Nothing here wakes by the passing of time.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use crate::board::atomic::AtomicU32;
use crate::board::claim::{self, CLOSED};
use crate::board::layout::{Control, Tag, phase};
use crate::board::sleep::worth_waking;

/// As a worker does: takes, looks a while, sleeps.
fn work(control: &Control, me: usize, patience: u32, done: &AtomicU32) {
    let cell = &control.workers[me];
    let mut uncounted = 0;
    loop {
        if let Some(taken) = claim::take(control, cell, |_| 1) {
            done.fetch_add(taken.items.len() as u32, Release);
            cell.phase.store(phase::IDLE, Release);
            control.head.posted(&mut uncounted, taken.items.len() as u64, false);
            continue;
        }
        if control.head.closing.load(Acquire) != 0 {
            return;
        }
        let head = &control.head;
        head.count_rest(&mut uncounted);
        head.start_spinning();
        let found = (0..patience).any(|_| worth_waking(control));
        head.stop_spinning();
        if !found {
            head.worker_bed().sleep(None, || worth_waking(control), || ());
            if claim::has_work(control) {
                head.worker_bed().wake(1);
            }
        }
    }
}

fn publish(control: &Control, items: u32, closed: bool) {
    let mark = if closed { CLOSED } else { 0 };
    control.runs[0].avail.store(Tag::new(1, items | mark).pack(), Release);
    control.head.published(1);
}

fn open(control: &Control) {
    control.runs[0].avail.store(Tag::new(1, 0).pack(), Release);
    control.runs[0].next.store(Tag::new(1, 0).pack(), Release);
    control.queue[0].store(Tag::new(1, 0).pack(), Release);
    control.head.filled.store(1, Release);
    control.head.target.store(u64::MAX, Relaxed);
}

struct World {
    control: Box<Control>,
    done: AtomicU32,
}

fn world(patience: u32) -> (Arc<World>, Vec<shuttle::thread::JoinHandle<()>>) {
    let zero = crate::board::control();
    let world = Arc::new(World { control: zero, done: AtomicU32::new(0) });
    open(&world.control);
    let start = |me| {
        let world = Arc::clone(&world);
        shuttle::thread::spawn(move || work(&world.control, me, patience, &world.done))
    };
    let workers = (0..2).map(start).collect();
    (world, workers)
}

fn close(world: &World, workers: Vec<shuttle::thread::JoinHandle<()>>) {
    world.control.head.closing.store(1, Release);
    world.control.head.worker_bed().wake(u32::MAX);
    workers.into_iter().for_each(|worker| worker.join().expect("no panic"));
}

/// Waits until `done` items are done, as a thread of the parent does.
fn await_done(world: &World, done: u32, want: u64) {
    loop {
        // Read once: what comes after it is what there is to wait for.
        let seen = world.done.load(Acquire);
        if seen >= done {
            return;
        }
        let ready = || world.done.load(Acquire) != seen;
        world.control.head.await_posts(want, Duration::MAX, ready);
    }
}

#[test]
fn whoever_sleeps_is_woken_for_work() {
    for patience in [0, 2] {
        let body = move || {
            let (world, workers) = world(patience);
            for item in 1..=3 {
                publish(&world.control, item, item == 3);
                await_done(&world, item, 1);
            }
            close(&world, workers);
        };
        shuttle::check_random(body, 150);
        shuttle::check_pct(body, 150, 4);
    }
}

#[test]
fn two_threads_of_the_parent_wait_for_different_counts() {
    let body = || {
        let (world, workers) = world(1);
        let other = Arc::clone(&world);
        // One waits for the first, and waits no more then; the other waits for all.
        let waits = shuttle::thread::spawn(move || await_done(&other, 3, 3));
        for item in 1..=3 {
            publish(&world.control, item, item == 3);
        }
        await_done(&world, 1, 1);
        waits.join().expect("no panic");
        close(&world, workers);
    };
    shuttle::check_random(body, 150);
    shuttle::check_pct(body, 150, 4);
}
