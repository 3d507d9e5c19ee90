//! Connecting to a listener.

use std::time::{Duration, Instant};

use super::address::{Address, ToAddress};
use super::challenge::LONGEST;
use super::connection::ByteConnection;
use super::door::HANDSHAKE;
use super::handshake::{self, Handshake, Side, Step};
use crate::error::{Error, ErrorKind};
use crate::sys::random;
use crate::sys::stream::Stream;

/// How long connecting may take, handshake included: as long as CPython's own limit for it.
const CONNECT: Duration = Duration::from_secs(20);

/// Connects to a [`Listener`](crate::Listener), or to one of Python's `multiprocessing.connection`.
///
/// ```no_run
/// use pool_runtime::Client;
///
/// let connection = Client::connect(("localhost", 6000), b"secret password")?;
/// connection.send_bytes(b"hello")?;
/// # Ok::<(), pool_runtime::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Client;

impl Client {
    /// Connects, and proves to know `key`, as the other side must.
    ///
    /// # Errors
    /// Kind `Disconnected` when nobody listens there or the other side hangs up, `Authentication` when its key is another one,
    /// `TimedOut` when it is silent, and those of the address.
    pub fn connect(
        address: impl ToAddress,
        key: impl AsRef<[u8]>,
    ) -> Result<ByteConnection, Error> {
        let until = Instant::now() + CONNECT;
        let connection = connect_first(&address.to_addresses()?, until)?;
        authenticate(&connection, key.as_ref(), until.min(Instant::now() + HANDSHAKE))?;
        Ok(connection)
    }

    /// Connects to a listener that asks for no key.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect), but for the key.
    pub fn connect_without_key(address: impl ToAddress) -> Result<ByteConnection, Error> {
        connect_first(&address.to_addresses()?, Instant::now() + CONNECT)
    }
}

/// Connects to the first of the addresses where somebody listens.
///
/// # Errors
/// What the last one said.
pub(crate) fn connect_first(
    addresses: &[Address],
    until: Instant,
) -> Result<ByteConnection, Error> {
    let mut failed = Error::new(ErrorKind::InvalidInput, "no address");
    for address in addresses {
        match Stream::connect(&address.place(), until) {
            Ok(stream) => return Ok(ByteConnection::new(stream)),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The client's side of the handshake.
///
/// # Errors
/// Kind `Authentication`, `Disconnected` or `TimedOut`.
pub(crate) fn authenticate(
    connection: &ByteConnection,
    key: &[u8],
    until: Instant,
) -> Result<(), Error> {
    let mut handshake = Handshake::new(Side::Client, key, random::bytes()?);
    loop {
        let message =
            connection.receive(LONGEST, Some(until)).map_err(|error| match error.kind() {
                ErrorKind::Decode => handshake::junk(),
                _ => error,
            })?;
        let (said, end) = match handshake.receive(&message) {
            Step::Send(said) => (said, None),
            Step::Done(said) => (said, Some(Ok(()))),
            Step::WrongKey(said) => (said, Some(Err(handshake::wrong_key()))),
            Step::Junk => return Err(handshake::junk()),
        };
        for message in said {
            connection.send_until(&message, Some(until))?;
        }
        if let Some(end) = end {
            return end;
        }
    }
}
