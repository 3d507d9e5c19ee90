//! `Value`: one value and its lock.
#![expect(unsafe_code, reason = "lends shared memory that a lock guards")]

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Shareable;
use crate::error::Error;
use crate::shm::handle::{Handle, Kind, Mark, Ticket, open_for};
use crate::sync::{Held, Lends, Lock, LockError, Patience, acquire, describe, outcome};

/// A value in shared memory, with a lock. Clones, and copies in other processes, are the same value.
///
/// ```
/// use pool_runtime::Value;
///
/// let counter = Value::new(0_i64)?;
/// *counter.lock()? += 1;
/// let again = counter.clone();
/// again.set(again.get()? + 1)?;
/// assert_eq!(counter.get()?, 2);
/// # Ok::<(), pool_runtime::Error>(())
/// ```
pub struct Value<T> {
    handle: Handle,
    _holds: PhantomData<fn(T) -> T>,
}

impl<T: Shareable> Value<T> {
    /// Makes a value with a lock of its own.
    ///
    /// # Errors
    /// Kind `Io` or `Full` when shared memory has run out.
    pub fn new(value: T) -> Result<Self, Error> {
        Self::make(value, None)
    }

    /// Makes a value that `lock` guards, which may guard others as well.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_lock(value: T, lock: &Lock) -> Result<Self, Error> {
        Self::make(value, Some(&lock.handle))
    }

    fn make(value: T, guard: Option<&Handle>) -> Result<Self, Error> {
        let layout = (size_of::<T>(), align_of::<T>());
        let handle = Handle::make(Mark::of::<T>(Kind::Value), layout, guard, |block| {
            // SAFETY: the block is as large and as aligned as was asked for, and nobody else knows it yet.
            unsafe { block.cast::<T>().write(value) };
        })?;
        Ok(Self { handle, _holds: PhantomData })
    }

    /// Takes the lock, waiting as long as it takes. The guard derefs to the value.
    ///
    /// # Errors
    /// Kind `OwnerDied` when the last holder died, with the guard in the error; `Deadlock` when this thread holds the lock
    /// already, or a thread that ended does.
    #[inline]
    pub fn lock(&self) -> Result<ValueGuard<'_, T>, LockError<ValueGuard<'_, T>>> {
        self.take(Patience::Forever)
            .map(|guard| guard.unwrap_or_else(|| unreachable!("waiting for ever has no end")))
    }

    /// Takes the lock if it is free; `None` if it is not.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock); in the holder's own thread it is not an error, but `None`.
    pub fn try_lock(&self) -> Result<Option<ValueGuard<'_, T>>, LockError<ValueGuard<'_, T>>> {
        self.take(Patience::None)
    }

    /// Takes the lock if it comes free within `limit`; `None` if it does not.
    ///
    /// # Errors
    /// As for [`try_lock`](Self::try_lock).
    pub fn lock_timeout(
        &self,
        limit: Duration,
    ) -> Result<Option<ValueGuard<'_, T>>, LockError<ValueGuard<'_, T>>> {
        self.take(Patience::of(limit))
    }

    /// Reads the value, under the lock.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock). Of kind `OwnerDied` it is told once; the next `get` reads what the dead process left.
    pub fn get(&self) -> Result<T, Error> {
        Ok(*self.lock()?)
    }

    /// Writes the value, under the lock.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock); then nothing is written.
    pub fn set(&self, value: T) -> Result<(), Error> {
        *self.lock()? = value;
        Ok(())
    }

    /// A new value with a lock of its own, that begins with what this one holds now.
    ///
    /// # Errors
    /// As for [`get`](Self::get) and [`new`](Self::new).
    pub fn copied(&self) -> Result<Self, Error> {
        Self::new(self.get()?)
    }

    #[inline]
    fn take(
        &self,
        patience: Patience,
    ) -> Result<Option<ValueGuard<'_, T>>, LockError<ValueGuard<'_, T>>> {
        outcome(acquire(&self.handle, patience), || ValueGuard {
            value: self.handle.block().cast(),
            held: Held::new(&self.handle),
            _of: PhantomData,
        })
    }
}

impl<T> Clone for Value<T> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), _holds: PhantomData }
    }
}

impl<T> fmt::Debug for Value<T> {
    /// Does not look at the value: that would take the lock, and might use up the news of a death.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value(held by {})", describe(&self.handle))
    }
}

impl<T> Serialize for Value<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle.ticket().map_err(crate::error::refuse_encoding)?.serialize(serializer)
    }
}

impl<'de, T: Shareable> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ticket = Ticket::deserialize(deserializer)?;
        Ok(Self { handle: open_for(&ticket, Mark::of::<T>(Kind::Value))?, _holds: PhantomData })
    }
}

/// A [`Value`] whose lock is held. Dropping it gives the lock back. It stays in its thread.
#[must_use = "the lock is given back when the guard is dropped"]
pub struct ValueGuard<'a, T> {
    value: NonNull<T>,
    held: Held,
    _of: PhantomData<&'a Value<T>>,
}

impl<T> Lends for ValueGuard<'_, T> {
    #[expect(private_interfaces, reason = "nobody outside can name the trait")]
    fn held(&mut self) -> &mut Held {
        &mut self.held
    }
}

impl<T: Shareable> Deref for ValueGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the slot holds a `T` (its mark was checked), stays mapped and is not recycled while the lock is held, and
        // while it is held nobody else touches the value.
        unsafe { self.value.as_ref() }
    }
}

impl<T: Shareable> DerefMut for ValueGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { self.value.as_mut() }
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for ValueGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ValueGuard").field(&**self).finish()
    }
}
