//! A server from outside: its memory, its descriptors, its threads.

use std::fmt;
use std::time::{Duration, Instant};

use crate::target::Target;

/// What may come on top of the most that was there while it warmed up.
const MORE_KIB: u64 = 4 << 10;
const MORE_FILES: u64 = 40;
/// What is not there any more when all have left, but for so many.
const LEFT_FILES: u64 = 10;

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    kib: u64,
    files: u64,
}

impl Sample {
    fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count) as u64;
        Self { kib, files }
    }

    fn max(self, other: Self) -> Self {
        Self { kib: self.kib.max(other.kib), files: self.files.max(other.files) }
    }
}

#[derive(Debug)]
pub struct Watch {
    pid: u32,
    before: Sample,
    /// The most while it warmed up, and since then.
    warm: Sample,
    peak: Sample,
    after: Sample,
    last: Instant,
}

impl Watch {
    pub fn new(target: &Target) -> Self {
        let before = Sample::of(target.pid);
        let nothing = Sample::default();
        let last = Instant::now();
        Self { pid: target.pid, before, warm: before, peak: nothing, after: nothing, last }
    }

    /// Looks now and then.
    pub fn look(&mut self, warming_up: bool) {
        if self.last.elapsed() < Duration::from_millis(100) {
            return;
        }
        self.last = Instant::now();
        let now = Sample::of(self.pid);
        assert!(now.kib > 0, "the server is gone");
        if warming_up {
            self.warm = self.warm.max(now);
            return;
        }
        self.peak = self.peak.max(now);
        let files = (self.warm.files, now.files);
        assert!(files.1 <= files.0 + MORE_FILES, "descriptors grow: {files:?}");
        let kib = (self.warm.kib, now.kib);
        assert!(kib.1 <= kib.0 + MORE_KIB, "memory grows, in KiB: {kib:?}");
    }

    /// When all have left, only what was there before is there.
    pub fn calm_down(&mut self) {
        let begun = Instant::now();
        loop {
            self.after = Sample::of(self.pid);
            if self.after.files <= self.before.files + LEFT_FILES {
                return;
            }
            let files = (self.before.files, self.after.files);
            assert!(begun.elapsed() < Duration::from_secs(30), "descriptors are left: {files:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, before, warm, peak, after, .. } = self;
        write!(
            f,
            "server {pid}: resident {} KiB before, at most {} KiB while it warmed up, ",
            before.kib, warm.kib
        )?;
        write!(f, "{} KiB since, {} KiB after; ", peak.kib, after.kib)?;
        write!(f, "descriptors {}, {}, {}, {}", before.files, warm.files, peak.files, after.files)
    }
}
