//! `Array`: so many values, and one lock.
#![expect(unsafe_code, reason = "lends shared memory that a lock guards")]

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use bytemuck::Zeroable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Shareable, bytes_of, out_of_range};
use crate::error::Error;
use crate::shm::handle::{Handle, Kind, Mark, Ticket, open_for};
use crate::sync::{Held, Lends, Lock, LockError, Patience, acquire, describe, outcome};

/// An array in shared memory, with a lock. Its length is fixed. Clones, and copies in other processes, are the same array.
///
/// ```
/// use pool_runtime::Array;
///
/// let array = Array::from_slice(&[1, 2, 3])?;
/// array.lock()?[1] = 20;
/// array.set(2, 30)?;
/// assert_eq!(array.to_vec()?, [1, 20, 30]);
/// assert!(array.get(3).is_err());
/// assert_eq!(Array::<f64>::zeroed(1000)?.len(), 1000);
/// # Ok::<(), pool_runtime::Error>(())
/// ```
pub struct Array<T> {
    handle: Handle,
    _holds: PhantomData<fn(T) -> T>,
}

/// What taking an array's lock gives.
type Taken<'a, T, G> = Result<G, LockError<ArrayGuard<'a, T>>>;

impl<T: Shareable> Array<T> {
    /// Makes an array of `len` values whose bytes are zero, with a lock of its own.
    ///
    /// # Errors
    /// Kind `Io` or `Full` when shared memory has run out, `InvalidInput` for more than can ever be had.
    pub fn zeroed(len: usize) -> Result<Self, Error>
    where
        T: Zeroable,
    {
        Self::make(len, None, |_| ())
    }

    /// Makes an array that begins as a copy of `values`, with a lock of its own.
    ///
    /// # Errors
    /// As for [`zeroed`](Self::zeroed).
    pub fn from_slice(values: &[T]) -> Result<Self, Error> {
        Self::filled(values, None)
    }

    /// Makes an array that begins as a copy of `values`, and that `lock` guards, which may guard others as well.
    ///
    /// # Errors
    /// As for [`zeroed`](Self::zeroed).
    pub fn with_lock(values: &[T], lock: &Lock) -> Result<Self, Error> {
        Self::filled(values, Some(&lock.handle))
    }

    fn filled(values: &[T], guard: Option<&Handle>) -> Result<Self, Error> {
        Self::make(values.len(), guard, |to| {
            // SAFETY: the block has room for as many values, aligned, and nobody else knows it yet.
            unsafe { to.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        })
    }

    fn make(len: usize, guard: Option<&Handle>, fill: impl FnOnce(*mut T)) -> Result<Self, Error> {
        let layout = (bytes_of::<T>(len)?, align_of::<T>());
        let handle = Handle::make(Mark::of::<T>(Kind::Array), layout, guard, |block| {
            fill(block.cast().as_ptr())
        })?;
        Ok(Self { handle, _holds: PhantomData })
    }

    /// Takes the lock, waiting as long as it takes. The guard derefs to the slice.
    ///
    /// # Errors
    /// Kind `OwnerDied` when the last holder died, with the guard in the error; `Deadlock` when this thread holds the lock
    /// already, or a thread that ended does.
    #[inline]
    pub fn lock(&self) -> Taken<'_, T, ArrayGuard<'_, T>> {
        self.take(Patience::Forever)
            .map(|guard| guard.unwrap_or_else(|| unreachable!("waiting for ever has no end")))
    }

    /// Takes the lock if it is free; `None` if it is not.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock); in the holder's own thread it is not an error, but `None`.
    pub fn try_lock(&self) -> Taken<'_, T, Option<ArrayGuard<'_, T>>> {
        self.take(Patience::None)
    }

    /// Takes the lock if it comes free within `limit`; `None` if it does not.
    ///
    /// # Errors
    /// As for [`try_lock`](Self::try_lock).
    pub fn lock_timeout(&self, limit: Duration) -> Taken<'_, T, Option<ArrayGuard<'_, T>>> {
        self.take(Patience::of(limit))
    }

    /// Reads one value, under the lock.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock), where `OwnerDied` is told once; kind `InvalidInput` when `index` is out of range.
    pub fn get(&self, index: usize) -> Result<T, Error> {
        let guard = self.lock()?;
        guard.get(index).copied().ok_or_else(|| out_of_range(index, guard.len()))
    }

    /// Writes one value, under the lock.
    ///
    /// # Errors
    /// As for [`get`](Self::get); then nothing is written.
    pub fn set(&self, index: usize, value: T) -> Result<(), Error> {
        let mut guard = self.lock()?;
        let len = guard.len();
        *guard.get_mut(index).ok_or_else(|| out_of_range(index, len))? = value;
        Ok(())
    }

    /// Copies everything out, under the lock.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock), where `OwnerDied` is told once.
    pub fn to_vec(&self) -> Result<Vec<T>, Error> {
        Ok(self.lock()?.to_vec())
    }

    /// A new array with a lock of its own, that begins with what this one holds now.
    ///
    /// # Errors
    /// As for [`to_vec`](Self::to_vec) and [`from_slice`](Self::from_slice).
    pub fn copied(&self) -> Result<Self, Error> {
        Self::from_slice(&self.lock()?)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.handle.size() / size_of::<T>().max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn take(&self, patience: Patience) -> Taken<'_, T, Option<ArrayGuard<'_, T>>> {
        outcome(acquire(&self.handle, patience), || ArrayGuard {
            first: self.handle.block().cast().as_ptr(),
            len: self.len(),
            held: Held::new(&self.handle),
            _of: PhantomData,
        })
    }
}

impl<T> Clone for Array<T> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), _holds: PhantomData }
    }
}

impl<T> fmt::Debug for Array<T> {
    /// Does not look at the values: that would take the lock, and might use up the news of a death.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Array({} values, held by {})",
            self.handle.size() / size_of::<T>().max(1),
            describe(&self.handle)
        )
    }
}

impl<T> Serialize for Array<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle.ticket().map_err(crate::error::refuse_encoding)?.serialize(serializer)
    }
}

impl<'de, T: Shareable> Deserialize<'de> for Array<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ticket = Ticket::deserialize(deserializer)?;
        Ok(Self { handle: open_for(&ticket, Mark::of::<T>(Kind::Array))?, _holds: PhantomData })
    }
}

/// An [`Array`] whose lock is held. Dropping it gives the lock back. It stays in its thread.
#[must_use = "the lock is given back when the guard is dropped"]
pub struct ArrayGuard<'a, T> {
    first: *mut T,
    len: usize,
    held: Held,
    _of: PhantomData<&'a Array<T>>,
}

impl<T> Lends for ArrayGuard<'_, T> {
    #[expect(private_interfaces, reason = "nobody outside can name the trait")]
    fn held(&mut self) -> &mut Held {
        &mut self.held
    }
}

impl<T: Shareable> Deref for ArrayGuard<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the slot holds `len` values `T` (its mark and size were checked), stays mapped and is not recycled while the
        // lock is held, and while it is held nobody else touches them.
        unsafe { std::slice::from_raw_parts(self.first, self.len) }
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
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.first, self.len) }
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for ArrayGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArrayGuard").field(&&**self).finish()
    }
}
