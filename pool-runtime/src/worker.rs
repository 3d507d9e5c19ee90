//! A worker's life: begin, take chunks and run them, leave.
//!
//! Between the board and the registry. It knows no pool and no user type.
#![expect(unsafe_code, reason = "views the input segment as bytes")]

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::sync::atomic::fence;
use std::time::{Duration, Instant};

use crate::batch::{Batch, Host, ItemBytes, Layout, Room};
use crate::board::ControlMap;
use crate::board::claim::{self, About, Taken};
use crate::board::layout::{Cell, FAILURE, RESULTS, SLEEPING, SPINNING, TABLE, Tag, phase};
use crate::board::outbox::{Place, Writer};
use crate::board::sleep::{self, Patience};
use crate::codec;
use crate::errands::Errands;
use crate::error::{Error, ErrorKind};
use crate::message::{self, FromWorker, WorkerHello};
use crate::pace::Pace;
use crate::pool;
use crate::registry::{self, TaskDef, TaskId};
use crate::shared;
use crate::sys::barrier;
use crate::sys::fork;
use crate::sys::memory::{Access, Map};
use crate::sys::process::private_memory;
use crate::sys::signals;
use crate::sys::socket::Socket;
use crate::task;

/// The whole life of a worker.
pub(crate) fn main(
    hello: WorkerHello,
    socket: Socket,
    descriptors: impl Iterator<Item = OwnedFd>,
) -> ! {
    fork::watch_and_leave();
    let socket = Rc::new(socket);
    let code = match Worker::begin(&hello, descriptors, Errands::new(Rc::clone(&socket))) {
        Ok(mut worker) => worker.live(&hello, &socket),
        Err(error) => fail(&socket, error.with_kind(ErrorKind::Spawn)),
    };
    std::process::exit(code)
}

fn fail(socket: &Socket, error: Error) -> i32 {
    let _ = message::send(socket, &FromWorker::Failed(error), &[]);
    1
}

pub(crate) struct Worker {
    index: usize,
    /// Leaked: the signal handler looks at a word of it at any time.
    control: &'static ControlMap,
    input: Map,
    writer: Writer,
    errands: Errands,
    pace: Pace,
    task: Option<(u64, &'static TaskDef)>,
    items_left: u64,
    /// Bytes of private memory that it may keep after an item.
    may_keep: Option<usize>,
    /// Since it took something last.
    has_waited: bool,
    /// Items of `job`, the last it took of, that it has posted and not counted (`Head::posted`).
    uncounted: u64,
    job: u64,
    /// Chunks that it has run since it flushed its standard output.
    unflushed: u32,
}

impl Worker {
    pub(crate) fn begin(
        hello: &WorkerHello,
        mut descriptors: impl Iterator<Item = OwnedFd>,
        errands: Errands,
    ) -> Result<Self, Error> {
        shared::know_parts();
        let mut next = || {
            descriptors
                .next()
                .ok_or_else(|| Error::new(ErrorKind::Decode, "a descriptor is missing"))
        };
        let control = Box::leak(Box::new(ControlMap::new(next()?.as_fd())?));
        let cell = control
            .workers
            .get(hello.index)
            .ok_or_else(|| Error::new(ErrorKind::Decode, "there is no such cell"))?;
        signals::note_overflow_in(&cell.note);
        Ok(Self {
            index: hello.index,
            control,
            input: Map::new(next()?.as_fd(), hello.input_len, Access::Read)?,
            writer: Writer::new(Map::new(next()?.as_fd(), hello.results_len, Access::Write)?),
            errands,
            pace: Pace::new(),
            task: None,
            items_left: hello.max_tasks.unwrap_or(u64::MAX),
            may_keep: None,
            has_waited: true,
            uncounted: 0,
            job: 0,
            unflushed: 0,
        })
    }

    fn cell(&self) -> &'static Cell {
        &self.control.workers[self.index]
    }

    fn live(&mut self, hello: &WorkerHello, socket: &Socket) -> i32 {
        if let Some(call) = &hello.initializer {
            let done = pool::initialize(call);
            fork::leave_if_copied();
            if let Err(error) = done {
                return fail(socket, error);
            }
        }
        let _ = std::io::stdout().flush();
        self.may_keep = hello.memory_limit.and_then(may_keep);
        self.cell().heeds.store(barrier::accept().into(), Release);
        self.cell().phase.store(phase::IDLE, Release);
        self.errands.ways().open(|| self.serve());
        self.count_rest();
        self.errands.finish();
        self.cell().phase.store(phase::LEAVING, Release);
        if let Some(call) = &hello.finalizer {
            let done = pool::finalize(call);
            fork::leave_if_copied();
            if let Err(failure) = done {
                eprintln!("the finalizer of a pool worker failed: {failure}");
            }
        }
        0
    }

