//! How a worker takes a chunk: looks through the queue of runs, oldest first, and raises the `next` of the first that has
//! items left.

use std::ops::Range;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::layout::{Cell, Control, QUEUE, Run, Tag, pack_range, phase};

/// In the number of `Run::avail`: nothing will be added.
pub(crate) const CLOSED: u32 = 1 << 31;

/// A chunk that this worker has taken, and what its run says of it.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) run: Tag,
    pub(crate) items: Range<u32>,
    pub(crate) about: About,
}

/// A run's words, read before the chunk was taken; they do not change while it has items that are not finished.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) task: u64,
    pub(crate) job: u64,
    pub(crate) data_at: u64,
    pub(crate) data_len: u64,
    pub(crate) table_at: u64,
    pub(crate) stride: u64,
    pub(crate) bound_at: u64,
    pub(crate) bound_len: u64,
    pub(crate) bound_mask: u32,
    pub(crate) chunk: u32,
}

enum Look {
    Took(Taken),
    /// Nothing can be taken from it now, but later perhaps.
    Nothing,
    /// Nothing will ever be taken from it again.
    UsedUp,
}

/// Takes a chunk. `size` says how many items to take, at most, of a run; at least 1.
pub(crate) fn take(
    control: &Control,
    cell: &Cell,
    mut size: impl FnMut(&About) -> u32,
) -> Option<Taken> {
    // Acquire: pairs with the parent's release of `filled`, so that the places below it are seen filled.
    let filled = control.head.filled.load(Acquire);
    let first = control.head.first.load(Acquire);
    let mut used_up = first;
    for at in first..filled {
        let tag = Tag::unpack(control.queue[at as usize % QUEUE].load(Acquire));
        match look(control, cell, tag, &mut size) {
            Look::Took(taken) => return Some(taken),
            Look::UsedUp if used_up == at => {
                used_up += 1;
                // Only ever from a position to the next, and only by one who saw that run used up: so no run is passed over.
                let _ = control.head.first.compare_exchange(at, used_up, AcqRel, Relaxed);
            }
            Look::UsedUp | Look::Nothing => {}
        }
    }
    None
}

fn look(control: &Control, cell: &Cell, tag: Tag, size: &mut impl FnMut(&About) -> u32) -> Look {
    let Some(run) = control.runs.get(tag.number as usize) else { return Look::UsedUp };
    loop {
        let next = run.next.load(Acquire);
        let (from, avail) = (Tag::unpack(next), Tag::unpack(run.avail.load(Acquire)));
        if from.generation != tag.generation || avail.generation != tag.generation {
            return Look::UsedUp;
        }
        let end = avail.number & !CLOSED;
        if from.number >= end {
            return if avail.number & CLOSED != 0 { Look::UsedUp } else { Look::Nothing };
        }
        let about = about(run);
        let to = end.min(from.number.saturating_add(size(&about).max(1)));
        note(cell, tag, from.number..to);
        // Release: whoever reads the new `next` sees the note. Acquire: and this worker sees the items. The generation in the
        // word is why a worker that has slept since the load cannot take from another use of the run.
        if run
            .next
            .compare_exchange(next, Tag::new(tag.generation, to).pack(), AcqRel, Relaxed)
            .is_ok()
        {
            cell.phase.store(phase::RUNNING, Release);
            return Look::Took(Taken { run: tag, items: from.number..to, about });
        }
        cell.phase.store(phase::IDLE, Release);
    }
}

/// Notes what is about to be taken, so that a death between the swap and the first item is told from one before it.
fn note(cell: &Cell, run: Tag, items: Range<u32>) {
    // Release: whoever reads the chunk sees that the phase was left which was of the last one (`Seat::stance`).
    cell.run.store(run.pack(), Release);
    cell.chunk.store(pack_range(items.start, items.end), Release);
    cell.whole_chunk(items.end);
    cell.published.store(items.start.into(), Relaxed);
    // Release: whoever reads the progress of this chunk sees that the last one's number has gone (`Cell::recall`).
    cell.progress.store(items.start, Release);
    cell.phase.store(phase::TAKING, Release);
}

fn about(run: &Run) -> About {
    About {
        task: run.task.load(Relaxed),
        job: run.job.load(Relaxed),
        data_at: run.data_at.load(Relaxed),
        data_len: run.data_len.load(Relaxed),
        table_at: run.table_at.load(Relaxed),
        stride: run.stride.load(Relaxed),
        bound_at: run.bound_at.load(Relaxed),
        bound_len: run.bound_len.load(Relaxed),
        bound_mask: run.bound_mask.load(Relaxed),
        chunk: run.chunk.load(Relaxed),
    }
}

/// Whether a worker would find something.
pub(crate) fn has_work(control: &Control) -> bool {
    let filled = control.head.filled.load(Acquire);
    (control.head.first.load(Acquire)..filled).any(|at| {
        let tag = Tag::unpack(control.queue[at as usize % QUEUE].load(Acquire));
        control.runs.get(tag.number as usize).is_some_and(|run| {
            let (next, avail) =
                (Tag::unpack(run.next.load(Acquire)), Tag::unpack(run.avail.load(Acquire)));
            let same = next.generation == tag.generation && avail.generation == tag.generation;
            same && next.number < avail.number & !CLOSED
        })
    })
}
