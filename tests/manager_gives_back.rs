//! What a process has in a manager comes back wherever its end finds it: with no descriptor left, in a thread that ends, with a
//! plain fork of the process still there.

mod common;

use std::cell::RefCell;

use common::{DEADLINE, is_program, program, run_well, watchdog};
use pool_runtime::manager::{Event, List, Lock, Value};
use pool_runtime::prelude::{Dict, ErrorKind, Manager, Process, Queue, managed, pool_task, task};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use serde::{Deserialize, Serialize};

/// As `fork`, of which the copy does nothing until it is killed.
fn fork_idle() -> i32 {
    #[expect(unsafe_code, reason = "a plain fork is the point")]
    // SAFETY: the copy calls nothing but `pause`, which is allowed whatever other threads were doing.
    match unsafe { libc::fork() } {
        0 => loop {
            // SAFETY: as above.
            unsafe { libc::pause() };
        },
        copy => copy,
    }
}

fn end(copy: i32) {
    kill_process(Pid::from_raw(copy).expect("a pid"), Signal::KILL).expect("it is there");
}

/// Many threads take and drop while few connections can be made: each is refused, or has what it took given back.
#[test]
fn what_is_dropped_when_descriptors_have_run_out_is_given_back() {
    let test = "what_is_dropped_when_descriptors_have_run_out_is_given_back";
    if !is_program() {
        run_well(&mut program(test));
        return;
    }
    const THREADS: usize = 60;
    let _dog = watchdog();
    let m = Manager::start().unwrap();
    let (value, semaphore) = (m.value(0_u64).unwrap(), m.semaphore(2).unwrap());
    let objects = m.objects().unwrap();
    let lists: Vec<List<u8>> = (0..THREADS).map(|_| m.list().unwrap()).collect();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(open + 8), ..limit }).unwrap();
    let take = |list: List<u8>| {
        let permit = semaphore.acquire();
        let took = value.lock().map(|mut value| *value += 1).is_ok();
        drop((list, permit));
        u64::from(took)
    };
    let take = &take;
    let took = std::thread::scope(|scope| {
        let threads: Vec<_> =
            lists.into_iter().map(|list| scope.spawn(move || take(list))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>()
    });
    setrlimit(Resource::Nofile, limit).unwrap();
    assert_eq!(value.get().unwrap(), took);
    let permits = [semaphore.try_acquire().unwrap(), semaphore.try_acquire().unwrap()];
    assert!(took > 0 && permits.iter().all(Option::is_some));
    drop(permits);
    assert_eq!(m.objects().unwrap(), objects);
}

#[pool_task]
fn holds_and_forks(lock: Lock, copies: Queue<i32>, never: Event) {
    let _guard = lock.lock().expect("the lock");
    copies.put(fork_idle()).expect("room");
    never.wait().expect("the server is there");
}

#[test]
fn a_plain_fork_of_a_dead_holder_keeps_nothing() {
    let _dog = watchdog();
    let m = Manager::start().expect("a server");
    let (lock, copies) = (m.lock().expect("a lock"), Queue::unbounded().expect("a queue"));
    let holder = task!(holds_and_forks(lock.clone(), copies.clone(), m.event().expect("an event")));
    let holder = Process::spawn(holder).expect("a process");
    let copy = copies.get().expect("its pid");
    holder.kill().expect("it is there");
    assert_eq!(lock.lock().map(drop).expect_err("it died").kind(), ErrorKind::OwnerDied);
    end(copy);
}

#[derive(Serialize, Deserialize)]
struct Forks;

