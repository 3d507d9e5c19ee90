//! The feeding of a job: items from its input into blocks, and blocks onto the board.

use std::time::{Duration, Instant};

use super::fed::{Fed, Open, Step};
use crate::board::input::{Along, RunWriter};
use crate::board::layout::RUNS;
use crate::error::{Error, ErrorKind};
use crate::job::{Filled, Sink, Source};
use crate::luggage;
use crate::pace;
use crate::shm::pins;

/// A block of small items: large enough that a run is rarely changed, small enough to stay in a core's cache.
pub(super) const BLOCK: usize = 256 << 10;
/// Items of a run: as many offsets take 16 KiB.
const RUN_ITEMS: usize = 4096;
/// Items of a run whose items have one size, and so need no offsets.
const RUN_ITEMS_PLAIN: usize = 16384;
/// A chunk of a given size is kept whole up to this many bytes.
const LARGEST_CHUNK: usize = 64 << 20;

/// A worker that is awake runs about two chunks, of 16 µs each (`pace`), while another one wakes up; so for fewer it is not worth
/// the call that wakes it.
const CHUNKS_PER_WAKE: usize = 4;

/// So few free runs are not for those that may keep them for long.
const SCARCE: usize = RUNS / 4;

impl Fed {
    pub(super) fn feed(
        &mut self,
        source: &mut dyn Source,
        sink: &mut dyn Sink,
        room: u64,
    ) -> Result<Step, Error> {
        if self.open.is_none() && !self.open_run()? {
            return Ok(Step::Stuck);
        }
        if self.asking {
            return Ok(self.after_panic());
        }
        let Some(open) = self.open.as_mut() else { return Ok(Step::Stuck) };
        let max =
            self.pace.items.min(open.writer.room()).min(room.try_into().unwrap_or(usize::MAX));
        let start = Instant::now();
        let before = open.writer.count();
        // A panic in here leaves the run open: `end` shuts it, or the next step of a stream whose consumer goes on.
        self.asking = true;
        let watched = (max > 1).then(|| self.engine.feeding.enter(&self.engine));
        let ((filled, kept), pins) =
            pins::collect(|| luggage::keep(|| open.writer.write(|items| source.fill(items, max))));
        let along = Along { luggage: kept, pins };
        let before_that = self.left_over.take();
        let new = open.writer.block().take_along(before_that.clone(), along);
        // The item that it belongs to may still not have found room.
        self.left_over = new.or(before_that.filter(|_| open.writer.count() == before));
        self.asking = false;
        drop(watched);
        self.pace.saw(max, start.elapsed());
        self.pulled += (open.writer.count() - before) as u64;
        match filled {
            Filled::More if open.writer.room() > 0 => self.publish(false),
            Filled::More => self.publish(true),
            Filled::Full => self.next_block()?,
            Filled::TooBig(bytes) => {
                self.publish(true);
                self.block = bytes.max(BLOCK);
            }
            Filled::Failed(error) => {
                let index = self.pulled;
                self.pulled += 1;
                self.publish(true);
                sink.failed(index, error.with_task(self.task.name).with_index(index));
            }
            Filled::End => self.finish_input(),
        }
        Ok(Step::Moved)
    }

    /// The input panicked, and its consumer asks again: what it gave before is run, and it is not asked any more.
    fn after_panic(&mut self) -> Step {
        self.asking = false;
        if let Some(open) = self.open.as_mut() {
            self.pulled += open.writer.recover() as u64;
        }
        self.finish_input();
        Step::Moved
    }

