//! Handles of shared objects in a manager whose clients are strangers: another program, and one that lies.

mod traces;

use std::process::Command;

use pool_runtime::prelude::*;
use traces::{LONG, ends, lives, trace, value};

/// Another program is another tree: this one, started again by its file.
#[test]
fn handles_of_another_tree_are_clear_errors() {
    if let Ok(address) = std::env::var("MANAGER_OF_ANOTHER_TREE") {
        let m = Manager::connect(address.as_str(), b"key").expect("a client");
        let l: List<Value<i64>> = m.shared().expect("shared").get("list").expect("get");
        let error = l.get(0).expect_err("it is another tree's");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("another tree"), "{error}");
        l.push(value(6)).expect("push");
        return;
    }
    let m = Manager::listen("127.0.0.1:0", b"key").expect("a server");
    let l = m.list().expect("a list");
    l.push(value(5)).expect("push");
    m.shared().expect("shared").set("list", l.clone()).expect("set");
    let mut other = Command::new(std::env::current_exe().expect("a path"));
    other.args(["--exact", "handles_of_another_tree_are_clear_errors"]);
    let output =
        other.env("MANAGER_OF_ANOTHER_TREE", m.address().to_string()).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(l.get(0).expect("get").get().expect("it lives"), 5);
    let error = l.get(1).expect_err("it is another tree's");
    assert!(error.to_string().contains("another tree"), "{error}");
}

#[pool_task]
fn push(l: List<u64>, x: u64) -> Result<List<u64>, Error> {
    l.push(x)?;
    Ok(l)
}

/// Bytes name objects of a server that cannot see when they are gone: their process does.
#[test]
fn another_tree_gives_proxies_to_workers_of_its_own() {
    if let Ok(address) = std::env::var("MANAGER_FOR_ANOTHER_TREE") {
        let m = Manager::connect(address.as_str(), b"key").expect("a client");
        let l: List<u64> = m.shared().expect("shared").get("list").expect("get");
        let pool = Pool::builder().workers(1).max_tasks_per_worker(1).build().expect("a pool");
        let q = Queue::unbounded().expect("a queue");
        for back in par_imap!(push(l, _), 1..=3_u64; pool = pool).expect("a stream") {
            q.put(back.expect("an item").expect("it lives")).expect("put");
        }
        let own: List<u64> = m.list().expect("a list");
        q.put(own).expect("put");
        assert_eq!(q.get().expect("get").to_vec().expect("it lives"), [1, 2, 3]);
        assert_eq!(m.objects().expect("count"), 2);
        return;
    }
    let m = Manager::listen("127.0.0.1:0", b"key").expect("a server");
    m.shared().expect("shared").set("list", m.list::<u64>().expect("a list")).expect("set");
    let mut other = Command::new(std::env::current_exe().expect("a path"));
    other.args(["--exact", "another_tree_gives_proxies_to_workers_of_its_own"]);
    let output =
        other.env("MANAGER_FOR_ANOTHER_TREE", m.address().to_string()).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A client that speaks in bytes.
struct Raw {
    _control: ByteConnection,
    calls: ByteConnection,
}

impl Raw {
    fn connect(m: &Manager) -> Self {
        // Behind it the byte of a field of that name.
        let session = [&[9_u8; 16][..], &[0x27]].concat();
        let say = |variant: [u8; 4]| {
            let client = Client::connect(m.address(), b"key").expect("it knows the key");
            client.send_bytes([&variant[..], &session].concat()).expect("sent");
            client
        };
        // `Control` and `Calls`, hashed, and their numbers.
        let control = say([0, 62, 191, 71]);
        control.recv_bytes_timeout(LONG).expect("welcome");
        Self { _control: control, calls: say([1, 206, 148, 239]) }
    }

    fn call(&self, object: u64, method: u32, arguments: &[u8]) -> Vec<u8> {
        let request = [&object.to_le_bytes()[..], &method.to_le_bytes(), arguments].concat();
        self.calls.send_bytes(&request).expect("sent");
        self.calls.recv_bytes_timeout(LONG).expect("an answer")
    }
}

/// A value that claims to name objects in shared memory.
fn blob(tree: u64, objects: &[u64]) -> Vec<u8> {
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let count = (objects.len() as u32).to_le_bytes().to_vec();
    let named: Vec<u8> = words(objects);
    [vec![0; 4], count, tree.to_le_bytes().to_vec(), named, words(&[3]), vec![1, 2, 3]].concat()
}

// Whoever knows the key may claim anything: what is not there is refused, what is another tree's is passed over, and what is
// kept is kept no longer than the value.
#[test]
fn forged_names_of_objects_do_no_harm() {
    let (desk, create, class) = (0, 0, 1_u32);
    let [push, get, len, clear] = [0, 2, 4, 7];
    let [done, failed, lent] = [0, 1, 2];
    let m = Manager::listen("127.0.0.1:0", b"key").expect("a server");
    let raw = Raw::connect(&m);
    let made = raw.call(desk, create, &class.to_le_bytes());
    let list = u64::from_le_bytes(made[5..13].try_into().expect("a number"));
    let value = value(5);
    let trace = trace(&value);
    let ticket: serde_json::Value = serde_json::from_str(&trace).expect("bytes");
    let number = |name: &str| ticket[name].as_u64().expect("a number");
    let (tree, object) = (number("tree"), number("object"));

    let junk = [0, 1, u64::MAX, u64::MAX >> 32, 1 << 20, object ^ 1 << 40, object + 1000];
    assert_eq!(raw.call(list, push, &blob(tree ^ 1, &junk))[0], done);
    for one in junk {
        assert_eq!(raw.call(list, push, &blob(tree, &[one]))[0], failed, "{one:x}");
    }
    let mut short = blob(tree, &[object]);
    short[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(raw.call(list, push, &short)[0], failed);
    assert_eq!(raw.call(list, len, &[])[5..], 1_u64.to_le_bytes());

    assert_eq!(raw.call(list, push, &blob(tree, &[object; 1000]))[0], done);
    drop(value);
    assert_eq!(raw.call(list, get, &1_u64.to_le_bytes()), [lent, 0, 0, 0, 0, 1, 2, 3]);
    assert!(lives(&trace));
    // To an empty message there is no reply.
    raw.calls.send_bytes([]).expect("sent");
    assert_eq!(raw.call(list, get, &0_u64.to_le_bytes())[0], done);
    assert_eq!(raw.call(list, get, &1_u64.to_le_bytes())[0], lent);
    assert_eq!(raw.call(list, clear, &[])[0], done);
    ends(&trace);
}
