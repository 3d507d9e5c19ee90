//! How results go back: each worker has a segment of its own, writes results into it, and posts where they lie. The parent
//! takes the posts in order, and what it has taken may be written over.
//!
//! Small results go round a ring; a large one has an extent of its own, used again for the next of its size. Both halves,
//! `Writer` and `Reader`, stand here side by side.
#![expect(unsafe_code, reason = "reads and writes shared memory by offset")]

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use super::extents::Extents;
use super::layout::{
    Cell, Head, Outbox, POSTS, Post, RESULTS_AT, Tag, pack_range, phase, unpack_range,
};
use crate::codec::align_up;
use crate::error::{Error, ErrorKind};
use crate::payload::Payload;
use crate::sys::memory::Map;

/// What is asked for; less where the address space is limited: those of all workers take this part of what is left.
pub(crate) const SEGMENT: usize = 32 << 30;
pub(crate) const SMALLEST_SEGMENT: usize = 128 << 20;
pub(crate) const PART: usize = 8;
/// The ring: large enough to keep a worker going while the parent is busy, small enough to stay in its cache.
const RING: usize = 1 << 20;
/// Room is not asked for in smaller pieces than this, so that a chunk of small results is one post.
const PIECE: usize = 64 << 10;
/// A result larger than this goes into an extent.
const LARGEST_IN_RING: usize = RING / 4;
/// Extents begin here.
const EXTENTS_AT: usize = RESULTS_AT + RING;
/// A worker with more than this in extents that were not taken waits. One extent is always allowed. The first pass of results of
/// 8 MiB through a new pool went at 1.8 GB/s so, at 1.6 with twice as much, which is new memory: medians of twelve pools in turns.
const EXTENT_BUDGET: usize = 32 << 20;

/// The worker's half.
#[derive(Debug)]
pub(crate) struct Writer {
    map: Map,
    /// Where in the ring the next result goes, counted on and on. `at % RING` is the place.
    at: u64,
    /// What is in use, oldest first, with the number of the post that uses it.
    live: VecDeque<(u64, Spot)>,
    /// The ring is free up to this count at least.
    free_to: u64,
    /// The room that was last given out.
    given: Spot,
    extents: Extents,
    posted: u64,
    /// Posts that the parent had taken when last looked: it writes there often, so the worker looks only when it must.
    taken: u64,
}

/// Where a worker meets its parent: its own cell, and what concerns all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) cell: &'a Cell,
    pub(crate) head: &'a Head,
}

#[derive(Clone, Copy, Debug)]
enum Spot {
    /// In the ring, from this count on.
    Ring { from: u64 },
    /// An extent, by offset and size.
    Extent { at: usize, len: usize },
}

impl Writer {
    pub(crate) fn new(map: Map) -> Self {
        Self {
            map,
            at: 0,
            live: VecDeque::new(),
            free_to: RING as u64,
            given: Spot::Ring { from: 0 },
            extents: Extents::new(),
            posted: 0,
            taken: 0,
        }
    }

    fn outbox(&self) -> &Outbox {
        super::outbox(&self.map)
    }

    /// Room for at least `need` bytes, and where it begins in the segment. Waits for the parent when everything is in use.
    ///
    /// # Errors
    /// Kind `Encode` when the segment could never hold as much.
    pub(crate) fn room(
        &mut self,
        place: &Place<'_>,
        need: usize,
    ) -> Result<(&mut [u8], u64), Error> {
        self.take_back_given();
        let (at, len) = if need > LARGEST_IN_RING {
            self.extent(place, need)?
        } else {
            self.piece(place, need)
        };
        let from = self.map.at(at, len).ok_or_else(|| too_large(need))?;
        // SAFETY: the range lies within the mapping, nobody else writes to this segment, and no live post covers it: `piece` and
        // `extent` give out nothing that is in use, and `self` stays borrowed as long as the slice.
        Ok((unsafe { std::slice::from_raw_parts_mut(from.as_ptr(), len) }, at as u64))
    }

