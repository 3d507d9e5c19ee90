//! One item's way over the board and back, all of it in one process and one after the other, so that its instructions can be
//! counted: what `cargo bench --bench counts` runs under valgrind. No worker is started.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use super::{All, Double, Numbers};
use crate::board::ControlMap;
use crate::board::input::{Input, RunWriter};
use crate::board::layout::Tag;
use crate::board::outbox::{Reader, SMALLEST_SEGMENT};
use crate::errands::Errands;
use crate::job::{Sink, Source};
use crate::message::WorkerHello;
use crate::payload::Payload;
use crate::pool::desk::{Desk, Interest, Job};
use crate::pool::drain::Direct;
use crate::sys::memory::{self, Access, Map};
use crate::sys::socket;
use crate::worker::Worker;

/// Items of a run.
const RUN: u64 = 1000;

/// A caller and a worker that take turns.
struct Walk {
    control: ControlMap,
    input: Arc<Input>,
    desk: Desk,
    worker: Worker,
    reader: Reader,
    slot: usize,
}

impl Walk {
    fn new(chunk: u32) -> Self {
        let input = Input::new().expect("an input segment");
        let board = memory::create("counts", ControlMap::LEN).expect("a board");
        let outbox = memory::create("counts", SMALLEST_SEGMENT).expect("an outbox");
        let copy = |file: std::os::fd::BorrowedFd<'_>| file.try_clone_to_owned().expect("a copy");
        let hello = WorkerHello {
            index: 0,
            input_len: input.len(),
            results_len: SMALLEST_SEGMENT,
            initializer: None,
            finalizer: None,
            max_tasks: None,
            memory_limit: None,
        };
        let descriptors = [copy(board.as_fd()), copy(input.file()), copy(outbox.as_fd())];
        let (_, theirs) = socket::pair().expect("a pair");
        let errands = Errands::new(Rc::new(theirs));
        let worker = Worker::begin(&hello, descriptors.into_iter(), errands).expect("a worker");
        let mut desk = Desk::new();
        let slot = desk.add_job(job(chunk));
        let results = Map::new(outbox.as_fd(), SMALLEST_SEGMENT, Access::Read).expect("results");
        let control = ControlMap::new(board.as_fd()).expect("a board");
        Self { control, input, desk, worker, reader: Reader::new(results), slot }
    }

    /// A run of items there and back.
    fn go(&mut self, from: u64, sink: &mut dyn Sink) {
        let mut writer = RunWriter::new(&self.input, 256 << 10, 4096, false).expect("a block");
        let tag = self.desk.open_run(&self.control, self.slot, from, &writer).expect("a run");
        let mut numbers = Numbers(from..from + RUN);
        writer.write(|items| numbers.fill(items, RUN as usize));
        self.desk.publish(&self.control, tag, RUN as u32, true, writer.places().2);
        while self.worker.take_and_run() {
            self.take(sink);
        }
    }

    fn take(&mut self, sink: &mut dyn Sink) {
        while let Some(posted) = self.reader.next() {
            let payload = self.reader.payload(posted.at, posted.len).expect("a payload");
            let mut direct = Direct { slot: self.slot, sink: &mut *sink, delivered: 0 };
            let (from, to): (u32, u32) = posted.items;
            let run: Tag = posted.run;
            assert!(self.desk.take_results(run, from, to, &payload, Some(&mut direct)));
            self.reader.took();
        }
        self.reader.tell(&self.control.workers[0]);
    }
}

fn job(chunk: u32) -> Job {
    Job {
        id: 1,
        task: Double::DEF,
        bound: None,
        bound_len: 0,
        bound_mask: 0,
        stride: Some(8),
        chunk,
        timeout: None,
        retries: 0,
        fed: 0,
        accounted: 0,
        input_bytes: 0,
        result_bytes: 0,
        input_over: false,
        stream: false,
        background: false,
        mailbox: Default::default(),
        interest: Interest::All,
        doomed: None,
        baggage: Default::default(),
        received: Default::default(),
        attempts: Default::default(),
    }
}

/// Adds up, so that what is counted is the board.
#[derive(Default)]
struct Sum(u64);

impl Sink for Sum {
    fn results(&mut self, _: u64, count: usize, payload: &Payload<'_>) {
        for at in 0..count {
            let mut bytes = [0; 8];
            assert!(payload.copy_at(at * 8, &mut bytes));
            self.0 += u64::from_le_bytes(bytes);
        }
    }

    fn failed(&mut self, index: u64, error: crate::error::Error) {
        panic!("item {index}: {error}");
    }
}

/// `POOL_COUNTS="CHUNK RUNS"` says how far.
#[test]
fn a_walk_over_the_board() {
    let asked = std::env::var("POOL_COUNTS").unwrap_or_else(|_| "1 2".to_owned());
    let (chunk, runs) = asked.split_once(' ').expect("two numbers");
    let mut walk = Walk::new(chunk.parse().expect("a number"));
    let runs: u64 = runs.parse().expect("a number");
    let mut sum = Sum::default();
    (0..runs).for_each(|run| walk.go(run * RUN, &mut sum));
    assert_eq!(sum.0, (0..runs * RUN).sum::<u64>() * 2);
    let mut all = All::default();
    walk.go(runs * RUN, &mut all);
    assert_eq!(all.results.len() as u64, RUN);
}
