//! The public API as its users write it, name by name: what stands here keeps its name, its meaning and its types.

mod common;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use common::watchdog;
use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}
#[pool_task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}
#[pool_task]
fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}
#[pool_task]
fn shout(name: &str, times: u32) -> String {
    name.to_uppercase().repeat(times as usize)
}
#[pool_task]
fn parse(path: PathBuf) -> Result<u64, String> {
    path.to_string_lossy().parse().map_err(|_| "no number".to_owned())
}
#[pool_task(name = "geo.area", retries = 2, timeout = "5s")]
fn area(p: (f64, f64)) -> f64 {
    p.0 * p.1
}
#[pool_task]
fn scale(k: f64, x: f64) -> f64 {
    k * x
}
#[pool_task]
fn fill(part: &mut [f64], k: f64) {
    part.fill(k);
}
#[pool_task]
fn bump(now: Option<u64>, by: u64) -> u64 {
    now.unwrap_or(0) + by
}
#[pool_task]
fn raise(value: Value<i64>, by: i64) -> i64 {
    let mut guard = value.lock().expect("nobody dies");
    *guard += by;
    *guard
}
#[pool_task]
fn put(queue: Queue<u64>, item: u64) {
    queue.put(item).expect("room");
}
#[pool_task]
fn start(_what: &str) -> Result<(), String> {
    Ok(())
}

#[derive(Clone, Serialize, Deserialize)]
struct Renderer {
    base: u32,
}

#[pool_task]
impl Renderer {
    #[pool_task]
    fn tile(&self, x: u32, y: u32) -> u32 {
        self.base + 10 * x + y
    }

    #[pool_task]
    fn row(&self, y: u32) -> u32 {
        self.base + y
    }
}

#[test]
fn the_macros() -> Result<(), Error> {
    let _dog = watchdog();
    assert_eq!(square(3), 9);
    assert_eq!(par_map!(square, 0..4)?, [0, 1, 4, 9]);
    assert_eq!(par_starmap!(add, [(1, 2), (3, 4)])?, [3, 7]);
    assert_eq!(par_apply!(add(2, 3))?, 5);
    assert_eq!(par_map!(scale(2.5, _), [1.0, 2.0])?, [2.5, 5.0]);
    assert_eq!(par_map!(norm, vec![vec![3.0, 4.0]])?, [5.0]);
    assert_eq!(par_map!(shout(_, 2), ["a", "b"])?, ["AA", "BB"]);
    assert_eq!(par_map!(parse, [PathBuf::from("7")])?, [Ok(7)]);
    assert_eq!(par_map!(area, [(2.0, 3.0)])?, [6.0]);
    let renderer = Renderer { base: 100 };
    assert_eq!(par_starmap!(renderer.tile, [(1, 2)])?, [112]);
    assert_eq!(par_map!(renderer.tile(_, 7), [1])?, [117]);
    assert_eq!(par_map!(renderer.row, [1])?, [101]);
    assert_eq!(par_apply!(renderer.tile(0, 7))?, 107);
    assert_eq!(par_map!(|x: u64| -> u64 { x + 1 }, 0..3)?, [1, 2, 3]);
    let pool = Pool::new(2)?;
    let timeout = Duration::from_secs(30);
    let all = par_map!(square, 0..10; pool = &pool, chunk_size = 3, timeout = timeout, retries = 1, progress = "squares")?;
    assert_eq!(all.len(), 10);
    let some: Vec<u64> =
        par_imap!(square, 0..; pool = &pool, window = 8)?.take(3).collect::<Result<_, _>>()?;
    assert_eq!(some, [0, 1, 4]);
    let mut by_index: Vec<(usize, Result<u64, Error>)> =
        par_imap_unordered!(square, 0..3; pool = &pool)?.collect();
    by_index.sort_by_key(|(index, _)| *index);
    assert_eq!(by_index.len(), 3);
    Ok(())
}

