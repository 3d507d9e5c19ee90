//! The worker's side of what goes beside its work: it asks its parent for descriptors, sends those of its results ahead, and has
//! the parent hold shared objects that its results name. `pool::errands` is the other side.

use std::cell::Cell;
use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;

use crate::error::{Error, ErrorKind};
use crate::luggage::{Ask, SendAhead};
use crate::message::{self, FromWorker, ToWorker};
use crate::shm::pins::{self, Pins};
use crate::sys::socket::Socket;

/// A worker's way to its parent.
pub(crate) struct Errands {
    socket: Rc<Socket>,
    /// The job that is being run.
    job: Rc<Cell<u64>>,
    /// Answers of the kind `Held` that came while another was waited for.
    held: Rc<Cell<usize>>,
    ask: Rc<Ask>,
    ahead: Rc<SendAhead>,
    /// What results name, until the parent holds it too; the oldest first.
    pins: VecDeque<Pins>,
}

impl Errands {
    pub(crate) fn new(socket: Rc<Socket>) -> Self {
        let (job, held) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (next, to) = (Cell::new(u64::from(std::process::id()) << 32), Rc::clone(&socket));
        let of = Rc::clone(&job);
        let ahead = move |descriptor: BorrowedFd<'_>| {
            let number = next.get();
            next.set(number + 1);
            message::send(&to, &FromWorker::Sends { job: of.get(), number }, &[descriptor])?;
            Ok(number)
        };
        let (to, of, seen) = (Rc::clone(&socket), Rc::clone(&job), Rc::clone(&held));
        let ask = move |number| {
            message::send(&to, &FromWorker::Wants { job: of.get(), number }, &[])?;
            answer(&to, &seen)
        };
        Self { socket, job, held, ask: Rc::new(ask), ahead: Rc::new(ahead), pins: VecDeque::new() }
    }

    /// The ways of descriptors while this process works.
    pub(crate) fn ways(&self) -> (Rc<Ask>, Rc<SendAhead>) {
        (Rc::clone(&self.ask), Rc::clone(&self.ahead))
    }

    /// Runs a chunk of a job.
    pub(crate) fn accompany(&mut self, job: u64, work: impl FnOnce()) {
        self.job.set(job);
        let ((), pins) = pins::collect(work);
        if !pins.is_empty() {
            self.hand_over(job, pins);
        }
        if !self.pins.is_empty() {
            self.forget_held();
        }
    }

    fn hand_over(&mut self, job: u64, pins: Pins) {
        let slots = pins.slots().collect();
        if message::send(&self.socket, &FromWorker::Holds { job, slots }, &[]).is_ok() {
            self.pins.push_back(pins);
        }
    }

    /// Lets go of what the parent holds by now.
    fn forget_held(&mut self) {
        while let Ok(Some((ToWorker::Held, _))) = message::try_receive(&self.socket) {
            self.held.set(self.held.get() + 1);
        }
        let held = self.held.take().min(self.pins.len());
        self.pins.drain(..held);
    }

    /// Waits until the parent holds everything: before this process leaves.
    pub(crate) fn finish(&mut self) {
        while self.pins.len() > self.held.get() {
            match message::receive(&self.socket) {
                Ok((ToWorker::Held, _)) => self.held.set(self.held.get() + 1),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

/// The answer to the question for a descriptor. The parent's end of the socket ends the wait, too.
fn answer(socket: &Socket, held: &Cell<usize>) -> Result<OwnedFd, Error> {
    loop {
        let (answer, along) = message::receive(socket)?;
        match answer {
            ToWorker::Held => held.set(held.get() + 1),
            ToWorker::Missing(error) => return Err(error),
            ToWorker::Here => {
                let none = || Error::new(ErrorKind::Decode, "a descriptor did not come along");
                return along.into_iter().next().ok_or_else(none);
            }
        }
    }
}
