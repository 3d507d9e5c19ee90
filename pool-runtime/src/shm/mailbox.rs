//! A pair of places, one for each direction, through which two processes pass messages: one asks, the other answers.
//!
//! Whoever waits looks for a while before it sleeps, so that a conversation in full swing costs no wake-up. A message longer
//! than a place goes in pieces. Neither side believes the other: each counts for itself, and holds every length against
//! the place. It does not know what the bytes mean.
#![expect(unsafe_code, reason = "copies to and from shared memory")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, fence};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::sys::futex;
use crate::sys::memory::{self, Access, Map};

/// One direction. The counts go up by one for each piece, and wrap.
#[repr(C, align(64))]
struct Way {
    /// Pieces that were put in. Written by the sender alone.
    sent: AtomicU32,
    /// Of the piece that was put in last: its length, and [`MORE`].
    len: AtomicU32,
    /// Whether the receiver sleeps on `sent`.
    receiver_sleeps: AtomicU32,
    _gap: [u32; 13],
    /// Pieces that were taken out. Written by the receiver alone.
    taken: AtomicU32,
    /// Whether the sender sleeps on `taken`.
    sender_sleeps: AtomicU32,
}

/// In `len`: this piece is not the last of its message.
const MORE: u32 = 1 << 31;
/// Bytes in a piece. Larger pieces hardly save anything: copying 32 KiB takes as long as handing it over.
const PIECE: usize = 32 << 10;
const HEAD: usize = 4096;
const LEN: usize = HEAD + 2 * PIECE;
const _: () = assert!(2 * size_of::<Way>() <= HEAD);

/// How long a first sleep lasts before the other side's life is looked after; each in vain doubles the next.
const FIRST_SLEEP: Duration = Duration::from_millis(20);

impl End {
    /// The longest sleep. Who asks waits for something, and should soon know that it will not come; who answers may have
    /// nothing to do for days, and is one of many.
    fn longest_sleep(self) -> Duration {
        match self {
            Self::Asks => Duration::from_millis(100),
            Self::Answers => Duration::from_secs(2),
        }
    }
}

/// Which of the two a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Asks,
    Answers,
}

/// One end of the pair.
#[derive(Debug)]
pub(crate) struct Mailbox {
    map: Map,
    end: End,
    /// Pieces sent and taken, as this side knows them.
    sent: u32,
    taken: u32,
    patience: Patience,
}

impl Mailbox {
    /// Makes a pair, and the end that answers; the other end is made of the file.
    ///
    /// # Errors
    /// Kind `Io` when descriptors or memory have run out.
    pub(crate) fn create() -> Result<(OwnedFd, Self), Error> {
        let file = memory::create("pool-mailbox", LEN)?;
        memory::allocate(file.as_fd(), 0, LEN)?;
        let map = Map::new(file.as_fd(), LEN, Access::Write)?;
        Ok((file, Self::over(map, End::Answers)))
    }

    /// The end that asks.
    ///
    /// # Errors
    /// Kind `Io` when it cannot be mapped.
    pub(crate) fn open(file: BorrowedFd<'_>) -> Result<Self, Error> {
        Ok(Self::over(Map::new(file, LEN, Access::Write)?, End::Asks))
    }

    fn over(map: Map, end: End) -> Self {
        Self { map, end, sent: 0, taken: 0, patience: Patience::new(end) }
    }

    /// The direction from the end that asks, then the other.
    fn way(&self, from: End) -> &Way {
        let at = if from == End::Asks { 0 } else { size_of::<Way>() };
        // SAFETY: both ways lie within the head of the mapping, aligned as the mapping is, and all their fields are atomics.
        unsafe { self.map.base().add(at).cast().as_ref() }
    }

    fn other(&self) -> End {
        if self.end == End::Asks { End::Answers } else { End::Asks }
    }

    fn place(&self, from: End) -> *mut u8 {
        let at = if from == End::Asks { HEAD } else { HEAD + PIECE };
        // SAFETY: both places lie within the mapping, which is `LEN` bytes long.
        unsafe { self.map.base().add(at).as_ptr() }
    }

    /// Sends one message, as soon as the other side has taken the one before.
    ///
    /// # Errors
    /// Kind `Disconnected` when `alive` says no.
    pub(crate) fn send(&mut self, message: &[u8], alive: &dyn Fn() -> bool) -> Result<(), Error> {
        let mut rest = message;
        loop {
            let (piece, after) = rest.split_at(rest.len().min(PIECE));
            rest = after;
            self.await_room(alive)?;
            let more = if rest.is_empty() { 0 } else { MORE };
            // SAFETY: a piece is at most `PIECE` bytes, and the other side does not touch the place until `sent` tells it to.
            unsafe {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), self.place(self.end), piece.len())
            };
            self.sent = self.sent.wrapping_add(1);
            let way = self.way(self.end);
            way.len.store(piece.len() as u32 | more, Relaxed);
            way.sent.store(self.sent, Release);
            wake(&way.sent, &way.receiver_sleeps);
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn await_room(&mut self, alive: &dyn Fn() -> bool) -> Result<(), Error> {
        let mut patience = self.patience;
        let way = self.way(self.end);
        let done = patience.wait(&way.taken, &way.sender_sleeps, |taken| taken == self.sent, alive);
        self.patience = patience;
        done
    }

