//! What values on their way keep alive is let go of when their sender or their receiver does not come to the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longer than a death takes to be seen on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// What this process does when it encodes or decodes a [`Trap`].
static TRAP: OnceLock<(Event, bool)> = OnceLock::new();

/// Says that it was reached, and then goes no further if it was told so.
#[derive(Clone, Debug)]
struct Trap;

fn reached() {
    if let Some((event, stay)) = TRAP.get() {
        event.set().expect("sets");
        if *stay {
            loop {
                std::thread::park();
            }
        }
    }
}

impl Serialize for Trap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        reached();
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Trap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        reached();
        <()>::deserialize(deserializer).map(|()| Self)
    }
}

/// Both ways the handle is on its way when the trap is reached: it is encoded before the one, and decoded after the other.
type Encoded = (Array<u8>, Trap, Vec<u8>);
type Decoded = (Trap, Array<u8>);

fn array() -> (Array<u8>, String) {
    let array = Array::zeroed(100).expect("an array");
    let bytes = serde_json::to_string(&array).expect("bytes");
    (array, bytes)
}

fn lives(bytes: &str) -> bool {
    serde_json::from_str::<Array<u8>>(bytes).is_ok()
}

/// Kills it once it has reached its trap, which must be the end of what its item named too.
fn killed(child: Process<()>, event: &Event, bytes: &str) {
    assert!(event.wait_timeout(LONG).expect("waits"), "it never came to its item");
    assert!(lives(bytes));
    child.kill().expect("it is ours");
    child.join().expect_err("it was killed");
    drop(child);
    // Whoever looks for dead processes at this moment, instead of us, may not be done.
    let begun = Instant::now();
    while lives(bytes) {
        assert!(begun.elapsed() < LONG, "it was never let go of");
        std::thread::yield_now();
    }
}

#[pool_task]
fn puts(queue: Queue<Encoded>, item: Array<u8>, event: Event, len: usize) {
    assert!(TRAP.set((event, false)).is_ok());
    let _ = queue.put((item, Trap, vec![0; len]));
}

#[test]
fn a_putter_that_waits_for_room() {
    // In the ring, and in an object beside it.
    for len in [0, 20 << 20] {
        let queue = Queue::bounded(1).expect("a queue");
        queue.put((array().0, Trap, Vec::new())).expect("there is room");
        let (event, (item, bytes)) = (Event::new().expect("an event"), array());
        let task = task!(puts(queue.clone(), item, event.clone(), len));
        killed(Process::spawn(task).expect("a process"), &event, &bytes);
        // What was put before lives.
        drop(queue.get().expect("it is there"));
        assert!(queue.is_empty());
    }
}

#[pool_task]
fn gets(queue: Queue<Decoded>, event: Event) {
    assert!(TRAP.set((event, true)).is_ok());
    drop(queue.get());
}

#[test]
fn a_getter_that_decodes() {
    let (event, queue) = (Event::new().expect("an event"), Queue::unbounded().expect("a queue"));
    let (item, bytes) = array();
    queue.put((Trap, item)).expect("there is room");
    killed(
        Process::spawn(task!(gets(queue.clone(), event.clone()))).expect("a process"),
        &event,
        &bytes,
    );
    assert!(queue.is_empty());
}

#[pool_task]
fn sends(pipe: Connection<Encoded>, item: Array<u8>, event: Event, len: usize) {
    assert!(TRAP.set((event, true)).is_ok());
    let _ = pipe.send((item, Trap, vec![0; len]));
}

#[test]
fn a_sender_that_encodes() {
    let (event, (item, bytes)) = (Event::new().expect("an event"), array());
    let (_here, there) = pipe().expect("a pipe");
    let task = task!(sends(there, item, event.clone(), 0));
    killed(Process::spawn(task).expect("a process"), &event, &bytes);
}

#[pool_task]
fn receives(pipe: Connection<Decoded>, event: Event) {
    assert!(TRAP.set((event, true)).is_ok());
    drop(pipe.recv());
}

#[test]
fn a_receiver_that_decodes() {
    let (event, (here, there)) = (Event::new().expect("an event"), pipe().expect("a pipe"));
    let (item, bytes) = array();
    here.send((Trap, item)).expect("it is open");
    let task = task!(receives(there, event.clone()));
    killed(Process::spawn(task).expect("a process"), &event, &bytes);
}

#[test]
fn a_large_value_in_a_pipe_is_let_go_of_when_it_was_received() {
    let (here, there) = pipe::<Encoded>().expect("a pipe");
    let (item, bytes) = array();
    // Encoded more than once, and decoded once.
    here.send((item, Trap, vec![1; 1 << 20])).expect("it is open");
    drop(there.recv().expect("it is there"));
    assert!(!lives(&bytes));
}

#[test]
fn a_large_item_in_a_queue_is_let_go_of_when_it_was_taken() {
    let queue = Queue::<Encoded>::bounded(1).expect("a queue");
    let (item, bytes) = array();
    queue.put((item, Trap, vec![1; 1 << 20])).expect("it is open");
    drop(queue.get().expect("it is there"));
    assert!(!lives(&bytes));
}

