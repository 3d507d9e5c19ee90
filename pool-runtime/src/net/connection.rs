//! One end of a connection that carries messages of bytes.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::frame::{self, Frame};
use super::turn::Turn;
use crate::error::{Error, ErrorKind};
use crate::sys::stream::Stream;

/// One end of a connection between two processes that have proved to each other that they know the key. Each message arrives
/// whole, or not at all.
///
/// It is `Sync`: one thread may send while another receives.
///
/// ```
/// use pool_runtime::{Client, Listener};
/// use std::time::Duration;
///
/// let listener = Listener::bind("127.0.0.1:0", b"secret")?;
/// let address = listener.address();
/// let client = std::thread::spawn(move || {
///     let client = Client::connect(address, b"secret")?;
///     client.send_bytes(b"ping")?;
///     client.recv_bytes()
/// });
/// let server = listener.accept()?;
/// assert!(server.poll(Duration::from_secs(5))?);
/// assert_eq!(server.recv_bytes()?, b"ping");
/// server.send_bytes(b"pong")?;
/// assert_eq!(client.join().unwrap()?, b"pong");
/// # Ok::<(), pool_runtime::Error>(())
/// ```
#[derive(Debug)]
pub struct ByteConnection {
    stream: Stream,
    sending: Turn<Sending>,
    /// What has come of a message.
    receiving: Turn<Frame>,
    /// What ended receiving for ever: after a message of a bad length nobody knows where the next one begins.
    broken: OnceLock<Error>,
}

/// Whether what was sent last has gone out whole.
#[derive(Debug, PartialEq, Eq)]
enum Sending {
    Whole,
    Broken,
}

impl ByteConnection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self::resume(stream, Frame::default())
    }

    /// With what has come of a message already.
    pub(crate) fn resume(stream: Stream, frame: Frame) -> Self {
        Self {
            stream,
            sending: Turn::new(Sending::Whole),
            receiving: Turn::new(frame),
            broken: OnceLock::new(),
        }
    }

    /// Sends one message, which may be empty. It returns when the system has taken all of it.
    ///
    /// # Errors
    /// Kind `Disconnected` when the other end is closed, `Io` for anything else.
    pub fn send_bytes(&self, message: impl AsRef<[u8]>) -> Result<(), Error> {
        self.send_until(message.as_ref(), None)
    }

    /// As [`send_bytes`](Self::send_bytes), with an end: after it the connection is broken for sending.
    pub(crate) fn send_until(&self, message: &[u8], until: Option<Instant>) -> Result<(), Error> {
        let mut sending = self.sending.take(until).ok_or_else(takes_nothing)?;
        if *sending == Sending::Broken {
            return Err(Error::new(ErrorKind::Disconnected, "an earlier message went out in part"));
        }
        *sending = Sending::Broken;
        let mut bytes = frame::header(message.len());
        if message.len() <= frame::TOGETHER {
            bytes.extend_from_slice(message);
            self.write_all(&bytes, until)?;
        } else {
            self.write_all(&bytes, until)?;
            self.write_all(message, until)?;
        }
        *sending = Sending::Whole;
        Ok(())
    }

    fn write_all(&self, mut bytes: &[u8], until: Option<Instant>) -> Result<(), Error> {
        while !bytes.is_empty() {
            match self.stream.write(bytes)? {
                Some(len) => bytes = &bytes[len..],
                None if self.stream.wait_writable(until) => {}
                None => return Err(takes_nothing()),
            }
        }
        Ok(())
    }

    /// Waits for one message. Memory is taken as its bytes come, not as its length claims.
    ///
    /// # Errors
    /// Kind `Disconnected` when the other end is closed, also in the middle of a message; `Decode` for a length that is none;
    /// `Io` for anything else.
    pub fn recv_bytes(&self) -> Result<Vec<u8>, Error> {
        self.receive(usize::MAX, None)
    }

    /// Waits for one message of at most `max_len` bytes. A longer one ends this direction: no more can be received.
    ///
    /// # Errors
    /// As for [`recv_bytes`](Self::recv_bytes), and kind `Decode` for a longer message.
    pub fn recv_bytes_max(&self, max_len: usize) -> Result<Vec<u8>, Error> {
        self.receive(max_len, None)
    }

    /// Waits for one message, at most for `timeout`. What has come of a message by then is kept for the next call.
    ///
    /// # Errors
    /// As for [`recv_bytes`](Self::recv_bytes), and kind `TimedOut`.
    pub fn recv_bytes_timeout(&self, timeout: Duration) -> Result<Vec<u8>, Error> {
        self.receive(usize::MAX, Instant::now().checked_add(timeout))
    }

    /// Waits for one message and copies it to the beginning of `room`; gives its length.
    ///
    /// # Errors
    /// As for [`recv_bytes`](Self::recv_bytes), and kind `InvalidInput` when `room` is too small: the message is lost then.
    pub fn recv_bytes_into(&self, room: &mut [u8]) -> Result<usize, Error> {
        let message = self.recv_bytes()?;
        let too_small = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("a message of {} bytes into {}", message.len(), room.len()),
            )
        };
        if message.len() > room.len() {
            return Err(too_small());
        }
        room[..message.len()].copy_from_slice(&message);
        Ok(message.len())
    }

    pub(crate) fn receive(&self, max_len: usize, until: Option<Instant>) -> Result<Vec<u8>, Error> {
        let nothing = || Error::new(ErrorKind::TimedOut, "no message came");
        let mut frame = self.receiving.take(until).ok_or_else(nothing)?;
        if let Some(error) = self.broken.get() {
            return Err(error.clone());
        }
        loop {
            match frame.advance(max_len, |room| self.stream.read(room)) {
                Ok(Some(message)) => return Ok(message),
                Ok(None) if self.stream.wait_readable(until) => {}
                Ok(None) => return Err(nothing()),
                Err(error) => return Err(self.broken.get_or_init(|| error).clone()),
            }
        }
    }

    /// Waits until there is something to receive, or the other end is closed (which a receive then says), at most for
    /// `timeout`; says whether. It takes nothing away; another thread that is receiving may.
    ///
    /// # Errors
    /// What an earlier receive ended this direction with.
    pub fn poll(&self, timeout: Duration) -> Result<bool, Error> {
        match self.broken.get() {
            Some(error) if error.kind() != ErrorKind::Disconnected => Err(error.clone()),
            Some(_) => Ok(true),
            None => Ok(self.stream.wait_readable(Instant::now().checked_add(timeout))),
        }
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }
}

#[cold]
fn takes_nothing() -> Error {
    Error::new(ErrorKind::TimedOut, "the other end takes nothing")
}

impl AsFd for ByteConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
