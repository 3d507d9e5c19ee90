//! What the tests of handles in a manager share: values, and traces by which one sees whether they are still there.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::thread;
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;

/// Longer than anything here takes, shorter than a test run may hang.
pub const LONG: Duration = Duration::from_secs(30);

pub fn value(number: i64) -> Value<i64> {
    Value::new(number).expect("a value")
}

/// Its form as bytes, which keeps nothing alive: with it one can see whether the object is still there.
pub fn trace(value: &Value<i64>) -> String {
    serde_json::to_string(value).expect("bytes")
}

pub fn lives(trace: &str) -> bool {
    serde_json::from_str::<Value<i64>>(trace).is_ok()
}

/// Waits until the object is given back. What the dead held comes back with a sweep, and that comes with new objects.
pub fn ends(trace: &str) {
    let begun = Instant::now();
    while lives(trace) {
        assert!(begun.elapsed() < LONG, "it never came back");
        drop(value(0));
        thread::sleep(Duration::from_millis(1));
    }
}
