//! Waiting for several descriptors at once, with a bell that any thread may ring.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::standard;
use crate::error::Error;

/// A set of descriptors, each with a key.
#[derive(Debug)]
pub(crate) struct Watch {
    set: OwnedFd,
    bell: OwnedFd,
}

/// The key of the bell itself.
const BELL: u64 = u64::MAX;

impl Watch {
    /// # Errors
    /// Kind `Io` when descriptors have run out.
    pub(crate) fn new() -> Result<Self, Error> {
        let set = epoll::create(CreateFlags::CLOEXEC)
            .and_then(standard::above)
            .map_err(|error| Error::os("epoll_create", error))?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .and_then(standard::above)
            .map_err(|error| Error::os("eventfd", error))?;
        let watch = Self { set, bell };
        watch.add_keyed(watch.bell.as_fd(), BELL)?;
        Ok(watch)
    }

    /// Watches a descriptor for something to read, or its end.
    ///
    /// # Errors
    /// Kind `Io` when the kernel has no room for one more.
    pub(crate) fn add(&self, descriptor: &impl AsFd, key: u64) -> Result<(), Error> {
        self.add_keyed(descriptor.as_fd(), key)
    }

    fn add_keyed(&self, descriptor: impl AsFd, key: u64) -> Result<(), Error> {
        epoll::add(&self.set, descriptor, EventData::new_u64(key), EventFlags::IN)
            .map_err(|error| Error::os("epoll_ctl", error))
    }

    /// Watches it no longer.
    pub(crate) fn remove(&self, descriptor: &impl AsFd) {
        let _ = epoll::delete(&self.set, descriptor.as_fd());
    }

    /// Wakes the thread that waits, or is about to.
    pub(crate) fn ring(&self) {
        // The counter is full only if it has been rung 2^64 - 1 times; then it rings anyway.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// Waits at most for `limit`, and gives the keys of what is ready.
    pub(crate) fn wait(&self, limit: Option<Duration>, ready: &mut Vec<u64>) {
        ready.clear();
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 64];
        let limit = limit.and_then(|limit| limit.try_into().ok());
        let Ok((events, _)) = epoll::wait(&self.set, &mut events[..], limit.as_ref()) else {
            return;
        };
        for event in events.iter() {
            match event.data.u64() {
                BELL => drop(rustix::io::read(&self.bell, &mut [0_u8; 8])),
                key => ready.push(key),
            }
        }
    }
}

/// Waits until there is something to read, or the other side is gone; at most until `end`. Says whether there is.
///
/// A process's descriptor is ready once the process has ended.
pub(crate) fn readable(descriptor: &impl AsFd, end: Option<Instant>) -> bool {
    ready(descriptor, PollFlags::IN, end)
}

/// Waits until there is room to write into, or the other side is gone.
pub(crate) fn writable(descriptor: &impl AsFd) {
    ready(descriptor, PollFlags::OUT, None);
}

fn ready(descriptor: &impl AsFd, interest: PollFlags, end: Option<Instant>) -> bool {
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let limit = left.and_then(|left| left.try_into().ok());
        let mut set = [PollFd::new(descriptor, interest)];
        match poll(&mut set, limit.as_ref()) {
            Ok(0) if left.is_some_and(|left| !left.is_zero()) => {}
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}
