//! A manager at its edges: objects that a method gives away, addresses of which one answers, proxies of another class.

use std::time::Duration;

use pool_runtime::manager;
use pool_runtime::prelude::*;
use pool_runtime::{Address, ToAddress};
use serde::{Deserialize, Serialize};

/// Longer than anything here takes, shorter than a test run may hang.
const LONG: Duration = Duration::from_secs(30);

#[derive(Default, Serialize, Deserialize)]
struct Shelf(Vec<List<u32>>);

#[managed]
impl Shelf {
    pub fn add(&mut self, list: List<u32>) {
        self.0.push(list);
    }

    pub fn take(&mut self) -> Option<List<u32>> {
        self.0.pop()
    }

    /// What it writes by itself, of a proxy that nobody else has.
    pub fn written(&mut self) -> String {
        self.0.pop().map_or_else(String::new, |list| serde_json::to_string(&list).expect("bytes"))
    }
}

// As everywhere: such bytes hold for a while, and the caller holds nothing for them.
#[test]
fn what_a_managed_object_writes_by_itself_is_held_for_a_while() {
    let m = Manager::start().expect("a server");
    let shelf = m.create(Shelf::default()).expect("an object");
    let list = m.list().expect("a list");
    list.push(7).expect("push");
    shelf.add(list).expect("add");
    let bytes = shelf.written().expect("bytes");
    // Nothing that one call held lasts to the next but one.
    shelf.take().expect("take");
    shelf.take().expect("take");
    let list: List<u32> = serde_json::from_str(&bytes).expect("it lives");
    assert_eq!(list.to_vec().expect("it lives"), [7]);
}

// Nobody else has the object when the method returns, and the caller does not have it yet.
#[test]
fn a_managed_object_gives_away_a_proxy_that_it_alone_had() {
    let m = Manager::start().expect("a server");
    let shelf = m.create(Shelf::default()).expect("an object");
    let list = m.list().expect("a list");
    list.push(7).expect("push");
    shelf.add(list).expect("add");
    let list = shelf.take().expect("take").expect("a list");
    assert_eq!(list.to_vec().expect("it lives"), [7]);
    drop(list);
    assert_eq!(m.objects().expect("count"), 1);
}

#[pool_task]
fn first_of(old: Option<List<u32>>, lists: List<List<u32>>) -> List<u32> {
    old.unwrap_or_else(|| lists.pop().expect("it lives").expect("a list"))
}

#[test]
fn modify_puts_a_proxy_that_its_task_alone_had() {
    let m = Manager::start().expect("a server");
    let (d, lists) = (m.dict().expect("a dict"), m.list().expect("a list"));
    let list = m.list().expect("a list");
    list.push(7).expect("push");
    lists.push(list).expect("push");
    drop(d.modify(1, task!(first_of(_, lists.clone()))).expect("modify"));
    let list: List<u32> = d.get(&1).expect("get").expect("an entry");
    assert_eq!(list.to_vec().expect("it lives"), [7]);
}

/// A host with several addresses.
struct Host(Vec<Address>);

impl ToAddress for Host {
    fn to_addresses(&self) -> Result<Vec<Address>, Error> {
        Ok(self.0.clone())
    }
}

/// Waits until its turn has come, and gives it on; then it passes the barrier.
#[pool_task]
fn takes_its_turn(
    shared: (manager::Lock, manager::Condition, manager::Value<u32>),
    barrier: manager::Barrier,
    me: u32,
) -> Result<usize, Error> {
    let (lock, turned, turn) = shared;
    let guard = turned.wait_for(lock.lock()?, || Ok(turn.get()? == me))?;
    turn.set(me + 1)?;
    turned.notify_all()?;
    drop(guard);
    barrier.wait()
}

// TestSyncManagerTypes.test_condition, test_barrier: between processes.
#[test]
fn processes_wake_each_other_and_meet() {
    let m = Manager::start().expect("a server");
    let lock = m.lock().expect("a lock");
    let turned = m.condition(&lock).expect("a condition");
    let (turn, barrier) = (m.value(0).expect("a value"), m.barrier(3).expect("a barrier"));
    // The last to start has the first turn.
    let others = [2, 1, 0].map(|me| {
        let shared = (lock.clone(), turned.clone(), turn.clone());
        Process::spawn(task!(takes_its_turn(shared, barrier.clone(), me))).expect("a process")
    });
    let join = |other: Process<Result<usize, Error>>| other.join().expect("ends").expect("it met");
    let mut places = others.map(join);
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2]);
    assert_eq!(turn.get().expect("get"), 3);
}

