//! Lets in who has proved to know the key. Any number of others may stand there, silent or talking nonsense: nobody waits for
//! them, each has a deadline, and when there are too many the one that has stood there longest is sent away.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::challenge::LONGEST;
use super::connection::ByteConnection;
use super::frame::{self, Frame};
use super::handshake::{self, Handshake, Side, Step};
use crate::error::Error;
use crate::sys::random;
use crate::sys::stream::{self, Came, Listening, Stream};

/// How long a handshake may take. One on the same machine takes less than a millisecond.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many may stand at the door at once. Each holds a descriptor and less than a kilobyte.
const AT_THE_DOOR: usize = 128;
/// How many connections are taken from one socket before the others at the door are looked at again.
const AT_ONCE: usize = 16;
/// How long the door stays shut when descriptors have run out.
const PAUSE: Duration = Duration::from_millis(10);

/// The listening sockets of one server, and who stands before them.
pub(crate) struct Door {
    sockets: Vec<(Listening, Option<Vec<u8>>)>,
    waiting: VecDeque<Guest>,
    /// Taken, and to be told of, the first first.
    arrived: VecDeque<Arrival>,
    shut_until: Option<Instant>,
    /// When somebody stood here last. Nobody is late for what would have been answered since.
    left: Instant,
}

impl std::fmt::Debug for Door {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

/// Who has come through the door.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Somebody who knows the key, and through which of the sockets.
    Friend(ByteConnection, usize),
    /// Somebody who has another key, and was sent away.
    WrongKey(Error),
    /// Descriptors have run out.
    NoRoom(Error),
}

#[derive(Debug)]
struct Guest {
    stream: Stream,
    frame: Frame,
    handshake: Handshake,
    until: Instant,
    socket: usize,
}

impl Door {
    /// Each socket with its key; `None` lets everybody in.
    pub(crate) fn new(sockets: Vec<(Listening, Option<Vec<u8>>)>) -> Self {
        Self {
            sockets,
            waiting: VecDeque::new(),
            arrived: VecDeque::new(),
            shut_until: None,
            left: Instant::now(),
        }
    }

    /// Waits for somebody, at most until `until`, or until `bell` has something to read; `None` then.
    pub(crate) fn next(
        &mut self,
        until: Option<Instant>,
        bell: Option<BorrowedFd<'_>>,
    ) -> Option<Arrival> {
        let away = self.left.elapsed();
        self.waiting.iter_mut().for_each(|guest| guest.until += away);
        let arrival = self.stand(until, bell);
        self.left = Instant::now();
        arrival
    }

    fn stand(&mut self, until: Option<Instant>, bell: Option<BorrowedFd<'_>>) -> Option<Arrival> {
        loop {
            if let Some(arrival) = self.arrived.pop_front() {
                return Some(arrival);
            }
            let ready = self.wait(until, bell);
            let n_sockets = self.sockets.len();
            self.attend(&ready[n_sockets..n_sockets + self.waiting.len()]);
            for index in (0..n_sockets).filter(|&index| ready[index]) {
                self.take(index);
            }
            let rung = ready.len() > n_sockets && bell.is_some() && ready.last() == Some(&true);
            let late = until.is_some_and(|until| Instant::now() >= until);
            if self.arrived.is_empty() && (rung || late) {
                return None;
            }
        }
    }

    /// What is ready: the sockets, then who stands there, then the bell.
    fn wait(&mut self, until: Option<Instant>, bell: Option<BorrowedFd<'_>>) -> Vec<bool> {
        let now = Instant::now();
        self.shut_until = self.shut_until.filter(|&shut| shut > now);
        let next = self.waiting.front().map(|guest| guest.until);
        let limit = [until, next, self.shut_until].into_iter().flatten().min();
        let mut all: Vec<_> = self.sockets.iter().map(|(socket, _)| socket.as_fd()).collect();
        all.extend(self.waiting.iter().map(|guest| guest.stream.as_fd()));
        all.extend(bell);
        let shut = self.shut_until.is_some();
        let n_sockets = self.sockets.len();
        // With the door shut, the sockets would be ready all the time.
        let watched = if shut { &all[n_sockets..] } else { &all[..] };
        let ready = stream::ready(watched, limit.map(|limit| limit.saturating_duration_since(now)));
        if shut { [vec![false; n_sockets], ready].concat() } else { ready }
    }

