//! Runs on the board: put up, published, accounted for, put up again for items that must be taken once more.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::desk::Desk;
use super::work::{Again, Job, RunState};
use crate::bits::Bits;
use crate::board::claim::CLOSED;
use crate::board::input::RunWriter;
use crate::board::layout::{Control, QUEUE, TABLE, Tag};
use crate::error::{Error, ErrorKind};

impl Desk {
    /// Puts a run on the board that has no items yet, and gives its tag; `None` when all runs are in use.
    pub(crate) fn open_run(
        &mut self,
        control: &Control,
        job: usize,
        base: u64,
        writer: &RunWriter,
    ) -> Option<Tag> {
        let run = RunState {
            tag: Tag::new(0, 0),
            job,
            base,
            first: 0,
            written: 0,
            closed: false,
            accounted: 0,
            known: Bits::default(),
            places: writer.places(),
            block: writer.block(),
            tally: Some(writer.tally()),
        };
        self.put_up(control, run)
    }

    pub(super) fn put_up(&mut self, control: &Control, mut state: RunState) -> Option<Tag> {
        let number = self.free_runs.pop()?;
        let generation = self.generations[number as usize].wrapping_add(1);
        self.generations[number as usize] = generation;
        let tag = Tag::new(generation, number);
        state.tag = tag;
        let run = &control.runs[number as usize];
        // Shut first: a worker that comes late finds a generation that is not its own, with nothing to take.
        run.avail.store(Tag::new(generation, state.first).pack(), Release);
        run.next.store(Tag::new(generation, u32::MAX).pack(), Release);
        let job = self.jobs[state.job].as_mut()?;
        run.task.store(job.task.id().0, Relaxed);
        run.job.store(job.id, Relaxed);
        run.table_at.store(state.places.0, Relaxed);
        run.data_at.store(state.places.1, Relaxed);
        run.data_len.store(state.places.2, Relaxed);
        run.stride.store(job.stride.map_or(TABLE, |stride| stride as u64), Relaxed);
        run.bound_at.store(job.bound.as_ref().map_or(0, |block| block.at()), Relaxed);
        run.bound_len.store(job.bound_len as u64, Relaxed);
        run.bound_mask.store(job.bound_mask, Relaxed);
        run.chunk.store(job.chunk, Relaxed);
        job.input_bytes += state.block.len();
        // Release: whoever sees the run open sees what it says.
        run.next.store(Tag::new(generation, state.first).pack(), Release);
        self.line_up(control, tag);
        self.runs[number as usize] = Some(state);
        Some(tag)
    }

    /// Puts a run at the end of the queue. A place comes round again after `QUEUE` others; the run that has it, if it is still in
    /// use, keeps it, and so moves to the end as well. At most half of the places belong to runs in use, so this ends.
    pub(super) fn line_up(&self, control: &Control, tag: Tag) {
        let mut at = control.head.filled.load(Relaxed);
        let place = |at: u64| &control.queue[at as usize % QUEUE];
        while at >= QUEUE as u64 && self.run(Tag::unpack(place(at).load(Relaxed))).is_some() {
            at += 1;
        }
        place(at).store(tag.pack(), Release);
        control.head.filled.store(at + 1, Release);
        // Whatever lies further back has the same places as what lies within.
        control.head.first.fetch_max((at + 1).saturating_sub(QUEUE as u64), AcqRel);
    }

    /// Makes the first `written` items takeable; `closed` when there will be no more.
    pub(crate) fn publish(
        &mut self,
        control: &Control,
        tag: Tag,
        written: u32,
        closed: bool,
        data_len: u64,
    ) {
        let Some(state) = self.run_mut(tag) else { return };
        // The supervisor may have been faster.
        let written = written.max(state.written);
        let (new, slot) = (u64::from(written - state.written), state.job);
        (state.written, state.closed) = (written, closed);
        state.places.2 = data_len;
        let run = &control.runs[tag.number as usize];
        run.data_len.store(data_len, Relaxed);
        let mark = if closed { CLOSED } else { 0 };
        // Release: pairs with the acquire in `claim::look`; the items are seen with the count.
        run.avail.store(Tag::new(tag.generation, written | mark).pack(), Release);
        let too_late = self.left && new > 0;
        if let Some(job) = self.jobs[slot].as_mut() {
            job.fed += new;
            if too_late && job.doomed.is_none() {
                let closed = Error::new(ErrorKind::Closed, "the pool was closed");
                job.doomed = Some(closed.with_task(job.task.name));
            }
            if !job.is_wanted() {
                self.cut(control, tag);
            }
        }
        self.finish_run(tag);
    }

