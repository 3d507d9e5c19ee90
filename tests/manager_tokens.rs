//! Objects of a manager that only bytes name: they live as long as the bytes, and not a moment longer.

use std::thread;
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;

const LONG: Duration = Duration::from_secs(30);

/// A list that the server has, and a dict to find it in.
fn server_with_a_list() -> (Manager, List<u64>) {
    let m = Manager::start().expect("a server");
    let l = m.list().expect("a list");
    (m, l)
}

#[track_caller]
fn has(m: &Manager, objects: usize) {
    assert_eq!(m.objects().expect("count"), objects);
}

/// Waits until no more are left: another process lets go of what it held when it comes to it.
#[track_caller]
fn comes_to(m: &Manager, objects: usize) {
    let begun = Instant::now();
    while m.objects().expect("count") != objects {
        assert!(begun.elapsed() < LONG, "{} objects are left", m.objects().expect("count"));
        thread::sleep(Duration::from_millis(1));
    }
}

#[pool_task]
fn push(l: List<u64>, x: u64) -> usize {
    l.push(x).and_then(|()| l.len()).expect("it lives")
}

#[test]
fn bound_arguments_keep_an_object() {
    let (m, l) = server_with_a_list();
    let pool = Pool::builder().workers(1).max_tasks_per_worker(1).build().expect("a pool");
    let mut lens = par_imap!(push(l, _), 0..5; pool = pool).expect("a stream");
    for len in 1..=5 {
        assert_eq!(lens.next().expect("an item").expect("pushed"), len);
        has(&m, 1);
    }
    assert!(lens.next().is_none());
    drop(lens);
    comes_to(&m, 0);
}

#[pool_task]
fn begin(l: List<u64>) -> Result<(), Error> {
    l.push(u64::from(std::process::id()))
}

#[pool_task]
fn pid(_x: u64) -> u32 {
    std::process::id()
}

#[test]
fn an_initializer_and_a_finalizer_keep_an_object() {
    let (m, begun) = server_with_a_list();
    let ended = m.list().expect("a list");
    let pool = Pool::builder().workers(1).max_tasks_per_worker(1);
    let pool = pool.initializer(task!(begin(begun.clone()))).finalizer(task!(begin(ended)));
    let pool = pool.build().expect("a pool");
    let first = par_apply!(pid(0); pool = pool).expect("a pid");
    assert_eq!(begun.get(0).expect("the first worker"), u64::from(first));
    drop(begun);
    // From now on only the pool has it, of whose workers each one is the last.
    par_map!(pid, 0..4; pool = pool).expect("each has begun");
    has(&m, 2);
    drop(pool);
    comes_to(&m, 0);
}

#[pool_task(retries = 1)]
fn push_at_last(l: List<u64>) -> usize {
    let tried = l.push(1).and_then(|()| l.len()).expect("it lives");
    if tried == 1 {
        std::process::abort();
    }
    tried
}

#[test]
fn an_item_that_is_tried_again_keeps_an_object() {
    let (m, l) = server_with_a_list();
    let pool = Pool::new(1).expect("a pool");
    let mut tries = par_imap_unordered!(push_at_last, [l]; pool = pool).expect("a stream");
    assert_eq!(tries.next().expect("an item").1.expect("the second time"), 2);
    assert!(tries.next().is_none());
    drop(tries);
    drop(pool);
    comes_to(&m, 0);
}

#[pool_task]
fn take(d: Dict<u64, List<u64>>, key: u64) -> Result<Option<List<u64>>, Error> {
    d.remove(&key)
}

/// What the task above comes to.
type Taken = Result<Result<Option<List<u64>>, Error>, Error>;

fn check((key, taken): (usize, Taken)) {
    let list = taken.expect("an item").expect("the call").expect("it was there");
    assert_eq!(list.to_vec().expect("it lives"), [key as u64]);
}

