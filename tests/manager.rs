//! The manager: its containers, who keeps what alive, and what happens when somebody dies.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use pool_runtime::manager;
use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// Longer than anything here takes, shorter than a test run may hang.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_dict_is_a_map() {
    let m = Manager::start().expect("a server");
    let d = m.dict::<String, u64>().expect("a dict");
    assert_eq!(d.insert("a".into(), 1).expect("insert"), None);
    assert_eq!(d.insert("a".into(), 2).expect("insert"), Some(1));
    assert_eq!(d.get("a").expect("get"), Some(2));
    assert_eq!(d.get(&"b".to_owned()).expect("get"), None);
    assert!(d.contains_key("a").expect("contains_key"));
    d.update((0..100).map(|n| (format!("k{n}"), n))).expect("update");
    assert_eq!(d.len().expect("len"), 101);
    let mut items = d.items().expect("items");
    items.sort();
    assert_eq!(items[0], ("a".to_owned(), 2));
    assert_eq!(d.keys().expect("keys").len(), d.values().expect("values").len());
    assert_eq!(d.remove("k7").expect("remove"), Some(7));
    assert_eq!(d.remove("k7").expect("remove"), None);
    d.clear().expect("clear");
    assert!(d.is_empty().expect("is_empty"));
}

#[pool_task]
fn fill(d: Dict<String, u64>, l: List<u64>, n: u64) -> Result<u64, Error> {
    d.insert(format!("{n}"), n * n)?;
    l.push(n)?;
    Ok(n)
}

// TestSyncManagerTypes.test_list, test_dict: children see and change what the parent made.
#[test]
fn workers_share_a_dict_and_a_list() {
    let m = Manager::start().expect("a server");
    let d = m.dict::<String, u64>().expect("a dict");
    let l = m.list::<u64>().expect("a list");
    let pool = Pool::new(2).expect("a pool");
    let done = par_map!(fill(d.clone(), l.clone(), _), 0..50; pool = &pool).expect("the map");
    assert!(done.into_iter().all(|done| done.is_ok()));
    assert_eq!(d.get("7").expect("get"), Some(49));
    let mut seen = l.to_vec().expect("to_vec");
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..50));
}

// _TestContainers.test_namespace, TestSyncManagerTypes.test_namespace
#[test]
fn a_namespace_has_values_of_any_type() {
    let m = Manager::start().expect("a server");
    let ns = m.namespace().expect("a namespace");
    ns.set("number", 1_u64).expect("set");
    ns.set("text", "one").expect("set");
    assert_eq!(ns.names().expect("names"), ["number", "text"]);
    assert_eq!(ns.get::<String>("text").expect("get"), "one");
    assert_eq!(ns.get::<(u64, u64)>("number").expect_err("another type").kind(), ErrorKind::Decode);
    ns.remove("number").expect("remove");
    assert_eq!(ns.remove("number").expect_err("gone").kind(), ErrorKind::NotFound);
    assert_eq!(ns.get::<u64>("number").expect_err("gone").kind(), ErrorKind::NotFound);
}

