//! Handles go wherever values go, mean nothing elsewhere, and leave nothing behind.

use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kit {
    name: String,
    lock: Lock,
    counters: Vec<Value<u64>>,
    maybe: Option<RawValue<AtomicU64>>,
}

fn kit() -> Kit {
    Kit {
        name: "kit".into(),
        lock: Lock::new().expect("a lock"),
        counters: (0..3).map(|_| Value::new(0).expect("a value")).collect(),
        maybe: Some(RawValue::new(0).expect("a value")),
    }
}

#[pool_task]
fn use_kit(kit: Kit, by: u64) -> Result<Kit, Error> {
    let guard = kit.lock.lock()?;
    kit.counters.iter().try_for_each(|counter| counter.set(counter.get()? + by))?;
    if let Some(count) = &kit.maybe {
        count.fetch_add(by, SeqCst);
    }
    drop(guard);
    Ok(kit)
}

/// Hands it on to a process of its own.
#[pool_task]
fn pass_on(kit: Kit) -> Result<u64, Error> {
    Process::spawn(task!(use_kit(kit.clone(), 10)))?.join()??;
    kit.counters[0].get()
}

// R10: in Python a lock in a task's argument is a RuntimeError.
#[test]
fn handles_go_in_structures_to_pools_that_were_there_before_them() {
    let pool = Pool::new(2).expect("a pool");
    assert_eq!(
        par_apply!(pass_on(kit()); pool = &pool).map(drop).map_err(|error| error.kind()),
        Ok(())
    );
    let kit = kit();
    let back = par_map!(use_kit(kit.clone(), _), [1_u64; 100]; pool = &pool).expect("runs");
    assert!(back.iter().all(Result::is_ok));
    assert_eq!(kit.counters[2].get().expect("a value"), 100);
    assert_eq!(kit.maybe.as_ref().expect("there").load(SeqCst), 100);
}

#[test]
fn handles_go_on_to_grandchildren() {
    let kit = kit();
    assert_eq!(
        Process::spawn(task!(pass_on(kit.clone())))
            .expect("a process")
            .join()
            .expect("ends")
            .expect("passes"),
        10
    );
    assert_eq!(kit.maybe.expect("there").load(SeqCst), 10);
}

#[test]
fn bytes_kept_elsewhere_open_while_the_object_lives() {
    let value = Value::new(5_u64).expect("a value");
    let bytes = serde_json::to_string(&value).expect("bytes");
    let again: Value<u64> = serde_json::from_str(&bytes).expect("it lives");
    again.set(6).expect("sets");
    assert_eq!(value.get().expect("a value"), 6);
    drop((value, again));
    let error = serde_json::from_str::<Value<u64>>(&bytes).expect_err("it is gone");
    assert!(error.to_string().contains("gone"), "{error}");
}

#[test]
fn bytes_of_another_kind_or_type_are_refused() {
    let (value, lock) = (Value::new(5_u64).expect("a value"), Lock::new().expect("a lock"));
    let (value, lock) = (
        serde_json::to_string(&value).expect("bytes"),
        serde_json::to_string(&lock).expect("bytes"),
    );
    assert!(serde_json::from_str::<Value<i64>>(&value).is_err());
    assert!(serde_json::from_str::<Value<bool>>(&value).is_err());
    assert!(serde_json::from_str::<Array<u64>>(&value).is_err());
    assert!(serde_json::from_str::<RawValue<AtomicU64>>(&value).is_err());
    assert!(serde_json::from_str::<Lock>(&value).is_err());
    assert!(serde_json::from_str::<RLock>(&lock).is_err());
    assert!(serde_json::from_str::<Semaphore>(&lock).is_err());
}

/// Two types may have the same name: of two blocks of a function, or of two versions of a crate.
#[test]
fn bytes_of_another_type_of_the_same_name_are_refused() {
    use pool_runtime::bytemuck::{CheckedBitPattern, NoUninit};
    let (number, text) = {
        #[derive(Clone, Copy, Debug, NoUninit, CheckedBitPattern)]
        #[repr(C)]
        struct Plain(u8);
        let number = Value::new(Plain(2)).expect("a value");
        let text = serde_json::to_string(&number).expect("bytes");
        (number, text)
    };
    #[derive(Clone, Copy, Debug, NoUninit, CheckedBitPattern)]
    #[repr(C)]
    struct Plain(bool);
    assert!(serde_json::from_str::<Value<Plain>>(&text).is_err());
    drop(number);
}

