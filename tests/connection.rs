//! Listener and client, among themselves and beside CPython.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pool_runtime::{Address, ByteConnection, Client, ErrorKind, Listener, ToAddress};

const KEY: &[u8] = b"secret password";
/// Longer than anything here takes, shorter than a test run may hang.
const LONG: Duration = Duration::from_secs(30);

fn scratch(name: &str) -> String {
    std::env::temp_dir()
        .join(format!("pool-{name}-{}.sock", std::process::id()))
        .display()
        .to_string()
}

#[test]
fn the_file_of_a_listener_goes_with_it_though_the_program_is_elsewhere() {
    let here = std::env::current_dir().expect("a directory");
    let name = format!("pool-{}.sock", std::process::id());
    std::env::set_current_dir(std::env::temp_dir()).expect("a directory");
    let listener = Listener::bind(&*format!("./{name}"), KEY);
    std::env::set_current_dir(here).expect("a directory");
    let listener = listener.expect("the name is free");
    let file = std::env::temp_dir().join(name);
    assert!(file.exists());
    drop(listener);
    assert!(!file.exists());
}

/// Both ends of a connection over `address`.
fn ends(address: impl ToAddress) -> (ByteConnection, ByteConnection) {
    let listener = Listener::bind(address, KEY).expect("the address is free");
    let there = listener.address();
    let client = thread::spawn(move || Client::connect(there, KEY));
    let server = listener.accept_timeout(LONG).expect("the client has the key");
    (server, client.join().expect("no panic").expect("the listener has the key"))
}

// _TestListenerClient.test_listener_client, _TestListener.test_abstract_socket: all families.
#[test]
fn every_family_carries_messages() {
    let abstract_name = format!("\0pool-test-{}", std::process::id());
    for address in ["127.0.0.1:0", "localhost:0", &scratch("families"), &abstract_name] {
        let (server, client) = ends(address);
        client.send_bytes(b"hello").expect("sent");
        assert_eq!(server.recv_bytes().expect("received"), b"hello");
        server.send_bytes(b"world").expect("sent");
        assert_eq!(client.recv_bytes().expect("received"), b"world");
    }
}

#[test]
fn a_key_is_not_printed() {
    let listener = Listener::bind("127.0.0.1:0", KEY).expect("the address is free");
    let (printed, key) = (format!("{listener:?}"), format!("{KEY:?}"));
    assert!(!printed.contains(key.trim_matches(['[', ']'])), "{printed}");
}

// _TestConnection.test_connection, _TestPoll.test_boundaries, test_dont_merge: messages are neither cut nor merged.
#[test]
fn boundaries_are_kept_at_every_length() {
    let (server, client) = ends("127.0.0.1:0");
    let lengths = [0, 1, 3, 4, 0, 16 << 10, (16 << 10) + 1, 65_536, 16 << 20, 0];
    let sender = thread::spawn(move || {
        for len in lengths {
            client.send_bytes(vec![len as u8; len]).expect("sent");
        }
        client
    });
    for len in lengths {
        assert!(server.poll(LONG).expect("not broken"));
        assert_eq!(server.recv_bytes().expect("received"), vec![len as u8; len]);
    }
    let client = sender.join().expect("no panic");
    assert!(!server.poll(Duration::ZERO).expect("not broken"));
    drop(client);
    // EOF after the peer closes: poll says that there is something to learn, and a receive says what.
    assert!(server.poll(LONG).expect("not broken"));
    assert_eq!(server.recv_bytes().expect_err("closed").kind(), ErrorKind::Disconnected);
    assert_eq!(server.recv_bytes().expect_err("closed").kind(), ErrorKind::Disconnected);
}

