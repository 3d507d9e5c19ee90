//! Some items of a job, being run: bytes to arguments, the user's function, results to bytes.
//!
//! Between `worker`, which hands out batches, and `task`, whose generated code runs them. It knows neither the types nor
//! whose memory the bytes lie in.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence};

use crate::codec::{Codec, In, Out, Stop, align_up};
use crate::error::{Error, ErrorKind};
use crate::job::TO_THE_END;
use crate::shm::pins;
use crate::sys::fork;
use crate::unwind;

/// Where a batch puts its results.
pub(crate) trait Host {
    /// At least `need` bytes for results.
    fn room(&mut self, need: usize) -> Result<Room<'_>, Error>;

    /// Whether item `at` is still to be run here, after those before it are finished. Once it is not, none is.
    fn keeps(&self, _at: u32) -> bool {
        true
    }

    /// The items from the last publication up to `done` are finished; their results are the first `len` bytes of the room.
    fn publish(&mut self, done: u32, len: usize);

    /// Item `index` failed, and everything before it has been published.
    fn fail(&mut self, index: u32, error: Error);

    /// Fails the items with the same error.
    fn fail_all(&mut self, items: Range<u32>, error: &Error) {
        for index in items {
            if !self.keeps(index) {
                return;
            }
            self.fail(index, error.clone());
        }
    }
}

/// Room for results, and what is shared while they are made.
pub(crate) struct Room<'r> {
    /// Aligned to `ALIGN`.
    pub(crate) bytes: &'r mut [u8],
    /// How many items of the run are finished.
    pub(crate) progress: &'r AtomicU32,
    /// In its low half: at this item the host is to be asked whether to go on.
    pub(crate) until: &'r AtomicU64,
}

/// For `Room::until`, where nobody else runs what is left.
pub(crate) static TO_THE_LAST: AtomicU64 = AtomicU64::new(u64::MAX);

/// The encoded items of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ItemBytes<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) layout: Layout<'a>,
}

/// How items lie in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout<'a> {
    /// Side by side, so many bytes each.
    Stride(usize),
    /// Each ends where the table says, and begins at the multiple of `ALIGN` behind the one before it.
    Table(&'a [u32]),
}

impl<'a> ItemBytes<'a> {
    #[inline]
    fn get(&self, at: u32) -> Result<In<'a>, Error> {
        let (from, to) = match self.layout {
            Layout::Stride(stride) => {
                // The engine keeps a run within what a `usize` counts; bytes from elsewhere are still held against `data`.
                let from = (at as usize).wrapping_mul(stride);
                (from, from.wrapping_add(stride))
            }
            Layout::Table(ends) => self.by_table(ends, at as usize).ok_or_else(no_such_item)?,
        };
        self.data.get(from..to).map(In::new).ok_or_else(no_such_item)
    }

    fn by_table(&self, ends: &[u32], at: usize) -> Option<(usize, usize)> {
        let before = at.checked_sub(1).and_then(|before| ends.get(before));
        let from = before.map_or(0, |&end| align_up(end as usize));
        let to = match *ends.get(at)? {
            TO_THE_END => self.data.len(),
            end => end as usize,
        };
        Some((from, to))
    }
}

#[cold]
fn no_such_item() -> Error {
    Error::new(ErrorKind::Decode, "the item lies outside of its block")
}

/// Some items of a job, to be run by generated code.
pub struct Batch<'a> {
    pub(crate) bound: &'a [u8],
    pub(crate) bound_mask: u32,
    /// The same for every batch of a job, and for no other job of this worker.
    pub(crate) job: u64,
    pub(crate) items: ItemBytes<'a>,
    /// Which items of the run.
    pub(crate) range: Range<u32>,
    pub(crate) host: &'a mut dyn Host,
}

/// Why the inner loop of a batch stopped.
enum Pause<R> {
    Done,
    /// The result of the next item needs more room than was left.
    Full(R),
    Failed(Error),
}

