//! Queues, by situation. The names in comments are those of CPython's tests of the same behaviour.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(30);

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[pool_task]
fn produce(queue: Queue<u64>, from: u64, count: u64) {
    for x in from..from + count {
        queue.put(x).expect("the queue is open");
    }
}

/// Takes until the queue is closed and empty.
#[pool_task]
fn consume(queue: Queue<u64>) -> Vec<u64> {
    std::iter::from_fn(|| queue.get().ok()).collect()
}

#[pool_task]
fn puts_bytes(queue: Queue<Vec<u8>>, count: usize, len: usize) {
    for x in 0..count {
        queue.put(vec![x as u8; len]).expect("the queue is open");
    }
}

#[test]
fn one_after_the_other() {
    // _TestQueue.test_qsize, TestSimpleQueue.test_empty
    let queue = Queue::<String>::unbounded().expect("there is memory");
    assert!(queue.is_empty());
    queue.put("a".into()).expect("it is open");
    queue.put("b".into()).expect("it is open");
    assert_eq!(queue.len(), 2);
    assert_eq!(queue.get().expect("it is there"), "a");
    assert_eq!(queue.len(), 1);
    assert_eq!(queue.get().expect("it is there"), "b");
    assert_eq!(queue.len(), 0);
    assert_eq!(kind(queue.try_get()), Some(ErrorKind::Empty));
}

#[test]
fn full_and_empty() {
    // _TestQueue.test_put, test_get, test_timeout
    let queue = Queue::bounded(3).expect("there is memory");
    (0..3).for_each(|x| queue.put(x).expect("there is room"));
    assert_eq!(kind(queue.try_put(3)), Some(ErrorKind::Full));
    let start = Instant::now();
    assert_eq!(kind(queue.put_timeout(3, SHORT)), Some(ErrorKind::Full));
    assert!(start.elapsed() >= SHORT);
    assert_eq!(queue.get().expect("it is there"), 0);
    queue.try_put(3).expect("there is room again");
    assert!((1..4).all(|x| queue.try_get().expect("it is there") == x));
    let start = Instant::now();
    assert_eq!(kind(queue.get_timeout(SHORT)), Some(ErrorKind::Empty));
    assert!(start.elapsed() >= SHORT);
    assert_eq!(kind(Queue::<u8>::bounded(0)), Some(ErrorKind::InvalidInput));
}

#[test]
fn closing() {
    // _TestQueue.test_closed_queue_put_get_exceptions, TestSimpleQueue.test_close
    let queue = Queue::bounded(3).expect("there is memory");
    queue.put(1).expect("it is open");
    queue.close().expect("it is ours");
    queue.close().expect("once more does nothing");
    assert!(queue.is_closed());
    assert_eq!(kind(queue.put(2)), Some(ErrorKind::Closed));
    assert_eq!(kind(queue.try_put(2)), Some(ErrorKind::Closed));
    assert_eq!(queue.get().expect("it is left"), 1);
    assert_eq!(kind(queue.get()), Some(ErrorKind::Closed));
    assert_eq!(kind(queue.try_get()), Some(ErrorKind::Closed));
    assert_eq!(kind(queue.get_timeout(LONG)), Some(ErrorKind::Closed));
}

#[test]
fn closing_wakes_who_waits() {
    let (full, empty) =
        (Queue::bounded(1).expect("memory"), Queue::<u8>::bounded(1).expect("memory"));
    full.put(0_u8).expect("there is room");
    std::thread::scope(|scope| {
        let putter = scope.spawn(|| full.put(1));
        let getter = scope.spawn(|| empty.get());
        full.close().expect("it is ours");
        empty.close().expect("it is ours");
        assert_eq!(kind(putter.join().expect("it returns")), Some(ErrorKind::Closed));
        assert_eq!(kind(getter.join().expect("it returns")), Some(ErrorKind::Closed));
    });
}

#[test]
fn items_go_to_a_child_and_come_from_it() {
    // _TestQueue.test_fork
    let queue = Queue::unbounded().expect("there is memory");
    (0..10).for_each(|x| queue.put(x).expect("it is open"));
    Process::spawn(task!(produce(queue.clone(), 10, 10)))
        .expect("it starts")
        .join()
        .expect("it returns");
    assert!((0..20).all(|x| queue.get().expect("it is there") == x));
    assert!(queue.is_empty());
}

#[test]
fn a_put_that_returned_is_complete() {
    // R13 of CPython: there a child that has put more than a pipe holds never ends before somebody gets.
    let queue = Queue::unbounded().expect("there is memory");
    for (count, len) in [(3, 2_000_000), (3000, 1000)] {
        let process =
            Process::spawn(task!(puts_bytes(queue.clone(), count, len))).expect("it starts");
        process.join().expect("it returns, though nobody gets");
        assert_eq!(queue.len(), count);
        for x in 0..count {
            let item: Vec<u8> = queue.get().expect("it is there");
            assert!(item.len() == len && item[0] == x as u8 && item[len - 1] == x as u8);
        }
    }
}