// As `localhost` is, where that has an address of each kind and the server listens at one.
#[test]
fn a_wrong_key_is_told_whatever_other_addresses_a_host_has() {
    let server = Manager::listen("127.0.0.1:0", b"key").expect("a server");
    let nobody = Address::Abstract(b"nobody listens here".to_vec());
    let there = Address::Tcp(server.address());
    for all in [[nobody.clone(), there.clone()], [there.clone(), nobody.clone()]] {
        let error = Manager::connect(Host(all.to_vec()), b"guess").expect_err("a wrong key");
        assert_eq!(error.kind(), ErrorKind::Authentication);
        let client = Manager::connect(Host(all.to_vec()), b"key").expect("somebody is there");
        assert_eq!(client.objects().expect("count"), 0);
    }
    let gone = Manager::connect(Host(vec![nobody]), b"key").expect_err("nobody is there");
    assert_eq!(gone.kind(), ErrorKind::Disconnected);
}

#[test]
fn a_proxy_of_another_class_is_an_error() {
    let m = Manager::start().expect("a server");
    let ns = m.namespace().expect("a namespace");
    ns.set("none", m.array::<u64>(&[]).expect("an array")).expect("set");
    ns.set("two", m.array([1_u64, 2]).expect("an array")).expect("set");
    for name in ["none", "two"] {
        let value: manager::Value<u64> = ns.get(name).expect("a proxy");
        assert_eq!(value.get().expect_err("no value").kind(), ErrorKind::Decode);
        assert_eq!(value.lock().expect_err("no value").kind(), ErrorKind::Decode);
        assert!(value.try_lock().is_err_and(|error| error.kind() == ErrorKind::Decode));
        let array: manager::Array<u64> = ns.get(name).expect("a proxy");
        drop(array.lock().expect("its lock is free"));
    }
}

/// Its end takes as long as it is told to.
#[derive(Serialize, Deserialize)]
struct Slow {
    begins: Event,
    may_end: Event,
    /// Its copy in the client is of no matter.
    in_server: bool,
}

#[managed]
impl Slow {
    pub fn touch(&mut self) {
        self.in_server = true;
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        if self.in_server {
            self.begins.set().expect("set");
            self.may_end.wait_timeout(LONG).expect("waits");
        }
    }
}

// What bytes alone held is let go of by the server when it sees that they are gone; that keeps nobody out.
#[test]
fn an_object_that_ends_slowly_keeps_no_client_waiting() {
    let m = Manager::listen("127.0.0.1:0", b"key").expect("a server");
    let (begins, may_end) = (Event::new().expect("an event"), Event::new().expect("an event"));
    let slow = Slow { begins: begins.clone(), may_end: may_end.clone(), in_server: false };
    let slow = m.create(slow).expect("an object");
    slow.touch().expect("touch");
    let q = Queue::unbounded().expect("a queue");
    q.put(slow).expect("put");
    drop(q);
    assert!(begins.wait_timeout(LONG).expect("waits"), "it is not let go of");
    let client = Client::connect(m.address(), b"key");
    may_end.set().expect("set");
    client.expect("the door is open");
}

// What a call takes along is counted for its time and not for longer, also where it is measured first.
#[test]
fn arguments_of_methods_leave_no_count() {
    let (m, other) = (Manager::start().expect("a server"), Manager::start().expect("a server"));
    let shelf = m.create(Shelf::default()).expect("an object");
    shelf.add(m.list().expect("a list")).expect("add");
    drop(shelf.take().expect("take"));
    assert_eq!(m.objects().expect("count"), 1);
    // An object of another server, of which the method has a proxy of its own.
    let list = other.list().expect("a list");
    shelf.add(list.clone()).expect("add");
    drop(list);
    let list = shelf.take().expect("take").expect("a list");
    list.push(7).expect("it lives");
}