#[managed]
impl Forks {
    pub fn fork(&self) -> i32 {
        fork_idle()
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// The copy comes back, too, as far as it is let.
    pub fn fork_and_return(&self) -> u32 {
        #[expect(unsafe_code, reason = "a plain fork is the point")]
        // SAFETY: the copy returns from this method at once.
        unsafe {
            libc::fork();
        }
        std::process::id()
    }
}

#[test]
fn a_plain_fork_of_a_dead_server_keeps_nobody_waiting() {
    let _dog = watchdog();
    let m = Manager::start().expect("a server");
    let (forks, event) = (m.create(Forks).expect("an object"), m.event().expect("an event"));
    let server = forks.pid().expect("a pid");
    assert_eq!(forks.fork_and_return().expect("one answer"), server);
    let copy = forks.fork().expect("a pid");
    let server = Pid::from_raw(server.cast_signed()).expect("a pid");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| event.wait());
        kill_process(server, Signal::KILL).expect("it is there");
        let error = waits.join().expect("no panic").expect_err("the server is gone");
        assert_eq!(error.kind(), ErrorKind::Disconnected);
    });
    assert_eq!(event.is_set().expect_err("it is gone").kind(), ErrorKind::Disconnected);
    end(copy);
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// Something to be done when a thread has all but ended.
struct Last(Option<Box<dyn FnOnce()>>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|last| last());
    }
}

/// Makes something on a thread, and does the rest when all values of the thread have been dropped that were made since it began.
fn at_the_end_of_a_thread<T: 'static>(
    make: impl FnOnce() -> T + Send + 'static,
    last: impl FnOnce(T) + Send + 'static,
) {
    let thread = std::thread::spawn(|| {
        LAST.set(None);
        let made = make();
        LAST.set(Some(Last(Some(Box::new(|| last(made))))));
    });
    thread.join().expect("no panic");
}

#[test]
fn a_thread_uses_and_gives_back_what_it_has_to_its_very_end() {
    let test = "a_thread_uses_and_gives_back_what_it_has_to_its_very_end";
    if !is_program() {
        run_well(&mut program(test));
        return;
    }
    let _dog = watchdog();
    let m: &Manager = Box::leak(Box::new(Manager::start().unwrap()));
    let lock: &Lock = Box::leak(Box::new(m.lock().unwrap()));
    let (value, semaphore) = (m.value(1_u64).unwrap(), m.semaphore(1).unwrap());
    let (own_value, own_semaphore) = (value.clone(), semaphore.clone());
    let calls = move |own: Value<u64>| {
        *own.lock().unwrap() += 1;
        own.set(own.get().unwrap() + 1).unwrap();
        drop((lock.lock().unwrap(), own_semaphore.acquire().unwrap()));
    };
    at_the_end_of_a_thread(move || own_value.lock().map(|_| own_value.clone()).unwrap(), calls);
    let permit = semaphore.clone();
    at_the_end_of_a_thread(move || (lock.lock().unwrap(), permit.acquire().unwrap()), drop);
    assert!(lock.try_lock().unwrap().is_some() && semaphore.try_acquire().unwrap().is_some());
    assert_eq!(value.get().unwrap(), 3);
}

#[test]
fn a_lock_whose_thread_has_ended_is_a_deadlock_to_whoever_tries() {
    let m = Manager::start().expect("a server");
    let lock = m.lock().expect("a lock");
    let own = lock.clone();
    std::thread::spawn(move || std::mem::forget(own.lock().expect("the lock")))
        .join()
        .expect("no panic");
    let kinds = [
        lock.lock().map(drop).expect_err("nobody gives it back").kind(),
        lock.try_lock().map(drop).expect_err("nobody gives it back").kind(),
        lock.lock_timeout(DEADLINE).map(drop).expect_err("nobody gives it back").kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Deadlock; 3]);
}

#[pool_task]
fn changes(old: Option<u64>, itself: Dict<u8, u64>) -> u64 {
    let new = old.unwrap_or(0) + 1;
    itself.insert(1, new).expect("the server is there");
    new
}

#[test]
fn a_task_that_changes_the_entry_it_is_run_for_comes_to_an_end() {
    let _dog = watchdog();
    let m = Manager::start().expect("a server");
    let dict = m.dict::<u8, u64>().expect("a dict");
    let error = dict.modify(1, task!(changes(_, dict.clone()))).expect_err("each time in vain");
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    assert_eq!(dict.modify(2, task!(changes(_, dict.clone()))).expect("another entry"), 1);
}