    fn serve(&mut self) {
        let mut patience = Patience::new();
        while self.items_left > 0 {
            if self.take_and_run() {
                continue;
            }
            if self.control.head.closing.load(Acquire) != 0 {
                return;
            }
            self.wait(&mut patience);
        }
    }

    /// Looks for work a while, where a core is free for it, then sleeps.
    fn wait(&mut self, patience: &mut Patience) {
        self.count_rest();
        self.flush();
        self.errands.finish();
        let (head, cell) = (&self.control.head, self.cell());
        let ready = || sleep::worth_waking(self.control);
        let free = crate::sys::cpus::available() as u32;
        cell.counted.store(SPINNING, Release);
        let alone = head.start_spinning() < free;
        let found = alone && patience.look(ready);
        head.stop_spinning();
        cell.counted.store(0, Release);
        if !found {
            head.worker_bed().sleep(
                None,
                || {
                    cell.counted.store(SLEEPING, Release);
                    ready()
                },
                || cell.counted.store(0, Release),
            );
        }
        self.has_waited = true;
    }

    /// Passes on what this worker leaves: so those come, too, that whoever published it did not wake. A wake-up that went to one
    /// that was killed is lost, and what was published while this one still counted as looking woke nobody. The fence pairs with
    /// that in `Head::published`: either the publisher sees that this one looks no longer, or this one sees the work.
    fn pass_on(&mut self) {
        if std::mem::take(&mut self.has_waited) {
            fence(SeqCst);
            if claim::has_work(self.control) {
                self.control.head.worker_bed().wake(1);
            }
        }
    }

    /// Takes a chunk, if there is one, and runs it; says whether there was.
    pub(crate) fn take_and_run(&mut self) -> bool {
        let (pace, told, left) = (&self.pace, &self.control.head.pace, self.items_left);
        let last = self.job;
        let size = |about: &About| {
            if about.job != last {
                task::let_go_of_others(about.job);
            }
            let wanted = if about.chunk > 0 { about.chunk } else { pace.items(about.job, told) };
            u64::from(wanted).min(left) as u32
        };
        let Some(taken) = claim::take(self.control, self.cell(), size) else { return false };
        if std::mem::replace(&mut self.job, taken.about.job) != taken.about.job {
            self.count_rest();
        }
        self.pass_on();
        if taken.about.chunk == 0 || self.may_keep.is_some() {
            let start = Instant::now();
            let count = self.run(&taken);
            let took = start.elapsed();
            self.pace.saw(taken.about.job, count, took, &self.control.head.pace);
            if took > WORTH_A_LOOK && self.keeps_too_much() {
                self.items_left = 0;
            }
        } else {
            self.run(&taken);
        }
        self.cell().phase.store(phase::IDLE, Release);
        self.unflushed += 1;
        if self.unflushed >= FLUSHED_AT_ONCE {
            self.flush();
        }
        true
    }

    fn count_rest(&mut self) {
        self.control.head.count_rest(&mut self.uncounted);
    }

    /// Writes what a task has printed of a line that it has not ended; whole lines are written at once.
    fn flush(&mut self) {
        if std::mem::take(&mut self.unflushed) > 0 {
            let _ = std::io::stdout().flush();
        }
    }

    fn keeps_too_much(&self) -> bool {
        self.may_keep.is_some_and(|most| own_memory().is_some_and(|used| used > most))
    }

    /// Runs a chunk; gives how many of its items, for what follows may be taken back meanwhile.
    fn run(&mut self, taken: &Taken) -> u32 {
        let cell = self.cell();
        let mut host = WorkerHost {
            writer: &mut self.writer,
            control: self.control,
            cell,
            run: taken.run,
            done: taken.items.start,
            uncounted: &mut self.uncounted,
        };
        match prepare(&self.input, &mut self.task, &taken.about) {
            Ok((task, items, bound)) => self.errands.accompany(taken.about.job, || {
                (task.run)(&mut Batch {
                    bound,
                    bound_mask: taken.about.bound_mask,
                    job: taken.about.job,
                    items,
                    range: taken.items.clone(),
                    host: &mut host,
                });
            }),
            Err(error) => host.fail_all(taken.items.clone(), &error),
        }
        let count = host.done - taken.items.start;
        self.items_left -= u64::from(count);
        shared::let_go_of_parts();
        count
    }
}

