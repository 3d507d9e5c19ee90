//! The end of work that is not wanted any more, and the search for items that a dying worker may have taken with it.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::desk::{Desk, Suspect};
use super::errands::Received;
use super::work::{Event, Interest};
use crate::board::claim::CLOSED;
use crate::board::layout::{Control, Tag};
use crate::board::remains::{self, Holder};
use crate::error::Error;

impl Desk {
    /// Starts nothing more of a job. What runs ends by itself or is stopped, as `interest` says; nobody hears of it.
    /// Gives what its results have brought along, which nobody will read.
    pub(crate) fn drop_job(
        &mut self,
        control: &Control,
        slot: usize,
        id: u64,
        interest: Interest,
    ) -> Received {
        let Some(job) = self.job(slot, id) else { return Received::default() };
        let unread = std::mem::take(&mut job.received);
        job.interest = interest;
        job.input_over = true;
        job.mailbox.clear();
        // To look for its runs among all costs more than a microsecond, half of what a call takes while both sides are awake.
        if job.input_bytes > 0 || job.accounted < job.fed {
            self.cut_job(control, slot);
        }
        self.finish_job(slot);
        unread
    }

    /// Ends a job for its caller to hear: what has not started fails with `error` now, and what runs is stopped and fails then.
    pub(crate) fn doom_job(&mut self, control: &Control, slot: usize, id: u64, error: &Error) {
        let Some(job) = self.job(slot, id) else { return };
        if job.doomed.is_none() {
            job.doomed = Some(error.clone().with_task(job.task.name));
        }
        job.input_over = true;
        self.cut_job(control, slot);
    }

    pub(super) fn runs_of(&self, slot: usize) -> Vec<Tag> {
        self.runs.iter().flatten().filter(|run| run.job == slot).map(|run| run.tag).collect()
    }

    pub(super) fn cut_job(&mut self, control: &Control, slot: usize) {
        for tag in self.runs_of(slot) {
            self.cut(control, tag);
        }
        let (ours, others) =
            std::mem::take(&mut self.backlog).into_iter().partition(|again| again.job == slot);
        self.backlog = others;
        for again in ours {
            self.end_items(slot, again.base, again.items);
        }
    }

    /// Takes what is left of a run, so that no worker does.
    pub(super) fn cut(&mut self, control: &Control, tag: Tag) {
        if let Some((from, to)) = raise_next(control, tag) {
            self.end_unwanted(tag, from, to);
        }
    }

    /// Accounts for items of a run that will not be run.
    pub(super) fn end_unwanted(&mut self, tag: Tag, from: u32, to: u32) {
        let Some((slot, base)) = self.run(tag).map(|run| (run.job, run.base)) else { return };
        self.end_items(slot, base, (from, to));
        if let Some(job) = self.jobs[slot].as_mut() {
            // `account` counts them once more.
            job.accounted -= u64::from(to - from);
        }
        self.account(tag, from, to);
    }

    pub(super) fn end_items(&mut self, slot: usize, base: u64, items: (u32, u32)) {
        let Some(job) = self.jobs[slot].as_mut() else { return };
        job.accounted += u64::from(items.1 - items.0);
        if let Some(error) = job.doomed.clone() {
            let error = error.with_task(job.task.name);
            for item in items.0..items.1 {
                let index = base + u64::from(item);
                self.deliver(
                    slot,
                    Event { first: index, count: 1, outcome: Err(error.clone().with_index(index)) },
                );
            }
        }
    }

    /// Notes that a worker died when it was about to take these items. The worker's cell says so, and is not believed: of a run
    /// that is not known nothing can be lost.
    pub(crate) fn suspect(&mut self, run: Tag, items: (u32, u32)) {
        if self.run(run).is_some() {
            self.suspects.push(Suspect { run, items });
        }
    }

    /// Whether a worker that died may have had the chunk that begins there.
    pub(super) fn is_suspect(&self, run: Tag, first: u32) -> bool {
        self.suspects.iter().any(|suspect| suspect.run == run && suspect.items.0 == first)
    }

    /// Whether it is not yet known of some chunk who has it.
    pub(crate) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Puts up again what was taken by a worker that died before it could say so.
    pub(crate) fn find_lost(&mut self, control: &Control) {
        let mut suspects = std::mem::take(&mut self.suspects);
        suspects.sort_by_key(|suspect| (suspect.run.pack(), suspect.items));
        let same = |a: &Suspect, b: &Suspect| (a.run, a.items.0) == (b.run, b.items.0);
        let seen: Vec<_> =
            suspects.chunk_by(same).map(|same| (same, self.holder(control, same[0]))).collect();
        if seen.is_empty() {
            return;
        }
        // First who holds what, then what has come back: whoever was seen past a chunk had posted it before.
        self.drain(control, None);
        for (same, holder) in seen {
            match holder {
                Holder::Another => {}
                Holder::Undecided => self.suspects.extend_from_slice(same),
                Holder::Nobody => self.take_back(control, same),
            }
        }
    }

    pub(super) fn holder(&self, control: &Control, suspect: Suspect) -> Holder {
        let Suspect { run, items: (first, _) } = suspect;
        let stances = self.seats.iter().filter_map(|seat| seat.stance(control, run, first));
        remains::holder(&control.runs[run.number as usize], run, first, stances)
    }

    /// The chunk was one of these dead workers', unless its first item has come back: a chunk that begins there is taken only
    /// once. They are sorted by their ends. Whose it was is not known, but it went at least as far as the shortest; what a
    /// longer one has beyond that was its own or is a later chunk of somebody's, so that is looked for by itself.
    pub(super) fn take_back(&mut self, control: &Control, same: &[Suspect]) {
        let Suspect { run: tag, items: (first, end) } = same[0];
        let Some(run) = self.run(tag) else { return };
        if run.unknown(first, first.saturating_add(1)).is_empty() {
            return;
        }
        for (from, to) in run.unknown(first, end) {
            self.again(control, tag, from, to);
        }
        for longer in same.iter().filter(|longer| longer.items.1 > end) {
            self.suspect(tag, (end, longer.items.1));
        }
    }
}

/// Takes all that is left of a run; gives what that was.
fn raise_next(control: &Control, tag: Tag) -> Option<(u32, u32)> {
    let run = &control.runs[tag.number as usize];
    loop {
        let word = run.next.load(Acquire);
        let (next, avail) = (Tag::unpack(word), Tag::unpack(run.avail.load(Acquire)));
        let end = avail.number & !CLOSED;
        if next.generation != tag.generation || next.number >= end {
            return None;
        }
        if run
            .next
            .compare_exchange(word, Tag::new(tag.generation, end).pack(), AcqRel, Relaxed)
            .is_ok()
        {
            return Some((next.number, end));
        }
    }
}