#[derive(Debug, Deserialize)]
struct Panics;

impl Serialize for Panics {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        panic!("as it is meant to");
    }
}

#[test]
fn a_value_that_panics_when_it_is_encoded() {
    let queue = Queue::<(Array<u8>, Panics)>::unbounded().expect("a queue");
    let (here, _there) = pipe::<(Array<u8>, Panics)>().expect("a pipe");
    for put in [true, false] {
        let (item, bytes) = array();
        let item = (item, Panics);
        let panics = || if put { queue.put(item) } else { here.send(item) };
        catch_unwind(AssertUnwindSafe(panics)).expect_err("it panics");
        assert!(!lives(&bytes));
    }
}

#[pool_task]
fn len(item: Array<u8>) -> usize {
    item.len()
}

#[pool_task]
fn starts_jobs() {
    let (item, bytes) = array();
    let pool = Pool::new(1).expect("a pool");
    for _ in 0..1000 {
        drop(task!(len(item.clone())));
    }
    for _ in 0..10 {
        assert_eq!(par_apply!(len(item.clone()); pool = &pool).expect("it works"), 100);
        let job = par_apply_async!(len(item.clone()); pool = &pool).expect("it starts");
        assert_eq!(job.get().expect("it works"), 100);
    }
    drop((pool, item));
    let begun = Instant::now();
    while lives(&bytes) {
        assert!(begun.elapsed() < LONG, "it was never let go of");
        std::thread::yield_now();
    }
}

#[test]
fn arguments_of_jobs_that_a_process_starts() {
    Process::spawn(task!(starts_jobs())).expect("a process").join().expect("all is let go of");
}

#[pool_task]
fn makes(_number: u64) -> (Array<u8>, String) {
    array()
}

/// Waits until none lives.
fn gone(all: &[String]) {
    let begun = Instant::now();
    while all.iter().any(|bytes| lives(bytes)) {
        assert!(begun.elapsed() < LONG, "they were never let go of");
        std::thread::yield_now();
    }
}

#[test]
fn a_result_that_was_read_when_its_pool_has_nothing_to_do() {
    let pool = Pool::new(1).expect("a pool");
    for _ in 0..200 {
        let (_, bytes) = par_apply!(makes(0); pool = &pool).expect("it is made");
        gone(&[bytes]);
    }
}

#[test]
fn results_of_a_stream_that_was_dropped() {
    let pool = Pool::new(1).expect("a pool");
    let mut stream = par_imap!(makes, 0..1000_u64; pool = &pool, window = 2).expect("it starts");
    let made = stream.by_ref().take(100).map(|made| made.expect("it is made").1);
    let all: Vec<_> = made.collect();
    drop(stream);
    gone(&all);
}

/// Can be sent, and not received.
#[derive(Debug, Serialize)]
struct Refused;

impl<'de> Deserialize<'de> for Refused {
    fn deserialize<D: Deserializer<'de>>(_deserializer: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("as it is meant to"))
    }
}

#[test]
fn a_queue_in_an_item_that_is_refused() {
    let outer = Queue::<(Refused, Queue<Array<u8>>)>::unbounded().expect("a queue");
    let inner = Queue::unbounded().expect("a queue");
    let (item, bytes) = array();
    inner.put(item).expect("it is open");
    outer.put((Refused, inner)).expect("it is open");
    assert!(lives(&bytes));
    outer.get().expect_err("it is refused");
    assert!(!lives(&bytes));
}

#[pool_task]
fn an_array(len: usize) -> Result<Array<u8>, Error> {
    Array::zeroed(len)
}

// A stream may go on for days: what its consumer has had and dropped is not kept to its end.
#[test]
fn a_stream_lets_go_of_what_its_results_named() {
    let pool = Pool::new(2).expect("a pool");
    let mut arrays = par_imap!(an_array, (1..100).cycle(); pool = pool).expect("a stream");
    let mut array = || arrays.next().expect("it is endless").expect("an item").expect("an array");
    let first = array();
    let bytes = serde_json::to_string(&first).expect("bytes");
    (0..20_000).for_each(|_| drop(array()));
    assert!(lives(&bytes));
    drop(first);
    assert!(!lives(&bytes));
}

/// Writes an array by itself, and lets go of it: what it wrote means nothing then.
#[pool_task]
fn writes() -> Result<String, String> {
    let (item, bytes) = array();
    drop(item);
    if lives(&bytes) { Err("it was kept".to_owned()) } else { Ok(bytes) }
}

#[test]
fn what_a_task_writes_by_itself() {
    let child = Process::spawn(task!(writes())).expect("a process");
    child.join().expect("it ends").expect("it is let go of");
    let pool = Pool::builder().workers(1).initializer(task!(writes())).build().expect("a pool");
    let in_process = Pool::builder().in_process().build().expect("a pool");
    for pool in [&pool, &in_process] {
        par_apply!(writes(); pool = pool).expect("it runs").expect("it is let go of");
    }
}