type Prepared<'a> = (&'static TaskDef, ItemBytes<'a>, &'a [u8]);

/// The task and the bytes of a run.
fn prepare<'a>(
    input: &'a Map,
    last: &mut Option<(u64, &'static TaskDef)>,
    about: &About,
) -> Result<Prepared<'a>, Error> {
    let task = match *last {
        Some((id, task)) if id == about.task => task,
        _ => registry::find(TaskId(about.task))?,
    };
    *last = Some((about.task, task));
    let data = bytes(input, about.data_at, about.data_len)?;
    let layout = if about.stride == TABLE {
        let len = about.data_at.saturating_sub(about.table_at);
        Layout::Table(
            bytemuck::try_cast_slice(bytes(input, about.table_at, len)?).map_err(|_| outside())?,
        )
    } else {
        Layout::Stride(usize::try_from(about.stride).map_err(|_| outside())?)
    };
    Ok((task, ItemBytes { data, layout }, bytes(input, about.bound_at, about.bound_len)?))
}

fn bytes(input: &Map, at: u64, len: u64) -> Result<&[u8], Error> {
    let (at, len) =
        (usize::try_from(at).map_err(|_| outside())?, usize::try_from(len).map_err(|_| outside())?);
    let from = input.at(at, len).ok_or_else(outside)?;
    // SAFETY: the range lies within the mapping. Only the parent can write there (the segment is sealed against others), and
    // it writes to no item that is published and not finished.
    Ok(unsafe { std::slice::from_raw_parts(from.as_ptr(), len) })
}

#[cold]
fn outside() -> Error {
    Error::new(ErrorKind::Decode, "a run names bytes outside of the input segment")
}

/// Puts the results of one chunk into the outbox.
struct WorkerHost<'a> {
    writer: &'a mut Writer,
    control: &'static ControlMap,
    cell: &'static Cell,
    run: Tag,
    /// Items below this one are posted.
    done: u32,
    uncounted: &'a mut u64,
}

impl WorkerHost<'_> {
    fn post(&mut self, to: u32, len: usize, kind: u64) {
        fork::leave_if_copied();
        self.writer.post(&self.place(), self.run, (self.done, to), len, kind);
        let count = u64::from(to - self.done);
        self.done = to;
        self.cell.published.store(to.into(), Release);
        self.control.head.posted(self.uncounted, count, kind == FAILURE);
    }

    fn place(&self) -> Place<'static> {
        Place { cell: self.cell, head: &self.control.head }
    }
}

impl Host for WorkerHost<'_> {
    fn room(&mut self, need: usize) -> Result<Room<'_>, Error> {
        let cell = self.cell;
        let (bytes, at) = self.writer.room(&Place { cell, head: &self.control.head }, need)?;
        cell.results_at.store(at, Release);
        let (progress, until) = (&cell.progress, &cell.until);
        Ok(Room { bytes, progress, until })
    }

    fn keeps(&self, at: u32) -> bool {
        self.cell.keeps(at)
    }

    fn publish(&mut self, done: u32, len: usize) {
        self.post(done, len, RESULTS);
    }

    fn fail(&mut self, index: u32, error: Error) {
        fork::leave_if_copied();
        let mut bytes = Vec::new();
        if codec::message::encode(&error, &mut bytes).is_err() {
            bytes.clear();
        }
        self.done = index;
        if let Ok((room, _)) =
            self.writer.room(&Place { cell: self.cell, head: &self.control.head }, bytes.len())
        {
            room[..bytes.len()].copy_from_slice(&bytes);
        }
        self.post(index + 1, bytes.len(), FAILURE);
        self.cell.progress.store(index + 1, Release);
    }
}

/// Chunks after which standard output is flushed while there are more: to do it after each was a tenth of a chunk of one no-op.
const FLUSHED_AT_ONCE: u32 = 16;

/// To look at its own memory takes a worker about 10 µs: not worth it after a chunk that took less than this.
const WORTH_A_LOOK: Duration = Duration::from_micros(100);

/// With what it has now, before its first item, and half of what is left to it.
fn may_keep(limit: usize) -> Option<usize> {
    own_memory().map(|used| used + limit.saturating_sub(used) / 2)
}

fn own_memory() -> Option<usize> {
    private_memory(std::process::id())
}