    pub(super) fn open_run(&mut self) -> Result<bool, Error> {
        let most = if self.stride.is_some() { RUN_ITEMS_PLAIN } else { RUN_ITEMS };
        let capacity =
            most.max(self.chunk).checked_div(self.chunk).map_or(most, |chunks| chunks * self.chunk);
        let capacity = capacity.min(1 << 20);
        let bytes = match self.stride {
            Some(stride) if self.chunk > 0 => {
                self.block.max((self.chunk.saturating_mul(stride)).min(LARGEST_CHUNK))
            }
            _ => self.block,
        };
        match RunWriter::new(&self.engine.input, bytes, capacity, self.stride.is_none()) {
            Ok(writer) => self.put_up(&mut Some(writer), self.pulled),
            // There will be room when some of it has come back.
            Err(_) if self.has_items_out() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn has_items_out(&self) -> bool {
        self.engine.desk().job(self.slot, self.id).is_some_and(|job| job.accounted < job.fed)
    }

    /// Puts a run on the board for what `writer` writes; `false`, and the writer is kept, when all runs are in use.
    pub(super) fn put_up(
        &mut self,
        writer: &mut Option<RunWriter>,
        base: u64,
    ) -> Result<bool, Error> {
        let Some(ready) = writer.as_ref() else { return Ok(false) };
        let mut desk = self.engine.desk();
        if desk.job(self.slot, self.id).is_none() {
            return Err(Error::new(ErrorKind::Cancelled, "the job is gone"));
        }
        let tag = desk.open_run(&self.engine.control, self.slot, base, ready);
        drop(desk);
        let (Some(tag), Some(writer)) = (tag, tag.and_then(|_| writer.take())) else {
            return Ok(false);
        };
        self.block = BLOCK;
        self.open = Some(Open { tag, writer, base, published: 0 });
        Ok(true)
    }

    /// The block is full: shuts its run. A chunk that it holds a part of moves to a block where there is room for all of it.
    pub(super) fn next_block(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        let (count, bytes) = (open.writer.count(), open.writer.bytes());
        let part = if self.chunk > 0 { count % self.chunk } else { 0 };
        if count == 0 {
            self.block = bytes * 4;
            self.publish(true);
        } else if part == 0 || bytes >= LARGEST_CHUNK {
            self.publish(true);
        } else {
            let (first, base) = (count - part, open.base);
            let writer =
                open.writer.carry(first, self.stride, bytes * 4, open.writer.capacity())?;
            writer.block().share_along(&open.writer.block());
            self.publish(true);
            // The new run may have to wait for a free place; then its items wait in it.
            let mut writer = Some(writer);
            while !self.put_up(&mut writer, base + first as u64)? {
                self.wait(u64::MAX);
            }
        }
        Ok(())
    }

    /// Makes what is written takeable: whole chunks only, unless the run is shut.
    pub(super) fn publish(&mut self, mut shut: bool) {
        let Some(open) = self.open.as_mut() else { return };
        let count = open.writer.count();
        let ready = if shut || self.chunk == 0 { count } else { count / self.chunk * self.chunk };
        let new = ready.saturating_sub(open.published);
        if new > 0 || shut {
            let len = open.writer.places().2;
            let mut desk = self.engine.desk();
            // A stream that is not asked keeps no run from others.
            shut |= self.streams && ready == count && desk.free_runs() < SCARCE;
            desk.publish(&self.engine.control, open.tag, ready as u32, shut, len);
            // The supervisor looks by itself only while there is something to look after.
            let begins = new > 0 && self.limited && !std::mem::replace(&mut desk.watched, true);
            drop(desk);
            if begins {
                self.engine.nudge();
            }
            open.published = ready;
        }
        if shut {
            self.open = None;
        }
        if new > 0 {
            self.engine.control.head.published(self.worth(new));
        }
    }

    /// How many workers to wake for so many new items; they wake the others, if need be (`Worker::pass_on`). Where there are more
    /// than cores, each one too many takes a core from one that has work: a no-op map with 64 workers on two cores took 2.2 times
    /// as long when all were woken.
    fn worth(&self, new: usize) -> u32 {
        let each = match pace::told_of(&self.engine.control.head.pace, self.id) as usize {
            _ if self.chunk > 0 => self.chunk,
            // They take long, or nobody knows.
            1 => 1,
            items => items * CHUNKS_PER_WAKE,
        };
        new.div_ceil(each).min(self.engine.config.workers) as u32
    }

    pub(super) fn finish_input(&mut self) {
        if self.cut.is_none() {
            // It was cancelled while its input kept it waiting.
            let mut desk = self.engine.desk();
            self.cut = desk.job(self.slot, self.id).and_then(|job| job.doomed.clone());
        }
        self.publish(true);
        self.input_over = true;
        if let Some(job) = self.engine.desk().job(self.slot, self.id) {
            job.input_over = true;
        }
    }
}

/// How many items to take from the input before they are published: as many as come in 20 µs, so that a slow input is not
/// waited for, and a fast one is not disturbed.
#[derive(Debug)]
pub(super) struct FillPace {
    pub(super) items: usize,
    pub(super) least: usize,
}

impl FillPace {
    pub(super) fn new(chunk: usize) -> Self {
        Self { items: chunk.max(1), least: chunk.max(1) }
    }

    pub(super) fn saw(&mut self, asked: usize, took: Duration) {
        const WANTED: Duration = Duration::from_micros(20);
        if took < WANTED && asked == self.items {
            self.items = (self.items * 2).min(RUN_ITEMS_PLAIN.max(self.least));
        } else if took > WANTED * 2 {
            self.items = (self.items / 2).max(self.least);
        }
    }
}