#[test]
fn asynchronous() -> Result<(), Error> {
    let _dog = watchdog();
    let pool = Pool::new(2)?;
    let (tell, told) = std::sync::mpsc::channel();
    let one: AsyncResult<u64> = par_apply_async!(square(5); pool = &pool)?;
    let all: AsyncResult<Vec<u64>> = par_map_async!(square, 0..3; pool = &pool, callback = move |all: Vec<u64>| tell.send(all.len()).unwrap_or(()), error_callback = |_: Error| ())?;
    let star: AsyncResult<Vec<i64>> = par_starmap_async!(add, vec![(1, 2)]; pool = &pool)?;
    one.wait();
    assert!(one.wait_timeout(Duration::from_secs(1)) && one.is_ready() && one.is_successful());
    assert_eq!(one.get_timeout(Duration::from_secs(1))?, 25);
    assert_eq!(all.get()?, [0, 1, 4]);
    assert_eq!(star.get()?, [3]);
    assert_eq!(told.recv_timeout(Duration::from_secs(30)), Ok(3));
    let calls: Vec<_> =
        (0..4).map(|x| par_apply_async!(square(x); pool = &pool)).collect::<Result<_, _>>()?;
    assert!(wait_any(&calls)? < 4);
    assert_eq!(as_completed(calls).count(), 4);
    par_apply_async!(square(1); pool = &pool)?.cancel();
    Ok(())
}

#[test]
fn pools() -> Result<(), Error> {
    let _dog = watchdog();
    let pool = Pool::builder()
        .workers(2)
        .initializer(task!(start("db.sqlite")))
        .finalizer(task!(start("nothing")))
        .max_tasks_per_worker(1000)
        .task_timeout(Duration::from_secs(60))
        .retries(1)
        .memory_limit(512 << 20)
        .env("KEY", "value")
        .current_dir("/")
        .nice(1)
        .cpu_affinity([0])
        .build()?;
    assert_eq!((pool.workers(), pool.worker_pids().len()), (2, 2));
    let _ = pool.stats();
    assert_eq!(pool.map::<square>(0..3)?, [0, 1, 4]);
    assert_eq!(pool.starmap::<add>([(1, 2)])?, [3]);
    assert_eq!(pool.apply::<add>((2, 3))?, 5);
    assert_eq!(pool.imap::<square>(0..3)?.count(), 3);
    assert_eq!(pool.imap_unordered::<square>(0..3)?.count(), 3);
    assert_eq!(pool.map_async::<square>(0..3)?.get()?, [0, 1, 4]);
    assert_eq!(pool.starmap_async::<add>(vec![(1, 2)])?.get()?, [3]);
    assert_eq!(pool.apply_async::<add>((1, 2))?.get()?, 3);
    pool.close();
    pool.join()?;
    pool.terminate();
    assert_eq!(
        par_apply!(square(1); pool = &pool).expect_err("it is closed").kind(),
        ErrorKind::Closed
    );
    let here = Pool::builder().in_process().build()?;
    assert_eq!(par_map!(square, 0..3; pool = here)?, [0, 1, 4]);
    Ok(())
}

#[test]
fn errors() {
    let _dog = watchdog();
    #[pool_task]
    fn fails(x: u64) -> u64 {
        assert!(x != 3, "three");
        x
    }
    let pool = Pool::new(2).expect("a pool");
    let error = par_map!(fails, 0..10; pool = &pool).expect_err("three fails");
    assert_eq!((error.kind(), error.index()), (ErrorKind::Panicked, Some(3)));
    assert!(error.task().is_some_and(|task| task.ends_with("fails")));
    assert!(error.worker_pid().is_some() && error.panic_message() == Some("three"));
    assert!(error.panic_location().is_some_and(|place| place.contains("contract.rs")));
    assert_eq!((error.signal(), error.exit_code()), (None, None));
    let _: Option<&str> = error.backtrace();
    let bytes = serde_json::to_string(&error.clone()).expect("an error is a value");
    let back: Error = serde_json::from_str(&bytes).expect("an error is a value");
    assert_eq!(back.to_string(), error.to_string());
    fn is<T: std::error::Error + Send + Sync + Clone + 'static>(_: T) {}
    is(error);
}

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Point {
    x: f64,
    y: f64,
}