// _TestConnection.test_connection: recv_bytes_into; BufferTooShort.
#[test]
fn receiving_into_a_room() {
    let (server, client) = ends("127.0.0.1:0");
    client.send_bytes(b"abc").expect("sent");
    client.send_bytes(b"too long for it").expect("sent");
    client.send_bytes(b"next").expect("sent");
    let mut room = [0; 8];
    assert_eq!(server.recv_bytes_into(&mut room).expect("received"), 3);
    assert_eq!(&room[..3], b"abc");
    assert_eq!(
        server.recv_bytes_into(&mut room).expect_err("too small").kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(server.recv_bytes().expect("received"), b"next");
}

// _TestPoll.test_boundaries: a timeout in the middle of a message loses nothing of it.
#[test]
fn a_timeout_in_the_middle_of_a_message_keeps_its_beginning() {
    let listener = Listener::bind_without_key("127.0.0.1:0").expect("bound");
    let mut raw = TcpStream::connect(listener.address().tcp().expect("TCP")).expect("connected");
    let server = listener.accept_timeout(LONG).expect("anybody may come");
    raw.write_all(&[0, 0, 0, 5, b'h', b'e']).expect("written");
    let late = server.recv_bytes_timeout(Duration::from_millis(20)).expect_err("it is not whole");
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    raw.write_all(b"llo").expect("written");
    assert_eq!(server.recv_bytes_timeout(LONG).expect("whole now"), b"hello");
}

// _TestListenerClient.test_issue14725, test_issue16955: what a client that has left already wrote is still there.
#[test]
fn a_client_that_has_left_still_delivers() {
    let listener = Listener::bind_without_key("127.0.0.1:0").expect("bound");
    let client = Client::connect_without_key(listener.address()).expect("connected");
    client.send_bytes(b"hello").expect("sent");
    drop(client);
    let server = listener.accept_timeout(LONG).expect("it was there");
    assert!(server.poll(LONG).expect("not broken"));
    assert_eq!(server.recv_bytes().expect("received"), b"hello");
}

// _TestListener.test_multiple_bind, test_context: a place is taken until its listener is dropped.
#[test]
fn a_place_is_taken_once_and_given_back() {
    let without_file = format!("\0pool-test-once-{}", std::process::id());
    for address in [&scratch("once") as &str, &without_file, "127.0.0.1:0"] {
        let first = Listener::bind(address, KEY).expect("free");
        let place = first.address();
        assert_eq!(Listener::bind(&place, KEY).expect_err("taken").kind(), ErrorKind::Io);
        drop(first);
        // A child that another test is starting has a copy of the socket until it executes its program.
        let end = Instant::now() + LONG;
        while let Err(error) = Listener::bind(&place, KEY) {
            assert!(Instant::now() < end, "free again: {error}");
            thread::yield_now();
        }
        assert_eq!(
            Client::connect(&place, KEY).expect_err("nobody is there").kind(),
            ErrorKind::Disconnected
        );
    }
    assert!(!std::path::Path::new(&scratch("once")).exists());
}

// TestInvalidFamily.test_invalid_family, TestInvalidHandle.test_invalid_handles
#[test]
fn what_is_no_address_is_refused() {
    let long = format!("/{}", "x".repeat(200));
    for bad in ["nonsense", "", "host:99999", r"\\.\pipe\x", &long] {
        assert_eq!(
            Listener::bind(bad, KEY).expect_err(bad).kind(),
            ErrorKind::InvalidInput,
            "{bad}"
        );
    }
    assert!(matches!(("127.0.0.1", 80).to_addresses().expect("an address")[0], Address::Tcp(_)));
}

// OtherTest.test_deliver_challenge_auth_failure, test_answer_challenge_auth_failure
#[test]
fn another_key_is_an_error_on_both_sides_and_the_listener_goes_on() {
    let listener = Listener::bind("127.0.0.1:0", KEY).expect("bound");
    let there = listener.address();
    for key in [&b"another"[..], b"", &[b'x'; 500]] {
        let place = there.clone();
        let key = key.to_vec();
        let client = thread::spawn(move || Client::connect(place, key));
        assert_eq!(
            listener.accept_timeout(LONG).expect_err("another key").kind(),
            ErrorKind::Authentication
        );
        let refused = client.join().expect("no panic").expect_err("another key");
        assert_eq!(refused.kind(), ErrorKind::Authentication);
    }
    let client = thread::spawn(move || Client::connect(there, KEY));
    assert!(listener.accept_timeout(LONG).is_ok());
    assert!(client.join().expect("no panic").is_ok());
}

#[test]
fn junk_and_silence_delay_nobody() {
    let listener = Listener::bind("127.0.0.1:0", KEY).expect("bound");
    let there = listener.address().tcp().expect("TCP");
    let junk: [&[u8]; 6] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xFF; 64],
        &[0, 0, 0, 5, 1],
        &[0x7F, 0xFF, 0xFF, 0xFF, 0],
        &[0; 16],
    ];
    // More than may stand at the door, half of them silent.
    let _strangers: Vec<_> = (0..300)
        .map(|at| {
            let mut stranger = TcpStream::connect(there).expect("connected");
            stranger.write_all(junk[at % junk.len()]).expect("written");
            stranger
        })
        .collect();
    let started = Instant::now();
    let client = thread::spawn(move || Client::connect(there, KEY));
    let server = listener.accept_timeout(LONG).expect("a friend among strangers");
    client.join().expect("no panic").expect("let in").send_bytes(b"hello").expect("sent");
    assert_eq!(server.recv_bytes().expect("received"), b"hello");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_message_that_is_too_long_ends_its_direction_only() {
    let (server, client) = ends("127.0.0.1:0");
    client.send_bytes([1; 100]).expect("sent");
    assert_eq!(server.recv_bytes_max(99).expect_err("too long").kind(), ErrorKind::Decode);
    assert_eq!(server.recv_bytes().expect_err("lost its place").kind(), ErrorKind::Decode);
    server.send_bytes(b"still").expect("the other direction goes on");
    assert_eq!(client.recv_bytes_max(5).expect("fits"), b"still");
}

