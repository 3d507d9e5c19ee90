//! One connection for calls, one at a time: through shared memory on the same machine, else over its socket.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::wire::LONGEST;
use crate::error::{Error, ErrorKind};
use crate::net::ByteConnection;
use crate::shm::mailbox::Mailbox;

/// How often somebody who waits for a message over a socket looks whether it is still wanted.
const LOOK: Duration = Duration::from_secs(2);

/// How long the other side may take to read a message of `len` bytes.
fn patience(len: usize) -> Duration {
    // A minute, and a second for each megabyte.
    Duration::from_secs(60 + (len >> 20) as u64)
}

/// Either end of it.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Ends when the other side does.
    connection: ByteConnection,
    mailbox: Option<Mailbox>,
}

impl Channel {
    /// Messages go over the socket.
    pub(crate) fn over_socket(connection: ByteConnection) -> Self {
        Self { connection, mailbox: None }
    }

    /// Makes the shared memory, and gives it to the client.
    ///
    /// # Errors
    /// Kind `Io` when descriptors or memory have run out, `Disconnected` when the client is gone.
    pub(crate) fn offer_memory(connection: ByteConnection) -> Result<Self, Error> {
        let (file, mailbox) = Mailbox::create()?;
        connection.stream().send_descriptor(file.as_fd())?;
        Ok(Self { connection, mailbox: Some(mailbox) })
    }

    /// Takes the shared memory that the server gives.
    ///
    /// # Errors
    /// Kind `Disconnected` when the server hangs up, `TimedOut` when it is silent, `Io` for anything else.
    pub(crate) fn take_memory(connection: ByteConnection, until: Instant) -> Result<Self, Error> {
        let file = connection.stream().receive_descriptor(until)?;
        let mailbox = Some(Mailbox::open(file.as_fd())?);
        Ok(Self { connection, mailbox })
    }

    /// Sends one message.
    ///
    /// # Errors
    /// Kind `Disconnected` when the other side is gone, `InvalidInput` when it is longer than anything that is read.
    pub(crate) fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        if message.len() > LONGEST {
            let detail = format!("{} bytes in one call, more than {LONGEST}", message.len());
            return Err(Error::new(ErrorKind::InvalidInput, detail));
        }
        let connection = &self.connection;
        match &mut self.mailbox {
            Some(mailbox) => mailbox.send(message, &|| !connection.stream().is_gone()),
            None => connection.send_until(message, Some(Instant::now() + patience(message.len()))),
        }
    }

    /// Waits for one message, as long as `wanted` and the other side is there.
    ///
    /// # Errors
    /// Kind `Disconnected` when it is gone, `Decode` for a length that cannot be.
    pub(crate) fn receive(
        &mut self,
        message: &mut Vec<u8>,
        wanted: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let connection = &self.connection;
        match &mut self.mailbox {
            Some(mailbox) => {
                mailbox.receive(message, LONGEST, &|| wanted() && !connection.stream().is_gone())
            }
            None => loop {
                match connection.receive(LONGEST, Some(Instant::now() + LOOK)) {
                    Err(error) if error.kind() == ErrorKind::TimedOut && wanted() => {}
                    received => return received.map(|received| *message = received),
                }
            },
        }
    }
}