    /// Publishes what has been written and not published, for callers whose input keeps them waiting. Gives how many items.
    pub(crate) fn publish_written(&mut self, control: &Control) -> u32 {
        let mut new = 0;
        let open: Vec<_> = self
            .runs
            .iter()
            .flatten()
            .filter(|run| !run.closed)
            .map(|run| (run.tag, run.job))
            .collect();
        for (tag, slot) in open {
            // What an input that was cut off has left of a chunk is all there will be of it.
            let whole = |job: &&Job| !(job.stream && job.input_over);
            let chunk = self.jobs[slot].as_ref().filter(whole).map_or(1, |job| job.chunk.max(1));
            let Some(run) = self.run(tag) else { continue };
            let Some(tally) = &run.tally else { continue };
            let ready = tally.load(Acquire) / chunk * chunk;
            if ready > run.written {
                new += ready - run.written;
                let len = run.places.2;
                self.publish(control, tag, ready, false, len);
            }
        }
        new
    }

    /// Notes the outcome of items `from..to` of a run, and gives the job's slot and the index of the first of them; `None`
    /// when that cannot be their outcome.
    pub(crate) fn account(&mut self, tag: Tag, from: u32, to: u32) -> Option<(usize, u64)> {
        let run = self.run_mut(tag)?;
        if !run.note(from, to) {
            return None;
        }
        let (slot, first) = (run.job, run.base + u64::from(from));
        let done = run.closed && run.accounted == run.written - run.first;
        self.finished += u64::from(to - from);
        if let Some(job) = self.jobs[slot].as_mut() {
            job.accounted += u64::from(to - from);
        }
        if done {
            self.finish_run(tag);
        }
        Some((slot, first))
    }

    /// Frees the run if it is done with, and its job if that is.
    pub(super) fn finish_run(&mut self, tag: Tag) {
        let Some(run) = self.run(tag) else { return };
        if !run.closed || run.accounted < run.written - run.first {
            return;
        }
        let slot = run.job;
        if let Some(run) = self.runs[tag.number as usize].take()
            && let Some(job) = self.jobs[slot].as_mut()
        {
            job.input_bytes -= run.block.len();
        }
        self.free_runs.push(tag.number);
        self.finish_job(slot);
    }

    /// Puts items of a run up again, as a run of their own on the same bytes; or fails them, if nobody wants them any more.
    pub(crate) fn again(&mut self, control: &Control, tag: Tag, from: u32, to: u32) {
        let Some(run) = self.run(tag) else { return };
        let again = Again {
            job: run.job,
            base: run.base,
            items: (from, to),
            places: run.places,
            block: Arc::clone(&run.block),
        };
        let wanted = self.jobs[again.job].as_ref().is_some_and(Job::is_wanted);
        if !wanted {
            self.end_unwanted(tag, from, to);
            return;
        }
        // In the old run they count as known; the job has them to come.
        let slot = again.job;
        self.backlog.push_back(again);
        if self.account(tag, from, to).is_some()
            && let Some(job) = self.jobs[slot].as_mut()
        {
            job.accounted -= u64::from(to - from);
        }
        self.serve_backlog(control);
    }

    /// Puts up what waits for a free run, and says whether that was anything. To be called whenever one may have become free.
    pub(crate) fn serve_backlog(&mut self, control: &Control) -> bool {
        let mut served = false;
        while !self.free_runs.is_empty()
            && let Some(again) = self.backlog.pop_front()
        {
            served = true;
            self.put_up_again(control, again);
        }
        served
    }

    pub(super) fn put_up_again(&mut self, control: &Control, again: Again) {
        let Some(job) = self.jobs[again.job].as_mut() else { return };
        // `publish` counts its items as fed, which they were.
        job.fed -= u64::from(again.items.1 - again.items.0);
        let state = RunState {
            tag: Tag::new(0, 0),
            job: again.job,
            base: again.base,
            first: again.items.0,
            written: again.items.0,
            closed: false,
            accounted: 0,
            known: Bits::default(),
            places: again.places,
            block: again.block,
            tally: None,
        };
        if let Some(tag) = self.put_up(control, state) {
            self.publish(control, tag, again.items.1, true, again.places.2);
        }
    }
}
