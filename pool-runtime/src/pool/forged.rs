//! A desk that is told things by a worker that lies, and a segment that it wrote: for fuzzers and property tests.

use std::any::TypeId;
use std::os::fd::AsFd;

use super::desk::Desk;
use super::errands::Received;
use super::work::{Interest, Job};
use crate::board::ControlMap;
use crate::board::input::{Input, RunWriter};
use crate::board::layout::{RESULTS_AT, Tag};
use crate::board::outbox::{Posted, Reader};
use crate::payload::Payload;
use crate::registry::TaskDef;
use crate::sys::memory::{self, Access, Map};

/// Items of each job.
const ITEMS: u32 = 40;

const fn task(name: &'static str, result_stride: Option<usize>) -> TaskDef {
    TaskDef {
        name,
        named: false,
        place: (file!(), line!(), column!()),
        marker: TypeId::of::<Desk>(),
        run: |_| (),
        failed: |_| None,
        retries: None,
        timeout: None,
        result_stride,
        plain_result: result_stride.is_some(),
        writes_in_place: false,
    }
}

static STRIDED: TaskDef = task("strided", Some(8));
static FRAMED: TaskDef = task("framed", None);

fn job(id: u64, task: &'static TaskDef) -> Job {
    Job {
        id,
        task,
        bound: None,
        bound_len: 0,
        bound_mask: 0,
        stride: Some(8),
        chunk: 0,
        timeout: None,
        retries: 0,
        fed: 0,
        accounted: 0,
        input_bytes: 0,
        result_bytes: 0,
        input_over: true,
        stream: false,
        background: false,
        mailbox: Default::default(),
        interest: Interest::All,
        baggage: Default::default(),
        received: Received::default(),
        doomed: None,
        attempts: Default::default(),
    }
}

/// Instead of `odd`: it died when its cell said that it was about to take those.
const DIED: u8 = 254;

/// Tells a desk with two jobs what `bytes` say, post by post, and what a cell says of a dead worker; whatever that is, no item
/// has two outcomes.
///
/// # Panics
/// When one has.
pub fn posts(bytes: &[u8]) {
    let control = memory::create("forged", ControlMap::LEN).expect("memory");
    let control = ControlMap::new(control.as_fd()).expect("a mapping");
    let input = Input::new().expect("a segment");
    let writer = RunWriter::new(&input, 8 * ITEMS as usize, ITEMS as usize, false).expect("room");
    let mut desk = Desk::new();
    for (id, task) in [(1, &STRIDED), (2, &FRAMED)] {
        let slot = desk.add_job(job(id, task));
        let tag = desk.open_run(&control, slot, 0, &writer).expect("a free run");
        desk.publish(&control, tag, ITEMS, true, 8 * u64::from(ITEMS));
    }
    let mut rest = bytes;
    while let Some((head, tail)) = rest.split_first_chunk::<8>() {
        let [run, generation, from, to, kind, len, odd, high] = *head;
        let run = if high == 255 { u32::MAX } else { u32::from(run % 4) };
        let to = if odd == 255 { u32::MAX } else { u32::from(to) };
        let items = (u32::from(from), to);
        let len = match kind % 4 {
            // As long as it should be.
            0 => items.1.saturating_sub(items.0).saturating_mul(8) as usize,
            _ => usize::from(len),
        };
        let payload = &tail[..len.min(tail.len())];
        let posted = Posted {
            run: Tag::new(u32::from(generation % 3), run),
            items,
            at: 0,
            len: len as u64,
            kind: u64::from(kind / 4 % 3),
        };
        if odd == DIED {
            desk.suspect(posted.run, items);
            desk.find_lost(&control);
        } else {
            desk.take(posted, &Payload::from(payload), 1, None);
        }
        rest = &tail[payload.len().min(8)..];
    }
    for job in desk.jobs() {
        let outcomes: usize = job.mailbox.iter().map(|event| event.count).sum();
        assert_eq!((outcomes as u64, job.fed), (job.accounted, u64::from(ITEMS)));
        assert!(job.accounted <= job.fed);
    }
}

/// Reads a result segment of which a worker wrote the beginning.
///
/// # Panics
/// When there is no memory.
pub fn outbox(bytes: &[u8]) {
    let file = memory::create("forged", RESULTS_AT + 4096).expect("memory");
    rustix::io::pwrite(&file, &bytes[..bytes.len().min(RESULTS_AT)], 0).expect("a write");
    let mut reader =
        Reader::new(Map::new(file.as_fd(), RESULTS_AT + 4096, Access::Read).expect("a mapping"));
    let mut read = 0;
    while reader.is_sane()
        && let Some(posted) = reader.next()
    {
        if reader.payload(posted.at, posted.len).is_none() {
            reader.distrust();
        }
        reader.took();
        read += 1;
        assert!(read <= crate::board::layout::POSTS, "more posts than there are places");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Release;

    use super::*;

    /// Several died when they were about to take a chunk that begins at 0, one of them after it had taken it. Others took those
    /// from 5 on, and have posted one.
    #[test]
    fn what_any_of_several_dead_may_have_taken_is_put_up_once() {
        let control = memory::create("forged", ControlMap::LEN).expect("memory");
        let control = ControlMap::new(control.as_fd()).expect("a mapping");
        let input = Input::new().expect("a segment");
        let writer = RunWriter::new(&input, 8 * ITEMS as usize, ITEMS as usize, false);
        let mut desk = Desk::new();
        let slot = desk.add_job(job(1, &STRIDED));
        let tag = desk.open_run(&control, slot, 0, &writer.expect("room")).expect("a free run");
        desk.publish(&control, tag, ITEMS, true, 8 * u64::from(ITEMS));
        control.runs[tag.number as usize].next.store(Tag::new(tag.generation, 6).pack(), Release);
        assert!(desk.take_results(tag, 5, 6, &Payload::from(&[0_u8; 8][..]), None));
        for end in [3, 5, 2, 6] {
            desk.suspect(tag, (0, end));
        }
        while desk.has_suspects() {
            desk.find_lost(&control);
        }
        let run = desk.run(tag).expect("the rest is to come");
        assert_eq!(run.unknown(0, ITEMS), [(6, ITEMS)]);
        assert_eq!(desk.jobs().map(|job| job.fed - job.accounted).sum::<u64>(), 39);
    }
}
