//! Where others connect to.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::address::{Address, ToAddress};
use super::connection::ByteConnection;
use super::door::{Arrival, Door};
use super::turn::Turn;
use crate::error::{Error, ErrorKind};
use crate::sys::stream::Listening;

/// How many connections the system holds before they are looked at.
pub(crate) const BACKLOG: i32 = 1024;

/// Waits for connections of others that know a key: the peer of [`Client`](crate::Client), and of `Client` in Python's
/// `multiprocessing.connection`.
///
/// Both sides prove to each other that they know the key, without sending it. What is sent afterwards is neither
/// encrypted nor signed: over a network that is not trusted, a tunnel is needed as well.
///
/// ```
/// use pool_runtime::{Client, ErrorKind, Listener};
///
/// let listener = Listener::bind("127.0.0.1:0", b"secret")?;
/// let address = listener.address();
/// let stranger = std::thread::spawn(move || Client::connect(address, b"guess").map(drop));
/// assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::Authentication);
/// assert_eq!(stranger.join().unwrap().unwrap_err().kind(), ErrorKind::Authentication);
/// # Ok::<(), pool_runtime::Error>(())
/// ```
pub struct Listener {
    door: Turn<Door>,
    address: Address,
    _file: Option<SocketFile>,
}

impl Listener {
    /// Listens at `address` for others that know `key`.
    ///
    /// # Errors
    /// Kind `InvalidInput` for what is no address, `NotFound` for an unknown host, `Io` when the place is taken or is not this
    /// machine's.
    pub fn bind(address: impl ToAddress, key: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::open(address, Some(key.as_ref()))
    }

    /// Listens at `address` for anybody at all, as Python's `Listener` does without an `authkey`.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    pub fn bind_without_key(address: impl ToAddress) -> Result<Self, Error> {
        Self::open(address, None)
    }

    fn open(address: impl ToAddress, key: Option<&[u8]>) -> Result<Self, Error> {
        let (socket, address) = bind_first(&address.to_addresses()?)?;
        let file = SocketFile::of(&address);
        let door = Turn::new(Door::new(vec![(socket, key.map(<[u8]>::to_vec))]));
        Ok(Self { door, address, _file: file })
    }

    /// Where it listens; for port 0, with the port that the system chose.
    pub fn address(&self) -> Address {
        self.address.clone()
    }

    /// Waits for the next connection whose other side knows the key.
    ///
    /// The handshakes of all that have connected go on side by side, each with a deadline: one that is silent, or talks
    /// nonsense, or leaves, delays nobody and is passed over.
    ///
    /// # Errors
    /// Kind `Authentication` when somebody answered with another key: call it again for the next one. `Io` when descriptors
    /// have run out.
    pub fn accept(&self) -> Result<ByteConnection, Error> {
        self.accept_until(None)
    }

    /// As [`accept`](Self::accept), at most for `timeout`.
    ///
    /// # Errors
    /// As for [`accept`](Self::accept), and kind `TimedOut`.
    pub fn accept_timeout(&self, timeout: Duration) -> Result<ByteConnection, Error> {
        self.accept_until(Instant::now().checked_add(timeout))
    }

    fn accept_until(&self, until: Option<Instant>) -> Result<ByteConnection, Error> {
        // Another thread may stand at the door, for longer than this one has time.
        match self.door.take(until).and_then(|mut door| door.next(until, None)) {
            Some(Arrival::Friend(connection, _)) => Ok(connection),
            Some(Arrival::WrongKey(error) | Arrival::NoRoom(error)) => Err(error),
            None => Err(Error::new(ErrorKind::TimedOut, "nobody connected")),
        }
    }
}

/// Listens at the first of the addresses that can be had.
///
/// # Errors
/// What the last one said.
pub(crate) fn bind_first(addresses: &[Address]) -> Result<(Listening, Address), Error> {
    let mut failed = Error::new(ErrorKind::InvalidInput, "no address");
    for address in addresses {
        match Listening::bind(&address.place(), BACKLOG) {
            Ok(socket) => {
                let bound = socket.place().map_or_else(|| address.clone(), Address::from);
                return Ok((socket, bound));
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The file of a Unix socket, removed by the process that made it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    made_by: u32,
}

impl SocketFile {
    pub(crate) fn of(address: &Address) -> Option<Self> {
        match address {
            // Whole: the process may be in another directory when it goes.
            Address::Unix(path) => Some(Self {
                path: std::path::absolute(path).unwrap_or_else(|_| path.clone()),
                made_by: std::process::id(),
            }),
            Address::Tcp(_) | Address::Abstract(_) => None,
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.made_by == std::process::id() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
