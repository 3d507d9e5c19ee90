//! Child processes: how they end, and how to end them. Always by a descriptor of the process, never by a pid that may
//! by now be somebody else's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use super::standard;
use crate::error::Error;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Exited(i32),
    Signalled(i32),
    /// Somebody else reaped it (a SIGCHLD that is ignored does): how it ended is lost.
    Lost,
}

/// How long `stop` waits: at most 20 ms, in steps.
const STOP_LOOKS: u32 = 200;
const STOP_PAUSE: Duration = Duration::from_micros(100);

/// A child that has not been reaped.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    /// Readable once the process has ended. Of one that was reaped before it had any it is no pidfd: nothing can be sent to it,
    /// and how it ended is lost.
    descriptor: OwnedFd,
}

impl Child {
    /// # Errors
    /// Kind `Io` when descriptors have run out; the child is then killed and reaped.
    pub(crate) fn adopt(pid: Pid) -> Result<Self, Error> {
        let opened = rustix::process::pidfd_open(pid, PidfdFlags::empty());
        match opened.and_then(standard::above) {
            Ok(descriptor) => Ok(Self { pid, descriptor }),
            // It ended at once, and somebody else reaped it: any descriptor that is readable says as much of it.
            Err(Errno::SRCH) => {
                let ended = eventfd(1, EventfdFlags::CLOEXEC).and_then(standard::above);
                let descriptor = ended.map_err(|error| Error::os("eventfd", error))?;
                Ok(Self { pid, descriptor })
            }
            Err(error) => {
                // Nobody has reaped it, so the pid is still its own.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
                Err(Error::os("pidfd_open", error))
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Sends a signal; a process that has ended takes no notice.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = rustix::process::pidfd_send_signal(&self.descriptor, signal);
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Stops it, and waits until it stands still, at most for a moment: one that waits for a disk cannot be stopped.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        for _ in 0..STOP_LOOKS {
            let options = WaitIdOptions::STOPPED
                | WaitIdOptions::EXITED
                | WaitIdOptions::NOHANG
                | WaitIdOptions::NOWAIT;
            match rustix::process::waitid(WaitId::PidFd(self.descriptor.as_fd()), options) {
                Ok(None) => std::thread::sleep(STOP_PAUSE),
                _ => return,
            }
        }
    }

    /// Whether it has been stopped, by whomever.
    pub(crate) fn stands_still(&self) -> bool {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = rustix::process::waitid(WaitId::PidFd(self.descriptor.as_fd()), options);
        matches!(status, Ok(Some(_)))
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// How it ended, if it has; it is reaped then, and must not be asked again.
    pub(crate) fn try_reap(&self) -> Option<Ending> {
        self.reap_with(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    /// Waits for its end.
    pub(crate) fn reap(&self) -> Ending {
        // Without NOHANG nothing is reported only if somebody else has reaped it, against every rule.
        self.reap_with(WaitIdOptions::EXITED).unwrap_or(Ending::Lost)
    }

    fn reap_with(&self, options: WaitIdOptions) -> Option<Ending> {
        let status = rustix::io::retry_on_intr(|| {
            rustix::process::waitid(WaitId::PidFd(self.descriptor.as_fd()), options)
        });
        match status {
            Ok(None) => None,
            Ok(Some(status)) => Some(match (status.terminating_signal(), status.exit_status()) {
                (Some(signal), _) => Ending::Signalled(signal),
                (None, code) => code.map_or(Ending::Lost, Ending::Exited),
            }),
            Err(_) => Some(Ending::Lost),
        }
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// A descriptor of this process's parent, readable once the parent has ended; `None` when that is another one than `pid` by
/// now, which is to say that `pid` has ended.
pub(crate) fn parent(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(pid.try_into().ok()?)?;
    let opened = rustix::process::pidfd_open(pid, PidfdFlags::empty());
    let descriptor = opened.and_then(standard::above).ok()?;
    (rustix::process::getppid() == Some(pid)).then_some(descriptor)
}

/// Which file a program is: device, number, length, time of its last change.
pub(crate) type Program = (u64, u64, u64, i64);

/// The file of this program, as it was when it was started. `None` when the system does not say.
pub(crate) fn program() -> Option<Program> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::metadata("/proc/self/exe").ok()?;
    Some((file.dev(), file.ino(), file.len(), file.mtime_nsec() ^ file.mtime()))
}

/// Lets this process have as many descriptors as its hard limit allows: the soft one is often 1024.
pub(crate) fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
}

/// Resident private memory of a process in bytes: what `memory_limit` counts. Shared windows do not count.
/// `resident - shared` of `/proc/PID/statm`. <https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html>
pub(crate) fn private_memory(pid: u32) -> Option<usize> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut fields = text.split_ascii_whitespace().skip(1).map(str::parse::<usize>);
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size())
}
