//! Results put in their places: the typed end of a job.
//!
//! Between the engine, which delivers bytes in any order, and `pool`, which wants a `Vec`. It knows neither workers nor pids.
//! What it reads comes from memory that a worker writes: each length is copied out once, checked, and then used.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};

use bytemuck::{CheckedBitPattern, NoUninit, Pod};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::batch::FRAME;
use crate::codec::{CHECKED, Codec, DESCRIPTOR, In, Level, NONE, POD, SERDE, VEC, zeroed};
use crate::error::{Error, ErrorKind};
use crate::job::Sink;
use crate::payload::Payload;
use crate::placed::Placed;
use crate::progress::Progress;
use crate::sys::memory::expect_filling;
use crate::task::Task;
use crate::unwind;

/// How results of type `T` become values again.
pub trait Gather<T>: Codec<T> {
    /// Results by their position.
    type Store: Default;

    /// Reads the result at `at`, and moves `at` behind it. `scratch` is room that is used again.
    ///
    /// # Errors
    /// Kind `Decode`; when the bytes of the next result cannot even be found, `at` is left behind the end.
    fn one(payload: &Payload<'_>, at: &mut usize, scratch: &mut Vec<u8>) -> Result<T, Error>;

    /// Reads `count` results to the positions from `first` on.
    ///
    /// # Errors
    /// The first that could not be read, and its position.
    fn many(
        store: &mut Self::Store,
        first: usize,
        count: usize,
        payload: &Payload<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), (usize, Error)>;

    /// At least `count` results will come.
    fn expect(_store: &mut Self::Store, _count: usize) {}

    /// All results; `None` when one is missing.
    fn all(store: Self::Store, count: usize) -> Option<Vec<T>>;
}

/// For plain numbers the copy out of the worker's memory is the result.
impl<T: Pod> Gather<T> for Level<POD> {
    type Store = Placed<T>;

    #[inline]
    fn one(payload: &Payload<'_>, at: &mut usize, _: &mut Vec<u8>) -> Result<T, Error> {
        let mut value = T::zeroed();
        let whole = payload.copy_at(*at, bytemuck::bytes_of_mut(&mut value));
        *at = at.saturating_add(size_of::<T>());
        if whole { Ok(value) } else { Err(cut_off()) }
    }

    fn many(
        store: &mut Placed<T>,
        first: usize,
        count: usize,
        payload: &Payload<'_>,
        _: &mut Vec<u8>,
    ) -> Result<(), (usize, Error)> {
        if store.put(first, count, payload) { Ok(()) } else { Err((first, cut_off())) }
    }

    fn expect(store: &mut Placed<T>, count: usize) {
        const MOST_BYTES: usize = 64 << 20;
        store.expect(count.min(MOST_BYTES / size_of::<T>().max(1)));
    }

    fn all(store: Placed<T>, count: usize) -> Option<Vec<T>> {
        store.finish(count)
    }
}

/// A vector of plain numbers is copied once, to where it stays.
impl<T: Pod> Gather<Vec<T>> for Level<VEC> {
    type Store = Vec<Option<Vec<T>>>;

    fn one(payload: &Payload<'_>, at: &mut usize, _: &mut Vec<u8>) -> Result<Vec<T>, Error> {
        let (from, len) = frame(payload, at)?;
        let count = word(payload, from).ok_or_else(cut_off)?;
        if count.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(8)) != Some(len) {
            return Err(cut_off());
        }
        let mut values: Vec<T> = zeroed(count)?;
        expect_filling(values.as_mut_ptr().cast(), size_of_val(&*values));
        let whole = payload.copy_at(from + 8, bytemuck::cast_slice_mut(&mut values));
        if whole { Ok(values) } else { Err(cut_off()) }
    }

    fn many(
        store: &mut Self::Store,
        first: usize,
        count: usize,
        payload: &Payload<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), (usize, Error)> {
        place::<Vec<T>, Self>(store, first, count, payload, scratch)
    }

    fn all(store: Self::Store, count: usize) -> Option<Vec<Vec<T>>> {
        present(store, count)
    }
}

macro_rules! by_scratch {
    ($($level:ident: $bytes:ident [$($bounds:tt)*];)*) => {$(
        impl<T: $($bounds)*> Gather<T> for Level<$level> {
            type Store = Vec<Option<T>>;

            #[inline]
            fn one(payload: &Payload<'_>, at: &mut usize, scratch: &mut Vec<u8>) -> Result<T, Error> {
                $bytes(payload, at, <Self as Codec<T>>::STRIDE.unwrap_or(0), scratch)?;
                let mut input = In::new(scratch);
                // What a user's `Deserialize` does must not end the job of which this is one item.
                let value = unwind::catch(|| <Self as Codec<T>>::decode(&mut input));
                crate::task::whole(value.map_err(Error::panicked)??, input)
            }

            fn many(
                store: &mut Self::Store,
                first: usize,
                count: usize,
                payload: &Payload<'_>,
                scratch: &mut Vec<u8>,
            ) -> Result<(), (usize, Error)> {
                place::<T, Self>(store, first, count, payload, scratch)
            }

            fn all(store: Self::Store, count: usize) -> Option<Vec<T>> {
                present(store, count)
            }
        }
    )*};
}

