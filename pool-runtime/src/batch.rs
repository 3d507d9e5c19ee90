//! Some items of a job, being run: bytes to arguments, the user's function, results to bytes.
//!
//! Between `worker`, which hands out batches, and `task`, whose generated code runs them. It knows neither the types nor
//! whose memory the bytes lie in.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::codec::{In, Out, Stop, align_up};
use crate::error::{Error, ErrorKind};
use crate::job::TO_THE_END;
use crate::unwind;

/// Where a batch puts its results.
pub(crate) trait Host {
    /// At least `need` bytes for results, aligned to `ALIGN`, and the word that says how many items of the run are finished.
    fn room(&mut self, need: usize) -> Result<(&mut [u8], &AtomicU32), Error>;

    /// The items from the last publication up to `done` are finished; their results are the first `len` bytes of the room.
    fn publish(&mut self, done: u32, len: usize);

    /// Item `index` failed, and everything before it has been published.
    fn fail(&mut self, index: u32, error: Error);
}

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
    /// Items of one size, when they all lie within the block.
    #[inline]
    fn strided(&self, range: Range<u32>) -> Option<impl Iterator<Item = In<'a>> + use<'a>> {
        let Layout::Stride(stride @ 1..) = self.layout else { return None };
        let from = (range.start as usize).checked_mul(stride)?;
        let to = (range.end as usize).checked_mul(stride)?;
        Some(self.data.get(from..to)?.chunks_exact(stride).map(In::new))
    }

    #[inline]
    fn get(&self, index: u32) -> Result<In<'a>, Error> {
        let index = index as usize;
        let (from, to) = match self.layout {
            Layout::Stride(stride) => {
                let from = index.saturating_mul(stride);
                (from, from.saturating_add(stride))
            }
            Layout::Table(ends) => {
                let from = index
                    .checked_sub(1)
                    .and_then(|before| ends.get(before))
                    .map_or(0, |&end| align_up(end as usize));
                let to = match ends.get(index) {
                    Some(&TO_THE_END) => self.data.len(),
                    Some(&end) => end as usize,
                    None => return Err(no_such_item()),
                };
                (from, to)
            }
        };
        self.data.get(from..to).map(In::new).ok_or_else(no_such_item)
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
    pub(crate) result_stride: Option<usize>,
    pub(crate) host: &'a mut dyn Host,
}

