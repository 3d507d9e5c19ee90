//! What crosses between the typed side and the engine: a job with its types erased.
//!
//! `Source` and `Sink` are the typed ends of a job. The engine pulls encoded items from the one and pushes encoded
//! results into the other, many at a time, so that a call through a trait object is paid once per block and not once per item.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::codec::{ALIGN, Out, Stop};
use crate::error::{Error, ErrorKind};
use crate::payload::Payload;
use crate::pool::Received;
use crate::registry::TaskDef;
use crate::shm::pins::Pins;
use crate::unwind;

/// What to run, and under which limits. The items come separately, through a [`Source`].
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// The task.
    pub task: &'static TaskDef,
    /// The bound arguments, one after the other as the typed side encodes them; each begins at a multiple of `ALIGN`.
    pub bound: Vec<u8>,
    /// Bit `i` is set when parameter `i` is read from `bound` and not from the item.
    pub bound_mask: u32,
    /// `Some(n)`: each item is exactly `n` bytes, and items lie side by side without a table of offsets.
    pub item_stride: Option<usize>,
    /// What the caller asked for.
    pub options: Options,
    /// What the bound arguments take along.
    pub(crate) baggage: Baggage,
}

/// What bytes take along that is not in them, and must last as long as they do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Baggage {
    /// Descriptors, by position.
    pub(crate) luggage: Arc<[OwnedFd]>,
    /// Shared objects. Held, and never looked at.
    pub(crate) _pins: Arc<Pins>,
}

/// The options of one call, as the caller wrote them; what is `None` comes from the task, then from the pool.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Items per chunk, exactly; at least 1.
    pub chunk_size: Option<usize>,
    /// How long one item may run.
    pub timeout: Option<Duration>,
    /// How often an item whose worker died or that timed out is tried again.
    pub retries: Option<u32>,
    /// The most items that are taken from the input ahead of the consumer; at least 1.
    pub window: Option<usize>,
    /// `Some(label)`: a progress bar on stderr, when that is a terminal.
    pub progress: Option<String>,
}

/// Where the items of a job come from.
pub trait Source {
    /// Encodes at most `max` more items, and says why it stopped.
    fn fill(&mut self, items: &mut ItemWriter<'_>, max: usize) -> Filled;

    /// At least and at most how many items are left.
    fn size_hint(&self) -> (usize, Option<usize>);

    /// Whether it is one item that is encoded already: to write it asks nothing of the user's code, which may wait.
    fn is_ready(&self) -> bool {
        false
    }
}

/// Why [`Source::fill`] stopped.
#[derive(Debug)]
pub enum Filled {
    /// As many as were asked for are written.
    More,
    /// The next item does not fit behind the others.
    Full,
    /// The next item does not fit into an empty block of this size; it needs so many bytes.
    TooBig(usize),
    /// The next item was taken from the input and cannot be encoded. What was written before it stands.
    Failed(Error),
    /// There are no more items.
    End,
}

/// Where the results of a job go. Called in any order of items, once for each item.
pub trait Sink {
    /// The results of `count` items, the first of which is item `first` of the input.
    ///
    /// With a `result_stride` they lie side by side. Without, each is a length of eight bytes (little endian), that many bytes,
    /// and zeros up to the next multiple of eight.
    fn results(&mut self, first: u64, count: usize, payload: &Payload<'_>);

    /// Item `index` failed.
    fn failed(&mut self, index: u64, error: Error);
}

/// The typed end of a job that runs without its caller: the engine owns it, and ends it once.
pub(crate) trait Finish: Sink + Send {
    /// Whether nothing more is wanted, as after the first failure of a map.
    fn is_settled(&self) -> bool;

    /// Whether `finish` calls code of the user's, which may take its time.
    fn calls_back(&self) -> bool;

    /// What results take along will be gone when the job has ended: they are to be read as they come.
    fn read_at_once(&mut self) {}

    /// The last call. `Err` when the job as a whole could not go on. `along` is what results have brought, for those that are
    /// still to be read.
    fn finish(self: Box<Self>, result: Result<(), Error>, along: Received);
}

/// Writes items into a block of the input window.
pub struct ItemWriter<'a> {
    out: Out<'a>,
    /// `None`: items have a fixed size. Otherwise where each item ends, counted from the beginning of the block; each begins at the
    /// multiple of `ALIGN` behind the one before it. This is the part of the table for the items that are yet to be written.
    ends: Option<&'a mut [u32]>,
    /// Where the room begins in the block: a multiple of `ALIGN` when there are `ends`.
    base: usize,
    count: usize,
    /// How many items the block holds, for those who look while items are being written.
    tally: Tally<'a>,
}

/// A count that others may read at any time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally<'a> {
    /// How many there were before.
    pub(crate) before: u32,
    pub(crate) word: &'a AtomicU32,
}