#[test]
fn shared_state() -> Result<(), Error> {
    let _dog = watchdog();
    let v = Value::new(0i64)?;
    *v.lock()? += 1;
    assert_eq!(v.get()?, 1);
    v.set(5)?;
    assert_eq!(par_apply!(raise(v.clone(), 2))?, 7);
    assert_eq!(v.get()?, 7);
    let p = Value::new(Point { x: 1.0, y: 2.0 })?;
    p.lock()?.x = 3.0;
    assert_eq!(p.get()?.x, 3.0);
    assert!(Value::new(true)?.get()? && Value::new('x')?.get()? == 'x');
    let a = Array::<f64>::zeroed(1000)?;
    a.lock()?[3] = 1.5;
    a.set(4, 2.0)?;
    assert_eq!((a.get(3)?, a.get(4)?, a.len(), a.to_vec()?.len()), (1.5, 2.0, 1000, 1000));
    assert_eq!(a.get(1000).expect_err("out of range").kind(), ErrorKind::InvalidInput);
    assert_eq!(Array::from_slice(&[1, 2, 3])?.to_vec()?, [1, 2, 3]);
    let n = RawValue::<AtomicU64>::new(0)?;
    n.fetch_add(1, SeqCst);
    let h = RawArray::<AtomicU32>::zeroed(256)?;
    h[3].fetch_add(2, SeqCst);
    assert_eq!((n.load(SeqCst), h[3].load(SeqCst), h.len()), (1, 2, 256));
    let lock = Lock::new()?;
    let _ = (Value::with_lock(1u8, &lock)?, Array::with_lock(&[1u8], &lock)?);
    let mut b = SharedBuffer::<f64>::zeroed(1 << 10)?;
    par_map!(fill(_, 2.0), b.split_mut(8))?;
    assert!(b.iter().all(|x| *x == 2.0));
    let norms = par_map!(norm, b.split(8))?;
    assert_eq!(norms.len(), 8);
    let name = format!("pool-contract-{}", std::process::id());
    let m = SharedMemory::create(&name, 1 << 12)?;
    let again = SharedMemory::open(&name)?;
    m.write(8, b"hello")?;
    let mut bytes = [0; 5];
    again.read(8, &mut bytes)?;
    assert_eq!((&bytes, again.len() >= 1 << 12, m.name().contains(&name)), (b"hello", true, true));
    let _: *mut u8 = m.as_ptr();
    m.unlink()?;
    Ok(())
}

#[test]
fn synchronisation() -> Result<(), Error> {
    let _dog = watchdog();
    let soon = Duration::from_millis(1);
    let lock = Lock::new()?;
    let guard = lock.lock()?;
    assert!(lock.try_lock()?.is_none() && lock.lock_timeout(soon)?.is_none());
    assert_eq!(lock.lock().expect_err("it is held here").kind(), ErrorKind::Deadlock);
    drop(guard);
    let again = RLock::new()?;
    let (_one, _two) = (again.lock()?, again.lock()?);
    let semaphore = Semaphore::new(1)?;
    let permit = semaphore.acquire()?;
    assert!(semaphore.try_acquire()?.is_none() && semaphore.acquire_timeout(soon)?.is_none());
    permit.forget();
    semaphore.release()?;
    assert_eq!(
        BoundedSemaphore::new(1)?.release().expect_err("one too many").kind(),
        ErrorKind::InvalidInput
    );
    let condition = Condition::new(&lock)?;
    let guard = lock.lock()?;
    let (guard, woken) = condition.wait_timeout(guard, soon)?;
    assert!(!woken);
    let guard = condition.wait_for(guard, || true)?;
    condition.notify_one()?;
    condition.notify(2)?;
    condition.notify_all()?;
    drop(guard);
    let event = Event::new()?;
    assert!(!event.is_set() && !event.wait_timeout(soon)?);
    event.set()?;
    event.wait()?;
    event.clear()?;
    let barrier = Barrier::new(1)?;
    assert_eq!(
        (barrier.wait()?, barrier.parties(), barrier.n_waiting(), barrier.is_broken()),
        (0, 1, 0, false)
    );
    barrier.abort()?;
    assert_eq!(barrier.wait().expect_err("it is broken").kind(), ErrorKind::Broken);
    barrier.reset()?;
    Ok(())
}

