//! The arguments that are given once, for all items of a job.
//!
//! Each is written at once, as a length of eight bytes, zeros up to `ALIGN`, its bytes, and zeros up to `ALIGN` again.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::accept::Accepts;
use super::fill::{Index, Nth, Z};
use super::{Arity, Call, PartialCall, Task};
use crate::codec::{ALIGN, In, Out, Stop, align_up};
use crate::error::{Error, ErrorKind};
use crate::job::{Baggage, JobSpec, Options};
use crate::luggage;
use crate::shm::pins::{self, Pins};
use crate::unwind;

/// A task and those of its arguments that are bound. Made by the macros.
pub struct Bound<T> {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mask: u32,
    pub(crate) lends: bool,
    /// The descriptors that the arguments take along.
    pub(crate) luggage: Vec<OwnedFd>,
    /// The shared objects that they name.
    pub(crate) pins: Pins,
    /// The first argument that could not be encoded: told where the call is used.
    pub(crate) failed: Option<Error>,
    task: PhantomData<fn() -> T>,
}

/// Finds the next bound argument.
///
/// # Errors
/// Kind `Decode` when there is none.
pub(crate) fn place<'a>(bound: &mut In<'a>) -> Result<In<'a>, Error> {
    let len = bound.len()?;
    bound.align(ALIGN)?;
    let bytes = bound.take(len)?;
    bound.align(ALIGN)?;
    Ok(In::new(bytes))
}

impl<T: Task> Bound<T> {
    /// Nothing bound yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            mask: 0,
            lends: false,
            luggage: Vec::new(),
            pins: Pins::default(),
            failed: None,
            task: PhantomData,
        }
    }

    /// A method's task, with `self` bound.
    #[must_use]
    pub fn to<V>(this: V) -> Self
    where
        T::Params: Nth<Z, Param: Accepts<V, super::Plain>>,
    {
        Self::new().arg::<Z, super::Plain, V>(this)
    }

    /// Says how many arguments the call has, which must be as many as the task takes.
    #[must_use]
    pub fn arity<const N: usize>(self) -> Self
    where
        T: Arity<N>,
    {
        self
    }

    /// The positions of all parameters but `self`.
    #[must_use]
    pub fn free(&self) -> super::Holes<T::Free> {
        super::Holes::new()
    }

    /// Binds the parameter at position `N`. Positions must come in ascending order.
    #[must_use]
    pub fn arg<N: Index, M, A>(mut self, value: A) -> Self
    where
        T::Params: Nth<N, Param: Accepts<A, M>>,
    {
        type Kind<T, N> = <<T as Task>::Params as Nth<N>>::Param;
        if self.failed.is_none() {
            let write = || {
                let measure = || <Kind<T, N> as Accepts<A, M>>::size(&value);
                // What is measured is encoded too: none of that is for those around this who keep what goes on its way.
                let ((size, _), _) = pins::collect(|| luggage::pack(Vec::new(), measure));
                self.append(size?, |out| <Kind<T, N> as Accepts<A, M>>::encode(&value, out))
            };
            let written = unwind::catch(write).map_err(Error::panicked).and_then(|written| written);
            self.failed = written.err().map(|error| error.with_task(T::DEF.name));
        }
        self.mask |= 1 << N::N;
        self.lends |= <Kind<T, N> as Accepts<A, M>>::LENDS;
        self
    }

    fn append(
        &mut self,
        size: usize,
        encode: impl FnOnce(&mut Out<'_>) -> Result<(), Stop>,
    ) -> Result<(), Error> {
        let head = self.bytes.len();
        let start = head + ALIGN;
        self.bytes.resize(start + align_up(size), 0);
        let mut out = Out::new(&mut self.bytes[start..]);
        let before = std::mem::take(&mut self.luggage);
        let ((encoded, luggage), pins) =
            pins::collect(|| luggage::pack(before, || encode(&mut out)));
        self.luggage = luggage;
        self.pins.merge(pins);
        encoded.map_err(stopped)?;
        let len = out.position();
        self.bytes[head..head + 8].copy_from_slice(&(len as u64).to_le_bytes());
        self.bytes.truncate(start + align_up(len));
        Ok(())
    }

    /// What the engine is told of a job over these arguments.
    ///
    /// # Errors
    /// What a bound argument said when it was encoded; kind `InvalidInput` for retries of a task that writes in place.
    pub(crate) fn spec(
        self,
        item_stride: Option<usize>,
        options: Options,
    ) -> Result<JobSpec, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let task = const { &T::DEF };
        if task.writes_in_place && options.retries.unwrap_or(0) > 0 {
            let detail = "`retries` on a task that writes in place: a retry would see what the dead attempt left";
            return Err(Error::new(ErrorKind::InvalidInput, detail).with_task(task.name));
        }
        let baggage = Baggage { luggage: self.luggage.into(), _pins: Arc::new(self.pins) };
        Ok(JobSpec {
            task,
            bound: self.bytes,
            bound_mask: self.mask,
            item_stride,
            options,
            baggage,
        })
    }

    /// A call to be run elsewhere: everything is bound.
    #[must_use]
    pub fn call(self) -> Call<T::Output> {
        Call::new(self)
    }

    /// A call to be run elsewhere with one argument that comes then, at position `N`.
    #[must_use]
    pub fn partial<N: Index, V: 'static>(self) -> PartialCall<V, T::Output>
    where
        T::Params: Nth<N, Param: super::Param<Value = V> + Accepts<V, super::Plain>>,
    {
        PartialCall::new::<T, N>(self)
    }
}

impl<T: Task> Default for Bound<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a full room means when there was as much as the value asked for.
pub(crate) fn stopped(stop: Stop) -> Error {
    match stop {
        Stop::Failed(error) => error,
        Stop::Full => Error::new(ErrorKind::Encode, "a value was larger than it had said"),
    }
}

impl<T> fmt::Debug for Bound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound")
            .field("bytes", &self.bytes.len())
            .field("mask", &self.mask)
            .finish_non_exhaustive()
    }
}