#[test]
fn a_listener_that_is_none_fails_in_time() {
    let liar = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let there = liar.local_addr().expect("bound");
    let answers = thread::spawn(move || {
        for said in [
            &b"HTTP/1.1 400 no\r\n\r\n"[..],
            &[0xFF, 0xFF, 0xFF, 0xF0],
            &[0, 0, 0, 3, 1, 2, 3],
            &[0, 0, 1],
        ] {
            let (mut socket, _) = liar.accept().expect("a client");
            socket.write_all(said).expect("written");
            // The client has perhaps seen enough, and left.
            let _ = socket.shutdown(std::net::Shutdown::Write);
            let _ = socket.read_to_end(&mut Vec::new());
        }
    });
    for expected in [
        ErrorKind::Authentication,
        ErrorKind::Authentication,
        ErrorKind::Authentication,
        ErrorKind::Disconnected,
    ] {
        assert_eq!(Client::connect(there, KEY).expect_err("no listener").kind(), expected);
    }
    answers.join().expect("no panic");
}

#[test]
fn random_bytes_after_the_handshake_are_an_error_and_no_more() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let listener = Listener::bind_without_key("127.0.0.1:0").expect("bound");
    for _ in 0..200 {
        let mut raw =
            TcpStream::connect(listener.address().tcp().expect("TCP")).expect("connected");
        let server = listener.accept_timeout(LONG).expect("anybody may come");
        let noise: Vec<u8> = (0..random() % 200).map(|_| random() as u8).collect();
        raw.write_all(&noise).expect("written");
        drop(raw);
        while server.recv_bytes_max(1 << 16).is_ok() {}
    }
}

/// A Python that runs `script`, with `arguments`; `None`, said aloud, where there is no Python.
fn python(script: &str, arguments: &[&str]) -> Option<Child> {
    let found = Command::new("python3")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: there is no python3");
        return None;
    }
    let mut command = Command::new("python3");
    command.arg("-c").arg(script).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    Some(command.spawn().expect("python3 was there a moment ago"))
}

