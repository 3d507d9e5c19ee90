//! Who is alive: processes by pid and start time, threads by thread id and start time.
//!
//! A number alone may by now be somebody else's; together with the moment when its bearer began it is nobody else's.
#![expect(unsafe_code, reason = "tgkill has no safe wrapper")]

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use rustix::process::Pid;

/// One process, for ever: its pid, and when it began, in clock ticks since the machine did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    /// 0 where `/proc` cannot be read; then the pid alone must do.
    pub(crate) start: u64,
}

/// What became of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thread {
    Lives,
    /// It ended, and its process lives.
    Ended,
    /// Its process ended.
    ProcessEnded,
}

/// The parts of `/proc/PID/stat` that are of use. <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
struct Stat {
    state: u8,
    flags: u64,
    threads: u64,
    start: u64,
    pending: u64,
}

/// Of the flags: it is on its way out. `include/linux/sched.h`.
const EXITING: u64 = 4;
/// Of the pending signals: SIGKILL, which is also how the threads of a process that exits are told.
const KILL: u64 = 1 << 8;
/// Between two looks at a thread that seems to have ended alone: one that was told to end has for a moment no mark of it.
const PAUSE: Duration = Duration::from_millis(2);

impl Stat {
    fn is_over(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    fn is_ending(&self) -> bool {
        self.is_over() || self.flags & EXITING != 0 || self.pending & KILL != 0
    }
}

impl Identity {
    /// This process.
    pub(crate) fn own() -> Self {
        Self {
            pid: std::process::id(),
            start: stat("/proc/self/stat").map_or(0, |stat| stat.start),
        }
    }

    /// Whether it can still touch memory. A process that has ended and was not reaped cannot.
    pub(crate) fn is_alive(self) -> bool {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return false };
        if rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
            return false;
        }
        let Some(stat) = stat(&format!("/proc/{}/stat", self.pid)) else { return true };
        // The first thread of a process may end before the others: then the process is a zombie only in name.
        let ended = stat.is_over() && stat.threads <= 1;
        !ended && (self.start == 0 || self.start == stat.start)
    }

    /// Whether all its threads are seen to end: one may be gone long before the last. `false` where `/proc` cannot be read, or
    /// when the process has gone meanwhile: the next look tells.
    fn is_ending(self) -> bool {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", self.pid)) else { return false };
        let mut threads =
            tasks.filter_map(|task| stat(task.ok()?.path().join("stat").to_str()?)).peekable();
        threads.peek().is_some() && threads.all(|thread| thread.is_ending())
    }

    /// What became of one of its threads; `began` is compared under `mask`. A thread of a process that is about to end counts as
    /// alive until that has ended.
    pub(crate) fn thread(self, tid: u32, began: u64, mask: u64) -> Thread {
        for _ in 0..2 {
            match self.thread_now(tid, began, mask) {
                Thread::Ended if self.is_ending() => return Thread::Lives,
                Thread::Ended => std::thread::sleep(PAUSE),
                other => return other,
            }
        }
        Thread::Ended
    }

    fn thread_now(self, tid: u32, began: u64, mask: u64) -> Thread {
        let lives = || match stat(&format!("/proc/{}/task/{tid}/stat", self.pid)) {
            Some(stat) => !stat.is_over() && (self.start == 0 || stat.start & mask == began),
            None => true,
        };
        if exists(self.pid, tid) && lives() && (tid != self.pid || self.is_alive()) {
            // A thread of the right number and age: a process of another age would have others.
            return Thread::Lives;
        }
        if self.is_alive() { Thread::Ended } else { Thread::ProcessEnded }
    }
}

/// The calling thread: its id, and when it began (0 where that cannot be known).
pub(crate) fn this_thread() -> (u32, u64) {
    let tid = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
    (tid, stat(&format!("/proc/self/task/{tid}/stat")).map_or(0, |stat| stat.start))
}

/// The process that started this one.
pub(crate) fn parent_pid() -> u32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().cast_unsigned())
}

fn exists(pid: u32, tid: u32) -> bool {
    // SAFETY: signal 0 is none; the call only looks whether the thread is there.
    let found = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, 0) };
    found == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// `None` when it cannot be read, for whatever reason: that says nothing about the process.
fn stat(path: &str) -> Option<Stat> {
    let mut room = [0; 512];
    let len = File::open(path).and_then(|mut file| file.read(&mut room)).ok()?;
    // The name stands in parentheses and may hold anything, parentheses too.
    let after = room[..len].iter().rposition(|&byte| byte == b')')? + 1;
    let text = std::str::from_utf8(&room[after..len]).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    // State is field 3; flags are field 9, threads field 20, the start is field 22, pending signals are field 31.
    let flags = fields.nth(5)?.parse().ok()?;
    let threads = fields.nth(10)?.parse().ok()?;
    let start = fields.nth(1)?.parse().ok()?;
    let pending = fields.nth(8)?.parse().ok()?;
    Some(Stat { state, flags, threads, start, pending })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_so_does_this_thread() {
        let (own, (tid, began)) = (Identity::own(), this_thread());
        assert!(own.start > 0 && own.is_alive());
        assert_eq!(own.thread(tid, began, u64::MAX), Thread::Lives);
    }

    #[test]
    fn another_age_is_another_process() {
        let own = Identity::own();
        assert!(!Identity { start: own.start + 1, ..own }.is_alive());
    }

    #[test]
    fn a_thread_that_was_joined_has_ended() {
        let (tid, began) = std::thread::spawn(this_thread).join().expect("it ends");
        // The kernel lets go of a thread a moment after `join` returns.
        while exists(std::process::id(), tid) {
            std::thread::yield_now();
        }
        assert_eq!(Identity::own().thread(tid, began, u64::MAX), Thread::Ended);
    }

    #[test]
    fn a_child_that_is_not_reaped_has_ended() {
        let mut child = std::process::Command::new("true").spawn().expect("`true` starts");
        let pid = child.id();
        let start = stat(&format!("/proc/{pid}/stat")).expect("it is there").start;
        let options =
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        let id = Pid::from_raw(pid.cast_signed()).expect("a pid");
        rustix::process::waitid(rustix::process::WaitId::Pid(id), options).expect("it ends");
        assert!(!Identity { pid, start }.is_alive());
        child.wait().expect("it is reaped");
        assert!(!Identity { pid, start }.is_alive());
    }
}
