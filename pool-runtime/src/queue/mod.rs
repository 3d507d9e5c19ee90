//! `Queue`: values handed from any process to any other, through shared memory.
//!
//! `item` turns a value into bytes, `shm::ring` keeps the bytes in order, `bed` is where its users wait.

mod bed;
mod item;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind};
use crate::shm::handle::{Handle, Kind, Mark, Ticket, open_for};
use crate::shm::ring::{self, Header, Item, Parts, Refusal, Ring};
use crate::sync::{Grip, Patience, grip};
use crate::sys::memory;

/// A queue between processes and threads: many put, many get, each item goes to one of them, in the order of the puts.
///
/// It is a handle: clones, and copies in other processes, are the same queue. A `put` that returned is complete, so its
/// process may end; there is no thread behind it. A process that is killed at any moment leaves the queue whole: its item is
/// there or not there. Handles inside of items live as long as the item does. Files, sockets and connections go through a
/// [`pipe`](crate::pipe), not through a queue.
///
/// ```standalone_crate
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn produce(queue: Queue<u64>, n: u64) {
///     for x in 0..n {
///         queue.put(x).expect("the queue is open");
///     }
/// }
///
/// # fn main() -> Result<(), pool_runtime::Error> {
/// let queue = Queue::bounded(10)?;
/// let process = Process::spawn(task!(produce(queue.clone(), 100)))?;
/// let sum: u64 = (0..100).map(|_| queue.get()).sum::<Result<u64, _>>()?;
/// assert_eq!(sum, 4950);
/// process.join()?;
/// # Ok(())
/// # }
/// ```
pub struct Queue<T> {
    handle: Handle,
    values: PhantomData<fn(T) -> T>,
}

/// Room for so many bytes of small items; of an unbounded queue, and at least of a bounded one. It is address space: memory
/// comes as items do, and goes when the queue is empty.
const UNBOUNDED_ROOM: usize = 1 << 30;
const BOUNDED_ROOM: usize = 64 << 20;
/// When there is no place of that size, a smaller one must do.
const LEAST_ROOM: usize = 256 << 10;

/// How long the quick forms wait for somebody who is in the middle of putting or getting; that takes well under a
/// microsecond, unless it was stopped or killed, and a death is noticed within 40 ms.
const MOMENT: Duration = Duration::from_millis(200);

thread_local! {
    static ITEM: Cell<Item> = const { Cell::new(Item { bytes: Vec::new(), names: false, records: Vec::new() }) };
}

impl<T> Queue<T> {
    /// A queue of at most `n` items; also bounded by their bytes, 64 MiB of small items and an eighth of the memory of large
    /// ones, of which one always fits.
    ///
    /// # Errors
    /// Kind `InvalidInput` for a bound of 0, `Io` or `Full` when shared memory has run out.
    pub fn bounded(n: usize) -> Result<Self, Error> {
        if n == 0 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "a queue has room for at least one item",
            ));
        }
        let room = n.saturating_mul(128).clamp(BOUNDED_ROOM, UNBOUNDED_ROOM);
        Self::make(n as u64, memory::total() / 8, room)
    }

    /// A queue of any number of items: a put never waits. When memory has run out, it fails as `Full`.
    ///
    /// # Errors
    /// Kind `Io` or `Full` when shared memory has run out.
    pub fn unbounded() -> Result<Self, Error> {
        Self::make(u64::MAX, memory::total() / 2, UNBOUNDED_ROOM)
    }

    fn make(most_items: u64, most_outside: usize, mut room: usize) -> Result<Self, Error> {
        // Its lock is the getters'; the queue's own is the putters'.
        let getters = Handle::make(Mark::plain(Kind::Piece), (0, 1), None, |_| ())?;
        loop {
            let found = |block| Header::found(block, most_items, most_outside as u64);
            let layout = (room, ring::ALIGN);
            match Handle::make_sparse(
                Mark::named::<T>(Kind::Queue),
                layout,
                ring::BACKED,
                Some(&getters),
                found,
            ) {
                // Where addresses are limited, a large place is no valid one.
                Err(error)
                    if matches!(error.kind(), ErrorKind::Full | ErrorKind::InvalidInput)
                        && room > LEAST_ROOM =>
                {
                    room /= 4
                }
                made => return Ok(Self { handle: made?, values: PhantomData }),
            }
        }
    }

    fn ring(&self) -> Result<Ring<'_>, Error> {
        Ring::new(&self.handle)
    }

    #[inline]
    fn putters(&self, patience: Patience) -> Result<Grip<'_>, Error> {
        grip(&self.handle, self.handle.slot(), patience)
    }

    #[inline]
    fn getters(&self, patience: Patience) -> Result<Grip<'_>, Error> {
        grip(&self.handle, self.handle.lock_slot(), patience)
    }

    /// How many items are in it.
    pub fn len(&self) -> usize {
        self.ring().map_or(0, |ring| usize::try_from(ring.len()).unwrap_or(usize::MAX))
    }

    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes it, for all its users: puts fail from now on, and gets give what is left. Closing it twice does nothing.
    ///
    /// # Errors
    /// Kind `Disconnected` in a child of a plain `fork`.
    pub fn close(&self) -> Result<(), Error> {
        let header = self.ring()?.header();
        {
            // Whoever is in the middle of a put, finishes it before.
            let _putters = self.putters(Patience::Forever)?;
            header.closed.store(1, Release);
        }
        header.items.wake_all();
        header.room.wake_all();
        Ok(())
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.ring().is_ok_and(|ring| ring.header().closed.load(Acquire) != 0)
    }

    /// Says that an item that was got is done with; for [`join`](Self::join).
    ///
    /// # Errors
    /// Kind `InvalidInput` when that was said of as many as have been put.
    pub fn task_done(&self) -> Result<(), Error> {
        let ring = self.ring()?;
        let header = ring.header();
        let one_more = |done: u64| (done < ring.puts()).then_some(done + 1);
        match header.done.fetch_update(AcqRel, Relaxed, one_more) {
            Ok(before) if before + 1 == ring.puts() => header.idle.wake_all(),
            Ok(_) => {}
            Err(_) => {
                let text = "`task_done` was called more often than items were put";
                return Err(Error::new(ErrorKind::InvalidInput, text));
            }
        }
        Ok(())
    }

    /// Waits until [`task_done`](Self::task_done) was called for every item that was put.
    ///
    /// # Errors
    /// Kind `Disconnected` in a child of a plain `fork`.
    pub fn join(&self) -> Result<(), Error> {
        let ring = self.ring()?;
        let header = ring.header();
        let is_done = || u64::from(header.done.load(Acquire) >= ring.puts());
        header.idle.wait(Patience::Forever, is_done);
        Ok(())
    }
}

