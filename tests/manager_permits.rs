//! Permits of a manager's semaphores when those that had them are killed.

mod common;

use common::{DEADLINE, eventually, watchdog};
use pool_runtime::manager::{Event, List, Permit, Semaphore};
use pool_runtime::prelude::{Dict, Error, Manager, Process, pool_task, task};

/// What processes tell each other.
struct Scene {
    manager: Manager,
    ready: Event,
    never: Event,
    own: Dict<u8, List<u8>>,
}

/// Takes so many permits to keep and so many to forget, says so, and waits for its death.
#[pool_task]
fn takes(
    semaphore: Semaphore,
    counts: [usize; 2],
    own: Dict<u8, List<u8>>,
    ready: Event,
    never: Event,
) -> Result<(), Error> {
    let (own, [keeps, forgets]) = (own.remove(&0)?, counts);
    let kept: Vec<_> = (0..keeps).map(|_| semaphore.acquire()).collect::<Result<_, _>>()?;
    (0..forgets).try_for_each(|_| semaphore.acquire().map(Permit::forget))?;
    ready.set()?;
    never.wait()?;
    drop((kept, own));
    Ok(())
}

impl Scene {
    fn new() -> Self {
        let manager = Manager::start().expect("a server");
        Self {
            ready: manager.event().expect("an event"),
            never: manager.event().expect("an event"),
            own: manager.dict().expect("a dict"),
            manager,
        }
    }

    /// Starts another process that has taken its permits, and an object that nobody else counts.
    fn other(&self, semaphore: &Semaphore, counts: [usize; 2]) -> Process<Result<(), Error>> {
        self.ready.clear().expect("the server is there");
        self.own.insert(0, self.manager.list().expect("a list")).expect("insert");
        let (own, ready, never) = (self.own.clone(), self.ready.clone(), self.never.clone());
        let process = Process::spawn(task!(takes(semaphore.clone(), counts, own, ready, never)));
        assert!(self.ready.wait_timeout(DEADLINE).expect("the server is there"));
        process.expect("it starts")
    }

    /// Kills it, and waits until the server has given back all that it had: its objects go last.
    fn kill(&self, process: &Process<Result<(), Error>>) {
        let before = self.manager.objects().expect("count");
        process.kill().expect("it is there");
        process.join().expect_err("killed");
        let now = || self.manager.objects().expect("count");
        eventually("the session ends", || now() < before);
    }
}

/// How many permits are free; afterwards they are again.
fn free(semaphore: &Semaphore) -> usize {
    let take = || semaphore.try_acquire().expect("the server is there");
    std::iter::from_fn(take).collect::<Vec<_>>().len()
}

#[test]
fn permits_of_the_killed_are_free_again() {
    let _dog = watchdog();
    let scene = Scene::new();
    for semaphore in [scene.manager.semaphore(3), scene.manager.bounded_semaphore(3)] {
        let semaphore = semaphore.expect("a semaphore");
        let mine = semaphore.acquire().expect("a permit");
        let process = scene.other(&semaphore, [2, 0]);
        assert_eq!(free(&semaphore), 0);
        scene.kill(&process);
        assert_eq!(free(&semaphore), 2);
        drop(mine);
        assert_eq!(free(&semaphore), 3);
    }
}

#[test]
fn one_that_waits_gets_the_permit_of_the_killed() {
    let _dog = watchdog();
    let scene = Scene::new();
    let semaphore = scene.manager.semaphore(1).expect("a semaphore");
    let process = scene.other(&semaphore, [1, 0]);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| semaphore.acquire_timeout(DEADLINE).map(|got| got.is_some()));
        scene.kill(&process);
        assert!(waiter.join().expect("no panic").expect("the server is there"));
    });
}

// Whoever forgets a permit leaves it to others: it comes back by their release, and not again by the death.
#[test]
fn a_forgotten_permit_comes_back_once() {
    let _dog = watchdog();
    let scene = Scene::new();
    for semaphore in [scene.manager.semaphore(3), scene.manager.bounded_semaphore(3)] {
        let semaphore = semaphore.expect("a semaphore");
        let process = scene.other(&semaphore, [1, 2]);
        semaphore.release().expect("one of the forgotten");
        assert_eq!(free(&semaphore), 1);
        scene.kill(&process);
        assert_eq!(free(&semaphore), 2);
        semaphore.release().expect("the other one");
        assert_eq!(free(&semaphore), 3);
    }
}

// Released by somebody else while it is in use, and out again: the death of the first must not make two of it.
#[test]
fn a_bound_holds_whoever_releases_and_dies() {
    let _dog = watchdog();
    let scene = Scene::new();
    let semaphore = scene.manager.bounded_semaphore(1).expect("a semaphore");
    let process = scene.other(&semaphore, [1, 0]);
    semaphore.release().expect("it is out");
    let mine = semaphore.try_acquire().expect("the server is there").expect("it was released");
    scene.kill(&process);
    assert_eq!(free(&semaphore), 0);
    drop(mine);
    assert_eq!(free(&semaphore), 1);
    semaphore.release().expect_err("it has all of its permits");
}
