//! How many CPUs this process may use.

use std::num::NonZero;
use std::sync::OnceLock;

/// The CPUs that affinity and the cgroup's quota leave, a part of one counted as one; at least 1.
///
/// `std::thread::available_parallelism` rounds a quota down; two workers on a quota of 1.5 keep it busy and one does not, so
/// the quota is read here, rounded up. Asked once and kept: a quota that changes later is not seen.
pub(crate) fn available() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let affinity =
            rustix::thread::sched_getaffinity(None).map_or(0, |set| set.count() as usize);
        let affinity = if affinity == 0 {
            std::thread::available_parallelism().map_or(1, NonZero::get)
        } else {
            affinity
        };
        quota().map_or(affinity, |quota| affinity.min(quota)).max(1)
    })
}

/// The tightest CPU quota of this process's cgroup and those above it, version 2 or 1, rounded up.
fn quota() -> Option<usize> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().filter_map(quota_of).min()
}

/// One line of `/proc/self/cgroup`: `0::/path` in version 2, `4:cpu,cpuacct:/path` in version 1.
fn quota_of(line: &str) -> Option<usize> {
    let mut fields = line.splitn(3, ':');
    let (controllers, path) = (fields.nth(1)?, fields.next()?.trim_start_matches('/'));
    let version2 = controllers.is_empty();
    if !version2 && !controllers.split(',').any(|controller| controller == "cpu") {
        return None;
    }
    let root = if version2 {
        "/sys/fs/cgroup".to_owned()
    } else {
        format!("/sys/fs/cgroup/{controllers}")
    };
    let mut directory = std::path::Path::new(&root).join(path);
    let mut least: Option<usize> = None;
    loop {
        let here = if version2 { version2_quota(&directory) } else { version1_quota(&directory) };
        least = least.into_iter().chain(here).min();
        if directory.as_os_str() == root.as_str() || !directory.pop() {
            return least;
        }
    }
}

fn version2_quota(directory: &std::path::Path) -> Option<usize> {
    parse_cpu_max(&std::fs::read_to_string(directory.join("cpu.max")).ok()?)
}

fn version1_quota(directory: &std::path::Path) -> Option<usize> {
    let read = |name| std::fs::read_to_string(directory.join(name)).ok();
    parse_cpu_max(&format!(
        "{} {}",
        read("cpu.cfs_quota_us")?.trim(),
        read("cpu.cfs_period_us")?.trim()
    ))
}

/// `150000 100000` is one and a half CPUs, which counts as 2; `max 100000` and `-1 100000` are no quota.
fn parse_cpu_max(text: &str) -> Option<usize> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<i64>);
    let (quota, period) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (quota > 0 && period > 0)
        .then(|| usize::try_from(quota).ok()?.div_ceil(usize::try_from(period).ok()?).into())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::parse_cpu_max;

    #[test]
    fn quota_is_rounded_up() {
        assert_eq!(parse_cpu_max("150000 100000\n"), Some(2));
        assert_eq!(parse_cpu_max("200000 100000"), Some(2));
        assert_eq!(parse_cpu_max("1000 100000"), Some(1));
        assert_eq!(parse_cpu_max("max 100000"), None);
        assert_eq!(parse_cpu_max("-1 100000"), None);
        assert_eq!(parse_cpu_max(""), None);
    }
}