by_scratch! {
    SERDE: framed [Serialize + DeserializeOwned];
    CHECKED: side_by_side [NoUninit + CheckedBitPattern];
    DESCRIPTOR: side_by_side [AsFd + From<OwnedFd>];
    NONE: framed [];
}

/// Copies a result that has its length in front of it.
fn framed(
    payload: &Payload<'_>,
    at: &mut usize,
    _size: usize,
    scratch: &mut Vec<u8>,
) -> Result<(), Error> {
    let (from, len) = frame(payload, at)?;
    scratch.resize(len, 0);
    if payload.copy_at(from, scratch) { Ok(()) } else { Err(cut_off()) }
}

/// Copies a result of `size` bytes.
#[inline]
fn side_by_side(
    payload: &Payload<'_>,
    at: &mut usize,
    size: usize,
    scratch: &mut Vec<u8>,
) -> Result<(), Error> {
    scratch.resize(size, 0);
    let whole = payload.copy_at(*at, scratch);
    *at = at.saturating_add(size);
    if whole { Ok(()) } else { Err(cut_off()) }
}

/// Where the next framed result lies and how long it is, checked against what there is.
fn frame(payload: &Payload<'_>, at: &mut usize) -> Result<(usize, usize), Error> {
    let head = std::mem::replace(at, usize::MAX);
    let len = word(payload, head).ok_or_else(cut_off)?;
    let from = head + FRAME;
    let end = from.checked_add(len).filter(|&end| end <= payload.len()).ok_or_else(cut_off)?;
    *at = end.next_multiple_of(FRAME);
    Ok((from, len))
}

fn word(payload: &Payload<'_>, at: usize) -> Option<usize> {
    let mut raw = [0; 8];
    payload.copy_at(at, &mut raw).then_some(())?;
    usize::try_from(u64::from_le_bytes(raw)).ok()
}

#[cold]
fn cut_off() -> Error {
    Error::new(ErrorKind::Decode, "the worker's results end before they should")
}

fn place<T, L: Gather<T>>(
    store: &mut Vec<Option<T>>,
    first: usize,
    count: usize,
    payload: &Payload<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), (usize, Error)> {
    let end = first.saturating_add(count);
    if store.len() < end {
        store.resize_with(end, || None);
    }
    let mut at = 0;
    for (offset, slot) in store[first..end].iter_mut().enumerate() {
        *slot = Some(L::one(payload, &mut at, scratch).map_err(|error| (first + offset, error))?);
    }
    Ok(())
}

fn present<T>(store: Vec<Option<T>>, count: usize) -> Option<Vec<T>> {
    if store.len() == count { store.into_iter().collect() } else { None }
}

/// The results of a map: all of them, or the failure of the lowest index that is known.
pub(crate) struct Collected<T: Task> {
    store: <T::Level as Gather<T::Output>>::Store,
    scratch: Vec<u8>,
    /// How many items have ended.
    ended: usize,
    failed: Option<(u64, Error)>,
    progress: Progress,
    task: PhantomData<fn() -> T>,
}

impl<T: Task> Collected<T> {
    /// At least `least` items will end.
    pub(crate) fn new(progress: Progress, least: usize) -> Self {
        let mut store = <T::Level as Gather<T::Output>>::Store::default();
        <T::Level as Gather<T::Output>>::expect(&mut store, least);
        Self { store, scratch: Vec::new(), ended: 0, failed: None, progress, task: PhantomData }
    }

    /// Whether nothing more is wanted.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// All results.
    ///
    /// # Errors
    /// The first failure; what ended the job when that was none of its items.
    pub(crate) fn finish(self, result: Result<(), Error>) -> Result<Vec<T::Output>, Error> {
        if let Some((_, error)) = self.failed {
            return Err(error);
        }
        result?;
        <T::Level as Gather<T::Output>>::all(self.store, self.ended).ok_or_else(|| {
            Error::new(ErrorKind::Cancelled, "the job ended before all its items had")
                .with_task(T::DEF.name)
        })
    }
}

impl<T: Task> Sink for Collected<T> {
    fn results(&mut self, first: u64, count: usize, payload: &Payload<'_>) {
        self.ended += count;
        self.progress.add(count);
        let Ok(from) = usize::try_from(first) else { return };
        let placed = <T::Level as Gather<T::Output>>::many(
            &mut self.store,
            from,
            count,
            payload,
            &mut self.scratch,
        );
        if let Err((index, error)) = placed {
            self.ended -= 1;
            self.failed(index as u64, error.with_task(T::DEF.name).with_index(index as u64));
        }
    }

    fn failed(&mut self, index: u64, error: Error) {
        self.ended += 1;
        self.progress.add(1);
        if self.failed.as_ref().is_none_or(|(lowest, _)| index < *lowest) {
            self.failed = Some((index, error));
        }
    }
}

impl<T: Task> fmt::Debug for Collected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collected")
            .field("ended", &self.ended)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