/// Instead of an end that does not fit: the item is the only one of its block and ends with it.
pub(crate) const TO_THE_END: u32 = u32::MAX;

impl<'a> ItemWriter<'a> {
    pub(crate) fn new(
        room: &'a mut [u8],
        ends: Option<&'a mut [u32]>,
        base: usize,
        tally: Tally<'a>,
    ) -> Self {
        Self { out: Out::new(room), ends, base, count: 0, tally }
    }

    #[inline]
    fn one_more(&mut self) {
        self.count += 1;
        // Release: whoever reads the count sees the items.
        self.tally.word.store(self.tally.before + self.count as u32, Ordering::Release);
    }

    /// Writes one item by `encode`. When that fails or panics, nothing is written, and a panic is a failure like others.
    ///
    /// # Errors
    /// What `encode` gives.
    #[inline]
    pub fn put(
        &mut self,
        encode: impl FnOnce(&mut Out<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let before = self.out.position();
        let result = if self.ends.is_some() {
            // An item without a fixed size is encoded by code of the user's.
            unwind::catch(|| self.try_put(encode))
                .unwrap_or_else(|panic| Err(Stop::Failed(Error::panicked(panic))))
        } else {
            self.try_put(encode)
        };
        if result.is_err() {
            self.out.rewind(before);
        }
        result
    }

    #[inline]
    fn try_put(
        &mut self,
        encode: impl FnOnce(&mut Out<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        if let Some(ends) = &mut self.ends {
            self.out.align(ALIGN)?;
            let start = self.out.position();
            let alone = self.base + start == 0;
            let mut item = self.out.rest();
            encode(&mut item)?;
            let len = item.position();
            let end = start + len;
            self.out.advance(len);
            let place = ends.get_mut(self.count).ok_or(Stop::Full)?;
            *place = match u32::try_from(self.base + end) {
                Ok(end) if end != TO_THE_END => end,
                _ if alone => TO_THE_END,
                _ => return Err(Stop::Full),
            };
        } else {
            encode(&mut self.out)?;
        }
        self.one_more();
        Ok(())
    }

    /// Writes at most `max` items of `stride` bytes each, as many as there is room for; says why it stopped if that is not why.
    #[inline]
    pub(crate) fn put_strided<T>(
        &mut self,
        stride: usize,
        max: usize,
        mut next: impl FnMut() -> Option<T>,
        encode: impl Fn(&T, &mut Out<'_>) -> Result<(), Stop>,
    ) -> Option<Filled> {
        let Self { out, count, tally: Tally { before, word }, .. } = self;
        let (before, word) = (*before + *count as u32, *word);
        let (room, at) = out.open();
        // Counted one by one: a panic of the input must not lose those before it.
        let mut filled = Strided { stride, new: 0, count, at };
        for room in room.chunks_exact_mut(stride).take(max) {
            let Some(item) = next() else { return Some(Filled::End) };
            match encode(&item, &mut Out::new(room)) {
                Ok(()) => {}
                Err(Stop::Failed(error)) => return Some(Filled::Failed(error)),
                Err(Stop::Full) => {
                    let error = Error::new(ErrorKind::Encode, "a value was larger than its type");
                    return Some(Filled::Failed(error));
                }
            }
            filled.new += 1;
            // Release: whoever reads the count sees the items.
            word.store(before + filled.new as u32, Ordering::Release);
        }
        None
    }

    /// How many items have been written.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many bytes still fit.
    pub(crate) fn left(&self) -> usize {
        self.out.left()
    }

    /// How many bytes have been written.
    pub(crate) fn len(&self) -> usize {
        self.out.position()
    }
}

/// How many items of one size have been written; noted when it is dropped, so that the loop that writes them keeps it in a
/// register.
struct Strided<'w> {
    stride: usize,
    new: usize,
    count: &'w mut usize,
    at: &'w mut usize,
}

impl Drop for Strided<'_> {
    fn drop(&mut self) {
        *self.count += self.new;
        *self.at += self.new * self.stride;
    }
}

impl fmt::Debug for ItemWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemWriter").field("count", &self.count).field("out", &self.out).finish()
    }
}

impl Options {
    /// # Errors
    /// Kind `InvalidInput` for a chunk or a window of nothing.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.chunk_size == Some(0) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "`chunk_size` is 0; a chunk has at least one item",
            ));
        }
        if self.window == Some(0) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "`window` is 0; a window has at least one item",
            ));
        }
        Ok(())
    }
}
