//! Memory of what a manager keeps comes back whatever becomes of its clients. In a program of its own, for it looks at all that the
//! program shares.

mod traces;

use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};
use traces::{LONG, value};

#[pool_task]
fn churn(l: List<Array<u8>>, hub: Proxy<Arrays>, ready: Event) -> Result<(), Error> {
    loop {
        l.push(Array::zeroed(MEGABYTE)?)?;
        let array = hub.swap(l.pop()?)?;
        ready.set()?;
        l.extend(array)?;
    }
}

const MEGABYTE: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Arrays(Option<Array<u8>>);

#[managed]
impl Arrays {
    pub fn swap(&mut self, array: Option<Array<u8>>) -> Option<Array<u8>> {
        std::mem::replace(&mut self.0, array)
    }
}

/// Memory behind all that this tree of processes shares.
fn shared_bytes() -> u64 {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("descriptors");
    let paths = descriptors.filter_map(|entry| Some(entry.ok()?.path()));
    let shared = paths.filter(|path| {
        std::fs::read_link(path)
            .is_ok_and(|name| name.to_string_lossy().contains("memfd:pool-arena"))
    });
    shared.filter_map(|path| Some(std::fs::metadata(path).ok()?.blocks() * 512)).max().unwrap_or(0)
}

// Whatever they were in the middle of: what they held, and what was on its way to them, comes back.
#[test]
fn clients_killed_at_any_moment_leave_no_memory() {
    let m = Manager::start().expect("a server");
    let l = m.list().expect("a list");
    let hub = m.create(Arrays(None)).expect("an object");
    drop(value(0));
    let before = shared_bytes();
    l.push(Array::zeroed(MEGABYTE).expect("an array")).expect("push");
    assert!(shared_bytes() >= before + MEGABYTE as u64);
    for round in 0..20_u64 {
        let ready = Event::new().expect("an event");
        let client = Process::spawn(task!(churn(l.clone(), hub.clone(), ready.clone())));
        let client = client.expect("a process");
        assert!(ready.wait_timeout(LONG).expect("waits"));
        thread::sleep(Duration::from_micros(round * 137 % 2000));
        client.kill().expect("it is there");
        client.join().expect_err("killed");
    }
    drop(hub.swap(None).expect("swap"));
    l.clear().expect("clear");
    let begun = Instant::now();
    while shared_bytes() > before + MEGABYTE as u64 / 2 {
        assert!(begun.elapsed() < LONG, "{} bytes, and {before} before", shared_bytes());
        drop(value(0));
        thread::sleep(Duration::from_millis(1));
    }
}
