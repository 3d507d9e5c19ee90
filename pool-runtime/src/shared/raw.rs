//! `RawValue` and `RawArray`: integers in shared memory without a lock, and so atomic.
#![expect(unsafe_code, reason = "lends shared memory as atomics")]

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize, Ordering::Relaxed,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bytes_of;
use crate::error::Error;
use crate::shm::handle::{Handle, Kind, Mark, Ticket, open_for};

/// The integer atomics.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an integer atomic",
    note = "without a lock only atomics can be shared: `RawValue<AtomicU64>`; with one, anything plain: `Value<f64>`"
)]
pub trait Atomic: sealed::IsAtomic {
    /// The integer that it holds.
    type Integer: Copy;

    #[doc(hidden)]
    fn put(&self, value: Self::Integer);
}

mod sealed {
    /// Any bytes are one, and it may be written by others while it is borrowed.
    pub trait IsAtomic: Send + Sync + 'static {}
}

macro_rules! atomic {
    ($($atomic:ty: $integer:ty,)*) => {$(
        impl sealed::IsAtomic for $atomic {}
        impl Atomic for $atomic {
            type Integer = $integer;
            fn put(&self, value: $integer) {
                self.store(value, Relaxed);
            }
        }
    )*};
}
atomic! {
    AtomicU8: u8, AtomicU16: u16, AtomicU32: u32, AtomicU64: u64, AtomicUsize: usize,
    AtomicI8: i8, AtomicI16: i16, AtomicI32: i32, AtomicI64: i64, AtomicIsize: isize,
}

/// An integer atomic in shared memory; derefs to the atomic. Clones, and copies in other processes, are the same one.
///
/// ```
/// use pool_runtime::RawValue;
/// use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
///
/// let count = RawValue::<AtomicU64>::new(0)?;
/// count.fetch_add(1, SeqCst);
/// assert_eq!(count.clone().load(SeqCst), 1);
/// # Ok::<(), pool_runtime::Error>(())
/// ```
pub struct RawValue<A> {
    handle: Handle,
    _holds: PhantomData<A>,
}

/// Integer atomics in shared memory; derefs to a slice of them. Clones, and copies in other processes, are the same ones.
///
/// ```
/// use pool_runtime::RawArray;
/// use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
///
/// let histogram = RawArray::<AtomicU32>::zeroed(256)?;
/// histogram[7].fetch_add(1, SeqCst);
/// assert_eq!(histogram.iter().map(|count| count.load(SeqCst)).sum::<u32>(), 1);
/// # Ok::<(), pool_runtime::Error>(())
/// ```
pub struct RawArray<A> {
    handle: Handle,
    _holds: PhantomData<A>,
}

impl<A: Atomic> RawValue<A> {
    /// Makes one that holds `value`.
    ///
    /// # Errors
    /// Kind `Io` or `Full` when shared memory has run out.
    pub fn new(value: A::Integer) -> Result<Self, Error> {
        let layout = (size_of::<A>(), align_of::<A>());
        let new = Self {
            handle: Handle::make(Mark::of::<A>(Kind::RawValue), layout, None, |_| ())?,
            _holds: PhantomData,
        };
        new.put(value);
        Ok(new)
    }
}

impl<A: Atomic> RawArray<A> {
    /// Makes `len` of them, all zero.
    ///
    /// # Errors
    /// Kind `Io` or `Full` when shared memory has run out, `InvalidInput` for more than can ever be had.
    pub fn zeroed(len: usize) -> Result<Self, Error> {
        let layout = (bytes_of::<A>(len)?, align_of::<A>());
        Ok(Self {
            handle: Handle::make(Mark::of::<A>(Kind::RawArray), layout, None, |_| ())?,
            _holds: PhantomData,
        })
    }

    /// Makes as many as there are `values`, which they begin with.
    ///
    /// # Errors
    /// As for [`zeroed`](Self::zeroed).
    pub fn from_slice(values: &[A::Integer]) -> Result<Self, Error> {
        let new = Self::zeroed(values.len())?;
        new.iter().zip(values).for_each(|(atomic, &value)| atomic.put(value));
        Ok(new)
    }
}

impl<A: Atomic> Deref for RawValue<A> {
    type Target = A;

    fn deref(&self) -> &A {
        // SAFETY: the slot holds an `A` (its mark was checked), which may be any bytes and be written by others, and lives as long
        // as the handle.
        unsafe { self.handle.block().cast().as_ref() }
    }
}

impl<A: Atomic> Deref for RawArray<A> {
    type Target = [A];

    fn deref(&self) -> &[A] {
        let len = self.handle.size() / size_of::<A>();
        // SAFETY: as above, of as many as the slot has bytes for.
        unsafe { std::slice::from_raw_parts(self.handle.block().cast().as_ptr(), len) }
    }
}

macro_rules! raw {
    ($($type:ident)*) => {$(
        impl<A> Clone for $type<A> {
            fn clone(&self) -> Self {
                Self { handle: self.handle.clone(), _holds: PhantomData }
            }
        }

        impl<A: Atomic + fmt::Debug> fmt::Debug for $type<A> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($type)).field(&&**self).finish()
            }
        }

        impl<A> Serialize for $type<A> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.handle.ticket().map_err(crate::error::refuse_encoding)?.serialize(serializer)
            }
        }

        impl<'de, A: Atomic> Deserialize<'de> for $type<A> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let ticket = Ticket::deserialize(deserializer)?;
                Ok(Self { handle: open_for(&ticket, Mark::of::<A>(Kind::$type))?, _holds: PhantomData })
            }
        }
    )*};
}
raw!(RawValue RawArray);