    /// Goes on with everybody who has said something, and sends away who is too late.
    fn attend(&mut self, ready: &[bool]) {
        let now = Instant::now();
        let waiting = std::mem::take(&mut self.waiting);
        for (mut guest, &ready) in waiting.into_iter().zip(ready) {
            if ready {
                match guest.talk() {
                    Talk::Goes(on) => self.admit(guest, on),
                    Talk::Stays if guest.until > now => self.waiting.push_back(guest),
                    Talk::Stays | Talk::Leaves => {}
                }
            } else if guest.until > now {
                self.waiting.push_back(guest);
            }
        }
    }

    fn admit(&mut self, guest: Guest, how: Proof) {
        self.arrived.push_back(match how {
            Proof::Right => {
                Arrival::Friend(ByteConnection::resume(guest.stream, guest.frame), guest.socket)
            }
            Proof::Wrong => Arrival::WrongKey(handshake::wrong_key()),
        });
    }

    fn take(&mut self, index: usize) {
        for _ in 0..AT_ONCE {
            match self.sockets[index].0.accept() {
                Came::One(stream) => self.greet(stream, index),
                Came::Nobody => return,
                Came::NoRoom(error) => {
                    self.shut_until = Some(Instant::now() + PAUSE);
                    // Whoever has stood there longest makes room; if nobody stands there, the caller must know.
                    if self.waiting.pop_front().is_none() {
                        self.arrived.push_back(Arrival::NoRoom(error));
                    }
                    return;
                }
            }
        }
    }

    fn greet(&mut self, stream: Stream, socket: usize) {
        let Some(key) = &self.sockets[socket].1 else {
            self.arrived.push_back(Arrival::Friend(ByteConnection::new(stream), socket));
            return;
        };
        let Ok(random) = random::bytes() else { return };
        let handshake = Handshake::new(Side::Listener, key, random);
        let guest = Guest {
            stream,
            frame: Frame::default(),
            handshake,
            until: Instant::now() + HANDSHAKE,
            socket,
        };
        if guest.say(guest.handshake.opening().as_slice()) {
            self.waiting.push_back(guest);
        }
        if self.waiting.len() > AT_THE_DOOR {
            self.waiting.pop_front();
        }
    }
}

/// Whether somebody may come in.
enum Proof {
    Right,
    Wrong,
}

enum Talk {
    Stays,
    Goes(Proof),
    Leaves,
}

impl Guest {
    /// Takes what has come, and answers.
    fn talk(&mut self) -> Talk {
        loop {
            let stream = &self.stream;
            let message = match self.frame.advance(LONGEST, |room| stream.read(room)) {
                Ok(Some(message)) => message,
                Ok(None) => return Talk::Stays,
                Err(_) => return Talk::Leaves,
            };
            match self.handshake.receive(&message) {
                Step::Send(said) if self.say(&said) => {}
                Step::Done(said) if self.say(&said) => return Talk::Goes(Proof::Right),
                Step::WrongKey(said) => {
                    self.say(&said);
                    return Talk::Goes(Proof::Wrong);
                }
                Step::Send(_) | Step::Done(_) | Step::Junk => return Talk::Leaves,
            }
        }
    }

    /// Sends at once or not at all: a buffer that has no room for so little belongs to somebody who does not read.
    fn say(&self, messages: &[Vec<u8>]) -> bool {
        messages.iter().all(|message| {
            let bytes = [frame::header(message.len()), message.clone()].concat();
            self.stream.write(&bytes).is_ok_and(|len| len == Some(bytes.len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Instant;

    use super::{Door, HANDSHAKE};
    use crate::sys::stream::{Listening, Place};

    #[test]
    fn nobody_is_late_for_what_came_while_nobody_attended() {
        let place = Place::Tcp((Ipv4Addr::LOCALHOST, 0).into());
        let socket = Listening::bind(&place, 1).expect("a port");
        let Some(Place::Tcp(address)) = socket.place() else { unreachable!("it is bound") };
        let mut door = Door::new(vec![(socket, Some(b"key".to_vec()))]);
        let _guest = TcpStream::connect(address).expect("somebody listens");
        let attend = |door: &mut Door| assert!(door.next(Some(Instant::now()), None).is_none());
        while door.waiting.is_empty() {
            attend(&mut door);
        }
        // Nobody stands here for longer than a handshake may take.
        door.waiting[0].until -= HANDSHAKE;
        door.left -= HANDSHAKE;
        attend(&mut door);
        assert_eq!(door.waiting.len(), 1);
        // Somebody has stood here all the time.
        door.waiting[0].until -= HANDSHAKE;
        attend(&mut door);
        assert!(door.waiting.is_empty());
    }
}