/// How far the inner loop came, for whoever stands outside of it when it panics. It is only ever written there: what the
/// loop reads lives in registers (measured: 6 ns per cheap item when it does not, 2 when it does).
#[derive(Clone, Copy)]
struct Reached {
    item: u32,
    written: usize,
}

impl<'a> Batch<'a> {
    /// The bound arguments.
    pub fn bound(&self) -> In<'a> {
        In::new(self.bound)
    }

    /// Bit `i` is set when parameter `i` is bound.
    pub fn bound_mask(&self) -> u32 {
        self.bound_mask
    }

    /// What tells this job from others, for values that are decoded once per job.
    pub fn job(&self) -> u64 {
        self.job
    }

    /// How many items are to be run.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Fails every item with the same error, as when the bound arguments cannot be decoded.
    pub fn fail_all(&mut self, error: &Error) {
        self.host.fail_all(self.range.clone(), error);
    }

    /// Runs `call` on each item and encodes what it gives by `L`. A panic or an error is that item's alone. `FIXED` says that
    /// items and results have each one size, and some bytes.
    ///
    /// The codec sees a result as often as it takes to find room for it.
    pub fn each<R, L: Codec<R>, const FIXED: bool>(
        &mut self,
        mut call: impl FnMut(In<'a>) -> Result<R, Error>,
    ) {
        let Range { start: mut next, end } = self.range.clone();
        let mut kept: Option<R> = None;
        // An item whose result is kept has been run: nobody else does.
        while next < end && (kept.is_some() || self.host.keeps(next)) {
            let found = needed::<R, L>(kept.as_ref()).and_then(|need| self.host.room(need));
            let room = match found {
                Ok(room) => room,
                Err(error) => {
                    discard(kept.take());
                    self.host.fail(next, error);
                    next += 1;
                    continue;
                }
            };
            let first = next;
            let mut reached = Reached { item: first, written: 0 };
            let work = Work { items: self.items, range: first..end, room };
            let had = kept.is_some();
            let waiting = kept.take();
            let caught = unwind::catch(|| match FIXED {
                true => work.side_by_side::<R, L>(&mut reached, &mut call),
                false => work.go::<R, L>(waiting, &mut reached, &mut call),
            });
            next = reached.item;
            if next > first {
                self.host.publish(next, reached.written);
            }
            match caught {
                Ok(Pause::Done) if next == first => {
                    self.host.fail(next, no_such_item());
                    next += 1;
                }
                Ok(Pause::Done) => {}
                Ok(Pause::Full(result)) if had && next == first => {
                    // It had the room that it asked for; to ask again might never end.
                    discard(Some(result));
                    self.host.fail(next, grown());
                    next += 1;
                }
                Ok(Pause::Full(result)) => kept = Some(result),
                Ok(Pause::Failed(error)) => {
                    self.host.fail(next, error);
                    next += 1;
                }
                Err(panic) => {
                    self.host.fail(next, Error::panicked(panic));
                    next += 1;
                }
            }
        }
    }
}

#[cold]
fn grown() -> Error {
    Error::new(ErrorKind::Encode, "a result was larger than it had said")
}

/// Drops a result whose own drop may panic; what it failed with is known already.
#[cold]
fn discard<R>(result: Option<R>) {
    let _ = unwind::catch(|| drop(result));
}

/// The inner loop of a batch, over what finds room.
struct Work<'a, 'r> {
    items: ItemBytes<'a>,
    range: Range<u32>,
    room: Room<'r>,
}

