//! A job run where it is called, without workers: for debuggers, coverage and Miri.
//!
//! It goes the same way as in a worker, through bytes and back, so that what works here works there.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::batch::{self, Batch, FRAME, Host, ItemBytes, Layout, TO_THE_LAST};
use crate::codec::ALIGN;
use crate::error::{Error, ErrorKind};
use crate::job::{Baggage, Filled, ItemWriter, JobSpec, Options, Sink, Source, Tally};
use crate::luggage::{self, Ask};
use crate::payload::Payload;
use crate::registry::TaskDef;
use crate::shm::pins;

/// The caller's side of a job without workers.
#[derive(Debug)]
pub(crate) struct Inline {
    spec: JobSpec,
    /// The bound arguments, aligned as they are in a worker.
    bound: Room,
    job: u64,
    next: u64,
    room: Room,
    /// For results; between items.
    results: Room,
}

/// Jobs without workers run in the caller's thread, perhaps one inside another and of several pools, and perhaps in a worker:
/// so they have numbers of their own, which no other job has.
static JOBS: AtomicU64 = AtomicU64::new(1 << 63);

impl Inline {
    pub(crate) fn new(spec: JobSpec) -> Self {
        let mut bound = Room::default();
        bound.at_least(spec.bound.len())[..spec.bound.len()].copy_from_slice(&spec.bound);
        Self {
            spec,
            bound,
            job: JOBS.fetch_add(1, Ordering::Relaxed),
            next: 0,
            room: Room::default(),
            results: Room::default(),
        }
    }

    /// Takes one item, runs it, and delivers its result; `false` at the end of the input.
    pub(crate) fn turn(&mut self, source: &mut dyn Source, sink: &mut dyn Sink) -> bool {
        let along = Arc::clone(&self.spec.baggage.luggage);
        let ask: Rc<Ask> = Rc::new(move |number| luggage::copy_of(number, &along));
        let turn = || luggage::unpack_asking(ask, || self.take_and_run(source, sink));
        // What goes along, and what the bytes name, is kept until the item has ended.
        let ((went_on, _kept), _pins) = pins::collect(|| luggage::keep(turn));
        went_on
    }

    fn take_and_run(&mut self, source: &mut dyn Source, sink: &mut dyn Sink) -> bool {
        let mut need = 0;
        loop {
            let room = self.room.at_least(need);
            let (mut ends, word) = ([0], AtomicU32::new(0));
            let table = self.spec.item_stride.is_none().then_some(&mut ends[..]);
            let mut writer = ItemWriter::new(room, table, 0, Tally { before: 0, word: &word });
            let filled = source.fill(&mut writer, 1);
            if writer.count() == 1 {
                let len = writer.len();
                self.run(len, &ends, sink);
                self.next += 1;
                return true;
            }
            match filled {
                Filled::End => return false,
                Filled::TooBig(bytes) => need = bytes,
                Filled::Full | Filled::More => need = self.room.0.len() * 32,
                Filled::Failed(error) => {
                    sink.failed(
                        self.next,
                        error.with_task(self.spec.task.name).with_index(self.next),
                    );
                    self.next += 1;
                    return true;
                }
            }
        }
    }

    fn run(&mut self, len: usize, ends: &[u32], sink: &mut dyn Sink) {
        let mut host = HeapHost {
            room: std::mem::take(&mut self.results),
            progress: AtomicU32::new(0),
            sink,
            spec: &self.spec,
            index: self.next,
        };
        let mut batch = Batch {
            bound: &self.bound.bytes()[..self.spec.bound.len()],
            bound_mask: self.spec.bound_mask,
            job: self.job,
            items: ItemBytes {
                data: &self.room.bytes()[..len],
                layout: self.spec.item_stride.map_or(Layout::Table(ends), Layout::Stride),
            },
            range: 0..1,
            host: &mut host,
        };
        pins::aside(|| (self.spec.task.run)(&mut batch));
        self.results = host.room;
    }
}

/// Aligned bytes on the heap.
#[derive(Debug, Default)]
struct Room(Vec<u128>);

impl Room {
    fn at_least(&mut self, bytes: usize) -> &mut [u8] {
        let units = bytes.max(1024).div_ceil(16);
        if self.0.len() < units {
            self.0.resize(units, 0);
        }
        bytemuck::cast_slice_mut(&mut self.0)
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

struct HeapHost<'a> {
    room: Room,
    progress: AtomicU32,
    sink: &'a mut dyn Sink,
    spec: &'a JobSpec,
    index: u64,
}

impl Host for HeapHost<'_> {
    fn room(&mut self, need: usize) -> Result<batch::Room<'_>, Error> {
        let bytes = self.room.at_least(need);
        Ok(batch::Room { bytes, progress: &self.progress, until: &TO_THE_LAST })
    }

    fn publish(&mut self, _done: u32, len: usize) {
        self.sink.results(self.index, 1, &Payload::from(&self.room.bytes()[..len]));
    }

    fn fail(&mut self, _index: u32, error: Error) {
        let error = error
            .with_task(self.spec.task.name)
            .with_index(self.index)
            .with_pid(std::process::id());
        self.sink.failed(self.index, error);
    }
}

/// Runs one call in this process, and gives its encoded result, whatever that is.
///
/// # Errors
/// The panic of the task, and what happened to its arguments or its result.
pub(crate) fn run_call(task: &'static TaskDef, arguments: &[u8]) -> Result<Vec<u8>, Error> {
    let mut room = Room::default();
    // Slices are read where they lie, so the bytes must lie as the typed side wants them.
    let arguments = if arguments.as_ptr().addr().is_multiple_of(ALIGN) {
        arguments
    } else {
        room.at_least(arguments.len())[..arguments.len()].copy_from_slice(arguments);
        &room.bytes()[..arguments.len()]
    };
    let options = Options::default();
    let spec = JobSpec {
        task,
        bound: Vec::new(),
        bound_mask: u32::MAX,
        item_stride: Some(0),
        options,
        baggage: Baggage::default(),
    };
    let mut kept = Kept(Err(Error::new(ErrorKind::Encode, "the task gave no result")));
    let mut host = HeapHost {
        room: Room::default(),
        progress: AtomicU32::new(0),
        sink: &mut kept,
        spec: &spec,
        index: 0,
    };
    let mut batch = Batch {
        bound: arguments,
        bound_mask: u32::MAX,
        job: JOBS.fetch_add(1, Ordering::Relaxed),
        items: ItemBytes { data: &[], layout: Layout::Stride(0) },
        range: 0..1,
        host: &mut host,
    };
    pins::aside(|| (task.run)(&mut batch));
    let mut bytes = kept.0.map_err(Error::without_index)?;
    if task.result_stride.is_none() && bytes.len() >= FRAME {
        let mut len = [0; FRAME];
        len.copy_from_slice(&bytes[..FRAME]);
        bytes.drain(..FRAME);
        bytes.truncate(u64::from_le_bytes(len) as usize);
    }
    Ok(bytes)
}

/// The outcome of a single item.
struct Kept(Result<Vec<u8>, Error>);

impl Sink for Kept {
    fn results(&mut self, _first: u64, _count: usize, payload: &Payload<'_>) {
        let mut bytes = Vec::new();
        payload.copy_to(&mut bytes);
        self.0 = Ok(bytes);
    }

    fn failed(&mut self, _index: u64, error: Error) {
        self.0 = Err(error);
    }
}