#[test]
fn many_to_many() {
    let queue = Queue::bounded(50).expect("there is memory");
    let consumers: Vec<_> =
        (0..3).map(|_| Process::spawn(task!(consume(queue.clone()))).expect("it starts")).collect();
    let producers: Vec<_> = (0..3)
        .map(|i| Process::spawn(task!(produce(queue.clone(), i * 5000, 5000))).expect("it starts"))
        .collect();
    producers.iter().for_each(|producer| producer.join().expect("it returns"));
    queue.close().expect("it is ours");
    let taken: Vec<Vec<u64>> =
        consumers.iter().map(|consumer| consumer.join().expect("it returns")).collect();
    for items in &taken {
        // Of each producer, every consumer sees the items in the order of the puts.
        let mut last = BTreeMap::new();
        assert!(items.iter().all(|&x| last.insert(x / 5000, x).is_none_or(|before| before < x)));
    }
    let mut all: Vec<u64> = taken.concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..15_000));
}

#[test]
fn nobody_misses_the_room_that_came() {
    // Full and empty by turns: whoever finds it full sleeps beside others that find it empty.
    for _ in 0..20 {
        let queue = Queue::bounded(1).expect("there is memory");
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..500).for_each(|x| queue.put(x).expect("it is open")));
                scope
                    .spawn(|| (0..500).for_each(|_| assert!(queue.get().expect("it comes") < 500)));
            }
        });
        assert!(queue.is_empty());
    }
}

#[test]
fn done_with_all() {
    // _TestJoinableQueue: task_done and join
    let queue = Queue::bounded(10).expect("there is memory");
    queue.join().expect("nothing was put");
    assert_eq!(kind(queue.task_done()), Some(ErrorKind::InvalidInput));
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            for _ in 0..100 {
                queue.get().expect("it comes");
                queue.task_done().expect("it was put");
            }
        });
        (0..100).for_each(|x| queue.put(x).expect("it is open"));
        queue.join().expect("it is ours");
        assert!(queue.is_empty());
        worker.join().expect("it returns");
    });
    assert_eq!(kind(queue.task_done()), Some(ErrorKind::InvalidInput));
}

#[derive(Debug, Deserialize)]
struct Refuses(bool);

impl Serialize for Refuses {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 {
            Err(serde::ser::Error::custom("not this one"))
        } else {
            serializer.serialize_bool(false)
        }
    }
}

#[test]
fn an_item_that_cannot_be_encoded() {
    // _TestQueue.test_queue_feeder_donot_stop_onexc, test_queue_feeder_on_queue_feeder_error
    let queue = Queue::bounded(1).expect("there is memory");
    assert_eq!(kind(queue.put(Refuses(true))), Some(ErrorKind::Encode));
    assert_eq!(queue.len(), 0);
    queue.try_put(Refuses(false)).expect("its place was not taken");
    assert!(!queue.get().expect("it is there").0);
}

/// Behind so much that the item does not fit into the ring. A task's own results could take the connection along.
#[pool_task]
fn puts_a_connection(
    queue: Queue<(Vec<u8>, Connection<u8>)>,
    connection: Connection<u8>,
) -> Option<ErrorKind> {
    queue.put((vec![0; 100_000], connection)).err().map(|error| error.kind())
}

