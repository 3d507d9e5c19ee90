//! Handles of shared objects in a manager: what is stored lives, what is taken away or whose holder dies is given back.

mod traces;

use std::thread;
use std::time::{Duration, Instant};

use pool_runtime::manager;
use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};
use traces::{LONG, ends, lives, trace, value};

#[test]
fn a_list_keeps_what_its_elements_name() {
    let m = Manager::start().expect("a server");
    let l = m.list().expect("a list");
    let (first, second) = (value(5), value(6));
    let traces = [trace(&first), trace(&second)];
    l.push(first).expect("push");
    l.extend([second]).expect("extend");
    assert_eq!(l.get(0).expect("get").get().expect("it lives"), 5);
    let all = l.to_vec().expect("to_vec");
    assert_eq!(all[1].get().expect("it lives"), 6);
    drop(all);
    let popped = l.pop().expect("pop").expect("an element");
    assert_eq!(popped.get().expect("it lives"), 6);
    drop(popped);
    ends(&traces[1]);
    assert!(lives(&traces[0]));
    l.set(0, value(7)).expect("set");
    ends(&traces[0]);
    let last = trace(&l.get(0).expect("get"));
    assert!(lives(&last));
    drop(l);
    ends(&last);
}

#[test]
fn a_dict_and_a_namespace_keep_what_their_values_name() {
    let m = Manager::start().expect("a server");
    let d = m.dict::<u8, (String, Value<i64>)>().expect("a dict");
    d.insert(1, ("one".to_owned(), value(1))).expect("insert");
    d.update([(2, ("two".to_owned(), value(2)))]).expect("update");
    let one = d.get(&1).expect("get").expect("an entry").1;
    assert_eq!(one.get().expect("it lives"), 1);
    let old = d.insert(1, ("other".to_owned(), value(3))).expect("insert").expect("an entry").1;
    assert_eq!(old.get().expect("it lives"), 1);
    let gone = trace(&old);
    drop((one, old));
    ends(&gone);
    let two = trace(
        &d.values()
            .expect("values")
            .into_iter()
            .find(|(name, _)| name == "two")
            .expect("an entry")
            .1,
    );
    assert!(lives(&two));
    d.clear().expect("clear");
    ends(&two);

    let ns = m.namespace().expect("a namespace");
    ns.set("lock", Lock::new().expect("a lock")).expect("set");
    ns.set("value", value(4)).expect("set");
    drop(ns.get::<Lock>("lock").expect("get").lock().expect("free"));
    let four = trace(&ns.get("value").expect("get"));
    ns.set("value", 4).expect("set");
    ends(&four);
}

#[test]
fn a_queue_keeps_what_its_elements_name() {
    let m = Manager::start().expect("a server");
    let q = m.queue::<Queue<u64>>().expect("a queue");
    let inner = Queue::unbounded().expect("a queue");
    inner.put(7).expect("put");
    q.put(inner).expect("put");
    assert_eq!(q.get_timeout(LONG).expect("get").get().expect("it lives"), 7);
    let held = m.queue().expect("a queue");
    let element = value(8);
    let element = (trace(&element), held.put(element).expect("put")).0;
    drop(held);
    ends(&element);
}

#[pool_task]
fn renew(old: Option<Value<i64>>, by: i64) -> Value<i64> {
    let before = old.map_or(0, |old| old.get().expect("it lives"));
    value(before + by)
}

#[pool_task]
fn again(old: Option<Value<i64>>, other: Value<i64>) -> Value<i64> {
    old.unwrap_or(other)
}

#[test]
fn modify_keeps_what_its_result_names() {
    let m = Manager::start().expect("a server");
    let d = m.dict::<u8, Value<i64>>().expect("a dict");
    assert_eq!(d.modify(1, task!(renew(_, 3))).expect("modify").get().expect("it lives"), 3);
    let three = trace(&d.get(&1).expect("get").expect("an entry"));
    assert_eq!(d.modify(1, task!(renew(_, 4))).expect("modify").get().expect("it lives"), 7);
    ends(&three);
    drop(d.modify(2, task!(again(_, value(9)))).expect("modify"));
    assert_eq!(d.get(&2).expect("get").expect("an entry").get().expect("it lives"), 9);
}

#[pool_task]
fn count(old: Option<u8>) -> u8 {
    old.unwrap_or(0) + 1
}

#[test]
fn a_dict_keeps_what_its_keys_name() {
    let m = Manager::start().expect("a server");
    let d = m.dict::<Value<i64>, u8>().expect("a dict");
    let first = value(5);
    let gone = trace(&first);
    assert_eq!(d.insert(first, 1).expect("insert"), None);
    let first = d.keys().expect("keys").pop().expect("a key");
    assert_eq!(first.get().expect("it lives"), 5);
    assert_eq!(d.get(&first).expect("get"), Some(1));
    assert_eq!(d.insert(first, 2).expect("insert"), Some(1));
    let (first, two) = d.items().expect("items").pop().expect("an entry");
    assert_eq!((first.get().expect("it lives"), two), (5, 2));
    assert_eq!(d.remove(&first).expect("remove"), Some(2));
    drop(first);
    ends(&gone);
    let keys = [value(6), value(7), value(8)];
    let traces = keys.each_ref().map(trace);
    let [updated, modified, with_dict] = keys;
    d.update([(updated, 1)]).expect("update");
    assert_eq!(d.modify(modified, task!(count(_))).expect("modify"), 1);
    assert!(traces.iter().all(|trace| lives(trace)));
    d.clear().expect("clear");
    ends(&traces[0]);
    ends(&traces[1]);
    d.insert(with_dict, 1).expect("insert");
    assert!(lives(&traces[2]));
    drop(d);
    ends(&traces[2]);
}

