//! Stream sockets that never block by themselves: whoever waits for one says how long.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType,
    sockopt,
};

use super::{fork, standard};
use crate::error::{Error, ErrorKind};

/// Where a listening socket is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Path(PathBuf),
    /// A name that is no file, without the zero byte that leads it.
    Abstract(Vec<u8>),
}

impl Place {
    fn family(&self) -> AddressFamily {
        match self {
            Self::Tcp(SocketAddr::V4(_)) => AddressFamily::INET,
            Self::Tcp(SocketAddr::V6(_)) => AddressFamily::INET6,
            Self::Path(_) | Self::Abstract(_) => AddressFamily::UNIX,
        }
    }

    fn socket(&self) -> Result<OwnedFd, Error> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        rustix::net::socket_with(self.family(), SocketType::STREAM, flags, None)
            .and_then(standard::above)
            .map_err(|error| Error::os("socket", error))
    }

    fn raw(&self) -> Result<SocketAddrAny, Error> {
        let unix = match self {
            Self::Tcp(address) => return Ok((*address).into()),
            Self::Path(path) => SocketAddrUnix::new(path),
            Self::Abstract(name) => SocketAddrUnix::new_abstract_name(name),
        };
        unix.map(Into::into).map_err(|_| {
            Error::new(ErrorKind::InvalidInput, "the name is too long for a Unix socket")
        })
    }

    fn of(raw: SocketAddrAny) -> Option<Self> {
        if let Ok(address) = SocketAddr::try_from(raw.clone()) {
            return Some(Self::Tcp(address));
        }
        let unix = SocketAddrUnix::try_from(raw).ok()?;
        if let Some(name) = unix.abstract_name() {
            return Some(Self::Abstract(name.to_vec()));
        }
        unix.path_bytes()
            .map(|path| Self::Path(Path::new(std::ffi::OsStr::from_bytes(path)).to_owned()))
    }
}

/// A socket that others connect to.
#[derive(Debug)]
pub(crate) struct Listening(OwnedFd);

/// What came of looking for a new connection.
#[derive(Debug)]
pub(crate) enum Came {
    One(Stream),
    Nobody,
    /// Descriptors or memory have run out.
    NoRoom(Error),
}

impl Listening {
    /// # Errors
    /// Kind `Io` when the place is taken or not this machine's, `InvalidInput` when a name is too long.
    pub(crate) fn bind(place: &Place, backlog: i32) -> Result<Self, Error> {
        let socket = place.socket()?;
        let doing = |what: &str, error| Error::os(&format!("{what} a socket to {place:?}"), error);
        if matches!(place, Place::Tcp(_)) {
            // As everywhere: without it a server could not start again while old connections fade.
            sockopt::set_socket_reuseaddr(&socket, true)
                .map_err(|error| Error::os("SO_REUSEADDR", error))?;
        }
        rustix::net::bind(&socket, &place.raw()?).map_err(|error| doing("binding", error))?;
        rustix::net::listen(&socket, backlog).map_err(|error| doing("listening on", error))?;
        Ok(Self(socket))
    }

    /// Where it is found: with the port that the system chose, if it did.
    pub(crate) fn place(&self) -> Option<Place> {
        rustix::net::getsockname(&self.0).ok().and_then(Place::of)
    }