fn finish(child: Child) -> String {
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

const PYTHON_CLIENT: &str = r#"
import sys
from multiprocessing.connection import Client
where = sys.argv[1]
where = ('127.0.0.1', int(where)) if where.isdigit() else where
with Client(where, authkey=b'secret password') as c:
    while True:
        m = c.recv_bytes()
        if m == b'end':
            break
        c.send_bytes(m[::-1])
"#;

// A Python client against our listener, TCP and Unix, with messages on both sides of every limit of the format.
#[test]
fn a_python_client_is_a_peer() {
    for address in ["127.0.0.1:0".to_owned(), scratch("python-client")] {
        let listener = Listener::bind(&address, KEY).expect("bound");
        let there = listener.address().tcp().map_or(address, |tcp| tcp.port().to_string());
        let Some(client) = python(PYTHON_CLIENT, &[&there]) else { return };
        let server = listener.accept_timeout(LONG).expect("it has the key");
        for len in [0, 1, 5, 16_384, 16_385, 1 << 20] {
            let message: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            server.send_bytes(&message).expect("sent");
            assert!(server.recv_bytes().expect("received").iter().eq(message.iter().rev()));
        }
        server.send_bytes(b"end").expect("sent");
        finish(client);
    }
}

const PYTHON_LISTENER: &str = r#"
import sys
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener
with Listener(('127.0.0.1', 0), authkey=b'secret password') as l:
    print(l.address[1], flush=True)
    refused = 0
    while True:
        try:
            c = l.accept()
            break
        except AuthenticationError:
            refused += 1
    with c:
        for _ in range(3):
            c.send_bytes(c.recv_bytes() + b'!')
    print(refused)
"#;

/// The first line that a child says.
fn first_line(child: &mut Child) -> String {
    let (mut line, mut byte) = (String::new(), [0]);
    let out = child.stdout.as_mut().expect("piped");
    while out.read(&mut byte).expect("read") == 1 && byte[0] != b'\n' {
        line.push(byte[0].into());
    }
    line
}

// Our client against a Python listener, with the right key and with another.
#[test]
fn a_python_listener_is_a_peer() {
    let Some(mut listener) = python(PYTHON_LISTENER, &[]) else { return };
    let port: u16 = first_line(&mut listener).parse().expect("a port");
    assert_eq!(
        Client::connect(("127.0.0.1", port), b"guess").expect_err("another key").kind(),
        ErrorKind::Authentication
    );
    let client = Client::connect(("127.0.0.1", port), KEY).expect("it has the key");
    for message in [&b""[..], b"hello", &[7; 100_000]] {
        client.send_bytes(message).expect("sent");
        assert_eq!(client.recv_bytes().expect("received"), [message, b"!"].concat());
    }
    assert_eq!(finish(listener), "1");
}

// What CPython from 3.12 on does, written anew over the bare socket: the digest's name in front, in both directions.
const MODERN: &str = r#"
import hmac, os, socket, struct, sys
KEY, NAMES = b'secret password', ('md5', 'sha256', 'sha384', 'sha3_256', 'sha3_384')
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
def put(m): s.sendall(struct.pack('!i', len(m)) + m)
def exactly(n):
    b = b''
    while len(b) < n:
        p = s.recv(n - len(b))
        assert p, 'closed'
        b += p
    return b
def get(): return exactly(struct.unpack('!i', exactly(4))[0])
def name_of(m):
    if len(m) in (16, 20): return ''
    n = m[1:m.index(b'}')].decode()
    assert m[:1] == b'{' and n in NAMES, m
    return n
def answer():
    m = get()
    assert m.startswith(b'#CHALLENGE#'), m
    m = m[11:]
    n = sys.argv[2] or name_of(m)
    put(b'{%s}%s' % (n.encode(), hmac.new(KEY, m, n).digest()))
    return get() == b'#WELCOME#'
def ask():
    m = b'{%s}%s' % (sys.argv[3].encode(), os.urandom(40))
    put(b'#CHALLENGE#' + m)
    r = get()
    n = name_of(r)
    assert n == sys.argv[3], (n, sys.argv[3])
    ok = hmac.compare_digest(r[len(n) + 2:], hmac.new(KEY, m, n).digest())
    put(b'#WELCOME#' if ok else b'#FAILURE#')
    return ok
assert answer() and ask()
put(get() + b'!')
"#;

// ChallengeResponseTest.test_challengeresponse, against the other side's own arithmetic.
#[test]
fn the_handshake_of_later_pythons_is_spoken() {
    // What the peer answers with (nothing: what it was asked in), and what it asks in.
    for (answers, asks) in [
        ("", "sha256"),
        ("sha384", "sha384"),
        ("sha3_256", "sha3_256"),
        ("md5", "md5"),
        ("", "sha3_384"),
    ] {
        let listener = Listener::bind("127.0.0.1:0", KEY).expect("bound");
        let Some(peer) = python(MODERN, &[&listener.address().port().to_string(), answers, asks])
        else {
            return;
        };
        let server = listener.accept_timeout(LONG).expect("it has the key");
        server.send_bytes(b"hello").expect("sent");
        assert_eq!(server.recv_bytes().expect("received"), b"hello!");
        finish(peer);
    }
}
