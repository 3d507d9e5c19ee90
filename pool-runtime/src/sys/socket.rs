//! A pair of sockets that carries messages and descriptors between parent and child.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use super::standard;
use crate::error::{Error, ErrorKind};

/// The most descriptors in one message: the kernel takes 253.
pub(crate) const DESCRIPTORS: usize = 250;

/// One end of a pair. Message boundaries are kept.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

/// A message, as the kernel gave it.
struct Arrived {
    len: usize,
    descriptors: Vec<OwnedFd>,
    /// It had more descriptors than these.
    lost: bool,
}

/// Two ends that are each other's peer.
///
/// # Errors
/// Kind `Io` when descriptors have run out.
pub(crate) fn pair() -> Result<(Socket, Socket), Error> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .and_then(|(a, b)| Ok((Socket(standard::above(a)?), Socket(standard::above(b)?))))
        .map_err(|error| Error::os("socketpair", error))
}

impl Socket {
    /// Takes over a descriptor that another process sent.
    ///
    /// # Errors
    /// Kind `Decode` when it is no end of a pair.
    pub(crate) fn try_from_stranger(descriptor: OwnedFd) -> Result<Self, Error> {
        let kind = rustix::net::sockopt::socket_type(&descriptor);
        let domain = rustix::net::sockopt::socket_domain(&descriptor);
        match (kind, domain) {
            (Ok(SocketType::SEQPACKET), Ok(AddressFamily::UNIX)) => Ok(Self(descriptor)),
            _ => Err(Error::new(ErrorKind::Decode, "the descriptor is no end of a pipe")),
        }
    }

    /// Sends one message with some descriptors.
    ///
    /// # Errors
    /// Kind `Disconnected` when the peer is gone, `Io` for anything else.
    pub(crate) fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
        self.send_parts(&[IoSlice::new(bytes)], descriptors)
    }

    /// As [`Socket::send`], for a message that lies in several places.
    ///
    /// # Errors
    /// As for [`Socket::send`].
    pub(crate) fn send_parts(
        &self,
        parts: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Error> {
        self.send_with(parts, descriptors, SendFlags::NOSIGNAL)
    }

    /// As [`Socket::send_parts`]; `false` when there is no room now.
    ///
    /// # Errors
    /// As for [`Socket::send`].
    pub(crate) fn try_send_parts(
        &self,
        parts: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<bool, Error> {
        match self.send_with(parts, descriptors, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Err(error) if error.kind() == ErrorKind::Empty => Ok(false),
            other => other.map(|()| true),
        }
    }

    fn send_with(
        &self,
        parts: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
        flags: SendFlags,
    ) -> Result<(), Error> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors))
        {
            return Err(Error::new(ErrorKind::Io, "too many descriptors in one message"));
        }
        rustix::io::retry_on_intr(|| rustix::net::sendmsg(&self.0, parts, &mut ancillary, flags))
            .map(drop)
            .map_err(|error| lost("sendmsg", error))
    }

    /// Waits for one message of at most `room.len()` bytes.
    ///
    /// # Errors
    /// Kind `Disconnected` when the peer is gone or the message was cut, `Io` for anything else.
    pub(crate) fn receive(&self, room: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Error> {
        self.receive_with(&mut [IoSliceMut::new(room)], RecvFlags::CMSG_CLOEXEC)
    }

    /// As [`Socket::receive`], into several places.
    ///
    /// # Errors
    /// As for [`Socket::receive`].
    pub(crate) fn receive_parts(
        &self,
        parts: &mut [IoSliceMut<'_>],
    ) -> Result<(usize, Vec<OwnedFd>), Error> {
        self.receive_with(parts, RecvFlags::CMSG_CLOEXEC)
    }

    /// As [`Socket::receive`]; `None` when no message is there. One whose descriptors were lost, for this process may open no
    /// more, comes without them.
    ///
    /// # Errors
    /// As for [`Socket::receive`].
    pub(crate) fn try_receive(
        &self,
        room: &mut [u8],
    ) -> Result<Option<(usize, Vec<OwnedFd>)>, Error> {
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        match self.receive_any(&mut [IoSliceMut::new(room)], flags) {
            Err(error) if error.kind() == ErrorKind::Empty => Ok(None),
            other => other.map(|arrived| Some((arrived.len, arrived.descriptors))),
        }
    }

    /// As [`Socket::receive`], into several places; `None` when no message is there.
    ///
    /// # Errors
    /// As for [`Socket::receive`].
    pub(crate) fn try_receive_parts(
        &self,
        parts: &mut [IoSliceMut<'_>],
    ) -> Result<Option<(usize, Vec<OwnedFd>)>, Error> {
        match self.receive_with(parts, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT) {
            Err(error) if error.kind() == ErrorKind::Empty => Ok(None),
            other => other.map(Some),
        }
    }

    fn receive_with(
        &self,
        parts: &mut [IoSliceMut<'_>],
        flags: RecvFlags,
    ) -> Result<(usize, Vec<OwnedFd>), Error> {
        let Arrived { len, descriptors, lost } = self.receive_any(parts, flags)?;
        if lost {
            let text = "a message's descriptors were lost: this process may open no more";
            return Err(Error::new(ErrorKind::Io, text));
        }
        Ok((len, descriptors))
    }

    fn receive_any(
        &self,
        parts: &mut [IoSliceMut<'_>],
        flags: RecvFlags,
    ) -> Result<Arrived, Error> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut receive = || {
            rustix::io::retry_on_intr(|| {
                rustix::net::recvmsg(&self.0, parts, &mut ancillary, flags)
            })
        };
        // A peer that closed its end with messages of ours unread gives this error once; what it sent is still there.
        let message = match receive() {
            Err(rustix::io::Errno::CONNRESET) => receive(),
            other => other,
        };
        let message = message.map_err(|error| lost("recvmsg", error))?;
        let mut descriptors = Vec::new();
        let mut lost = message.flags.contains(ReturnFlags::CTRUNC);
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = part {
                for right in rights {
                    match standard::above(right) {
                        Ok(right) => descriptors.push(right),
                        Err(_) => lost = true,
                    }
                }
            }
        }
        if message.bytes == 0 && descriptors.is_empty() {
            return Err(closed());
        }
        if message.flags.contains(ReturnFlags::TRUNC) {
            let text = "a message did not arrive whole";
            return Err(Error::new(ErrorKind::Disconnected, text));
        }
        Ok(Arrived { len: message.bytes, descriptors, lost })
    }
}

#[cold]
fn closed() -> Error {
    Error::new(ErrorKind::Disconnected, "the other end of the socket is closed")
}

impl Socket {
    /// Ends the conversation: the peer finds its end, whoever else has a copy of this descriptor.
    pub(crate) fn shut(&self) {
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

fn lost(doing: &str, error: rustix::io::Errno) -> Error {
    use rustix::io::Errno;
    match error {
        // Of a peer that closes at this moment some kernels say that it refuses.
        Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED | Errno::NOTCONN => closed(),
        Errno::AGAIN => Error::new(ErrorKind::Empty, "no message is there"),
        error => Error::os(doing, error),
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Socket {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.0
    }
}
