//! Pipes, by situation. The names in comments are those of CPython's tests of the same behaviour.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

#[pool_task]
fn echo(connection: Connection<Vec<u8>>) -> u64 {
    let mut count = 0;
    while let Ok(bytes) = connection.recv() {
        connection.send(bytes).expect("the other end is open");
        count += 1;
    }
    count
}

#[pool_task]
fn sends(connection: Connection<u64>, from: u64, count: u64) {
    for x in from..from + count {
        connection.send(x).expect("the other end is open");
    }
}

/// Sends large messages until it is killed.
#[pool_task]
fn pours(connection: Connection<Vec<u64>>, len: usize) {
    for x in 0.. {
        connection.send(vec![x; len]).expect("the other end is open");
    }
}

#[test]
fn values_go_both_ways() {
    // _TestConnection.test_connection, _TestSubclassingProcess.test_subclassing
    let (here, there) = pipe::<Vec<u8>>().expect("a pipe");
    let process = Process::spawn(task!(echo(there))).expect("it starts");
    let lens = [0, 1, 1000, 32 << 10, (32 << 10) - 8, (32 << 10) + 1, 100_000, 3 << 20];
    for len in lens {
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
        here.send(bytes.clone()).expect("the other end is open");
        assert!(here.recv().expect("it comes back") == bytes, "{len} bytes came back as others");
    }
    drop(here);
    assert_eq!(process.join().expect("it returns"), lens.len() as u64);
}

#[test]
fn an_end_of_the_other_side_is_told() {
    let (here, there) = pipe::<u32>().expect("a pipe");
    there.send(1).expect("the other end is open");
    here.send(9).expect("the other end is open, though nobody will read this");
    drop(there);
    assert_eq!(here.recv().expect("it was sent before"), 1);
    for _ in 0..2 {
        assert_eq!(
            here.recv().expect_err("the other end is closed").kind(),
            ErrorKind::Disconnected
        );
        assert_eq!(
            here.send(2).expect_err("the other end is closed").kind(),
            ErrorKind::Disconnected
        );
    }
    assert!(here.poll(Duration::ZERO).expect("it can be asked"), "an end is something to receive");
}

#[test]
fn waiting_has_an_end() {
    // _TestConnection.test_connection (poll), TestWait.test_wait_timeout, test_neg_timeout
    let (here, there) = pipe::<u32>().expect("a pipe");
    let limit = Duration::from_millis(30);
    let start = Instant::now();
    assert!(!here.poll(limit).expect("it can be asked"));
    assert!(start.elapsed() >= limit);
    assert_eq!(here.recv_timeout(limit).expect_err("nothing comes").kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= 2 * limit);
    assert!(!here.poll(Duration::ZERO).expect("it can be asked"));
    there.send(5).expect("the other end is open");
    assert!(here.poll(Duration::MAX).expect("it can be asked"));
    assert_eq!(here.recv_timeout(Duration::MAX).expect("it was sent"), 5);
}

#[test]
fn messages_stay_apart() {
    // _TestPoll.test_boundaries, test_dont_merge
    let (here, there) = pipe::<Vec<u8>>().expect("a pipe");
    for message in [&b"a"[..], b"", b"bc"] {
        there.send(message.to_vec()).expect("the other end is open");
    }
    for message in [&b"a"[..], b"", b"bc"] {
        for _ in 0..3 {
            assert!(here.poll(LONG).expect("it can be asked"));
        }
        assert_eq!(here.recv().expect("it was sent"), message);
    }
    assert!(!here.poll(Duration::ZERO).expect("it can be asked"));
}

#[test]
fn what_was_sent_before_the_end_arrives() {
    // _TestListenerClient.test_issue16955, for pipes
    let (here, there) = pipe().expect("a pipe");
    Process::spawn(task!(sends(there, 10, 50))).expect("it starts").join().expect("it returns");
    assert!((10..60).all(|x| here.recv().expect("it was sent") == x));
    assert_eq!(here.recv().expect_err("that was all").kind(), ErrorKind::Disconnected);
}

#[derive(Serialize, Deserialize)]
enum Parcel {
    Number(u32),
    Line(Connection<u32>),
    Lines(Vec<Connection<u32>>),
}

#[pool_task]
fn answers(parcels: Connection<Parcel>) -> Vec<u32> {
    let mut seen = Vec::new();
    while let Ok(parcel) = parcels.recv() {
        match parcel {
            Parcel::Number(number) => seen.push(number),
            Parcel::Line(line) => line.send(1).expect("it is open"),
            Parcel::Lines(lines) => {
                for (number, line) in (0..).zip(lines) {
                    line.send(number).expect("it is open");
                }
            }
        }
    }
    seen
}

#[test]
fn connections_go_through_connections() {
    // _TestPicklingConnections.test_pickling
    let (here, there) = pipe().expect("a pipe");
    let process = Process::spawn(task!(answers(there))).expect("it starts");
    let (mine, theirs) = pipe().expect("a pipe");
    here.send(Parcel::Number(7)).expect("it is open");
    here.send(Parcel::Line(theirs)).expect("it is open");
    assert_eq!(mine.recv().expect("it answers"), 1);
    // Given away, it was closed here: when the process drops it too, nobody is left.
    assert_eq!(mine.recv().expect_err("it is closed").kind(), ErrorKind::Disconnected);
    let (mine, theirs): (Vec<_>, Vec<_>) = (0..100).map(|_| pipe::<u32>().expect("a pipe")).unzip();
    here.send(Parcel::Lines(theirs)).expect("it is open");
    assert!((0..).zip(&mine).all(|(number, line)| line.recv().expect("it answers") == number));
    drop(here);
    assert_eq!(process.join().expect("it returns"), [7]);
}