#[test]
fn a_dict_keeps_the_objects_that_are_its_keys() {
    let m = Manager::start().expect("a server");
    let d = m.dict::<List<u8>, u8>().expect("a dict");
    d.insert(m.list().expect("a list"), 1).expect("insert");
    assert_eq!(m.objects().expect("count"), 2);
    let key = d.keys().expect("keys").pop().expect("a key");
    key.push(7).expect("it is there");
    assert_eq!(d.remove(&key).expect("remove"), Some(1));
    assert_eq!(key.to_vec().expect("it is there"), [7]);
    drop(key);
    assert_eq!(m.objects().expect("count"), 1);
}

#[derive(Serialize, Deserialize)]
struct Hub {
    queues: Vec<Queue<u64>>,
    value: Option<Value<i64>>,
}

#[managed]
impl Hub {
    pub fn add(&mut self, queue: Queue<u64>) {
        self.queues.push(queue);
    }

    pub fn take(&mut self) -> Option<Queue<u64>> {
        self.queues.pop()
    }

    pub fn take_value(&mut self) -> Result<Value<i64>, String> {
        self.value.take().ok_or_else(|| "taken".to_owned())
    }

    pub fn make(&self, number: i64) -> Value<i64> {
        value(number)
    }
}

#[test]
fn a_managed_object_gives_away_what_it_had() {
    let m = Manager::start().expect("a server");
    let own = value(1);
    let trace_of_own = trace(&own);
    let hub = m.create(Hub { queues: Vec::new(), value: Some(own) }).expect("an object");
    let queue = Queue::unbounded().expect("a queue");
    queue.put(7).expect("put");
    hub.add(queue).expect("add");
    assert_eq!(hub.take().expect("take").expect("a queue").get().expect("it lives"), 7);
    let taken = hub.take_value().expect("the call").expect("a value");
    assert_eq!(taken.get().expect("it lives"), 1);
    drop(taken);
    // Nobody says anything more on that connection: it is given back all the same.
    ends(&trace_of_own);
    let made = hub.make(2).expect("make");
    assert_eq!(made.get().expect("it lives"), 2);
    let trace_of_made = trace(&made);
    drop(made);
    ends(&trace_of_made);
}

#[test]
fn many_threads_pass_handles_through_a_manager() {
    let m = Manager::start().expect("a server");
    let q = m.bounded_queue::<Value<i64>>(2).expect("a queue");
    thread::scope(|scope| {
        for first in 0..4 {
            let q = q.clone();
            scope.spawn(move || {
                (0..100).for_each(|n| q.put_timeout(value(first * 100 + n), LONG).expect("put"))
            });
        }
        let takers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    (0..200)
                        .map(|_| q.get_timeout(LONG).expect("get").get().expect("it lives"))
                        .sum::<i64>()
                })
            })
            .collect();
        let sum: i64 = takers.into_iter().map(|taker| taker.join().expect("no panic")).sum();
        assert_eq!(sum, (0..400).sum::<i64>());
    });
}

#[pool_task]
fn store_and_block(
    l: List<Value<i64>>,
    full: manager::Queue<Value<i64>>,
    traces: manager::List<String>,
) -> Result<(), Error> {
    let kept = value(1);
    traces.push(trace(&kept))?;
    l.push(kept)?;
    let blocked = value(2);
    let held = l.get(0)?;
    traces.push(trace(&blocked))?;
    // Only the death of this process ends the wait.
    full.put(blocked)?;
    drop(held);
    Ok(())
}

#[test]
fn a_client_that_is_killed_leaves_what_is_stored_and_nothing_else() {
    let m = Manager::start().expect("a server");
    let (l, traces) =
        (m.list::<Value<i64>>().expect("a list"), m.list::<String>().expect("a list"));
    let full = m.bounded_queue::<Value<i64>>(1).expect("a queue");
    full.put(value(0)).expect("put");
    let client = Process::spawn(task!(store_and_block(l.clone(), full.clone(), traces.clone())))
        .expect("a process");
    let begun = Instant::now();
    while traces.len().expect("len") < 2 {
        assert!(begun.elapsed() < LONG);
        thread::sleep(Duration::from_millis(1));
    }
    // It waits in `put` by now, or is about to.
    thread::sleep(Duration::from_millis(20));
    client.kill().expect("it is there");
    client.join().expect_err("killed");
    let traces = traces.to_vec().expect("to_vec");
    ends(&traces[1]);
    assert_eq!(full.len().expect("len"), 1);
    assert_eq!(l.pop().expect("pop").expect("an element").get().expect("it lives"), 1);
    ends(&traces[0]);
}