#[test]
fn queues_pipes_processes() -> Result<(), Error> {
    let _dog = watchdog();
    let soon = Duration::from_millis(1);
    let queue = Queue::<u64>::bounded(1)?;
    queue.put(1)?;
    assert_eq!(queue.try_put(2).expect_err("full").kind(), ErrorKind::Full);
    assert_eq!(queue.put_timeout(2, soon).expect_err("full").kind(), ErrorKind::Full);
    assert_eq!((queue.len(), queue.get()?), (1, 1));
    assert_eq!(queue.try_get().expect_err("empty").kind(), ErrorKind::Empty);
    assert_eq!(queue.get_timeout(soon).expect_err("empty").kind(), ErrorKind::Empty);
    queue.task_done()?;
    queue.join()?;
    let other = Queue::<u64>::unbounded()?;
    let child: Process<()> = Process::spawn(task!(put(other.clone(), 7)))?;
    assert!(child.pid() > 0);
    child.join()?;
    assert!(!child.is_alive() && child.exit_code() == Some(0));
    assert_eq!(other.get()?, 7);
    queue.close()?;
    assert_eq!(queue.put(1).expect_err("closed").kind(), ErrorKind::Closed);
    let (a, b): (Connection<String>, Connection<String>) = pipe()?;
    a.send("hello".to_owned())?;
    assert!(b.poll(Duration::from_secs(30))?);
    assert_eq!(b.recv()?, "hello");
    assert_eq!(b.recv_timeout(soon).expect_err("nothing").kind(), ErrorKind::TimedOut);
    drop(a);
    assert_eq!(b.recv().expect_err("gone").kind(), ErrorKind::Disconnected);
    Ok(())
}

#[test]
fn connections() -> Result<(), Error> {
    let _dog = watchdog();
    let listener = Listener::bind("127.0.0.1:0", b"key")?;
    let address = listener.address();
    let client = std::thread::spawn(move || -> Result<Vec<u8>, Error> {
        let connection: ByteConnection = Client::connect(address, b"key")?;
        connection.send_bytes(b"question")?;
        connection.recv_bytes()
    });
    let connection = listener.accept()?;
    assert!(connection.poll(Duration::from_secs(30))?);
    assert_eq!(connection.recv_bytes()?, b"question");
    connection.send_bytes(b"answer")?;
    assert_eq!(client.join().expect("no panic")?, b"answer");
    Ok(())
}

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    count: u64,
}

#[managed]
impl Counter {
    pub fn add(&mut self, n: u64) -> u64 {
        self.count += n;
        self.count
    }
}

#[test]
fn managers() -> Result<(), Error> {
    let _dog = watchdog();
    let m = Manager::start()?;
    let d = m.dict::<String, u64>()?;
    assert_eq!(d.insert("a".into(), 1)?, None);
    assert_eq!(d.get(&"a".to_owned())?, Some(1));
    assert!(d.contains_key(&"a".to_owned())?);
    assert_eq!(d.modify("a".to_owned(), task!(bump(_, 3)))?, 4);
    d.update([("b".to_owned(), 2)])?;
    assert_eq!((d.len()?, d.keys()?.len(), d.values()?.len(), d.items()?.len()), (2, 2, 2, 2));
    assert_eq!(d.remove(&"a".to_owned())?, Some(4));
    d.clear()?;
    let l = m.list::<u64>()?;
    l.push(1)?;
    l.extend([2, 3])?;
    l.set(0, 9)?;
    assert_eq!((l.get(0)?, l.len()?, l.pop()?, l.to_vec()?), (9, 3, Some(3), vec![9, 2]));
    assert!(l.get(10).is_err());
    l.clear()?;
    let ns = m.namespace()?;
    ns.set("x", 5_u64)?;
    assert_eq!((ns.get::<u64>("x")?, ns.names()?), (5, vec!["x".to_owned()]));
    ns.remove("x")?;
    let c: Proxy<Counter> = m.create(Counter::default())?;
    assert_eq!(c.add(3)?, 3);
    let _ = (m.lock()?, m.rlock()?, m.semaphore(1)?, m.event()?, m.barrier(1)?, m.queue::<u64>()?);
    let remote = Manager::listen("127.0.0.1:0", b"key")?;
    let there = Manager::connect(remote.address(), b"key")?;
    assert_eq!(there.dict::<u64, u64>()?.len()?, 0);
    Ok(())
}

#[elapsed]
fn timed() -> u64 {
    7
}

#[test]
fn small_things() {
    assert_eq!(timed(), 7);
    assert!(cpu_count() >= 1 && !is_worker() && worker_index().is_none());
    let _ = (current_process(), parent_process(), active_children());
    pool_runtime::init();
    let _: HashMap<String, u64> = HashMap::new();
}