impl<'a> Work<'a, '_> {
    /// `call` stands here once, so that it becomes a part of the loop.
    #[inline]
    fn go<R, L: Codec<R>>(
        self,
        mut waiting: Option<R>,
        reached: &mut Reached,
        call: &mut impl FnMut(In<'a>) -> Result<R, Error>,
    ) -> Pause<R> {
        let Self { items, range, room: Room { bytes, progress, until } } = self;
        let mut out = Out::new(bytes);
        for at in range {
            let result = match waiting.take() {
                Some(result) => result,
                None => match items.get(at).and_then(&mut *call) {
                    Ok(result) => result,
                    Err(error) => return Pause::Failed(error),
                },
            };
            fork::leave_if_copied();
            match put::<R, L>(&result, &mut out) {
                Ok(()) => {}
                Err(Stop::Full) => return Pause::Full(result),
                Err(Stop::Failed(error)) => return Pause::Failed(error),
            }
            // A panic in here is this item's, so it is not counted before.
            drop(result);
            *reached = Reached { item: at + 1, written: out.position() };
            // Release: whoever reads the word sees the results it counts.
            progress.store(at + 1, Ordering::Release);
            compiler_fence(Ordering::SeqCst);
            if at + 1 >= until.load(Ordering::Relaxed) as u32 {
                break;
            }
        }
        Pause::Done
    }

    /// As `go`, for items and results of one size each: nothing is looked up, and nothing is counted but the items.
    #[inline]
    fn side_by_side<R, L: Codec<R>>(
        self,
        reached: &mut Reached,
        call: &mut impl FnMut(In<'a>) -> Result<R, Error>,
    ) -> Pause<R> {
        let Self { items, range, room: Room { bytes, progress, until } } = self;
        let (Layout::Stride(stride @ 1..), Some(size @ 1..)) = (items.layout, L::STRIDE) else {
            return Pause::Done;
        };
        let first = range.start;
        let from = (first as usize).wrapping_mul(stride);
        let inputs = items.data.get(from..).unwrap_or_default().chunks_exact(stride);
        for ((at, item), room) in range.zip(inputs).zip(bytes.chunks_exact_mut(size)) {
            let result = match call(In::new(item)) {
                Ok(result) => result,
                Err(error) => return Pause::Failed(error),
            };
            fork::leave_if_copied();
            match L::encode(&result, &mut Out::new(room)) {
                Ok(()) => {}
                Err(Stop::Full) => return Pause::Failed(grown()),
                Err(Stop::Failed(error)) => return Pause::Failed(error),
            }
            drop(result);
            *reached = Reached { item: at + 1, written: (at + 1 - first) as usize * size };
            // As in `go`.
            progress.store(at + 1, Ordering::Release);
            compiler_fence(Ordering::SeqCst);
            if at + 1 >= until.load(Ordering::Relaxed) as u32 {
                break;
            }
        }
        Pause::Done
    }
}

/// How much room a kept result asks for, or one of a size that is known; for others, whatever there is.
fn needed<R, L: Codec<R>>(kept: Option<&R>) -> Result<usize, Error> {
    let Some(result) = kept else { return Ok(L::STRIDE.unwrap_or(0)) };
    // What it names is noted, as when it is encoded: a handle that is only measured would be taken for one that is given away.
    let bytes = unwind::catch(|| pins::result(|| L::size(result))).map_err(Error::panicked)??;
    Ok(if L::STRIDE.is_none() { bytes.saturating_add(2 * FRAME) } else { bytes })
}

/// A result without a fixed size has its length in front of it, and is filled up to a multiple of this.
pub(crate) const FRAME: usize = 8;

#[inline]
fn put<R, L: Codec<R>>(result: &R, out: &mut Out<'_>) -> Result<(), Stop> {
    let before = out.position();
    let done =
        if L::STRIDE.is_none() { put_framed::<R, L>(result, out) } else { L::encode(result, out) };
    if done.is_err() {
        out.rewind(before);
    }
    done
}

#[inline]
fn put_framed<R, L: Codec<R>>(result: &R, out: &mut Out<'_>) -> Result<(), Stop> {
    let head = out.position();
    out.write(&[0; FRAME])?;
    pins::result(|| L::encode(result, out))?;
    let end = out.position();
    out.rewind(head);
    out.write(&((end - head - FRAME) as u64).to_le_bytes())?;
    out.reserve(end - head - FRAME)?;
    out.align(FRAME)?;
    // Before the item counts as finished: from then on the result outlives this process.
    pins::hand_over().map_err(Stop::Failed)
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("range", &self.range)
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}