    /// Waits for a message, and puts it in place of what `message` holds.
    ///
    /// # Errors
    /// Kind `Disconnected` when `alive` says no, `Decode` for a message longer than `limit`: the pair is of no use then.
    pub(crate) fn receive(
        &mut self,
        message: &mut Vec<u8>,
        limit: usize,
        alive: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        message.clear();
        loop {
            let mut patience = self.patience;
            let way = self.way(self.other());
            let done =
                patience.wait(&way.sent, &way.receiver_sleeps, |sent| sent != self.taken, alive);
            self.patience = patience;
            done?;
            let word = self.way(self.other()).len.load(Relaxed);
            let len = (word & !MORE) as usize;
            if len > PIECE || len > limit - message.len() {
                return Err(Error::new(
                    ErrorKind::Decode,
                    format!("a message longer than {limit} bytes"),
                ));
            }
            let have = message.len();
            message.resize(have + len, 0);
            // SAFETY: the length was held against the place, and `message` has just been given as much room.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    self.place(self.other()),
                    message[have..].as_mut_ptr(),
                    len,
                )
            };
            self.taken = self.taken.wrapping_add(1);
            let way = self.way(self.other());
            way.taken.store(self.taken, Release);
            wake(&way.taken, &way.sender_sleeps);
            if word & MORE == 0 {
                return Ok(());
            }
        }
    }

    /// Whether the other side has taken everything.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.way(self.end).taken.load(Acquire) == self.sent
    }
}

/// Wakes whoever sleeps on `word`, which has just been changed.
#[inline]
fn wake(word: &AtomicU32, sleeps: &AtomicU32) {
    // With the fence in `wait`: either we see that it sleeps, or it sees what we changed.
    fence(SeqCst);
    if sleeps.load(Relaxed) != 0 {
        futex::wake(word, u32::MAX);
    }
}

/// How long to look before sleeping. To wake a sleeper takes about 25 µs each way; to look for as long costs at most twice
/// what the best choice would have. A spell in vain halves the next, a success doubles it.
#[derive(Clone, Copy, Debug)]
struct Patience {
    now: Duration,
    longest_sleep: Duration,
}

const LONGEST: Duration = Duration::from_micros(50);
const SHORTEST: Duration = Duration::from_micros(2);
/// After so many looks the CPU is offered to others: the other side may be one of them.
const LOOKS: u32 = 256;

impl Patience {
    fn new(end: End) -> Self {
        Self { now: LONGEST, longest_sleep: end.longest_sleep() }
    }

    /// Waits until `ready`, as long as `alive`.
    fn wait(
        &mut self,
        word: &AtomicU32,
        sleeps: &AtomicU32,
        ready: impl Fn(u32) -> bool,
        alive: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        if self.look(word, &ready) {
            return Ok(());
        }
        let mut sleep = FIRST_SLEEP;
        loop {
            sleeps.store(1, Relaxed);
            fence(SeqCst);
            let seen = word.load(Acquire);
            if ready(seen) {
                sleeps.store(0, Relaxed);
                return Ok(());
            }
            if !alive() {
                return Err(Error::new(ErrorKind::Disconnected, "the other side is gone"));
            }
            futex::wait(word, seen, Some(sleep));
            sleep = (sleep * 2).min(self.longest_sleep);
        }
    }

    #[inline]
    fn look(&mut self, word: &AtomicU32, ready: &impl Fn(u32) -> bool) -> bool {
        if ready(word.load(Acquire)) {
            return true;
        }
        let start = Instant::now();
        loop {
            for _ in 0..LOOKS {
                if ready(word.load(Acquire)) {
                    self.now = (self.now * 2).min(LONGEST);
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= self.now {
                self.now = (self.now / 2).max(SHORTEST);
                return false;
            }
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::thread;

    use super::{LEN, Mailbox, PIECE};
    use crate::error::ErrorKind;

    #[test]
    fn messages_of_every_length_come_back() {
        let (file, mut server) = Mailbox::create().expect("memory");
        let mut client = Mailbox::open(file.as_fd()).expect("memory");
        let echo = thread::spawn(move || {
            let mut message = Vec::new();
            while server.receive(&mut message, usize::MAX, &|| true).is_ok() && !message.is_empty()
            {
                server.send(&message, &|| true).expect("alive");
            }
        });
        let mut back = Vec::new();
        for len in [1, 100, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 10 * LEN] {
            let message: Vec<u8> = (0..len).map(|at| at as u8).collect();
            client.send(&message, &|| true).expect("alive");
            client.receive(&mut back, usize::MAX, &|| true).expect("alive");
            assert!(back == message, "{len}");
        }
        client.send(&[], &|| true).expect("alive");
        echo.join().expect("no panic");
        assert!(client.is_idle());
    }

    #[test]
    fn forged_lengths_and_silence_are_errors() {
        let (file, mut server) = Mailbox::create().expect("memory");
        let mut client = Mailbox::open(file.as_fd()).expect("memory");
        let mut message = Vec::new();
        assert_eq!(
            server.receive(&mut message, 10, &|| false).expect_err("silence").kind(),
            ErrorKind::Disconnected
        );
        client.send(&[0; 11], &|| true).expect("there is room");
        assert_eq!(
            server.receive(&mut message, 10, &|| true).expect_err("too long").kind(),
            ErrorKind::Decode
        );
        client.way(client.end).len.store(u32::MAX, super::Relaxed);
        assert_eq!(
            server.receive(&mut message, usize::MAX, &|| true).expect_err("forged").kind(),
            ErrorKind::Decode
        );
    }
}