// The workers end, the consumer takes its time.
#[test]
fn a_result_keeps_an_object_until_it_is_taken() {
    let m = Manager::start().expect("a server");
    let d = m.dict().expect("a dict");
    for key in 0..6 {
        let l = m.list().expect("a list");
        l.push(key).expect("push");
        d.insert(key, l).expect("insert");
    }
    let pool = Pool::new(1).expect("a pool");
    let lists = par_imap!(take(d.clone(), _), 0..6; pool = pool, window = 6, chunk_size = 6);
    let mut lists = lists.expect("a stream").enumerate();
    check(lists.next().expect("the first"));
    let begun = Instant::now();
    while !d.is_empty().expect("is_empty") {
        assert!(begun.elapsed() < LONG, "the others are not made");
        thread::sleep(Duration::from_millis(1));
    }
    pool.close();
    pool.join().expect("the workers end");
    // The first one too: its job lets go of what results named when nothing of it is out any more.
    has(&m, 7);
    lists.for_each(check);
    drop((d, pool));
    comes_to(&m, 0);
}

#[pool_task]
fn put(q: Queue<List<u64>>, l: List<u64>) -> Result<(), Error> {
    q.put(l)
}

#[test]
fn a_queued_value_keeps_an_object() {
    let (m, l) = server_with_a_list();
    let q = Queue::bounded(2).expect("a queue");
    let process = Process::spawn(task!(put(q.clone(), l.clone()))).expect("a process");
    process.join().expect("it ends").expect("put");
    drop((process, l));
    has(&m, 1);
    let l = q.get().expect("get");
    l.push(7).expect("it lives");
    q.put(l).expect("put");
    has(&m, 1);
    drop(q);
    comes_to(&m, 0);
}

#[test]
fn a_message_in_a_pipe_keeps_an_object() {
    let (m, l) = server_with_a_list();
    let (here, there) = pipe().expect("a pipe");
    here.send(l).expect("sent");
    has(&m, 1);
    let l = there.recv().expect("received");
    l.push(7).expect("it lives");
    there.send(l).expect("sent");
    has(&m, 1);
    drop((here, there));
    comes_to(&m, 0);
}

#[pool_task]
fn give_back(l: List<u64>) -> List<u64> {
    l
}

#[test]
fn a_process_keeps_what_it_is_given_and_gives_back() {
    let (m, l) = server_with_a_list();
    let process = Process::spawn(task!(give_back(l))).expect("a process");
    let l = process.join().expect("a list");
    drop(process);
    l.push(7).expect("it lives");
    drop(l);
    comes_to(&m, 0);
}

#[pool_task]
fn hold(l: List<u64>, ready: Event) -> Result<(), Error> {
    let held = Queue::unbounded()?;
    held.put(l)?;
    ready.set()?;
    Event::new()?.wait()
}

#[test]
fn a_process_that_is_killed_lets_go_of_the_bytes_it_had() {
    let (m, l) = server_with_a_list();
    let ready = Event::new().expect("an event");
    let process = Process::spawn(task!(hold(l, ready.clone()))).expect("a process");
    assert!(ready.wait_timeout(LONG).expect("waits"));
    has(&m, 1);
    process.kill().expect("it is there");
    process.join().expect_err("killed");
    drop(process);
    comes_to(&m, 0);
}

// What one server keeps of another's is there as long as it is kept.
#[test]
fn a_value_in_another_server_keeps_an_object() {
    let (m, l) = server_with_a_list();
    let other = Manager::start().expect("a server");
    let d = other.dict().expect("a dict");
    d.insert(1, l).expect("insert");
    let l: List<u64> = d.get(&1).expect("get").expect("an entry");
    l.push(7).expect("it lives");
    drop(l);
    has(&m, 1);
}

#[test]
fn forms_as_bytes_that_nobody_keeps_are_lent() {
    let (m, l) = server_with_a_list();
    let bytes = serde_json::to_string(&l).expect("bytes");
    drop(l);
    let l: List<u64> = serde_json::from_str(&bytes).expect("it is there for a while");
    l.push(7).expect("it lives");
    drop(l);
    has(&m, 1);
}
