//! A call that is run elsewhere: what `task!` makes.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::Task;
use super::accept::{Accepts, Plain};
use super::bound::{Bound, stopped};
use super::fill::{Index, Nth};
use super::params::{Param, whole};
use crate::codec::{ALIGN, Codec, In, Out, align_up};
use crate::error::Error;
use crate::job::Baggage;
#[cfg(test)]
use crate::job::{JobSpec, Options};
use crate::registry::TaskDef;

/// A task with all its arguments, to be run in another process: by an initializer or as a `Process`. Made by
/// [`task!`](crate::task), one type whatever the task is.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn greet(name: &str) -> String { format!("hello {name}") }
/// #[pool_task]
/// fn version() -> String { "1.0".into() }
///
/// let calls: Vec<Call<String>> = vec![task!(greet("you")), task!(version())];
/// assert_eq!(calls.len(), 2);
/// ```
pub struct Call<R> {
    task: &'static TaskDef,
    mask: u32,
    bytes: Result<Arc<[u8]>, Error>,
    baggage: Baggage,
    decode: fn(&mut In<'_>) -> Result<R, Error>,
}

impl<R> Call<R> {
    pub(crate) fn new<T: Task<Output = R>>(bound: Bound<T>) -> Self {
        Self {
            task: const { &T::DEF },
            mask: bound.mask,
            baggage: Baggage { luggage: bound.luggage.into(), _pins: Arc::new(bound.pins) },
            bytes: bound.failed.map_or(Ok(bound.bytes.into()), Err),
            decode: <T::Level as Codec<R>>::decode,
        }
    }

    /// The task.
    ///
    /// # Errors
    /// What an argument said when it was encoded.
    pub(crate) fn task(&self) -> Result<&'static TaskDef, Error> {
        self.bytes().map(|_| self.task)
    }

    /// The encoded arguments, as [`JobSpec::bound`] has them.
    ///
    /// # Errors
    /// What an argument said when it was encoded.
    pub(crate) fn bytes(&self) -> Result<&[u8], Error> {
        self.bytes.as_deref().map_err(Clone::clone)
    }

    /// What the arguments take along.
    pub(crate) fn baggage(&self) -> Baggage {
        self.baggage.clone()
    }

    /// Copies of the descriptors that the arguments take along.
    ///
    /// # Errors
    /// Kind `Io` when this process may open no more.
    pub(crate) fn luggage(&self) -> Result<Vec<OwnedFd>, Error> {
        let copies = self.baggage.luggage.iter().map(OwnedFd::try_clone).collect::<Result<_, _>>();
        copies.map_err(|error| Error::os("duplicating a descriptor", error))
    }

    /// Lets go of the arguments, and of the descriptors that they take along, once they are on their way. What the arguments
    /// name lives with what this gives.
    #[must_use]
    pub(crate) fn forget_arguments(&mut self) -> Baggage {
        self.bytes = Ok(Arc::new([]));
        self.baggage.luggage = Arc::new([]);
        std::mem::take(&mut self.baggage)
    }

    /// The call as a job of one item of no bytes.
    ///
    /// # Errors
    /// What an argument said when it was encoded.
    #[cfg(test)]
    pub(crate) fn spec(&self) -> Result<JobSpec, Error> {
        Ok(JobSpec {
            task: self.task,
            bound: self.bytes()?.to_vec(),
            bound_mask: self.mask,
            item_stride: Some(0),
            options: Options::default(),
            baggage: self.baggage.clone(),
        })
    }

    /// The result, from the bytes that the task wrote, without their frame.
    ///
    /// # Errors
    /// Kind `Decode` for other bytes.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<R, Error> {
        let mut input = In::new(bytes);
        whole((self.decode)(&mut input)?, input).map_err(|error| error.with_task(self.task.name))
    }
}

impl<R> Clone for Call<R> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), baggage: self.baggage.clone(), ..*self }
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.task.name).finish()
    }
}