#[test]
fn a_connection_does_not_go_into_a_queue() {
    let late = Queue::unbounded().expect("there is memory");
    let (here, _there) = pipe().expect("a pipe");
    let kind = par_apply!(puts_a_connection(late.clone(), here)).expect("it returns");
    assert_eq!((kind, late.len()), (Some(ErrorKind::Encode), 0));

    let queue = Queue::<Connection<u8>>::unbounded().expect("there is memory");
    let (here, _there) = pipe().expect("a pipe");
    let error = queue.put(here).expect_err("only bytes lie in a queue");
    assert_eq!(error.kind(), ErrorKind::Encode);
    for part in ["connection cannot lie in a queue", "as an argument", "through a connection"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(error.to_string().matches("could not be encoded").count(), 1, "{error}");
    assert!(queue.is_empty());
}

#[test]
fn handles_live_as_long_as_the_item() {
    let queue = Queue::unbounded().expect("there is memory");
    for x in 0..50 {
        queue.put(Value::new(x).expect("there is memory")).expect("it is open");
    }
    for x in 0..50_i64 {
        assert_eq!(queue.get().expect("it is there").get().expect("it lives"), x);
    }
    let queues = Queue::<Queue<u8>>::unbounded().expect("there is memory");
    let inner = Queue::unbounded().expect("there is memory");
    inner.put(7).expect("it is open");
    queues.put(inner).expect("it is open");
    assert_eq!(queues.get().expect("it is there").get().expect("it lives"), 7);
}

#[test]
fn an_item_has_at_most_511_handles() {
    let (queue, lock) = (Queue::unbounded().expect("a queue"), Lock::new().expect("a lock"));
    queue.put(vec![lock.clone(); 511]).expect("as many as may be");
    let error = queue.put(vec![lock; 512]).expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(error.to_string().contains("at most 511 handles"), "{error}");
    assert_eq!(queue.get().expect("the first item").len(), 511);
}

#[pool_task]
fn makes_a_queue(len: usize) -> Queue<Vec<u8>> {
    let queue = Queue::unbounded().expect("there is memory");
    queue.put(vec![3; len]).expect("it is open");
    queue
}

#[test]
fn a_queue_is_a_result_and_outlives_its_maker() {
    for len in [10, 100_000] {
        let process = Process::spawn(task!(makes_a_queue(len))).expect("it starts");
        let queue = process.join().expect("it returns");
        drop(process);
        assert_eq!(queue.get().expect("it is there"), vec![3; len]);
    }
}

#[test]
fn a_ring_that_grows_and_shrinks() {
    let queue = Queue::unbounded().expect("there is memory");
    let (mut put, mut got) = (0_u64, 0_u64);
    let item = |x: u64| vec![x; (x % 97) as usize];
    // The level goes up and down, around different places of the ring.
    for round in 1..60_u64 {
        for _ in 0..round * 37 {
            queue.put(item(put)).expect("it is open");
            put += 1;
        }
        let keep = if round % 10 == 0 { 0 } else { round * 20 };
        while put - got > keep {
            assert_eq!(queue.get().expect("it is there"), item(got));
            got += 1;
        }
    }
    assert_eq!(queue.len() as u64, put - got);
}

#[test]
fn many_queues() {
    let queues: Vec<_> = (0..300).map(|_| Queue::bounded(2).expect("there is a place")).collect();
    queues.iter().zip(0_u32..).for_each(|(queue, x)| queue.put(x).expect("there is room"));
    assert!(queues.iter().zip(0..).all(|(queue, x)| queue.get().expect("it is there") == x));
}

#[test]
fn places_are_given_back() {
    for round in 0..500_u32 {
        let queue = Queue::<Vec<u32>>::unbounded().expect("there is a place");
        queue.put(vec![round; 10_000]).expect("there is room");
        let inner = Queue::<Queue<u8>>::bounded(1).expect("there is a place");
        inner.put(Queue::unbounded().expect("there is a place")).expect("there is room");
    }
}

/// Puts pairs of a number and its check, small and large, until it is killed.
#[pool_task]
fn pours(queue: Queue<(u64, Vec<u64>)>, large: usize) {
    for x in 0.. {
        let len = if x % 5 == 0 { large } else { 3 };
        queue.put((x, vec![x; len])).expect("the queue is open");
    }
}

#[pool_task]
fn drinks(queue: Queue<(u64, Vec<u64>)>) {
    while let Ok((x, check)) = queue.get() {
        assert!(check.iter().all(|&y| y == x), "an item is torn");
    }
}

#[test]
fn killed_at_any_moment() {
    // Whoever is killed in the middle of anything leaves a queue that goes on.
    let queue = Queue::bounded(20).expect("there is memory");
    let start_producer = || Process::spawn(task!(pours(queue.clone(), 4000))).expect("it starts");
    let start_consumer = || Process::spawn(task!(drinks(queue.clone()))).expect("it starts");
    let mut producers = [start_producer(), start_producer()];
    let mut consumers = [start_consumer(), start_consumer()];
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..rounds() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // An item comes through this process too, so that it is known that things go on.
        let (x, check) = queue.get_timeout(LONG).expect("producers go on");
        assert!(check.iter().all(|&y| y == x), "an item is torn");
        // Something between nothing and a few puts later.
        (0..random % 5000).for_each(|_| std::hint::spin_loop());
        let at = (random >> 32) as usize % 2;
        if random >> 40 & 1 == 0 {
            producers[at].kill().expect("it is ours");
            producers[at] = start_producer();
        } else {
            consumers[at].kill().expect("it is ours");
            consumers[at] = start_consumer();
        }
    }
    drop((producers, consumers));
    queue.close().expect("it is ours");
    while let Ok((x, check)) = queue.get() {
        assert!(check.iter().all(|&y| y == x), "an item is torn");
    }
    assert!(queue.is_empty());
}

/// As many as there is time for; `POOL_TEST_ROUNDS` says otherwise.
fn rounds() -> u32 {
    std::env::var("POOL_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(200)
}