/// What is done with each item of a batch.
pub trait Work<'a> {
    /// What an item comes to.
    type Result;

    /// Runs the task on one item.
    ///
    /// # Errors
    /// That of the item.
    fn call(&self, item: In<'a>) -> Result<Self::Result, Error>;

    /// Writes a result; it sees the same one as often as it takes to find room.
    ///
    /// # Errors
    /// `Stop::Full` for want of room.
    fn encode(&self, result: &Self::Result, out: &mut Out<'_>) -> Result<(), Stop>;

    /// How many bytes `encode` writes, or a little more.
    ///
    /// # Errors
    /// That of the item, when it cannot be encoded at all.
    fn size(&self, result: &Self::Result) -> Result<usize, Error>;
}

/// Why the inner loop of a batch stopped.
enum Pause<R> {
    Done,
    /// The result of the next item needs more room than was left.
    Full(R),
    Failed(Error),
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
        for index in self.range.clone() {
            self.host.fail(index, error.clone());
        }
    }

    /// Runs `work` on each item. A panic or an error is that item's alone.
    pub fn each<W: Work<'a>>(&mut self, work: &W) {
        let Range { start: mut next, end } = self.range.clone();
        let framed = self.result_stride.is_none();
        let mut kept: Option<W::Result> = None;
        while next < end {
            let need = match needed(kept.as_ref(), framed, work) {
                Ok(need) => need,
                Err(error) => {
                    kept = None;
                    self.host.fail(next, error);
                    next += 1;
                    continue;
                }
            };
            let (room, progress) = match self.host.room(need) {
                Ok(room) => room,
                Err(error) => {
                    kept = None;
                    self.host.fail(next, error);
                    next += 1;
                    continue;
                }
            };
            let first = next;
            let mut done = Done { at: next, written: 0, progress };
            let mut out = Out::new(room);
            let items = self.items;
            let caught = unwind::catch(|| {
                if let Some(result) = kept.take() {
                    match put(&result, &mut out, framed, work) {
                        Ok(()) => {}
                        Err(Stop::Full) => return Pause::Full(result),
                        Err(Stop::Failed(error)) => return Pause::Failed(error),
                    }
                    drop(result);
                    done.one_more(&out);
                }
                match items.strided(done.at..end) {
                    Some(items) => run_each(items.map(Ok), &mut done, &mut out, framed, work),
                    None => {
                        let items = (done.at..end).map(|at| items.get(at));
                        run_each(items, &mut done, &mut out, framed, work)
                    }
                }
            });
            let Done { at, written, .. } = done;
            next = at;
            if next > first {
                self.host.publish(next, written);
            }
            match caught {
                Ok(Pause::Done) => {}
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

/// What of a batch is finished.
struct Done<'a> {
    at: u32,
    /// Bytes of their results.
    written: usize,
    progress: &'a AtomicU32,
}

impl Done<'_> {
    #[inline]
    fn one_more(&mut self, out: &Out<'_>) {
        self.at += 1;
        self.written = out.position();
        // Release: whoever reads the word sees the results it counts.
        self.progress.store(self.at, Ordering::Release);
    }
}

/// The inner loop: nothing in it is decided per item that could be decided before. Inlined by force, as are its parts, or
/// each of two copies of it calls its parts: measured at 3.3 ns an item against 1.2.
#[inline(always)]
fn run_each<'a, W: Work<'a>>(
    items: impl Iterator<Item = Result<In<'a>, Error>>,
    done: &mut Done<'_>,
    out: &mut Out<'_>,
    framed: bool,
    work: &W,
) -> Pause<W::Result> {
    for item in items {
        let result = match item.and_then(|item| work.call(item)) {
            Ok(result) => result,
            Err(error) => return Pause::Failed(error),
        };
        match put(&result, out, framed, work) {
            Ok(()) => {}
            Err(Stop::Full) => return Pause::Full(result),
            Err(Stop::Failed(error)) => return Pause::Failed(error),
        }
        // A panic in here is this item's, so it is not counted before.
        drop(result);
        done.one_more(out);
    }
    Pause::Done
}

/// How much room a kept result asks for; for one that is yet to be computed, whatever there is.
fn needed<'a, W: Work<'a>>(
    kept: Option<&W::Result>,
    framed: bool,
    work: &W,
) -> Result<usize, Error> {
    let Some(result) = kept else { return Ok(0) };
    let bytes = unwind::catch(|| work.size(result)).map_err(Error::panicked)??;
    Ok(if framed { bytes.saturating_add(2 * FRAME) } else { bytes })
}

/// A result without a fixed size has its length in front of it, and is filled up to a multiple of this.
pub(crate) const FRAME: usize = 8;

#[inline(always)]
fn put<'a, W: Work<'a>>(
    result: &W::Result,
    out: &mut Out<'_>,
    framed: bool,
    work: &W,
) -> Result<(), Stop> {
    let before = out.position();
    let done = if framed { put_framed(result, out, work) } else { work.encode(result, out) };
    if done.is_err() {
        out.rewind(before);
    }
    done
}

#[inline(always)]
fn put_framed<'a, W: Work<'a>>(
    result: &W::Result,
    out: &mut Out<'_>,
    work: &W,
) -> Result<(), Stop> {
    let head = out.position();
    out.write(&[0; FRAME])?;
    work.encode(result, out)?;
    let end = out.position();
    out.rewind(head);
    out.write(&((end - head - FRAME) as u64).to_le_bytes())?;
    out.reserve(end - head - FRAME)?;
    out.align(FRAME)
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("range", &self.range)
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}
