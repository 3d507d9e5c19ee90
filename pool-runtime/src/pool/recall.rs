//! Takes over what waits behind an item that lasts, or behind one whose worker has been stopped: items of the same chunk that
//! were not begun, and results that were not posted. The item itself remains its worker's.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

use super::Engine;
use super::desk::Desk;
use super::guard::Next;
use super::seat::Worker;
use crate::batch::FRAME;
use crate::board::claim;
use crate::board::layout::{Cell, RESULTS, Tag, phase};
use crate::board::outbox::Posted;
use crate::board::remains::{self, Holder, Remains};
use crate::payload::Payload;
use crate::sys::barrier;

/// An item that takes so long has others wait for it: chunks are made to last some 16 µs.
const LONG: Duration = Duration::from_millis(10);

/// Results that were taken before their worker could post them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead {
    run: Tag,
    items: (u32, u32),
}

impl Engine {
    /// Looks at one worker; says whether it has taken anything over.
    pub(super) fn recall(
        &self,
        desk: &mut Desk,
        index: usize,
        now: Instant,
        next: &mut Next,
    ) -> bool {
        let cell = &self.control.workers[index];
        let left = Remains::of(cell);
        let Some(worker) = desk.seats[index].worker.as_mut() else { return false };
        let has_chunk = matches!(left.phase, phase::TAKING | phase::RUNNING | phase::BLOCKED);
        if !has_chunk || worker.sentence.is_some() || !worker.keeps_others_waiting(cell, &left) {
            worker.kept = None;
            return false;
        }
        let since = match worker.kept {
            Some((seen, since)) if seen == left => since,
            _ => now,
        };
        worker.kept = Some((left, since));
        let spent = now.saturating_duration_since(since);
        if spent < LONG {
            next.at_most(LONG - spent);
            return false;
        }
        let stopped = worker.child.stands_still();
        self.may_take_over(desk, index, &left, stopped) && self.take_over(desk, index, &left)
    }

    /// A chunk of a size that the caller asked for is taken apart only if nobody can say when it goes on.
    fn may_take_over(&self, desk: &mut Desk, index: usize, left: &Remains, stopped: bool) -> bool {
        match left.phase {
            phase::TAKING => stopped && self.got_it(desk, index, left),
            phase::RUNNING => stopped || self.somebody_could(desk, left.run),
            _ => stopped,
        }
    }

    /// Whether a worker that was stopped while it took a chunk has got it: somebody did, and nobody else has or had it.
    fn got_it(&self, desk: &mut Desk, index: usize, left: &Remains) -> bool {
        let (run, first) = (left.run, left.chunk.0);
        let Some(words) = self.control.runs.get(run.number as usize) else { return false };
        // One that died while it took the same may have got it.
        if desk.is_suspect(run, first) {
            return false;
        }
        let others = desk.seats.iter().filter(|seat| seat.index != index);
        let stances = others.filter_map(|seat| seat.stance(&self.control, run, first));
        if remains::holder(words, run, first, stances) != Holder::Nobody {
            return false;
        }
        // Whoever was seen past the chunk had posted it before.
        desk.drain(&self.control, None);
        desk.run(run).is_some_and(|run| !run.unknown(first, first.saturating_add(1)).is_empty())
    }

    fn somebody_could(&self, desk: &Desk, run: Tag) -> bool {
        desk.job_of(run).is_some_and(|job| job.chunk == 0)
            && self.control.head.sleepers.load(Relaxed) > 0
            && !claim::has_work(&self.control)
    }

    fn take_over(&self, desk: &mut Desk, index: usize, left: &Remains) -> bool {
        let Some(mut worker) = desk.seats[index].worker.take() else { return false };
        let cell = &self.control.workers[index];
        let heeds = cell.heeds.load(Acquire) != 0;
        let rest = if heeds { cell.recall(left, barrier::run_everywhere) } else { None };
        // What it posted before counts, and what its results name comes before them.
        desk.run_errands(&mut worker);
        desk.drain_worker(&mut worker, None);
        worker.reader.tell(cell);
        let results = desk.salvage(&worker, left);
        if let Some(items) = results {
            worker.ahead = Some(Ahead { run: left.run, items });
        }
        desk.seats[index].worker = Some(worker);
        let (from, end) = rest.unwrap_or_default();
        for (from, to) in desk.run(left.run).map_or(Vec::new(), |run| run.unknown(from, end)) {
            desk.again(&self.control, left.run, from, to);
        }
        results.is_some() || from < end
    }
}

impl Worker {
    /// Whether anything of the chunk that it runs could go on without it.
    fn keeps_others_waiting(&self, cell: &Cell, left: &Remains) -> bool {
        let end = Tag::unpack(cell.until.load(Acquire)).number;
        let taken = self.taken_ahead(left.run).unwrap_or(0).max(left.published);
        left.progress < end.saturating_sub(1) || taken < left.progress
    }

    /// The item of the run up to which its results were taken ahead.
    pub(super) fn taken_ahead(&self, run: Tag) -> Option<u32> {
        self.ahead.filter(|ahead| ahead.run == run).map(|ahead| ahead.items.1)
    }
}

impl Ahead {
    /// What was taken ahead of a post: it is the first that its worker made since.
    pub(super) fn of(ahead: &mut Option<Self>, posted: &Posted) -> Option<Self> {
        ahead.take_if(|ahead| ahead.run == posted.run && ahead.items.0 == posted.items.0)
    }

    /// Takes out of a post what was taken before, and gives the other results; `None` when the post cannot be.
    pub(super) fn rest<'a>(
        self,
        stride: Option<usize>,
        posted: &mut Posted,
        payload: &Payload<'a>,
    ) -> Option<Payload<'a>> {
        let (first, end) = self.items;
        if posted.kind != RESULTS || posted.items.1 < end {
            return None;
        }
        posted.items.0 = end;
        payload.beyond(results_len(stride, payload, (end - first) as usize)?)
    }
}

/// How many bytes the first `count` results take; `None` when there are not as many.
pub(super) fn results_len(
    stride: Option<usize>,
    payload: &Payload<'_>,
    count: usize,
) -> Option<usize> {
    match stride {
        Some(stride) => count.checked_mul(stride).filter(|&len| len <= payload.len()),
        None => framed_len(payload, count),
    }
}

/// As `results_len`, of results that have their lengths in front.
fn framed_len(payload: &Payload<'_>, count: usize) -> Option<usize> {
    let mut at = 0_usize;
    for _ in 0..count {
        let mut len = [0; FRAME];
        payload.copy_at(at, &mut len).then_some(())?;
        let len = usize::try_from(u64::from_le_bytes(len)).ok()?;
        at = at.checked_add(FRAME)?.checked_add(len)?.checked_next_multiple_of(FRAME)?;
    }
    (at <= payload.len()).then_some(at)
}
