//! Clients that are killed at any moment, with whatever they hold.

use std::time::Duration;

use pool_runtime::manager::{List, Lock, Queue, Semaphore};
use pool_runtime::prelude::{Dict, Error, Process, pool_task, task};

use crate::War;
use crate::target::{Noise, Place};

/// What the good client and those that are killed have in common.
#[derive(Clone)]
pub struct Scene {
    pub place: Place,
    pub lock: Lock,
    pub permits: Semaphore,
    pub queue: Queue<List<u64>>,
    pub dict: Dict<u64, Vec<u64>>,
}

pub fn attack(scene: Scene, war: &War, mut noise: Noise) {
    war.wage(&war.killed, || {
        let Scene { place, lock, permits, queue, dict } = scene.clone();
        let process = Process::spawn(task!(busy(place, lock, permits, queue, dict)));
        let process = process.expect("it starts");
        std::thread::sleep(Duration::from_micros(noise.below(40_000)));
        process.kill().is_ok()
    });
}

/// Takes and gives back, until it is killed.
#[pool_task]
fn busy(
    place: Place,
    lock: Lock,
    permits: Semaphore,
    queue: Queue<List<u64>>,
    dict: Dict<u64, Vec<u64>>,
) -> Result<(), Error> {
    let manager = place.manager()?;
    for round in 0.. {
        let permit = permits.acquire()?;
        let list = manager.list()?;
        list.extend(0..50)?;
        queue.try_put(list).or_else(|_| queue.try_get().map(drop)).ok();
        // Another's death with the lock is no reason to stop.
        let guard = lock.lock();
        dict.insert(round % 20, vec![round; 100])?;
        drop((guard, permit));
    }
    Ok(())
}
