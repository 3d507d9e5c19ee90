//! Values of plain numbers, each with its own lock: what the server keeps, also for `array`, and the proxies.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::handle::{Handle, Request};
use super::lock::{self, Again, Mutual, Patience, Taken};
use super::session::Call;
use super::stored::Answer;
use super::table::Class;
use super::thread;
use super::wire::Args;
use crate::error::{Error, ErrorKind};
use crate::shared::Shareable;
use crate::sync::LockError;

pub(crate) const READ: u32 = 0;
const WRITE: u32 = 1;
pub(crate) const PEEK: u32 = 2;
pub(crate) const POKE: u32 = 3;
pub(crate) const LEN: u32 = 4;

/// What the server keeps: elements of one size, side by side.
pub(crate) struct Numbers {
    lock: Mutual,
    bytes: Mutex<Vec<u8>>,
    element: usize,
}

impl Numbers {
    /// # Errors
    /// Kind `InvalidInput` when the bytes are not whole elements.
    pub(crate) fn new(args: &mut Args<'_>) -> Result<Self, Error> {
        let element = args.usize()?;
        let bytes = args.rest()?.to_vec();
        if !bytes.len().is_multiple_of(element.max(1)) {
            return Err(Error::new(ErrorKind::InvalidInput, "bytes that are not whole elements"));
        }
        Ok(Self {
            lock: Mutual::new(Again::Deadlocks),
            bytes: Mutex::new(bytes),
            element: element.max(1),
        })
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` with the lock, which it takes and gives back, unless the caller's thread holds it by a guard.
    fn locked<R>(
        &self,
        call: &Call<'_>,
        thread: u64,
        work: impl FnOnce() -> Result<R, Error>,
    ) -> Result<R, Error> {
        let taken = self.lock.take(call, thread, Patience::Hope)?;
        let result = if taken == Taken::AfterDeath {
            Err(Error::new(ErrorKind::OwnerDied, "what it guards may be half changed"))
        } else {
            work()
        };
        self.lock.give(call, thread)?;
        result
    }

    fn peek(&self, index: usize, answer: &mut Answer) -> Result<(), Error> {
        let bytes = self.bytes();
        let element = bytes
            .chunks_exact(self.element)
            .nth(index)
            .ok_or_else(|| self.outside(index, &bytes))?;
        answer.bytes.extend_from_slice(element);
        Ok(())
    }

    fn poke(&self, index: usize, new: &[u8]) -> Result<(), Error> {
        let mut bytes = self.bytes();
        let outside = self.outside(index, &bytes);
        let element = bytes.chunks_exact_mut(self.element).nth(index).ok_or(outside)?;
        copy(element, new)
    }

    fn outside(&self, index: usize, bytes: &[u8]) -> Error {
        Error::new(
            ErrorKind::InvalidInput,
            format!("index {index} in an array of {}", bytes.len() / self.element),
        )
    }
}

/// Replaces bytes by as many others.
fn copy(to: &mut [u8], from: &[u8]) -> Result<(), Error> {
    if to.len() != from.len() {
        return Err(Error::new(ErrorKind::InvalidInput, "a value of another size"));
    }
    to.copy_from_slice(from);
    Ok(())
}

impl Class for Numbers {
    fn call(
        &self,
        method: u32,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        if method >= lock::LOCK {
            return self.lock.method(method, args, call, answer);
        }
        let thread = args.u64()?;
        match method {
            READ => self.locked(call, thread, || {
                answer.bytes.extend_from_slice(&self.bytes());
                Ok(())
            }),
            WRITE => {
                let new = args.rest()?;
                self.locked(call, thread, || copy(&mut self.bytes(), new))
            }
            PEEK => {
                let index = args.usize()?;
                self.locked(call, thread, || self.peek(index, answer))
            }
            POKE => {
                let index = args.usize()?;
                let new = args.rest()?;
                self.locked(call, thread, || self.poke(index, new))
            }
            LEN => {
                answer.count(self.bytes().len() / self.element);
                Ok(())
            }
            LOOK => {
                answer.bytes.extend_from_slice(&self.bytes());
                Ok(())
            }
            LEAVE => {
                let new = args.rest()?;
                let done = if new.is_empty() { Ok(()) } else { copy(&mut self.bytes(), new) };
                self.lock.give(call, thread)?;
                done
            }
            other => Err(super::table::no_method(other)),
        }
    }

    fn abandoned(&self, session: u128) {
        self.lock.bereave(session);
    }
}

/// Reads without taking the lock, which the caller has.
const LOOK: u32 = 5;
/// Writes, if there is something to write, and gives the lock back.
const LEAVE: u32 = 6;

pub(crate) fn me(request: &mut Request<'_>) {
    request.u64(thread::number());
}

/// As many values as the bytes are.
pub(crate) fn read_all<T: Shareable>(bytes: &[u8]) -> Result<Vec<T>, Error> {
    let bad = || Error::new(ErrorKind::Decode, "these bytes are no value of the type");
    if !bytes.len().is_multiple_of(size_of::<T>().max(1)) {
        return Err(bad());
    }
    let values = bytes
        .chunks_exact(size_of::<T>().max(1))
        .map(|raw| bytemuck::checked::try_pod_read_unaligned(raw));
    values.collect::<Result<_, _>>().map_err(|_| bad())
}

pub(crate) fn read_one<T: Shareable>(bytes: &[u8]) -> Result<T, Error> {
    let bad = |_| Error::new(ErrorKind::Decode, "these bytes are no value of the type");
    bytemuck::checked::try_pod_read_unaligned(bytes).map_err(bad)
}

/// Has the lock, and a copy of what it guards.
pub(crate) struct Lent<'a, T: Shareable> {
    handle: &'a Handle,
    pub(crate) values: Vec<T>,
    pub(crate) changed: bool,
    /// The lock is the thread's, so the guard stays in it.
    thread: PhantomData<*const ()>,
}

impl<'a, T: Shareable> Lent<'a, T> {
    /// `read` makes the values of bytes that may be of an object of another class.
    pub(crate) fn take(
        handle: &'a Handle,
        limit: Option<Duration>,
        read: fn(&[u8]) -> Result<Vec<T>, Error>,
    ) -> Result<Option<Self>, LockError<Self>> {
        let taken = lock::take(handle, limit).map_err(LockError::from_error)?;
        if taken == Taken::No {
            return Ok(None);
        }
        // From here on dropping it gives the lock back.
        let mut lent = Self { handle, values: Vec::new(), changed: false, thread: PhantomData };
        let arguments = |request: &mut Request<'_>| {
            me(request);
            Ok(())
        };
        lent.values = handle.call_raw(LOOK, arguments, read).map_err(LockError::from_error)?;
        lock::guarded(taken, || lent)
    }
}

impl<T: Shareable> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        thread::gives_back(self.handle);
        let changed = self.changed;
        // With a server that is gone the lock is gone too.
        self.handle.link().give_back(self.handle.id(), LEAVE, |request| {
            me(request);
            if changed {
                request.bytes.extend_from_slice(bytemuck::cast_slice(&self.values));
            }
            Ok(())
        });
    }
}

super::proxy! {
    /// A value with its own lock, in the server of a [`Manager`](crate::Manager): as [`Value`](crate::Value), but reachable
    /// from other machines.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// let m = Manager::start()?;
    /// let total = m.value(1.5)?;
    /// *total.lock()? += 1.0;
    /// assert_eq!(total.get()?, 2.5);
    /// # Ok::<(), Error>(())
    /// ```
    pub struct Value<T>;
}

impl<T: Shareable> Value<T> {
    /// Waits for the lock, and gives access to the value. What is changed is written when the guard is dropped.
    ///
    /// # Errors
    /// Kind `OwnerDied`, with the guard, when the process that had the lock died; `Deadlock` when this thread has it;
    /// `Disconnected` when the server is gone.
    pub fn lock(&self) -> Result<ValueGuard<'_, T>, LockError<ValueGuard<'_, T>>> {
        self.take(None).and_then(lock::untimed)
    }

