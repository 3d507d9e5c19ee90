//! What a worker is to be told by its socket and has had no room for yet.
//!
//! Nobody waits for that room: a worker reads nothing while an item lasts, and the desk is needed meanwhile. Some 270 short messages
//! fit into a socket; what has not gone is tried again by the supervisor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Error, ErrorKind};
use crate::message::{Packed, ToWorker};
use crate::sys::socket::Socket;

/// What a worker waits for.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    /// Results of which it is to hear that what they name is held.
    held: u32,
    /// To its question, with what goes along. It asks one at a time.
    answer: Option<(ToWorker, Option<OwnedFd>)>,
}

impl Unsent {
    pub(super) fn is_empty(&self) -> bool {
        self.held == 0 && self.answer.is_none()
    }

    pub(super) fn held(&mut self) {
        self.held = self.held.saturating_add(1);
    }

    /// # Errors
    /// Kind `Full` when another question of that worker is open.
    pub(super) fn answer(&mut self, found: Result<OwnedFd, Error>) -> Result<(), Error> {
        if self.answer.is_some() {
            return Err(Error::new(ErrorKind::Full, "it asks again before it was answered"));
        }
        self.answer = Some(match found {
            Ok(descriptor) => (ToWorker::Here, Some(descriptor)),
            Err(error) => (ToWorker::Missing(error), None),
        });
        Ok(())
    }

    /// Sends what there is room for.
    ///
    /// # Errors
    /// As for [`Packed::try_send`].
    pub(super) fn send(&mut self, socket: &Socket) -> Result<(), Error> {
        if self.held > 0 && try_send(socket, &ToWorker::Held(self.held), &[])? {
            self.held = 0;
        }
        let Some((answer, along)) = &self.answer else { return Ok(()) };
        let along: Vec<_> = along.iter().map(AsFd::as_fd).collect();
        match try_send(socket, answer, &along) {
            Ok(true) => self.answer = None,
            Ok(false) => {}
            // The descriptor cannot be passed on: that is an answer too.
            Err(error) if !along.is_empty() && error.kind() != ErrorKind::Disconnected => {
                self.answer = Some((ToWorker::Missing(error), None));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn try_send(socket: &Socket, message: &ToWorker, along: &[BorrowedFd<'_>]) -> Result<bool, Error> {
    Packed::new(message)?.try_send(socket, along)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message;
    use crate::sys::socket;

    fn read_all(socket: &Socket) -> (u32, Vec<OwnedFd>) {
        let (mut held, mut descriptors) = (0, Vec::new());
        while let Some((told, along)) = message::try_receive(socket).expect("a message") {
            match told {
                ToWorker::Held(count) => held += count,
                ToWorker::Here => descriptors.extend(along),
                ToWorker::Missing(error) => panic!("{error}"),
            }
        }
        (held, descriptors)
    }

    #[test]
    fn what_finds_no_room_goes_later_and_nobody_waits() {
        let (ours, theirs) = socket::pair().expect("sockets");
        let mut unsent = Unsent::default();
        let mut told = 0;
        while unsent.is_empty() {
            unsent.held();
            unsent.send(&ours).expect("it goes, or stays");
            told += 1;
        }
        let file = std::fs::File::open("/dev/null").expect("a file");
        unsent.answer(Ok(file.try_clone().expect("a copy").into())).expect("the first question");
        unsent.answer(Ok(file.into())).expect_err("another question");
        (0..1000).for_each(|_| unsent.held());
        unsent.send(&ours).expect("they stay");
        assert!(!unsent.is_empty());
        let (before, none) = read_all(&theirs);
        unsent.send(&ours).expect("there is room");
        assert!(unsent.is_empty());
        let (after, one) = read_all(&theirs);
        assert_eq!((before + after, none.len(), one.len()), (told + 1000, 0, 1));
    }

    #[test]
    fn a_worker_that_is_gone_is_told_nothing() {
        let (ours, theirs) = socket::pair().expect("sockets");
        drop(theirs);
        let mut unsent = Unsent::default();
        unsent.held();
        assert_eq!(unsent.send(&ours).expect_err("gone").kind(), ErrorKind::Disconnected);
    }
}
