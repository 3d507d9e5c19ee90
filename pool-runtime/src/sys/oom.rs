//! Whether the kernel has killed for want of memory.

use std::sync::atomic::{AtomicU64, Ordering};

static SEEN: AtomicU64 = AtomicU64::new(u64::MAX);

/// How often the kernel has killed a process of this cgroup, by version 2's `memory.events`.
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files>
fn kills() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let events = std::fs::read_to_string(format!(
        "/sys/fs/cgroup{}/memory.events",
        path.trim_end_matches('/')
    ))
    .ok()?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Notes how things stand, for `killed_somebody` to compare with.
pub(crate) fn remember() {
    if SEEN.load(Ordering::Relaxed) == u64::MAX {
        SEEN.store(kills().unwrap_or(0), Ordering::Relaxed);
    }
}

/// Whether the count has risen since the last look.
pub(crate) fn killed_somebody() -> bool {
    let now = kills().unwrap_or(0);
    SEEN.swap(now, Ordering::Relaxed) < now
}
