//! Vectors of numbers through a queue, a pipe and a manager, where they travel as bytes although only serde is known of them.

use std::fmt::Debug;

use pool_runtime::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The bytes of few go in the ring and in the packet, of many beside them.
fn come_back<T: Copy + PartialEq + Debug + Serialize + DeserializeOwned>(values: &[T]) {
    let queue = Queue::<Vec<T>>::unbounded().expect("a queue");
    let (here, there) = pipe::<Vec<T>>().expect("a pipe");
    for values in [Vec::new(), values.to_vec(), values.repeat(20_000)] {
        queue.put(values.clone()).expect("room");
        assert_eq!(queue.get().expect("an item"), values);
        here.send(values.clone()).expect("it is open");
        assert_eq!(there.recv().expect("a value"), values);
    }
}

#[test]
fn of_every_number() {
    come_back::<u8>(&[0, 1, u8::MAX]);
    come_back::<i8>(&[i8::MIN, -1, 2]);
    come_back::<u16>(&[0, 1, u16::MAX]);
    come_back::<i16>(&[i16::MIN, -1, 2]);
    come_back::<u32>(&[0, 1, u32::MAX]);
    come_back::<i32>(&[i32::MIN, -1, 2]);
    come_back::<u64>(&[0, 1, u64::MAX]);
    come_back::<i64>(&[i64::MIN, -1, 2]);
    come_back::<u128>(&[0, 1, u128::MAX]);
    come_back::<i128>(&[i128::MIN, -1, 2]);
    come_back::<usize>(&[0, 1, usize::MAX]);
    come_back::<isize>(&[isize::MIN, -1, 2]);
    come_back::<f32>(&[-0.0, f32::INFINITY, 2.5]);
    come_back::<f64>(&[-0.0, f64::INFINITY, 2.5]);
}

#[pool_task]
fn doubled(from: Queue<Vec<f64>>, to: Connection<Vec<f64>>) {
    while let Ok(values) = from.get() {
        to.send(values.iter().map(|x| x * 2.0).collect()).expect("it is open");
    }
}

#[test]
fn between_processes() {
    let queue = Queue::<Vec<f64>>::unbounded().expect("a queue");
    let (here, there) = pipe::<Vec<f64>>().expect("a pipe");
    let process = Process::spawn(task!(doubled(queue.clone(), there))).expect("a process");
    for len in [0, 3, 100_000] {
        queue.put(vec![1.5; len]).expect("room");
        assert_eq!(here.recv().expect("a value"), vec![3.0; len]);
    }
    queue.close().expect("it is open");
    process.join().expect("it ends well");
}

#[test]
fn in_a_manager() {
    let m = Manager::start().expect("a server");
    let list = m.list::<Vec<u8>>().expect("a list");
    let dict = m.dict::<Vec<u8>, Vec<u8>>().expect("a dict");
    let (few, many) = (vec![1, 2, 3], vec![7; 300_000]);
    list.push(few.clone()).expect("a push");
    list.push(many.clone()).expect("a push");
    assert_eq!(list.get(1).expect("the second"), many);
    assert_eq!(list.to_vec().expect("both"), [few.clone(), many.clone()]);
    dict.insert(few.clone(), many.clone()).expect("an insert");
    assert_eq!(dict.get(&few).expect("an answer"), Some(many));
    // A slice is the same key, though it goes through serde.
    assert!(dict.contains_key(&few[..]).expect("an answer"));
    dict.insert(few.clone(), few.clone()).expect("an insert");
    assert_eq!(dict.get(&few[..]).expect("an answer"), Some(few));
}