/// A [`Call`] with one `_`, whose value of type `V` is known only where it runs.
pub struct PartialCall<V, R> {
    call: Call<R>,
    hole: u32,
    size: fn(&V) -> Result<usize, Error>,
    encode: fn(&V, &mut Out<'_>) -> Result<(), crate::codec::Stop>,
    /// Whether the value, and the result, are encoded by serde, and in no way of their own.
    by_serde: (bool, bool),
}

impl<V, R> PartialCall<V, R> {
    pub(crate) fn new<T, N>(bound: Bound<T>) -> Self
    where
        T: Task<Output = R, Params: Nth<N, Param: Param<Value = V> + Accepts<V, Plain>>>,
        N: Index,
    {
        Self {
            call: Call::new(bound),
            hole: N::N,
            size: <<T::Params as Nth<N>>::Param as Accepts<V, Plain>>::size,
            encode: <<T::Params as Nth<N>>::Param as Accepts<V, Plain>>::encode,
            by_serde: const {
                let hole = <<T::Params as Nth<N>>::Param as Param>::STRIDE.is_none();
                let plain = <T::Level as Codec<R>>::PLAIN;
                (hole, <T::Level as Codec<R>>::STRIDE.is_none() && !plain)
            },
        }
    }

    /// Whether `_` is encoded as serde does it: then an `Option` is a byte that says whether there is a value, and the value.
    pub(crate) fn hole_is_serde(&self) -> bool {
        self.by_serde.0
    }

    /// Whether the result is encoded as serde does it.
    pub(crate) fn result_is_serde(&self) -> bool {
        self.by_serde.1
    }

    /// The bound arguments before `_`.
    ///
    /// # Errors
    /// What an argument said when it was encoded.
    pub(crate) fn before(&self) -> Result<&[u8], Error> {
        let (bytes, at) = (self.call.bytes()?, self.hole_at()?);
        Ok(&bytes[..at])
    }

    /// The bound arguments behind `_`.
    ///
    /// # Errors
    /// What an argument said when it was encoded.
    pub(crate) fn after(&self) -> Result<&[u8], Error> {
        let (bytes, at) = (self.call.bytes()?, self.hole_at()?);
        Ok(&bytes[at..])
    }

    /// The call with its `_` still open.
    pub(crate) fn open(&self) -> &Call<R> {
        &self.call
    }

    /// The call with `value` in the place of `_`.
    ///
    /// # Errors
    /// What `value` says when it is encoded.
    pub(crate) fn fill(&self, value: &V) -> Result<Call<R>, Error> {
        let mut item = vec![0; ALIGN + align_up((self.size)(value)?)];
        let mut out = Out::new(&mut item[ALIGN..]);
        (self.encode)(value, &mut out).map_err(stopped)?;
        let len = out.position();
        item[..8].copy_from_slice(&(len as u64).to_le_bytes());
        item.truncate(ALIGN + align_up(len));
        let mut call = self.call.clone();
        call.bytes = Ok(self.insert(&item)?.into());
        call.mask |= 1 << self.hole;
        Ok(call)
    }

    /// The bound arguments with `item` among them, at its position.
    fn insert(&self, item: &[u8]) -> Result<Vec<u8>, Error> {
        Ok([self.before()?, item, self.after()?].concat())
    }

    /// Where the argument for `_` belongs among the bound ones.
    fn hole_at(&self) -> Result<usize, Error> {
        let bytes = self.call.bytes()?;
        let before = (self.call.mask & ((1 << self.hole) - 1)).count_ones();
        let mut rest = In::new(bytes);
        for _ in 0..before {
            super::bound::place(&mut rest)?;
        }
        Ok(bytes.len() - rest.left())
    }
}

impl<V, R> Clone for PartialCall<V, R> {
    fn clone(&self) -> Self {
        Self { call: self.call.clone(), ..*self }
    }
}

impl<V, R> fmt::Debug for PartialCall<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PartialCall").field(&self.call.task.name).finish()
    }
}
