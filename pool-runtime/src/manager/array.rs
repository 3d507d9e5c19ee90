//! Arrays of plain numbers, each with its own lock: the proxies. The server keeps them as `value` says.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::handle::Request;
use super::lock;
use super::value::{LEN, Lent, PEEK, POKE, READ, me, read_all, read_one};
use crate::error::Error;
use crate::shared::Shareable;
use crate::sync::LockError;

super::proxy! {
    /// An array of a fixed length with its own lock, in the server of a [`Manager`](crate::Manager): reachable from other
    /// machines.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// let m = Manager::start()?;
    /// let a = m.array(&[1, 2, 3])?;
    /// a.lock()?[0] = 10;
    /// a.set(2, 30)?;
    /// assert_eq!(a.to_vec()?, [10, 2, 30]);
    /// assert_eq!(a.get(3).unwrap_err().kind(), ErrorKind::InvalidInput);
    /// # Ok::<(), Error>(())
    /// ```
    pub struct Array<T>;
}

impl<T: Shareable> Array<T> {
    /// Waits for the lock, and gives access to the elements. What is changed is written when the guard is dropped.
    ///
    /// # Errors
    /// Kind `OwnerDied`, with the guard, when the process that had the lock died; `Deadlock` when this thread has it;
    /// `Disconnected` when the server is gone.
    pub fn lock(&self) -> Result<ArrayGuard<'_, T>, LockError<ArrayGuard<'_, T>>> {
        self.take(None).and_then(lock::untimed)
    }

    /// As [`lock`](Self::lock), if nobody has the lock.
    ///
    /// # Errors
    /// Kind `OwnerDied`, with the guard, and `Disconnected`.
    pub fn try_lock(&self) -> Result<Option<ArrayGuard<'_, T>>, LockError<ArrayGuard<'_, T>>> {
        self.take(Some(Duration::ZERO))
    }

    /// As [`lock`](Self::lock), for at most `limit`.
    ///
    /// # Errors
    /// Kind `OwnerDied`, with the guard, and `Disconnected`.
    pub fn lock_timeout(
        &self,
        limit: Duration,
    ) -> Result<Option<ArrayGuard<'_, T>>, LockError<ArrayGuard<'_, T>>> {
        self.take(Some(limit))
    }

    fn take(
        &self,
        limit: Option<Duration>,
    ) -> Result<Option<ArrayGuard<'_, T>>, LockError<ArrayGuard<'_, T>>> {
        let lent =
            Lent::take(&self.handle, limit, read_all).map_err(|error| error.map(ArrayGuard))?;
        Ok(lent.map(ArrayGuard))
    }

    /// The element at `index`, from 0.
    ///
    /// # Errors
    /// Kind `InvalidInput` when the array ends before, and as for [`Value::get`](super::Value::get).
    pub fn get(&self, index: usize) -> Result<T, Error> {
        let arguments = |request: &mut Request<'_>| {
            me(request);
            request.u64(index as u64);
            Ok(())
        };
        self.handle.call_raw(PEEK, arguments, read_one)
    }

    /// Replaces the element at `index`.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn set(&self, index: usize, value: T) -> Result<(), Error> {
        self.handle.call(POKE, |request| {
            me(request);
            request.u64(index as u64);
            request.bytes.extend_from_slice(bytemuck::bytes_of(&value));
            Ok(())
        })
    }

    /// How many elements there are.
    ///
    /// # Errors
    /// Kind `Disconnected` when the server is gone.
    pub fn len(&self) -> Result<usize, Error> {
        self.handle.call(LEN, |request| {
            me(request);
            Ok(())
        })
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// As for [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// All elements.
    ///
    /// # Errors
    /// As for [`Value::get`](super::Value::get).
    pub fn to_vec(&self) -> Result<Vec<T>, Error> {
        self.handle.call_raw(
            READ,
            |request| {
                me(request);
                Ok(())
            },
            read_all,
        )
    }
}

/// Has the lock of an [`Array`] of a manager, and access to its elements.
#[must_use = "the lock is given back at once if the guard is not kept"]
pub struct ArrayGuard<'a, T: Shareable>(Lent<'a, T>);

impl<T: Shareable> Deref for ArrayGuard<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0.values
    }
}

/// So that the values can be given for a `&[T]` of any task.
impl<T: Shareable> AsRef<[T]> for ArrayGuard<'_, T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T: Shareable> DerefMut for ArrayGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.changed = true;
        &mut self.0.values
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for ArrayGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
