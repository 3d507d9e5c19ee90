//! What workers ask for beside their work: descriptors that arguments and results take along, and holds on shared objects
//! that results name. Between `supervisor`, which says that a worker's socket has something to read, and `luggage`, for whose
//! users this is done; `errands` at the top of the crate is the worker's side.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::Engine;
use super::desk::Desk;
use super::seat::{Sentence, Worker};
use super::unsent::Unsent;
use super::work::{Interest, Job};
use crate::error::{Error, ErrorKind};
use crate::luggage::{self, Ask};
use crate::message::{self, FromWorker};
use crate::shm::pins::Pins;
use crate::supervisor;

/// What the results of a job have brought along, until the job is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// `None` for what was lost on its way.
    luggage: HashMap<u64, Option<OwnedFd>>,
    pins: Pins,
}

/// With so many holds a stream takes no more items until what is out of it has come: then they can be let go of.
const MANY: usize = 1000;

impl Received {
    /// Whether the job had better come to rest, for [`let_go`](Self::let_go).
    pub(super) fn is_much(&self) -> bool {
        self.pins.len() >= MANY
    }

    /// All results that have come so far are decoded: their handles hold by themselves. Gives what need not be held any more.
    pub(super) fn let_go(&mut self) -> Pins {
        std::mem::take(&mut self.pins)
    }

    /// Runs `decode`, for whose bytes this is, when the job is no more.
    pub(super) fn unpack<R>(self, decode: impl FnOnce() -> R) -> R {
        let Self { luggage, pins: _pins } = self;
        let luggage = RefCell::new(luggage);
        let ask = move |number| {
            let found = luggage.borrow_mut().remove(&number).ok_or_else(lost)?;
            found.ok_or_else(no_room)
        };
        luggage::unpack_asking(Rc::new(ask), decode)
    }
}

/// In a token: the socket of that seat has something to read.
pub(crate) const SOCKET: u32 = 1 << 31;
/// A descriptor is sent before the result that needs it, so it is there as soon as the supervisor has looked.
const ARRIVAL: Duration = Duration::from_secs(5);
const SLICE: Duration = Duration::from_millis(10);

impl Engine {
    /// Does what the worker in that seat has asked for. Runs on the supervisor's thread.
    pub(crate) fn run_errands(&self, index: usize) {
        let mut desk = self.desk();
        let Some(mut worker) = desk.seats[index].worker.take() else { return };
        desk.run_errands(&mut worker);
        desk.seats[index].worker = Some(worker);
        drop(desk);
        self.changed.notify_all();
    }

    /// How code that decodes results of a job gets the descriptors that they take along.
    pub(crate) fn asks(self: &Arc<Self>, slot: usize, id: u64) -> Rc<Ask> {
        let engine = Arc::clone(self);
        Rc::new(move |number| engine.await_luggage(slot, id, number))
    }

    fn await_luggage(&self, slot: usize, id: u64, number: u64) -> Result<OwnedFd, Error> {
        let end = Instant::now() + ARRIVAL;
        let mut desk = self.desk();
        loop {
            let job = desk.job(slot, id).ok_or_else(lost)?;
            if let Some(found) = job.received.luggage.remove(&number) {
                return found.ok_or_else(no_room);
            }
            let left = end.checked_duration_since(Instant::now()).ok_or_else(lost)?;
            // In slices: who drains has errands run too, and tells nobody.
            desk = self
                .changed
                .wait_timeout(desk, left.min(SLICE))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Desk {
    /// Does all that a worker has asked for.
    pub(crate) fn run_errands(&mut self, worker: &mut Worker) {
        self.hear(worker);
        if worker.tell() {
            return;
        }
        if let Ok(supervisor) = supervisor::get() {
            supervisor.nudge();
        }
    }

    fn hear(&mut self, worker: &mut Worker) {
        loop {
            match message::try_receive::<FromWorker>(&worker.socket) {
                Ok(Some((FromWorker::Failed(error), _))) => {
                    worker.refusal = Some(error.with_pid(worker.child.pid()));
                }
                Ok(Some((errand, along))) => {
                    if let Err(error) = self.run_errand(&mut worker.unsent, errand, along) {
                        return worker.hear_no_more(error);
                    }
                }
                Ok(None) => return,
                Err(error) => return worker.hear_no_more(error),
            }
        }
    }

    /// # Errors
    /// Why the worker will have no answer.
    fn run_errand(
        &mut self,
        unsent: &mut Unsent,
        errand: FromWorker,
        along: Vec<OwnedFd>,
    ) -> Result<(), Error> {
        match errand {
            FromWorker::Failed(_) => {}
            FromWorker::Wants { job, number } => {
                let job = self.job_by_id(job);
                let again = job.as_ref().is_some_and(|job| job.retries > 0);
                let beside = job.map(|job| Arc::clone(&job.baggage.luggage));
                let find = if again { luggage::copy_of } else { luggage::last_of };
                unsent.answer(find(number, beside.as_deref().unwrap_or(&[])))?;
            }
            FromWorker::Sends { job, number } => {
                if let Some(job) = self.job_that_is_read(job) {
                    job.received.luggage.insert(number, along.into_iter().next());
                }
            }
            FromWorker::Holds { job, slots } => {
                if let Some(job) = self.job_that_is_read(job) {
                    job.received.pins.merge(Pins::open(&slots));
                }
                unsent.held();
            }
        }
        Ok(())
    }

    /// The job of that number, if anybody reads its results.
    fn job_that_is_read(&mut self, id: u64) -> Option<&mut Job> {
        self.job_by_id(id).filter(|job| job.interest == Interest::All)
    }

    fn job_by_id(&mut self, id: u64) -> Option<&mut Job> {
        let (slot, id) = self.job_slots().into_iter().find(|&(_, job)| job == id)?;
        self.job(slot, id)
    }
}

impl Worker {
    /// Tells it what there is room for; `false` when there is more.
    pub(super) fn tell(&mut self) -> bool {
        match self.unsent.send(&self.socket) {
            Ok(()) => {}
            // One that is gone needs no answer.
            Err(error) if error.kind() == ErrorKind::Disconnected => {
                self.unsent = Unsent::default()
            }
            Err(error) => {
                self.unsent = Unsent::default();
                self.hear_no_more(error);
            }
        }
        self.unsent.is_empty()
    }

    /// Its errands cannot be read. It might wait for an answer, so it must not go on as if it were heard.
    fn hear_no_more(&mut self, error: Error) {
        if let Ok(supervisor) = supervisor::get() {
            supervisor.unwatch(&self.socket);
        }
        if error.kind() == ErrorKind::Disconnected {
            // That it has ended is told by the process itself. One that has not finds its end of the socket closed.
            self.socket.shut();
        } else if self.sentence.is_none() {
            self.sentence = Some(Sentence::NotUnderstood(error));
            self.child.kill();
        }
    }
}

#[cold]
fn no_room() -> Error {
    let text = "a descriptor that came with the result was lost: this process may open no more";
    Error::new(ErrorKind::Io, text)
}

#[cold]
fn lost() -> Error {
    Error::new(ErrorKind::Decode, "a descriptor did not come along with the result")
}