/// Another program is another tree: this one, started again by its file.
#[test]
fn bytes_of_another_tree_are_refused() {
    if let Ok(bytes) = std::env::var("HANDLE_FROM_ANOTHER_TREE") {
        let error = serde_json::from_str::<Value<u64>>(&bytes).expect_err("it is another tree's");
        assert!(error.to_string().contains("another tree"), "{error}");
        return;
    }
    let value = Value::new(5_u64).expect("a value");
    let own = std::env::current_exe().expect("a path");
    let mut other = Command::new(own);
    other.args(["--exact", "bytes_of_another_tree_are_refused"]);
    let bytes = serde_json::to_string(&value).expect("bytes");
    let output = other.env("HANDLE_FROM_ANOTHER_TREE", bytes).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[pool_task]
fn open_bytes(bytes: String) -> Option<ErrorKind> {
    serde_json::from_str::<Value<u64>>(&bytes).err().map(|_| ErrorKind::NotFound)
}

#[pool_task]
fn take_value(value: Value<u64>) -> u64 {
    value.get().unwrap_or(0)
}

#[test]
fn forged_bytes_are_errors_in_every_process() {
    let value = Value::new(5_u64).expect("a value");
    let bytes = serde_json::to_string(&value).expect("bytes");
    let forged: Vec<_> =
        (1..9).map(|digit| bytes.replacen(char::from(b'0' + digit), "7", 3)).collect();
    for forged in forged.iter().filter(|forged| **forged != bytes) {
        assert!(serde_json::from_str::<Value<u64>>(forged).is_err(), "{forged}");
    }
    let pool = Pool::new(1).expect("a pool");
    assert_eq!(
        par_apply!(open_bytes(forged[0].clone()); pool = &pool).expect("runs"),
        Some(ErrorKind::NotFound)
    );
    assert_eq!(par_apply!(take_value(value.clone()); pool = &pool).expect("runs"), 5);
}

#[pool_task]
fn make_values() -> (Value<u64>, Queue<u64>) {
    let queue = Queue::unbounded().expect("a queue");
    queue.put(8).expect("it is open");
    (Value::new(7).expect("a value"), queue)
}

/// Others look for the dead, and leave a child that has returned handles to its parent, however late that comes.
#[test]
fn a_result_waits_for_its_parent() {
    let child = Process::spawn(task!(make_values())).expect("a process");
    child.handle().join().expect("it ends");
    // Longer than a dead process is left to its parent for other reasons. Time must pass: there is nothing to wait for.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(12_500) {
        drop(Value::new(0));
        std::thread::sleep(Duration::from_millis(100));
    }
    let (value, queue) = child.join().expect("the values are there");
    assert_eq!((value.get().expect("a value"), queue.get().expect("an item")), (7, 8));
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("descriptors").count()
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("mappings").lines().count()
}

/// Shared memory that this process has touched, in KiB.
fn shared_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = text.lines().find(|line| line.starts_with("RssShmem:")).expect("the line");
    line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

fn make_everything() {
    let lock = Lock::new().expect("a lock");
    drop((
        RLock::new(),
        Semaphore::new(1),
        BoundedSemaphore::new(1),
        Event::new(),
        Barrier::new(2),
    ));
    drop((
        Condition::new(&lock),
        Value::new(1),
        Value::with_lock(1, &lock),
        Array::<u64>::zeroed(10_000),
    ));
    drop((RawValue::<AtomicU64>::new(1), RawArray::<AtomicU64>::zeroed(100)));
    let mut buffer = SharedBuffer::<u64>::zeroed(100_000).expect("a buffer");
    buffer.fill(1);
}

