//! What messages name that lie in a pipe: it lives as long as somebody may receive them, and no longer.

mod traces;

use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};
use traces::{LONG, ends, lives, trace, value};

/// A value on its way to the other end, and its trace.
fn sent(here: &Connection<Value<i64>>) -> String {
    let value = value(5);
    let trace = trace(&value);
    here.send(value).expect("it is open");
    trace
}

/// Sends until that is refused: a process that is just being started has copies of all sockets for a moment.
fn is_refused(here: &Connection<Value<i64>>) {
    let mut traces = Vec::new();
    let mut send = || {
        let value = value(6);
        traces.push(trace(&value));
        here.send(value).err()
    };
    let error = std::iter::repeat_with(&mut send).find_map(|error| error);
    assert_eq!(error.expect("it came").kind(), ErrorKind::Disconnected);
    traces.iter().for_each(|trace| ends(trace));
}

#[test]
fn a_message_outlives_its_sender_and_ends_with_its_receiver() {
    let (here, there) = pipe().expect("a pipe");
    let traces: Vec<_> = (0..100).map(|_| sent(&here)).collect();
    drop(here);
    assert!(traces.iter().all(|trace| lives(trace)));
    assert_eq!(there.recv().expect("it was sent").get().expect("it lives"), 5);
    ends(&traces[0]);
    assert!(traces[1..].iter().all(|trace| lives(trace)));
    drop(there);
    traces.iter().for_each(|trace| ends(trace));
}

#[test]
fn what_is_sent_to_an_end_that_is_gone_is_gone() {
    let (here, there) = pipe().expect("a pipe");
    let first = sent(&here);
    drop(there);
    ends(&first);
    is_refused(&here);
}

#[test]
fn large_messages_are_no_exception() {
    let (here, there) = pipe().expect("a pipe");
    let value = value(1);
    let trace = trace(&value);
    here.send((value, vec![0_u8; 1 << 20])).expect("it is open");
    assert!(lives(&trace));
    drop(there);
    ends(&trace);
}

#[pool_task]
fn holds(connection: Connection<Value<i64>>, ready: Event) {
    ready.set().expect("sets");
    // Only the death of this process ends the wait.
    while connection.poll(LONG).is_ok() {
        std::thread::park();
    }
}

#[test]
fn a_receiver_that_is_killed_leaves_what_it_never_read_to_nobody() {
    let (here, there) = pipe().expect("a pipe");
    let before = sent(&here);
    let ready = Event::new().expect("an event");
    let process = Process::spawn(task!(holds(there, ready.clone()))).expect("it starts");
    assert!(ready.wait_timeout(LONG).expect("waits"));
    let after = sent(&here);
    assert!(lives(&before) && lives(&after));
    process.kill().expect("it is ours");
    process.join().expect_err("it was killed");
    ends(&before);
    ends(&after);
    // This end is open all the while, and the process is known.
    is_refused(&here);
    drop(process);
}

/// An end on its way to somebody.
#[derive(Serialize, Deserialize)]
struct Parcel(Connection<Value<i64>>);

#[test]
fn an_end_on_its_way_keeps_what_was_sent_to_it() {
    let (outer, far) = pipe().expect("a pipe");
    let (here, there) = pipe().expect("a pipe");
    outer.send(Parcel(there)).expect("it is open");
    let trace = sent(&here);
    drop((outer, here));
    assert!(lives(&trace));
    let Parcel(there) = far.recv().expect("it was sent");
    assert_eq!(there.recv().expect("it was sent").get().expect("it lives"), 5);
    ends(&trace);
}

#[test]
fn an_end_that_never_arrives_is_an_end() {
    let (outer, far) = pipe().expect("a pipe");
    let (here, there) = pipe().expect("a pipe");
    let trace = sent(&here);
    outer.send(Parcel(there)).expect("it is open");
    assert!(lives(&trace));
    drop((outer, far));
    ends(&trace);
    is_refused(&here);
}

#[pool_task]
fn gives_an_end_away() -> Connection<Value<i64>> {
    let (here, there) = pipe().expect("a pipe");
    here.send(value(7)).expect("it is open");
    there
}

#[test]
fn an_end_that_is_a_result_keeps_what_was_sent_to_it() {
    let process = Process::spawn(task!(gives_an_end_away())).expect("it starts");
    let there = process.join().expect("it returns");
    drop(process);
    assert_eq!(there.recv().expect("it was sent").get().expect("it lives"), 7);
    let there = par_apply!(gives_an_end_away()).expect("it returns");
    assert_eq!(there.recv().expect("it was sent").get().expect("it lives"), 7);
}