#[pool_task]
fn makes_a_pipe() -> Connection<u32> {
    let (mine, theirs) = pipe().expect("a pipe");
    mine.send(42).expect("it is open");
    theirs
}

#[test]
fn a_connection_is_a_result() {
    let process = Process::spawn(task!(makes_a_pipe())).expect("it starts");
    let connection = process.join().expect("it returns");
    assert_eq!(connection.recv().expect("it was sent"), 42);
    assert_eq!(connection.recv().expect_err("its peer is gone").kind(), ErrorKind::Disconnected);
}

#[test]
fn too_many_descriptors_are_an_error() {
    let (here, there) = pipe().expect("a pipe");
    let lines = |n| (0..n).map(|_| pipe::<u32>().expect("a pipe").0).collect();
    let error = here.send(Parcel::Lines(lines(300))).expect_err("that is too many");
    assert_eq!(error.kind(), ErrorKind::Encode);
    here.send(Parcel::Number(1)).expect("the connection goes on");
    assert!(matches!(there.recv(), Ok(Parcel::Number(1))));
}

#[test]
fn bytes_alone_are_no_connection() {
    let (connection, _) = pipe::<u32>().expect("a pipe");
    assert!(serde_json::to_string(&connection).is_err());
    assert!(serde_json::from_str::<Connection<u32>>("0").is_err());
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
fn a_value_that_refuses_is_an_error_of_its_own() {
    let (here, there) = pipe().expect("a pipe");
    assert_eq!(here.send(Refuses(true)).expect_err("it refuses").kind(), ErrorKind::Encode);
    here.send(Refuses(false)).expect("the connection goes on");
    assert!(!there.recv().expect("it was sent").0);
}

#[test]
fn a_proxy_whose_server_is_gone_is_an_error_of_its_own() {
    let (here, there) = pipe().expect("a pipe");
    let m = Manager::start().expect("a server");
    here.send(Some(m.list::<u8>().expect("a list"))).expect("it is open");
    here.send(None).expect("it is open");
    drop(m);
    let error = there.recv().expect_err("it comes too late");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(there.recv().expect("the connection goes on").is_none());
    drop(here);
    assert_eq!(there.recv().expect_err("that was all").kind(), ErrorKind::Disconnected);
}

#[test]
fn several_pipes_until_their_ends() {
    // TestWait.test_wait, test_wait_socket, test_wait_slow
    let mut open = Vec::new();
    let mut processes = Vec::new();
    for i in 0..4 {
        let (here, there) = pipe().expect("a pipe");
        processes.push(Process::spawn(task!(sends(there, i * 100, 25))).expect("it starts"));
        open.push(here);
    }
    let mut seen = BTreeSet::new();
    while !open.is_empty() {
        let ready = wait_any(&open).expect("there are some");
        match open[ready].recv() {
            Ok(x) => assert!(seen.insert(x)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Disconnected);
                open.swap_remove(ready);
            }
        }
    }
    assert_eq!(seen.len(), 100);
}

#[test]
fn waiting_for_one_that_comes_later() {
    let (here, there) = pipe::<u32>().expect("a pipe");
    let (quiet, _other) = pipe::<u32>().expect("a pipe");
    for round in 0..100 {
        let ready = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| wait_any(&[&quiet, &here]));
            there.send(round).expect("it is open");
            waiter.join().expect("it returns")
        });
        assert_eq!(ready.expect("there are some"), 1);
        assert_eq!(here.recv().expect("it was sent"), round);
    }
}

#[test]
fn threads_share_an_end() {
    const END: u64 = u64::MAX;
    let (here, there) = pipe::<u64>().expect("a pipe");
    let next = || here.recv().ok().filter(|&x| x != END);
    let sum: u64 = std::thread::scope(|scope| {
        let takers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| std::iter::from_fn(&next).sum::<u64>())).collect();
        let give = |x: u64| there.send(x).expect("it is open");
        let givers: Vec<_> = (0..4)
            .map(|i| scope.spawn(move || (i * 1000..(i + 1) * 1000).for_each(give)))
            .collect();
        givers.into_iter().for_each(|giver| giver.join().expect("it returns"));
        (0..4).for_each(|_| give(END));
        takers.into_iter().map(|taker| taker.join().expect("it returns")).sum()
    });
    assert_eq!(sum, (0..4000_u64).sum::<u64>());
}

#[test]
fn a_sender_killed_in_the_middle_tears_nothing() {
    for round in 0..50_u32 {
        let len = if round % 2 == 0 { 500 } else { 50_000 };
        let (here, there) = pipe().expect("a pipe");
        let process = Process::spawn(task!(pours(there, len))).expect("it starts");
        let mut next = 0;
        let mut take = || match here.recv() {
            Ok(message) => {
                assert!(message.len() == len && message.iter().all(|&x| x == next));
                next += 1;
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Disconnected);
                false
            }
        };
        for _ in 0..round % 7 {
            assert!(take());
        }
        process.kill().expect("it is ours");
        while take() {}
    }
}
