//! A pair of sockets that carries messages and descriptors between parent and child.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::error::{Error, ErrorKind};

/// The most descriptors in one message.
pub(crate) const DESCRIPTORS: usize = 16;

/// One end of a pair. Message boundaries are kept.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

/// Two ends that are each other's peer.
///
/// # Errors
/// Kind `Io` when descriptors have run out.
pub(crate) fn pair() -> Result<(Socket, Socket), Error> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map(|(a, b)| (Socket(a), Socket(b)))
        .map_err(|error| Error::os("socketpair", error))
}

impl Socket {
    /// Sends one message with some descriptors.
    ///
    /// # Errors
    /// Kind `Disconnected` when the peer is gone, `Io` for anything else.
    pub(crate) fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors))
        {
            return Err(Error::new(ErrorKind::Io, "too many descriptors in one message"));
        }
        rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(
                &self.0,
                &[IoSlice::new(bytes)],
                &mut ancillary,
                SendFlags::NOSIGNAL,
            )
        })
        .map(drop)
        .map_err(|error| lost("sendmsg", error))
    }

    /// Waits for one message of at most `room.len()` bytes.
    ///
    /// # Errors
    /// Kind `Disconnected` when the peer is gone or the message was cut, `Io` for anything else.
    pub(crate) fn receive(&self, room: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Error> {
        self.receive_with(room, RecvFlags::CMSG_CLOEXEC)
    }

    /// As [`Socket::receive`]; `None` when no message is there.
    ///
    /// # Errors
    /// As for [`Socket::receive`].
    pub(crate) fn try_receive(
        &self,
        room: &mut [u8],
    ) -> Result<Option<(usize, Vec<OwnedFd>)>, Error> {
        match self.receive_with(room, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT) {
            Err(error) if error.kind() == ErrorKind::Empty => Ok(None),
            other => other.map(Some),
        }
    }

    fn receive_with(
        &self,
        room: &mut [u8],
        flags: RecvFlags,
    ) -> Result<(usize, Vec<OwnedFd>), Error> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let message = rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(room)], &mut ancillary, flags)
        })
        .map_err(|error| lost("recvmsg", error))?;
        let mut descriptors = Vec::new();
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = part {
                descriptors.extend(rights);
            }
        }
        if message.bytes == 0 && descriptors.is_empty() {
            return Err(Error::new(
                ErrorKind::Disconnected,
                "the other end of the socket is closed",
            ));
        }
        if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(Error::new(ErrorKind::Disconnected, "a message did not arrive whole"));
        }
        Ok((message.bytes, descriptors))
    }
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
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => {
            Error::new(ErrorKind::Disconnected, "the other end of the socket is closed")
        }
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
