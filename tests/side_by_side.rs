//! Several threads at the same end of a connection, or at the same listener: those with a timeout keep it, whatever the
//! others wait for.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use pool_runtime::{ByteConnection, Client, ErrorKind, Listener};

/// Longer than anything here takes, shorter than a test run may hang.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(1);
/// So many calls that the other thread, which does nothing else, comes to wait in the midst of them.
const CALLS: usize = 200;

fn ends() -> (ByteConnection, ByteConnection) {
    let listener = Listener::bind_without_key("127.0.0.1:0").expect("bound");
    let client = Client::connect_without_key(listener.address()).expect("connected");
    (listener.accept_timeout(LONG).expect("it is there"), client)
}

/// Runs `waits`, which ends when `end` is called, beside [`CALLS`] calls of `timed`.
fn beside<R: Send>(
    waits: impl FnOnce() -> R + Send,
    timed: impl Fn() + Sync,
    end: impl FnOnce(),
) -> R {
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let begun = tell.clone();
        let waiting = scope.spawn(move || {
            begun.send(()).expect("somebody listens");
            waits()
        });
        told.recv().expect("it begins");
        let timed = &timed;
        scope.spawn(move || {
            (0..CALLS).for_each(|_| timed());
            tell.send(()).expect("somebody listens");
        });
        let in_time = told.recv_timeout(LONG);
        // First, so that a call without a bound fails the test and does not hang it.
        end();
        let result = waiting.join().expect("no panic");
        in_time.expect("timed calls end while another thread waits");
        result
    })
}

#[test]
fn receiving_with_a_timeout_beside_one_without() {
    let (server, client) = ends();
    let timed = || {
        let late = server.recv_bytes_timeout(SHORT).expect_err("nothing was sent");
        assert_eq!(late.kind(), ErrorKind::TimedOut);
    };
    let end = || client.send_bytes(b"end").expect("sent");
    assert_eq!(beside(|| server.recv_bytes(), timed, end).expect("received"), b"end");
}

#[test]
fn looking_beside_one_who_receives() {
    let (server, client) = ends();
    let timed = || {
        let begun = Instant::now();
        assert!(!server.poll(SHORT).expect("it is open"));
        assert!(begun.elapsed() >= SHORT);
    };
    let end = || client.send_bytes(b"end").expect("sent");
    assert_eq!(beside(|| server.recv_bytes(), timed, end).expect("received"), b"end");
}

#[test]
fn accepting_with_a_timeout_beside_one_without() {
    let listener = Listener::bind_without_key("127.0.0.1:0").expect("bound");
    let timed = || {
        let late = listener.accept_timeout(SHORT).expect_err("nobody connected");
        assert_eq!(late.kind(), ErrorKind::TimedOut);
    };
    let mut client = None;
    let end = || client = Some(Client::connect_without_key(listener.address()));
    beside(|| listener.accept(), timed, end).expect("somebody came");
    client.expect("it was called").expect("connected");
}