    /// Of an extent that was given out last nothing has been posted: the item that it was for failed.
    fn take_back_given(&mut self) {
        let given = std::mem::replace(&mut self.given, Spot::Ring { from: self.at });
        self.free(given);
    }

    /// Makes an extent free again. What lies in the ring is free when the ring has come round.
    fn free(&mut self, spot: Spot) {
        if let Spot::Extent { at, len } = spot {
            for (at, len) in self.extents.give_back(at, len) {
                self.map.release(EXTENTS_AT + at, len);
            }
        }
    }

    fn piece(&mut self, place: &Place<'_>, need: usize) -> (usize, usize) {
        let need = need.max(PIECE);
        loop {
            let to_end = RING - (self.at % RING as u64) as usize;
            if to_end < need {
                // A piece does not go round the corner: the rest of the ring is passed over.
                self.at += to_end as u64;
            }
            if let Some(found) = self.free_piece(need) {
                return found;
            }
            self.forget_taken(place.cell);
            let oldest = self.live.iter().find_map(|(_, spot)| match spot {
                Spot::Ring { from } => Some(*from),
                Spot::Extent { .. } => None,
            });
            self.free_to = oldest.unwrap_or(self.at) + RING as u64;
            if let Some(found) = self.free_piece(need) {
                return found;
            }
            self.wait(place);
        }
    }

    /// All that is known to be free from where the next result goes, up to the corner.
    #[inline]
    fn free_piece(&mut self, need: usize) -> Option<(usize, usize)> {
        let place = (self.at % RING as u64) as usize;
        let free = (self.free_to.saturating_sub(self.at) as usize).min(RING - place);
        if free < need {
            return None;
        }
        self.given = Spot::Ring { from: self.at };
        Some((RESULTS_AT + place, free))
    }

    fn extent(&mut self, place: &Place<'_>, need: usize) -> Result<(usize, usize), Error> {
        loop {
            self.forget_taken(place.cell);
            let in_use = self.extents.in_use();
            if in_use == 0 || in_use.saturating_add(need) <= EXTENT_BUDGET {
                break;
            }
            self.wait(place);
        }
        let limit = self.map.len() - EXTENTS_AT.min(self.map.len());
        let (at, len) = self.extents.take(need, limit).ok_or_else(|| too_large(need))?;
        self.given = Spot::Extent { at, len };
        Ok((EXTENTS_AT + at, len))
    }

    /// Sleeps until the parent has taken something.
    fn wait(&mut self, place: &Place<'_>) {
        let cell = place.cell;
        let before = cell.taken.load(Acquire);
        let doing = cell.phase.swap(phase::BLOCKED, AcqRel);
        place.head.parent_bed().wake(u32::MAX);
        // The bound is for a parent that has gone mad; one that died takes this process with it.
        cell.room_bed().sleep(
            Some(Duration::from_millis(100)),
            || cell.taken.load(Acquire) != before,
            || (),
        );
        cell.phase.store(doing, Release);
    }

    fn forget_taken(&mut self, cell: &Cell) {
        let taken = cell.taken.load(Acquire);
        self.taken = taken.min(self.posted);
        while let Some(&(post, spot)) = self.live.front()
            && post < taken
        {
            self.live.pop_front();
            self.free(spot);
        }
    }

    /// Waits until there is a place for a post. The parent is woken when half of them are taken, so that it hardly ever comes to
    /// that.
    #[inline]
    fn await_place(&mut self, place: &Place<'_>) {
        const HALF: u64 = POSTS as u64 / 2;
        if self.posted - self.taken == HALF {
            self.forget_taken(place.cell);
            if self.posted - self.taken == HALF {
                place.head.parent_bed().wake(u32::MAX);
            }
        }
        while self.posted - self.taken >= POSTS as u64 {
            self.forget_taken(place.cell);
            if self.posted - self.taken >= POSTS as u64 {
                self.wait(place);
            }
        }
    }

