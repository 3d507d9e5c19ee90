//! The order in which two sides prove to each other that they know the key. Sockets are not known here: messages go in, and
//! messages come out.
//!
//! The side that listens asks first and then answers, the other the other way round.

use super::challenge::{self, CHALLENGE, FAILURE, Verdict, WELCOME};
use crate::error::{Error, ErrorKind};

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Listener,
    Client,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Challenge,
    Answer,
    Welcome,
}

/// One side of a handshake.
pub(crate) struct Handshake {
    side: Side,
    key: Vec<u8>,
    state: State,
    /// What follows `#CHALLENGE#` in ours.
    ours: Vec<u8>,
}

/// What came of a message.
#[derive(Debug)]
pub(crate) enum Step {
    /// These are to be sent, and there is more to come.
    Send(Vec<Vec<u8>>),
    /// These are to be sent, and then both have proved it.
    Done(Vec<Vec<u8>>),
    /// These are to be sent, and then the connection ends: the other side does not know the key.
    WrongKey(Vec<Vec<u8>>),
    /// The other side does not speak like this.
    Junk,
}

impl Handshake {
    /// `random` is what nobody could foresee.
    pub(crate) fn new(side: Side, key: &[u8], random: [u8; 40]) -> Self {
        let state = match side {
            Side::Listener => State::Answer,
            Side::Client => State::Challenge,
        };
        Self { side, key: key.to_vec(), state, ours: challenge::make(random) }
    }

    /// What is sent before anything is received.
    pub(crate) fn opening(&self) -> Option<Vec<u8>> {
        (self.side == Side::Listener).then(|| self.question())
    }

    fn question(&self) -> Vec<u8> {
        [CHALLENGE, &self.ours].concat()
    }

    /// Takes a message of the other side.
    pub(crate) fn receive(&mut self, message: &[u8]) -> Step {
        match self.state {
            State::Challenge => self.answer(message),
            State::Answer => self.judge(message),
            State::Welcome => self.welcomed(message),
        }
    }

    fn answer(&mut self, message: &[u8]) -> Step {
        let answer = message.strip_prefix(CHALLENGE).and_then(|theirs| {
            // A peer that sends our own challenge back would have us answer it ourselves.
            if theirs == self.ours { None } else { challenge::answer(&self.key, theirs) }
        });
        let Some(answer) = answer else { return Step::Junk };
        self.state = State::Welcome;
        Step::Send(vec![answer])
    }

    fn judge(&mut self, message: &[u8]) -> Step {
        match (challenge::check(&self.key, &self.ours, message), self.side) {
            (Verdict::Junk, _) => Step::Junk,
            (Verdict::Wrong, _) => Step::WrongKey(vec![FAILURE.to_vec()]),
            (Verdict::Right, Side::Client) => Step::Done(vec![WELCOME.to_vec()]),
            (Verdict::Right, Side::Listener) => {
                self.state = State::Challenge;
                Step::Send(vec![WELCOME.to_vec()])
            }
        }
    }

    fn welcomed(&mut self, message: &[u8]) -> Step {
        match (message, self.side) {
            (WELCOME, Side::Listener) => Step::Done(Vec::new()),
            (WELCOME, Side::Client) => {
                self.state = State::Answer;
                Step::Send(vec![self.question()])
            }
            (FAILURE, _) => Step::WrongKey(Vec::new()),
            _ => Step::Junk,
        }
    }
}

/// What is said of a wrong key.
pub(crate) fn wrong_key() -> Error {
    Error::new(ErrorKind::Authentication, "the two sides do not have the same key")
}

/// What is said of a peer that does not speak like this.
pub(crate) fn junk() -> Error {
    Error::new(
        ErrorKind::Authentication,
        "the other side does not speak the protocol of `multiprocessing.connection`",
    )
}

impl std::fmt::Debug for Handshake {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("side", &self.side)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Handshake, Side, Step};

    /// Lets the two sides talk until both have come to an end; gives their ends.
    fn talk(mut listener: Handshake, mut client: Handshake) -> (&'static str, &'static str) {
        let (mut to_client, mut to_listener) =
            (vec![listener.opening().expect("the listener begins")], Vec::new());
        let (mut ends, mut rounds) = (("", ""), 0);
        while (!to_client.is_empty() || !to_listener.is_empty()) && rounds < 10 {
            rounds += 1;
            for message in std::mem::take(&mut to_client) {
                let (said, end) = outcome(client.receive(&message));
                to_listener.extend(said);
                ends.1 = end;
            }
            for message in std::mem::take(&mut to_listener) {
                let (said, end) = outcome(listener.receive(&message));
                to_client.extend(said);
                ends.0 = end;
            }
        }
        ends
    }

    fn outcome(step: Step) -> (Vec<Vec<u8>>, &'static str) {
        match step {
            Step::Send(said) => (said, ""),
            Step::Done(said) => (said, "done"),
            Step::WrongKey(said) => (said, "wrong"),
            Step::Junk => (Vec::new(), "junk"),
        }
    }

    #[test]
    fn both_sides_prove_it() {
        let ends = talk(
            Handshake::new(Side::Listener, b"k", [1; 40]),
            Handshake::new(Side::Client, b"k", [2; 40]),
        );
        assert_eq!(ends, ("done", "done"));
    }

    // test_deliver_challenge_auth_failure, test_answer_challenge_auth_failure
    #[test]
    fn a_wrong_key_is_told_to_both() {
        let ends = talk(
            Handshake::new(Side::Listener, b"k", [1; 40]),
            Handshake::new(Side::Client, b"x", [2; 40]),
        );
        assert_eq!(ends, ("wrong", "wrong"));
    }

    #[test]
    fn a_mirror_proves_nothing() {
        let mut listener = Handshake::new(Side::Listener, b"k", [1; 40]);
        let question = listener.opening().expect("the listener begins");
        assert!(matches!(listener.receive(&question), Step::Junk));
        let mut client = Handshake::new(Side::Client, b"k", [1; 40]);
        assert!(matches!(client.receive(&question), Step::Junk));
    }
}
