//! `#[elapsed]` prints one line when the function returns, in whatever way it does.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use pool_runtime::prelude::*;

struct Clock;

impl Clock {
    #[elapsed]
    fn method(&self) -> Option<u8> {
        let early: Option<u8> = None;
        early?;
        Some(1)
    }
}

#[elapsed]
fn generic<T: Default>() -> T {
    T::default()
}

/// Runs in a process of its own, whose stderr the other test reads.
#[test]
fn child() {
    if std::env::var_os("ELAPSED_CHILD").is_some() {
        assert!(Clock.method().is_none());
        assert_eq!(generic::<u8>(), 0);
    }
}

#[test]
fn one_line_per_call() {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this)
        .args(["--exact", "child", "--nocapture"])
        .env("ELAPSED_CHILD", "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = stderr.lines().filter(|line| line.ends_with(" s")).collect();
    assert_eq!(lines.len(), 2, "{stderr}");
    for (line, name) in lines.iter().zip(["method", "generic"]) {
        let seconds =
            line.strip_prefix(&format!("{name}: ")).and_then(|rest| rest.strip_suffix(" s"));
        let seconds = seconds.unwrap_or_else(|| panic!("{line}"));
        assert_eq!(seconds.split('.').next_back().map(str::len), Some(3), "{line}");
        assert!(seconds.parse::<f64>().is_ok(), "{line}");
    }
}

/// Many processes write to one stderr, so a line goes there in one piece: each write is a message of its own here.
#[test]
fn a_line_is_one_write() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    // Read while it runs: the socket holds a few messages only.
    ours.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env("ELAPSED_CHILD", "1")
        .stderr(OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    let (mut room, mut writes) = ([0; 4096], Vec::new());
    let status = loop {
        let status = child.try_wait().unwrap();
        while let Ok(len) = ours.recv(&mut room) {
            writes.push(String::from_utf8_lossy(&room[..len]).into_owned());
        }
        if let Some(status) = status {
            break status;
        }
    };
    assert!(status.success());
    let line = writes.iter().find(|write| write.starts_with("method")).unwrap();
    assert!(line.starts_with("method: ") && line.ends_with(" s\n"), "{line:?}");
}