    /// As [`lock`](Self::lock), if nobody has the lock.
    ///
    /// # Errors
    /// Kind `OwnerDied`, with the guard, and `Disconnected`.
    pub fn try_lock(&self) -> Result<Option<ValueGuard<'_, T>>, LockError<ValueGuard<'_, T>>> {
        self.take(Some(Duration::ZERO))
    }

    /// As [`lock`](Self::lock), for at most `limit`.
    ///
    /// # Errors
    /// Kind `OwnerDied`, with the guard, and `Disconnected`.
    pub fn lock_timeout(
        &self,
        limit: Duration,
    ) -> Result<Option<ValueGuard<'_, T>>, LockError<ValueGuard<'_, T>>> {
        self.take(Some(limit))
    }

    fn take(
        &self,
        limit: Option<Duration>,
    ) -> Result<Option<ValueGuard<'_, T>>, LockError<ValueGuard<'_, T>>> {
        let one = |bytes: &[u8]| read_one(bytes).map(|value| vec![value]);
        let lent = Lent::take(&self.handle, limit, one).map_err(|error| error.map(ValueGuard))?;
        Ok(lent.map(ValueGuard))
    }

    /// Reads the value, with the lock.
    ///
    /// # Errors
    /// Kind `OwnerDied`, once, when the process that had the lock died; `Deadlock` when this thread has it; `Disconnected`.
    pub fn get(&self) -> Result<T, Error> {
        self.handle.call_raw(
            READ,
            |request| {
                me(request);
                Ok(())
            },
            read_one,
        )
    }

    /// Writes the value, with the lock.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn set(&self, value: T) -> Result<(), Error> {
        self.handle.call(WRITE, |request| {
            me(request);
            request.bytes.extend_from_slice(bytemuck::bytes_of(&value));
            Ok(())
        })
    }
}

/// Has the lock of a [`Value`] of a manager, and access to it.
#[must_use = "the lock is given back at once if the guard is not kept"]
pub struct ValueGuard<'a, T: Shareable>(Lent<'a, T>);

impl<T: Shareable> Deref for ValueGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.values[0]
    }
}

impl<T: Shareable> DerefMut for ValueGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.changed = true;
        &mut self.0.values[0]
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for ValueGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