#[test]
fn a_thousand_objects_made_and_dropped_leave_everything_where_it_was() {
    // In a process of its own: others tests have pools, and those have descriptors.
    if std::env::var_os("COUNT_WHAT_IS_LEFT").is_none() {
        let own = std::env::current_exe().expect("a path");
        let mut other = Command::new(own);
        other.args([
            "--exact",
            "a_thousand_objects_made_and_dropped_leave_everything_where_it_was",
            "--test-threads=1",
        ]);
        let output = other.env("COUNT_WHAT_IS_LEFT", "1").output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    (0..100).for_each(|_| make_everything());
    let before = (descriptors(), mappings());
    let memory = shared_kib();
    (0..1000).for_each(|_| make_everything());
    assert_eq!((descriptors(), mappings()), before);
    assert!(shared_kib() <= memory + 64, "{} KiB more", shared_kib() - memory);
}

#[test]
fn thousands_of_values_take_no_descriptors() {
    let lock = Lock::new().expect("a lock");
    let before = descriptors();
    let values: Vec<_> = (0..10_000).map(|n| Value::new(n).expect("a value")).collect();
    // Other tests open some of their own meanwhile.
    assert!(descriptors() < before + 1000);
    assert!(values.iter().enumerate().all(|(n, value)| value.get().expect("a value") == n));
    drop(lock);
}

#[pool_task]
fn keep_and_die(arrays: Vec<Array<u8>>, opened: Event) {
    opened.set().expect("sets");
    drop(arrays[0].lock());
    std::process::abort();
}

/// What the dead held is given back once nobody else holds it.
#[test]
fn memory_comes_back_when_its_last_holder_dies() {
    let arrays: Vec<_> = (0..20).map(|_| Array::<u8>::zeroed(1000).expect("an array")).collect();
    let bytes: Vec<_> =
        arrays.iter().map(|array| serde_json::to_string(array).expect("bytes")).collect();
    let opened = Event::new().expect("an event");
    let holder =
        Process::spawn(task!(keep_and_die(arrays.clone(), opened.clone()))).expect("a process");
    opened.wait().expect("waits");
    drop(arrays);
    holder.join().expect_err("it aborts");
    // It keeps what its arguments named.
    drop(holder);
    // A sweep runs now and then, when objects are made; a dead child is left to its parent for a while first.
    let begun = Instant::now();
    while bytes.iter().any(|bytes| serde_json::from_str::<Array<u8>>(bytes).is_ok()) {
        assert!(begun.elapsed().as_secs() < 30, "it never came back");
        drop(Value::new(0));
        std::thread::yield_now();
    }
}

/// Is decoded only after the deaths that were seen before have been dealt with to the end.
#[derive(Debug, Serialize)]
struct Late(());

impl<'de> Deserialize<'de> for Late {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        static OTHER: LazyLock<Pool> = LazyLock::new(|| Pool::new(1).expect("a pool"));
        // Deaths are dealt with one after the other, in all pools.
        let error = par_apply!(leave(); pool = &*OTHER).expect_err("it leaves");
        assert_eq!(error.exit_code(), Some(0));
        <()>::deserialize(deserializer).map(Self)
    }
}

#[pool_task]
fn leave() {
    std::process::exit(0);
}

#[derive(Debug, Serialize, Deserialize)]
struct Made {
    late: Late,
    values: Vec<Value<u64>>,
    array: Array<u64>,
}

/// Fails at 1, so that what came before is posted, and dies at 4, when what came between is not.
#[pool_task]
fn make(n: u64, runs: Value<u64>) -> Made {
    runs.set(runs.get().expect("a value") + 1).expect("sets");
    assert_ne!(n, 1);
    if n == 4 {
        std::process::abort();
    }
    Made {
        late: Late(()),
        values: (0..20).map(|at| Value::new(n + at).expect("a value")).collect(),
        array: Array::from_slice(&[n; 100]).expect("an array"),
    }
}

#[test]
fn results_with_handles_outlive_the_worker_that_made_them() {
    let (pool, runs) = (Pool::new(1).expect("a pool"), Value::new(0_u64).expect("a value"));
    let made = par_imap!(make(_, runs.clone()), 0..8; pool = &pool, chunk_size = 8);
    for (n, made) in (0..8).zip(made.expect("a stream")) {
        match made {
            Ok(made) => {
                assert_eq!(made.values[19].get().expect("a value"), n + 19);
                assert_eq!(made.array.get(99).expect("a value"), n);
            }
            Err(error) if n == 1 => assert_eq!(error.kind(), ErrorKind::Panicked, "{error}"),
            Err(error) => assert_eq!((n, error.kind()), (4, ErrorKind::WorkerDied), "{error}"),
        }
    }
    assert_eq!(runs.get().expect("a value"), 8);
}

#[pool_task]
fn some_values(count: u64) -> Vec<Value<u64>> {
    (0..count).map(|at| Value::new(at).expect("a value")).collect()
}

/// A worker and its parent tell each other of each of them, and neither waits for the other to listen.
#[test]
fn many_handles_come_back_from_one_chunk() {
    let pool = Pool::new(1).expect("a pool");
    let counts = std::iter::repeat_n(1, 5000).chain([2500]);
    let made = par_map!(some_values, counts; pool = &pool, chunk_size = 5001).expect("runs");
    assert!(made.iter().flatten().all(|value| value.get().is_ok()));
    assert_eq!(made.concat().len(), 7500);
}