    /// Takes the next connection, if one is there.
    pub(crate) fn accept(&self) -> Came {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match rustix::net::accept_with(&self.0, flags).and_then(standard::above) {
            Ok(socket) => Came::One(Stream::tuned(socket)),
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                Came::NoRoom(Error::os("accept", error))
            }
            // Nobody is there, or whoever was has left already.
            Err(_) => Came::Nobody,
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Stream(OwnedFd);

/// After so long a silence over TCP the peer's machine is asked whether it is still there; the system's own choice is hours.
const QUIET: Duration = Duration::from_secs(30);
/// How often a Unix socket whose queue is full is tried again.
const AGAIN: Duration = Duration::from_millis(1);

impl Drop for Stream {
    fn drop(&mut self) {
        fork::let_copies_have(self.0.as_fd());
    }
}

impl Stream {
    /// A plain fork of this process will not have it: for one whose end says that this process has ended.
    pub(crate) fn keep_from_copies(&self) {
        fork::keep_from_copies(self.0.as_fd());
    }

    /// # Errors
    /// Kind `Disconnected` when nobody listens there, `TimedOut`, `Io`, and `InvalidInput` when a name is too long.
    pub(crate) fn connect(place: &Place, until: Instant) -> Result<Self, Error> {
        let raw = place.raw()?;
        let stream = Self::tuned(place.socket()?);
        loop {
            match rustix::net::connect(&stream.0, &raw) {
                Ok(()) | Err(Errno::ISCONN) => return Ok(stream),
                Err(Errno::INPROGRESS | Errno::ALREADY) => {
                    if !stream.wait(PollFlags::OUT, Some(until)) {
                        return Err(late(place));
                    }
                    return match sockopt::socket_error(&stream.0) {
                        Ok(Ok(())) => Ok(stream),
                        Ok(Err(error)) | Err(error) => Err(not_there(place, error)),
                    };
                }
                Err(Errno::AGAIN | Errno::INTR) if Instant::now() < until => {
                    std::thread::sleep(AGAIN)
                }
                Err(Errno::AGAIN) => return Err(late(place)),
                Err(error) => return Err(not_there(place, error)),
            }
        }
    }

    /// Over TCP: small messages go at once, and a peer whose machine is gone is noticed. Elsewhere both are refused.
    fn tuned(socket: OwnedFd) -> Self {
        let _ = sockopt::set_tcp_nodelay(&socket, true);
        let _ = sockopt::set_socket_keepalive(&socket, true);
        let _ = sockopt::set_tcp_keepidle(&socket, QUIET);
        let _ = sockopt::set_tcp_keepintvl(&socket, QUIET / 3);
        Self(socket)
    }

    /// Reads what is there; `None` when nothing is.
    ///
    /// # Errors
    /// Kind `Disconnected` at the end, `Io` for anything else.
    pub(crate) fn read(&self, room: &mut [u8]) -> Result<Option<usize>, Error> {
        match rustix::net::recv(&self.0, room, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Err(gone()),
            Ok((_, len)) => Ok(Some(len)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(lost("recv", error)),
        }
    }

    /// Writes as much as there is room for; `None` when there is none.
    ///
    /// # Errors
    /// Kind `Disconnected` when the peer is gone, `Io` for anything else.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        match rustix::net::send(&self.0, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(len) => Ok(Some(len)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(lost("send", error)),
        }
    }

    /// Whether the peer is gone and has left nothing to read.
    pub(crate) fn is_gone(&self) -> bool {
        match rustix::net::recv(&self.0, &mut [0_u8; 1][..], RecvFlags::DONTWAIT | RecvFlags::PEEK)
        {
            Ok((_, len)) => len == 0,
            Err(error) => !matches!(error, Errno::AGAIN | Errno::INTR),
        }
    }

    /// Waits for something to read, or the end.
    pub(crate) fn wait_readable(&self, until: Option<Instant>) -> bool {
        self.wait(PollFlags::IN, until)
    }

    /// Waits for room to write into, or the end.
    pub(crate) fn wait_writable(&self, until: Option<Instant>) -> bool {
        self.wait(PollFlags::OUT, until)
    }

    fn wait(&self, interest: PollFlags, until: Option<Instant>) -> bool {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let mut one = [PollFd::new(&self.0, interest)];
            match rustix::event::poll(&mut one, left.and_then(timespec).as_ref()) {
                Ok(0) if left.is_none_or(|left| !left.is_zero()) => {}
                Ok(ready) => return ready > 0,
                Err(Errno::INTR) => {}
                Err(_) => return true,
            }
        }
    }

    /// Sends a descriptor, with one byte that carries it. Only over a Unix socket.
    ///
    /// # Errors
    /// Kind `Disconnected` when the peer is gone, `Io` for anything else.
    pub(crate) fn send_descriptor(&self, descriptor: BorrowedFd<'_>) -> Result<(), Error> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(&descriptor)));
        rustix::net::sendmsg(&self.0, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)
            .map(drop)
            .map_err(|error| lost("sendmsg", error))
    }

    /// Waits for what [`send_descriptor`](Self::send_descriptor) sends.
    ///
    /// # Errors
    /// Kind `Disconnected` when the peer is gone or sent something else, `TimedOut`, `Io` for anything else.
    pub(crate) fn receive_descriptor(&self, until: Instant) -> Result<OwnedFd, Error> {
        if !self.wait(PollFlags::IN, Some(until)) {
            return Err(Error::new(ErrorKind::TimedOut, "no descriptor came"));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        rustix::net::recvmsg(
            &self.0,
            &mut [IoSliceMut::new(&mut [0])],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )
        .map_err(|error| lost("recvmsg", error))?;
        let rights = ancillary.drain().find_map(|part| match part {
            RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
            _ => None,
        });
        standard::above(rights.ok_or_else(gone)?).map_err(|error| lost("recvmsg", error))
    }
}

/// Waits until one of them has something to read or has ended, at most for `limit`; says which.
pub(crate) fn ready(sockets: &[BorrowedFd<'_>], limit: Option<Duration>) -> Vec<bool> {
    let mut all: Vec<_> =
        sockets.iter().map(|socket| PollFd::from_borrowed_fd(*socket, PollFlags::IN)).collect();
    match rustix::event::poll(&mut all, limit.and_then(timespec).as_ref()) {
        Ok(_) => all.iter().map(|one| !one.revents().is_empty()).collect(),
        Err(_) => vec![false; sockets.len()],
    }
}

/// `None` for what is as good as for ever.
fn timespec(limit: Duration) -> Option<Timespec> {
    // A year: longer ones the kernel may refuse.
    const LONG: Duration = Duration::from_secs(365 * 86_400);
    if limit > LONG { None } else { limit.try_into().ok() }
}

#[cold]
fn gone() -> Error {
    Error::new(ErrorKind::Disconnected, "the other end of the connection is closed")
}

fn late(place: &Place) -> Error {
    Error::new(ErrorKind::TimedOut, format!("connecting to {place:?}"))
}

fn not_there(place: &Place, error: Errno) -> Error {
    let kind = match error {
        Errno::CONNREFUSED
        | Errno::NOENT
        | Errno::CONNRESET
        | Errno::HOSTUNREACH
        | Errno::NETUNREACH => ErrorKind::Disconnected,
        Errno::TIMEDOUT => ErrorKind::TimedOut,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("connecting to {place:?}: {error}"))
}

fn lost(doing: &str, error: Errno) -> Error {
    match error {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN | Errno::TIMEDOUT | Errno::HOSTUNREACH => {
            gone()
        }
        error => Error::os(doing, error),
    }
}

impl From<OwnedFd> for Listening {
    /// A socket that another process has bound.
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