    /// Posts the first `len` bytes of the room that was last given out, as what came of `items`.
    pub(crate) fn post(
        &mut self,
        place: &Place<'_>,
        run: Tag,
        items: (u32, u32),
        len: usize,
        kind: u64,
    ) {
        self.await_place(place);
        let at = match self.given {
            Spot::Ring { from } => {
                let to = from + align_up(len) as u64;
                self.at = to;
                self.live.push_back((self.posted, Spot::Ring { from }));
                RESULTS_AT + (from % RING as u64) as usize
            }
            Spot::Extent { at, .. } => {
                self.live.push_back((self.posted, self.given));
                EXTENTS_AT + at
            }
        };
        self.given = Spot::Ring { from: self.at };
        self.posted += 1;
        let outbox = self.outbox();
        let post = &outbox.posts[(self.posted - 1) as usize % POSTS];
        post.run.store(run.pack(), Relaxed);
        post.items.store(pack_range(items.0, items.1), Relaxed);
        post.at.store(at as u64, Relaxed);
        post.len.store(len as u64, Relaxed);
        post.kind.store(kind, Relaxed);
        // Release: pairs with the acquire in `Reader::next`; the post and the results it names are seen with the count.
        outbox.posted.store(self.posted, Release);
    }
}

fn too_large(need: usize) -> Error {
    Error::new(
        ErrorKind::Encode,
        format!("a result of {need} bytes is larger than the segment for results"),
    )
}

/// The parent's half.
#[derive(Debug)]
pub(crate) struct Reader {
    map: Map,
    taken: u64,
    /// The worker has posted what cannot be: nothing more is read.
    distrusted: bool,
}

/// What a post says. Nothing in it has been checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posted {
    pub(crate) run: Tag,
    pub(crate) items: (u32, u32),
    pub(crate) at: u64,
    pub(crate) len: u64,
    pub(crate) kind: u64,
}

impl Reader {
    pub(crate) fn new(map: Map) -> Self {
        Self { map, taken: 0, distrusted: false }
    }

    /// Whether all that was posted could be; a count that no worker can reach is not one that is read up to.
    pub(crate) fn is_sane(&self) -> bool {
        let posted = super::outbox(&self.map).posted.load(Relaxed);
        !self.distrusted && posted.wrapping_sub(self.taken) <= POSTS as u64
    }

    /// Reads nothing more.
    pub(crate) fn distrust(&mut self) {
        self.distrusted = true;
    }

    /// Whether there is a post that was not taken.
    #[inline]
    pub(crate) fn has_post(&self) -> bool {
        !self.distrusted && super::outbox(&self.map).posted.load(Relaxed) != self.taken
    }

    /// The oldest post that was not taken.
    pub(crate) fn next(&self) -> Option<Posted> {
        let outbox = super::outbox(&self.map);
        if outbox.posted.load(Acquire) <= self.taken {
            return None;
        }
        let post: &Post = &outbox.posts[self.taken as usize % POSTS];
        Some(Posted {
            run: Tag::unpack(post.run.load(Relaxed)),
            items: unpack_range(post.items.load(Relaxed)),
            at: post.at.load(Relaxed),
            len: post.len.load(Relaxed),
            kind: post.kind.load(Relaxed),
        })
    }

    /// The bytes that a post names, if they lie within the segment.
    pub(crate) fn payload(&self, at: u64, len: u64) -> Option<Payload<'_>> {
        let (at, len) = (usize::try_from(at).ok()?, usize::try_from(len).ok()?);
        let from = self.map.at(at, len)?;
        // SAFETY: the range was just checked to lie within the mapping, which lives as long as `self`.
        Some(unsafe { Payload::from_raw(from.as_ptr(), len) })
    }

    /// The oldest post has been dealt with. `tell` makes it so for the worker.
    pub(crate) fn took(&mut self) {
        self.taken += 1;
    }

    /// Tells the worker what has been taken.
    pub(crate) fn tell(&self, cell: &Cell) {
        cell.taken.store(self.taken, Release);
        cell.room_bed().wake(1);
    }

    /// How many bytes lie from `at` to the end of the segment.
    pub(crate) fn rest(&self, at: u64) -> u64 {
        (self.map.len() as u64).saturating_sub(at)
    }
}

#[cfg(test)]
mod tests;