impl<T: Serialize + DeserializeOwned> Queue<T> {
    /// Puts an item at the end, waiting for room as long as it takes.
    ///
    /// # Errors
    /// Kind `Closed` after [`close`](Self::close), `Encode` when the item cannot be encoded, or has a file, a socket or a
    /// connection in it, or more than 511 handles (the queue goes on), `Full` or `Io` when memory has run out. A handle that
    /// goes with another object, as a [`Condition`](crate::Condition) with its lock, and a queue, counts as two.
    pub fn put(&self, item: T) -> Result<(), Error> {
        self.put_until(&item, Patience::Forever)
    }

    /// As [`put`](Self::put), if there is room now.
    ///
    /// # Errors
    /// Kind `Full` when there is none, and else as for [`put`](Self::put).
    pub fn try_put(&self, item: T) -> Result<(), Error> {
        self.put_until(&item, Patience::None)
    }

    /// As [`put`](Self::put), if there is room within `timeout`.
    ///
    /// # Errors
    /// Kind `Full` when there was none, and else as for [`put`](Self::put).
    pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), Error> {
        self.put_until(&item, Patience::of(timeout))
    }

    #[inline]
    fn put_until(&self, item: &T, patience: Patience) -> Result<(), Error> {
        let ring = self.ring()?;
        item::pack(item, |parts| self.put_parts(ring, parts, patience))
    }

    #[inline]
    fn put_parts(&self, ring: Ring<'_>, parts: Parts<'_>, patience: Patience) -> Result<(), Error> {
        let header = ring.header();
        loop {
            let Some(gets) = self.push(ring, parts, patience)? else {
                header.items.wake_one();
                return Ok(());
            };
            if header.most_items.load(Relaxed) == u64::MAX {
                return Err(Error::new(ErrorKind::Full, "the queue's memory has run out"));
            }
            // Room that came after the look is seen, however many others put and take meanwhile.
            let changed =
                || ring.gets().saturating_sub(gets) | u64::from(header.closed.load(Acquire));
            if !header.room.wait(patience, changed) {
                return Err(Error::new(ErrorKind::Full, "the queue has no room"));
            }
        }
    }

    /// Puts an item; when there is no room, gives how many items had been taken when it looked.
    #[inline]
    fn push(
        &self,
        ring: Ring<'_>,
        parts: Parts<'_>,
        patience: Patience,
    ) -> Result<Option<u64>, Error> {
        let _putters =
            self.putters(bounded(patience)).map_err(|error| late(error, ErrorKind::Full))?;
        if ring.header().closed.load(Relaxed) != 0 {
            return Err(Error::new(ErrorKind::Closed, "the queue was closed"));
        }
        ring.shrink(|| self.getters(Patience::None).ok());
        match ring.push(parts, || self.getters(bounded(patience))) {
            Ok(()) => Ok(None),
            Err(Refusal::NoRoom { gets }) => Ok(Some(gets)),
            Err(Refusal::Failed(error)) => Err(late(error, ErrorKind::Full)),
        }
    }

    /// Takes the first item, waiting for one as long as it takes.
    ///
    /// # Errors
    /// Kind `Closed` when the queue was closed and nothing is left; `Decode` when the item is no `T` here (the queue goes on).
    pub fn get(&self) -> Result<T, Error> {
        self.get_until(Patience::Forever)
    }

    /// As [`get`](Self::get), if there is an item now.
    ///
    /// # Errors
    /// Kind `Empty` when there is none, and else as for [`get`](Self::get).
    pub fn try_get(&self) -> Result<T, Error> {
        self.get_until(Patience::None)
    }

    /// As [`get`](Self::get), if one comes within `timeout`.
    ///
    /// # Errors
    /// Kind `Empty` when none came, and else as for [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, Error> {
        self.get_until(Patience::of(timeout))
    }

    fn get_until(&self, patience: Patience) -> Result<T, Error> {
        let ring = self.ring()?;
        let header = ring.header();
        // When another destructor of the thread takes something it is gone, and there is a new one each time.
        let mut item = ITEM.try_with(Cell::take).unwrap_or_default();
        loop {
            // Looked at first: what was put before the close is seen after it.
            let closed = header.closed.load(Acquire) != 0;
            if !ring.is_empty() && self.pop(ring, &mut item, patience)? {
                header.room.wake_one();
                let value = item::unpack(&mut item);
                let _ = ITEM.try_with(|place| place.set(item));
                return value;
            }
            if closed {
                return Err(Error::new(
                    ErrorKind::Closed,
                    "the queue was closed, and nothing is left in it",
                ));
            }
            let changed = || ring.len() | u64::from(header.closed.load(Acquire));
            if !header.items.wait(patience, changed) {
                return Err(Error::new(ErrorKind::Empty, "the queue is empty"));
            }
        }
    }

    #[inline]
    fn pop(&self, ring: Ring<'_>, item: &mut Item, patience: Patience) -> Result<bool, Error> {
        let _getters =
            self.getters(bounded(patience)).map_err(|error| late(error, ErrorKind::Empty))?;
        ring.pop(item, item::outside)
    }
}

/// How long to wait for the lock.
fn bounded(patience: Patience) -> Patience {
    if matches!(patience, Patience::None) { Patience::of(MOMENT) } else { patience }
}

/// The error of a lock that did not come free in time, under the name that the caller knows.
fn late(error: Error, kind: ErrorKind) -> Error {
    if error.kind() == ErrorKind::TimedOut { error.with_kind(kind) } else { error }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), values: PhantomData }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("closed", &self.is_closed())
            .finish()
    }
}

impl<T> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle.ticket().map_err(crate::error::refuse_encoding)?.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ticket = Ticket::deserialize(deserializer)?;
        Ok(Self { handle: open_for(&ticket, Mark::named::<T>(Kind::Queue))?, values: PhantomData })
    }
}
