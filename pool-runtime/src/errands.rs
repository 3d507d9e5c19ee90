//! The worker's side of what goes beside its work: it asks its parent for descriptors, sends those of its results ahead, and has
//! the parent hold shared objects that its results name. `pool::errands` is the other side.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;

use crate::error::{Error, ErrorKind};
use crate::luggage::{self, Ask, SendAhead};
use crate::message::{self, FromWorker, ToWorker};
use crate::shm::pins::{self, HandOver, Pins};
use crate::sys::socket::Socket;

/// A worker's ways to its parent.
pub(crate) struct Errands {
    way: Rc<Way>,
    ways: Ways,
}

/// How descriptors come and go, and holds on shared objects.
#[derive(Clone)]
pub(crate) struct Ways {
    ask: Rc<Ask>,
    ahead: Rc<SendAhead>,
    hand_over: Rc<HandOver>,
}

impl Ways {
    /// Runs `work`, whose arguments and results go these ways.
    pub(crate) fn open<R>(self, work: impl FnOnce() -> R) -> R {
        luggage::at_work(self.ask, self.ahead, || pins::ahead(self.hand_over, work))
    }
}

struct Way {
    socket: Rc<Socket>,
    /// The job that is being run.
    job: Cell<u64>,
    /// Answers of the kind `Held` that have come.
    held: Cell<usize>,
    /// What results name, until the parent holds it too; the oldest first.
    pins: RefCell<VecDeque<Pins>>,
}

/// With more than this unanswered, answers are looked for.
const UNANSWERED: usize = 16;

impl Errands {
    pub(crate) fn new(socket: Rc<Socket>) -> Self {
        let way = Way { socket, job: Cell::new(0), held: Cell::new(0), pins: RefCell::default() };
        let way = Rc::new(way);
        let (next, to) = (Cell::new(u64::from(std::process::id()) << 32), Rc::clone(&way));
        let ahead = move |descriptor: BorrowedFd<'_>| {
            let number = next.get();
            next.set(number + 1);
            let message = FromWorker::Sends { job: to.job.get(), number };
            message::send(&to.socket, &message, &[descriptor])?;
            Ok(number)
        };
        let to = Rc::clone(&way);
        let ask = move |number| {
            message::send(&to.socket, &FromWorker::Wants { job: to.job.get(), number }, &[])?;
            to.answer()
        };
        let to = Rc::clone(&way);
        let hand_over = move |pins| to.hand_over(pins);
        let (ask, ahead, hand_over) = (Rc::new(ask), Rc::new(ahead), Rc::new(hand_over));
        Self { way, ways: Ways { ask, ahead, hand_over } }
    }

    /// For as long as this process works.
    pub(crate) fn ways(&self) -> Ways {
        self.ways.clone()
    }

    /// Runs a chunk of a job, within [`Ways::open`].
    #[inline]
    pub(crate) fn accompany(&self, job: u64, work: impl FnOnce()) {
        self.way.job.set(job);
        work();
        pins::let_go();
        if !self.way.pins.borrow().is_empty() {
            self.way.forget_held();
        }
    }

    /// Waits until the parent holds everything, and lets go of it here: before this process leaves, or has nothing to do.
    pub(crate) fn finish(&self) {
        while self.way.pins.borrow().len() > self.way.held.get() {
            match message::receive(&self.way.socket) {
                Ok((ToWorker::Held(count), _)) => self.way.now_held(count),
                Ok(_) => {}
                Err(_) => return,
            }
        }
        if !self.way.pins.borrow().is_empty() {
            self.way.forget_held();
        }
    }
}

impl Way {
    /// The answer to the question for a descriptor. The parent's end of the socket ends the wait, too.
    fn answer(&self) -> Result<OwnedFd, Error> {
        loop {
            let (answer, along) = message::receive(&self.socket)?;
            match answer {
                ToWorker::Held(count) => self.now_held(count),
                ToWorker::Missing(error) => return Err(error),
                ToWorker::Here => {
                    let none = || Error::new(ErrorKind::Decode, "a descriptor did not come along");
                    return along.into_iter().next().ok_or_else(none);
                }
            }
        }
    }

    /// Has the parent hold what a result names. When this process has ended, the parent reads this before the ledger is swept.
    fn hand_over(&self, pins: Pins) -> Result<(), Error> {
        if self.pins.borrow().len() > UNANSWERED {
            self.forget_held();
        }
        let slots = pins.slots().collect();
        message::send(&self.socket, &FromWorker::Holds { job: self.job.get(), slots }, &[])?;
        self.pins.borrow_mut().push_back(pins);
        Ok(())
    }

    fn now_held(&self, count: u32) {
        self.held.set(self.held.get() + count as usize);
    }

    /// Lets go of what the parent holds by now.
    fn forget_held(&self) {
        while let Ok(Some((ToWorker::Held(count), _))) = message::try_receive(&self.socket) {
            self.now_held(count);
        }
        let held = self.held.take().min(self.pins.borrow().len());
        let gone: Vec<_> = self.pins.borrow_mut().drain(..held).collect();
        drop(gone);
    }
}