// TestSyncManagerTypes.test_list: pop, reverse; an index out of range is an error and the server goes on.
#[test]
fn a_list_is_a_list() {
    let m = Manager::start().expect("a server");
    let l = m.list::<u32>().expect("a list");
    l.extend(0..4).expect("extend");
    l.reverse().expect("reverse");
    l.insert(0, 9).expect("insert");
    assert_eq!(l.remove(1).expect("remove"), 3);
    l.set(1, 7).expect("set");
    assert_eq!(l.to_vec().expect("to_vec"), [9, 7, 1, 0]);
    for error in [l.get(4).map(drop), l.set(4, 0), l.remove(4).map(drop), l.insert(5, 0)] {
        assert_eq!(error.expect_err("out of range").kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(l.pop().expect("pop"), Some(0));
    l.clear().expect("clear");
    assert_eq!(l.pop().expect("pop"), None);
}

#[pool_task]
fn bump(old: Option<u64>, by: u64) -> u64 {
    old.unwrap_or(0) + by
}

#[pool_task]
fn spell(old: Option<char>) -> char {
    old.map_or('ä', |c| char::from_u32(c as u32 + 1).unwrap_or('a'))
}

#[pool_task]
fn join(by: &str, old: Option<String>) -> String {
    assert!(by != "panic", "told to");
    format!("{}{by}", old.unwrap_or_default())
}

#[pool_task]
fn bump_often(d: Dict<u8, u64>, times: u64) -> Result<(), Error> {
    (0..times).try_for_each(|_| d.modify(1, task!(bump(_, 1))).map(drop))
}

#[test]
fn modify_is_atomic() {
    let m = Manager::start().expect("a server");
    let d = m.dict::<u8, u64>().expect("a dict");
    let pool = Pool::new(3).expect("a pool");
    for done in par_map!(bump_often(d.clone(), _), [500, 500, 500]; pool = &pool).expect("the map")
    {
        done.expect("every call");
    }
    assert_eq!(d.get(&1).expect("get"), Some(1500));
}

#[test]
fn modify_takes_any_value_and_leaves_it_alone_after_a_panic() {
    let m = Manager::start().expect("a server");
    let chars = m.dict::<u8, char>().expect("a dict");
    assert_eq!(chars.modify(1, task!(spell(_))).expect("the first"), 'ä');
    assert_eq!(chars.modify(1, task!(spell(_))).expect("the second"), 'å');
    assert_eq!(chars.get(&1).expect("get"), Some('å'));
    let texts = m.dict::<u8, String>().expect("a dict");
    assert_eq!(texts.modify(1, task!(join("a", _))).expect("join"), "a");
    let error = texts.modify(1, task!(join("panic", _))).expect_err("it panicked");
    assert_eq!((error.kind(), error.panic_message()), (ErrorKind::Panicked, Some("told to")));
    assert_eq!(texts.modify(1, task!(join("b", _))).expect("join"), "ab");
}

// _TestContainers.test_dict_proxy_nested: what is inside lives as long as what it is in.
#[test]
fn proxies_nest_and_keep_their_objects_alive() {
    let m = Manager::start().expect("a server");
    let outer = m.dict::<String, List<u32>>().expect("a dict");
    let inner = m.list::<u32>().expect("a list");
    inner.push(1).expect("push");
    outer.insert("l".into(), inner).expect("insert");
    assert_eq!(m.objects().expect("count"), 2);
    let again = outer.get("l").expect("get").expect("it is there");
    again.push(2).expect("push");
    drop(again);
    let again = outer.remove("l").expect("remove").expect("it is there");
    assert_eq!(again.to_vec().expect("to_vec"), [1, 2]);
    drop((again, outer));
    assert_eq!(m.objects().expect("count"), 0);
}

#[test]
fn a_chain_of_many_objects_is_dropped_whole() {
    let m = Manager::start().expect("a server");
    #[derive(Serialize, Deserialize)]
    struct Node(Option<List<Node>>);
    let mut head = m.list::<Node>().expect("a list");
    for _ in 0..20_000 {
        let next = m.list().expect("a list");
        next.push(Node(Some(head))).expect("push");
        head = next;
    }
    drop(head);
    assert_eq!(m.objects().expect("count"), 0);
}

#[pool_task]
fn make(ns: Namespace, d: Dict<u8, List<u32>>) -> Result<List<u32>, Error> {
    let count: u32 = ns.get("count")?;
    let list = d.get(&0)?.ok_or_else(|| Error::new(ErrorKind::NotFound, "no list"))?;
    list.extend(0..count)?;
    Ok(list)
}

#[test]
fn a_task_may_return_a_proxy() {
    let m = Manager::start().expect("a server");
    let (ns, d) = (m.namespace().expect("a namespace"), m.dict().expect("a dict"));
    ns.set("count", 3_u32).expect("set");
    d.insert(0, m.list().expect("a list")).expect("insert");
    let list = par_apply!(make(ns, d.clone())).expect("the call").expect("the task");
    drop(d);
    assert_eq!(list.to_vec().expect("to_vec"), [0, 1, 2]);
}

#[test]
fn large_values_go_through() {
    let m = Manager::start().expect("a server");
    let d = m.dict::<u8, Vec<u8>>().expect("a dict");
    for len in [0, 1, 30_000, 32 << 10, (32 << 10) + 1, 5 << 20] {
        let value: Vec<u8> = (0..len).map(|at| (at % 255) as u8).collect();
        d.insert(1, value.clone()).expect("insert");
        assert!(d.get(&1).expect("get") == Some(value));
    }
}

// R12 of the anchors, shown the other way round; TestSyncManagerTypes.test_lock.
#[test]
fn a_lock_whose_owner_died_says_so_once() {
    let m = Manager::start().expect("a server");
    let lock = m.lock().expect("a lock");
    let value = m.value(7_u32).expect("a value");
    let pool = Pool::new(1).expect("a pool");
    let gone =
        par_apply!(die_with(lock.clone(), value.clone()); pool = &pool).expect_err("it died");
    assert_eq!(gone.kind(), ErrorKind::WorkerDied);
    let error = lock.lock().expect_err("the owner died");
    assert_eq!(error.kind(), ErrorKind::OwnerDied);
    let guard = error.into_guard().expect("the lock, recovered");
    assert!(lock.try_lock().expect("asked").is_none());
    drop(guard);
    drop(lock.lock().expect("a lock like any other"));
    assert_eq!(value.get().expect_err("the owner died").kind(), ErrorKind::OwnerDied);
    assert_eq!(value.get().expect("a value like any other"), 7);
}

#[pool_task]
fn die_with(lock: manager::Lock, value: manager::Value<u32>) {
    let _lock = lock.lock();
    let _value = value.lock();
    std::process::abort();
}

#[test]
fn locks_exclude_each_other_and_notice_deadlock() {
    let m = Manager::start().expect("a server");
    let (lock, rlock) = (m.lock().expect("a lock"), m.rlock().expect("a lock"));
    let outer = (lock.lock().expect("free"), rlock.lock().expect("free"));
    assert_eq!(lock.lock().expect_err("mine").kind(), ErrorKind::Deadlock);
    assert!(lock.lock_timeout(Duration::from_millis(5)).expect("in time").is_none());
    let inner = rlock.lock().expect("mine already");
    let there = {
        let rlock = rlock.clone();
        thread::spawn(move || rlock.try_lock().expect("asked").is_none())
    };
    assert!(there.join().expect("no panic"));
    drop((inner, outer));
    assert!(
        lock.try_lock().expect("asked").is_some() && rlock.try_lock().expect("asked").is_some()
    );
}

#[test]
fn a_thread_that_ends_with_a_lock_is_a_deadlock_for_others() {
    let m = Manager::start().expect("a server");
    let lock = m.lock().expect("a lock");
    let theirs = lock.clone();
    let waiter = lock.clone();
    let forgetful = thread::spawn(move || std::mem::forget(theirs.lock().expect("free")));
    forgetful.join().expect("no panic");
    // Its last act is seen by whoever waits already, and by whoever comes.
    assert_eq!(waiter.lock().expect_err("nobody gives it back").kind(), ErrorKind::Deadlock);
    assert_eq!(lock.try_lock().expect_err("nobody gives it back").kind(), ErrorKind::Deadlock);
}

// TestSyncManagerTypes.test_semaphore, test_event, test_barrier, test_condition, test_queue, test_joinable_queue, test_value
#[test]
fn a_blocked_call_blocks_nobody_else() {
    let m = Manager::start().expect("a server");
    let q = m.queue::<u32>().expect("a queue");
    let event = m.event().expect("an event");
    let semaphore = m.semaphore(0).expect("a semaphore");
    let blocked: Vec<_> = {
        let (q, event, semaphore) = (q.clone(), event.clone(), semaphore.clone());
        vec![
            thread::spawn(move || q.get().map(drop)),
            thread::spawn(move || event.wait()),
            thread::spawn(move || semaphore.acquire().map(drop)),
        ]
    };
    let d = m.dict::<u8, u8>().expect("a dict");
    for n in 0..100 {
        d.insert(n, n).expect("nobody is in the way");
    }
    q.put(1).expect("put");
    event.set().expect("set");
    semaphore.release().expect("release");
    for thread in blocked {
        thread.join().expect("no panic").expect("woken");
    }
}

#[test]
fn a_queue_ends_in_order() {
    let m = Manager::start().expect("a server");
    let q = m.bounded_queue::<String>(2).expect("a queue");
    q.put("a".into()).expect("put");
    q.put("b".into()).expect("put");
    assert_eq!(
        q.put_timeout("c".into(), Duration::from_millis(5)).expect_err("full").kind(),
        ErrorKind::Full
    );
    assert_eq!(q.len().expect("len"), 2);
    q.close().expect("close");
    assert_eq!(q.put("d".into()).expect_err("closed").kind(), ErrorKind::Closed);
    assert_eq!((q.get().expect("left"), q.get().expect("left")), ("a".into(), "b".into()));
    assert_eq!(q.get().expect_err("closed").kind(), ErrorKind::Closed);
    assert_eq!(
        q.join_timeout(Duration::from_millis(5)).expect_err("two to do").kind(),
        ErrorKind::TimedOut
    );
    q.task_done().expect("one");
    q.task_done().expect("two");
    q.join().expect("nothing to do");
    assert_eq!(q.task_done().expect_err("three").kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_barrier_passes_breaks_and_is_reset() {
    let m = Manager::start().expect("a server");
    let barrier = m.barrier(3).expect("a barrier");
    let others: Vec<_> =
        (0..2).map(|_| barrier.clone()).map(|b| thread::spawn(move || b.wait())).collect();
    let mut places = vec![barrier.wait().expect("three came")];
    places.extend(
        others.into_iter().map(|other| other.join().expect("no panic").expect("three came")),
    );
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2]);
    assert_eq!(
        barrier.wait_timeout(Duration::from_millis(5)).expect_err("alone").kind(),
        ErrorKind::TimedOut
    );
    assert!(barrier.is_broken().expect("asked"));
    assert_eq!(barrier.wait().expect_err("broken").kind(), ErrorKind::Broken);
    barrier.reset().expect("reset");
    assert_eq!((barrier.parties().expect("asked"), barrier.n_waiting().expect("asked")), (3, 0));
    assert_eq!(m.barrier(0).expect_err("for nobody").kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_condition_passes_a_baton() {
    let m = Manager::start().expect("a server");
    let lock = m.lock().expect("a lock");
    let (turned, turn) =
        (m.condition(&lock).expect("a condition"), m.value(0_u32).expect("a value"));
    let players: Vec<_> = (0..3)
        .map(|me| {
            let (lock, turned, turn) = (lock.clone(), turned.clone(), turn.clone());
            thread::spawn(move || -> Result<(), Error> {
                for round in 0..5 {
                    let guard =
                        turned.wait_for(lock.lock()?, || Ok(turn.get()? == round * 3 + me))?;
                    *turn.lock()? += 1;
                    turned.notify_all()?;
                    drop(guard);
                }
                Ok(())
            })
        })
        .collect();
    players.into_iter().for_each(|player| player.join().expect("no panic").expect("its turn came"));
    assert_eq!(turn.get().expect("get"), 15);
    let (guard, notified) =
        turned.wait_timeout(lock.lock().expect("free"), Duration::from_millis(5)).expect("waited");
    assert!(!notified);
    drop(guard);
    let other = m.lock().expect("a lock");
    let foreign = turned.wait(other.lock().expect("free")).expect_err("another lock");
    assert_eq!(foreign.kind(), ErrorKind::InvalidInput);
}

// _TestRemoteManager.test_remote: over TCP, with a key, from a third process.
#[test]
fn another_process_comes_over_tcp() {
    let m = Manager::listen("127.0.0.1:0", b"key").expect("a server");
    let address = m.address();
    let q = m.queue::<(String, Vec<u8>)>().expect("a queue");
    let pool = Pool::new(1).expect("a pool");
    par_apply!(visit(address.to_string(), q.clone()); pool = &pool)
        .expect("the call")
        .expect("the task");
    assert_eq!(q.get().expect("get"), ("schön".to_owned(), vec![0, 255]));
    assert_eq!(
        Manager::connect(address, b"other").expect_err("another key").kind(),
        ErrorKind::Authentication
    );
}

#[pool_task]
fn visit(address: String, q: manager::Queue<(String, Vec<u8>)>) -> Result<(), Error> {
    let m = Manager::connect(address, b"key")?;
    let d = m.dict::<u8, u8>()?;
    d.insert(1, 2)?;
    q.put(("schön".to_owned(), vec![0, 255]))
}

#[test]
fn a_unix_socket_will_do() {
    let path = std::env::temp_dir().join(format!("pool-manager-{}.sock", std::process::id()));
    let m = Manager::listen(&path, b"key").expect("a server");
    assert_eq!(m.address().port(), 0);
    let l = Manager::connect(&path, b"key").expect("a client").list::<u8>().expect("a list");
    l.push(1).expect("push");
    drop(m);
    assert!(!path.exists());
}

// _TestMyManager.test_mymanager_context: the end of the scope is the end of the server.
#[test]
fn a_server_that_is_gone_is_disconnected() {
    let m = Manager::start().expect("a server");
    let (d, q) = (m.dict::<u8, u8>().expect("a dict"), m.queue::<u8>().expect("a queue"));
    let blocked = thread::spawn(move || q.get());
    d.insert(1, 1).expect("insert");
    let started = Instant::now();
    drop(m);
    assert_eq!(d.get(&1).expect_err("gone").kind(), ErrorKind::Disconnected);
    assert_eq!(
        blocked.join().expect("no panic").expect_err("gone").kind(),
        ErrorKind::Disconnected
    );
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(d.clone().len().expect_err("gone").kind(), ErrorKind::Disconnected);
}

#[pool_task]
fn look_in(d: Dict<u8, u8>) -> bool {
    d.is_empty().is_ok()
}

#[test]
fn a_proxy_of_a_server_that_is_gone_does_not_travel() {
    let m = Manager::start().expect("a server");
    let d = m.dict::<u8, u8>().expect("a dict");
    let (here, there) = pipe().expect("a pipe");
    here.send(d.clone()).expect("sent");
    here.send(d.clone()).expect("sent");
    drop(there.recv().expect("the server is there"));
    drop(m);
    assert_eq!(there.recv().expect_err("it came too late").kind(), ErrorKind::Disconnected);
    assert_eq!(here.send(d.clone()).expect_err("gone").kind(), ErrorKind::Disconnected);
    assert_eq!(par_apply!(look_in(d.clone())).expect_err("gone").kind(), ErrorKind::Disconnected);
    let process = Process::spawn(task!(look_in(d.clone())));
    assert_eq!(process.expect_err("gone").kind(), ErrorKind::Disconnected);
    let other = Manager::start().expect("a server");
    let l = other.list().expect("a list");
    assert_eq!(l.push(d).expect_err("gone").kind(), ErrorKind::Disconnected);
    l.push(other.dict().expect("a dict")).expect("the connection goes on");
}

// As the permits of shared memory do, those of a manager go where they are wanted.
#[test]
fn a_permit_outlives_the_proxy_it_came_from_and_goes_to_other_threads() {
    let m = Manager::start().expect("a server");
    let semaphore = m.semaphore(2).expect("a semaphore");
    let permit = semaphore.clone().acquire().expect("a permit");
    semaphore.acquire().expect("a permit").forget();
    assert!(semaphore.try_acquire().expect("asked").is_none());
    thread::spawn(move || drop(permit)).join().expect("no panic");
    let last = semaphore.try_acquire().expect("asked").expect("it was given back");
    drop(semaphore);
    assert_eq!(m.objects().expect("count"), 1);
    last.forget();
    assert_eq!(m.objects().expect("count"), 0);
}

#[pool_task]
fn hold_until_killed(
    d: Dict<u8, List<u8>>,
    lock: manager::Lock,
    ready: manager::Event,
    never: manager::Event,
) -> Result<(), Error> {
    let _list = d.get(&0)?;
    let guard = lock.lock();
    ready.set()?;
    // Only the death of this process ends the wait.
    never.wait()?;
    drop(guard);
    Ok(())
}

// Clients that are killed at random moments give back their counts and their locks.
#[test]
fn killed_clients_leave_nothing_behind() {
    let m = Manager::start().expect("a server");
    let lock = m.lock().expect("a lock");
    let d = m.dict::<u8, List<u8>>().expect("a dict");
    for round in 0..10_u64 {
        d.insert(0, m.list().expect("a list")).expect("insert");
        let ready = m.event().expect("an event");
        let pool = Pool::new(1).expect("a pool");
        let held = par_apply_async!(hold_until_killed(d.clone(), lock.clone(), ready.clone(), m.event().expect("an event")); pool = &pool).expect("started");
        assert!(ready.wait_timeout(LONG).expect("wait"));
        // Now or a moment later: it is somewhere between setting the event and waiting for it.
        thread::yield_now();
        kill(pool.worker_pids()[0], round);
        assert_eq!(held.get().expect_err("killed").kind(), ErrorKind::WorkerDied);
        let taken = lock.lock_timeout(LONG);
        assert!(
            taken.is_ok_and(|guard| guard.is_some())
                || lock.lock_timeout(LONG).is_ok_and(|guard| guard.is_some())
        );
    }
}

fn kill(pid: u32, _round: u64) {
    assert!(
        std::process::Command::new("kill")
            .args(["-KILL", &pid.to_string()])
            .status()
            .expect("kill runs")
            .success()
    );
}

/// What knows which process it is in.
#[derive(Serialize, Deserialize)]
struct Inside;

#[managed]
impl Inside {
    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A generator of numbers that look random.
fn noise(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

// Junk, silence, wrong keys and half handshakes by the thousand: the server goes on, with as much memory as before.
#[test]
fn hostile_connections_do_no_harm() {
    let m = Manager::listen("127.0.0.1:0", b"key").expect("a server");
    let d = m.dict::<u64, u64>().expect("a dict");
    let address = m.address();
    let mut random = noise(0x1234_5678_9ABC_DEF1);
    let mut silent = Vec::new();
    let pid = m.create(Inside).and_then(|inside| inside.pid()).expect("a server");
    let mut after_warm_up = 0;
    let rounds = 1500;
    for round in 0..rounds {
        let mut stranger = TcpStream::connect(address).expect("connected");
        match random() % 4 {
            0 => {
                let junk: Vec<u8> = (0..random() % 300).map(|_| random() as u8).collect();
                let _ = stranger.write_all(&junk);
            }
            1 => {
                // A well-formed message that is no answer.
                let _ = stranger.write_all(&[0, 0, 0, 3, 1, 2, 3]);
            }
            2 => {
                let _ = stranger.read(&mut [0; 16]);
            }
            _ => silent.push(stranger),
        }
        if silent.len() > 200 {
            silent.clear();
        }
        if round % 100 == 0 {
            assert_eq!(
                Manager::connect(address, b"guess").expect_err("another key").kind(),
                ErrorKind::Authentication
            );
            d.insert(round, round).expect("the server goes on");
            drop(Manager::connect(address, b"key").expect("a friend is let in"));
        }
        if round == rounds / 3 {
            after_warm_up = resident_kib(pid);
        }
    }
    let at_the_end = resident_kib(pid);
    assert!(at_the_end <= after_warm_up + 4096, "{after_warm_up} KiB, then {at_the_end} KiB");
    assert_eq!(d.len().expect("len"), 15);
}

// What clients say that do know the key: forged openings, requests, references and lengths.
#[test]
fn a_friend_that_talks_nonsense_harms_nobody_else() {
    let m = Manager::listen("127.0.0.1:0", b"key").expect("a server");
    let d = m.dict::<u64, u64>().expect("a dict");
    let mut random = noise(0xFEED_5EED_1234_4321);
    for _ in 0..100 {
        let c = Client::connect(m.address(), b"key").expect("it knows the key");
        let junk: Vec<u8> = (0..random() % 400).map(|_| random() as u8).collect();
        c.send_bytes(&junk).expect("sent");
        assert!(
            c.recv_bytes_timeout(LONG).is_err_and(|error| error.kind() == ErrorKind::Disconnected)
        );
    }
    // Behind it the byte of a field of that name; before it the names `Control` and `Calls`, hashed, and their numbers.
    let session = [&[7_u8; 16][..], &[0x27]].concat();
    let control = Client::connect(m.address(), b"key").expect("it knows the key");
    control.send_bytes([&[0, 62, 191, 71][..], &session].concat()).expect("sent");
    control.recv_bytes_timeout(LONG).expect("welcome");
    let calls = Client::connect(m.address(), b"key").expect("it knows the key");
    calls.send_bytes([&[1, 206, 148, 239][..], &session].concat()).expect("sent");
    // Every one of them gets an answer, and that is an error or harmless.
    for _ in 0..3000 {
        let object = if random().is_multiple_of(2) { 0 } else { random() % 20 };
        let mut request = object.to_le_bytes().to_vec();
        request.extend_from_slice(&((random() % 30) as u32).to_le_bytes());
        request.extend(
            (0..random() % 60).map(|_| if random().is_multiple_of(3) { random() as u8 } else { 0 }),
        );
        calls.send_bytes(&request).expect("sent");
        calls.recv_bytes_timeout(LONG).expect("an answer");
    }
    calls.send_bytes(b"short").expect("sent");
    assert_eq!(calls.recv_bytes_timeout(LONG).expect("an answer")[0], 1);
    drop(calls);
    d.insert(1, 1).expect("the server goes on");
}

// The socket of the same machine asks for the key as well, though nobody else is told its name.
#[test]
fn the_socket_of_this_machine_asks_for_the_key() {
    let m = Manager::start().expect("a server");
    let names = std::fs::read_to_string("/proc/net/unix").expect("Linux");
    let names = names
        .lines()
        .filter_map(|line| line.split_whitespace().nth(7)?.strip_prefix("@pool-manager-"));
    // Other servers are there as well, and some of them are about to leave.
    let asks = names.filter(|name| {
        let address =
            UnixAddress::from_abstract_name(format!("pool-manager-{name}")).expect("a name");
        let Ok(mut stranger) = UnixStream::connect_addr(&address) else { return false };
        let mut asked = [0; 15];
        let heard = stranger.read_exact(&mut asked).is_ok();
        assert!(!heard || &asked[4..] == b"#CHALLENGE#");
        heard
    });
    assert!(asks.count() > 0);
    assert!(m.objects().is_ok());
}
