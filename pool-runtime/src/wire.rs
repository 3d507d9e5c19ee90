//! Values over a socket, with boundaries: one packet each, with the bytes inside, or beside it in sealed memory when there
//! are many.
//!
//! Nothing is torn when a side dies: a packet is there as a whole or not at all. Between `pipe` or `process` and the socket.

use std::cell::RefCell;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::Acquire;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Codec, In, Level, Out, SERDE, Stop};
use crate::error::{Error, ErrorKind};
use crate::luggage;
use crate::shm::handle::{Kind, Mark};
use crate::shm::hold::Hold;
use crate::shm::pins::{self, Transit};
use crate::sys::memory::{self, Sealed};
use crate::sys::socket::Socket;
use crate::sys::watch;

/// Longer values lie in a file of their own: a socket's buffer is small, and copying twice costs more than a mapping then.
const INLINE: usize = 32 << 10;

/// The first byte of a packet: where the value's bytes are. The second is the sender's note of what it is.
const HERE: u8 = 0;
const IN_FILE: u8 = 1;

/// Of bytes that name nothing, or what others keep alive.
pub(crate) const NO_READER: u64 = 0;

/// Something that writes itself.
pub(crate) trait Write {
    /// # Errors
    /// As for [`Codec::encode`].
    fn write(&self, out: &mut Out<'_>) -> Result<(), Stop>;

    /// # Errors
    /// As for [`Codec::size`].
    fn size(&self) -> Result<usize, Error>;
}

/// A value, by serde.
#[derive(Debug)]
pub(crate) struct Value<'a, T>(pub(crate) &'a T);

impl<T: Serialize + DeserializeOwned> Write for Value<'_, T> {
    fn write(&self, out: &mut Out<'_>) -> Result<(), Stop> {
        <Level<SERDE> as Codec<T>>::encode(self.0, out)
    }

    fn size(&self) -> Result<usize, Error> {
        <Level<SERDE> as Codec<T>>::size(self.0)
    }
}

/// Bytes as they are.
#[derive(Debug)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Write for Bytes<'_> {
    fn write(&self, out: &mut Out<'_>) -> Result<(), Stop> {
        out.write(self.0)
    }

    fn size(&self) -> Result<usize, Error> {
        Ok(self.0.len())
    }
}

thread_local! {
    /// Room for one packet. Taken while it is in use: a value may send another one while it is encoded.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn with_room<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    // When another destructor of the thread sends something it is gone, and there is a new one each time.
    let mut room = ROOM.try_with(RefCell::take).unwrap_or_default();
    room.resize(INLINE, 0);
    let result = work(&mut room);
    let _ = ROOM.try_with(|place| place.replace(room));
    result
}

/// Sends one value; `extra` descriptors go before its own. Handles in it live until they are opened at the other side, or
/// `reader`, a word of [`Handle::object`](crate::shm::handle::Handle::object), is gone: nobody will open them then.
///
/// # Errors
/// Kind `Encode` when the value cannot be encoded, `Disconnected` when the other side is gone, `Io`.
pub(crate) fn send(
    socket: &Socket,
    note: u8,
    extra: Vec<OwnedFd>,
    value: &dyn Write,
    reader: u64,
) -> Result<(), Error> {
    with_room(|room| {
        let encode = || {
            let mut out = Out::new(room);
            value.write(&mut out).map(|()| out.position())
        };
        let n_extra = extra.len();
        let ((encoded, mut with), transit) = pins::in_transit(|| luggage::pack(extra, encode));
        match encoded {
            Ok(len) => put(socket, [HERE, note], &room[..len], &with, (transit, reader)),
            Err(Stop::Full) => {
                with.truncate(n_extra);
                drop(transit);
                send_in_file(socket, note, with, value, reader)
            }
            Err(Stop::Failed(error)) => Err(error),
        }
    })
}

fn send_in_file(
    socket: &Socket,
    note: u8,
    extra: Vec<OwnedFd>,
    value: &dyn Write,
    reader: u64,
) -> Result<(), Error> {
    // What is handed in while the value is measured is not kept.
    let ((size, _), _) = pins::in_transit(|| luggage::pack(Vec::new(), || value.size()));
    let write = || {
        memory::sealed("pool-message", size?, |room| {
            let mut out = Out::new(room);
            value.write(&mut out).map_err(crate::task::stopped)?;
            Ok(out.position())
        })
    };
    let ((written, mut with), transit) = pins::in_transit(|| luggage::pack(extra, write));
    let (file, len) = written?;
    with.push(file);
    put(socket, [IN_FILE, note], &(len as u64).to_le_bytes(), &with, (transit, reader))
}

fn put(
    socket: &Socket,
    head: [u8; 2],
    bytes: &[u8],
    with: &[OwnedFd],
    (transit, reader): (Transit, u64),
) -> Result<(), Error> {
    let with: Vec<_> = with.iter().map(AsFd::as_fd).collect();
    let parts = [IoSlice::new(&head), IoSlice::new(bytes)];
    if transit.records().is_empty() {
        return socket.send_parts(&parts, &with);
    }
    let reader = match hold(reader) {
        // Whatever becomes of the bytes, nobody opens what they name.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return socket.send_parts(&parts, &with);
        }
        reader => reader?,
    };
    // While it waits for room this process keeps the handles, so that its death gives them back.
    loop {
        transit.entrust(reader.as_ref());
        if socket.try_send_parts(&parts, &with)? {
            transit.keep();
            return Ok(());
        }
        transit.take_back();
        watch::writable(socket);
    }
}

/// Keeps the reader meanwhile, if there is such an object: a pipe that was made without shared memory has none. The end of
/// any other object would not strike out what is entrusted to it.
fn hold(reader: u64) -> Result<Option<Hold>, Error> {
    if reader == NO_READER {
        return Ok(None);
    }
    let hold = Hold::open_named(reader)?;
    if hold.head().kind.load(Acquire) != Mark::plain(Kind::PipeEnd).word() {
        return Err(Error::new(ErrorKind::Decode, "what is to read is no end of a pipe"));
    }
    Ok(Some(hold))
}

/// Refuses a word that came as the name of a reader and names something else. A reader may be gone, or out of reach here.
///
/// # Errors
/// Kind `Decode`.
pub(crate) fn check_reader(reader: u64) -> Result<(), Error> {
    match hold(reader) {
        Err(error) if error.kind() == ErrorKind::Decode => Err(error),
        _ => Ok(()),
    }
}

/// Waits for one value, and gives its note and its bytes to `decode`, which may take the descriptors that came with it.
///
/// # Errors
/// Kind `Disconnected` when the other side is gone, `TimedOut` when nothing came in time, `Decode` for a packet of another
/// make, and what `decode` gives.
pub(crate) fn receive<R>(
    socket: &Socket,
    end: Option<Instant>,
    decode: impl FnOnce(u8, &[u8]) -> Result<R, Error>,
) -> Result<R, Error> {
    with_room(|room| {
        let mut head = [0; 2];
        let (len, with) = get(socket, end, &mut head, room)?;
        let len = len.checked_sub(head.len()).ok_or_else(unknown)?;
        open(head, &room[..len], with, decode)
    })
}

fn get(
    socket: &Socket,
    end: Option<Instant>,
    head: &mut [u8; 2],
    room: &mut [u8],
) -> Result<(usize, Vec<OwnedFd>), Error> {
    let mut parts = [IoSliceMut::new(head), IoSliceMut::new(room)];
    let Some(end) = end else { return socket.receive_parts(&mut parts) };
    loop {
        if let Some(got) = socket.try_receive_parts(&mut parts)? {
            return Ok(got);
        }
        // Another thread may take the message that this one saw.
        if !watch::readable(socket, Some(end)) {
            return Err(Error::new(ErrorKind::TimedOut, "nothing came in time"));
        }
    }
}

fn open<R>(
    [form, note]: [u8; 2],
    bytes: &[u8],
    mut with: Vec<OwnedFd>,
    decode: impl FnOnce(u8, &[u8]) -> Result<R, Error>,
) -> Result<R, Error> {
    match form {
        HERE => luggage::unpack(with, || decode(note, bytes)),
        IN_FILE => {
            let file = with.pop().ok_or_else(unknown)?;
            let mut len = In::new(bytes);
            let sealed = Sealed::open(file.as_fd(), len.len()?)?;
            luggage::unpack(with, || decode(note, sealed.bytes()))
        }
        _ => Err(unknown()),
    }
}

#[cold]
fn unknown() -> Error {
    Error::new(ErrorKind::Decode, "a packet of an unknown form")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket;

    fn read(ours: &Socket) -> Result<Vec<u64>, Error> {
        receive(ours, Some(Instant::now()), |_, bytes| {
            let mut input = In::new(bytes);
            <Level<SERDE> as Codec<Vec<u64>>>::decode(&mut input)
        })
    }

    #[test]
    fn no_packet_of_nonsense_does_harm() {
        let (ours, theirs) = socket::pair().expect("descriptors");
        let mut random = 5_u64;
        for _ in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let len = 1 + random as usize % 40;
            let mut packet: Vec<u8> = (0..len).map(|i| (random >> (i % 57)) as u8).collect();
            packet[0] %= 3;
            theirs.send(&packet, &[]).expect("it is open");
            // Whatever it is, it is a value or an error; and it is gone then.
            let _ = read(&ours);
        }
        send(&theirs, 0, Vec::new(), &Value(&vec![1_u64, 2]), NO_READER).expect("it is open");
        assert_eq!(read(&ours).expect("it is a value"), [1, 2]);
    }

    #[test]
    fn files_that_may_change_are_not_read() {
        let (ours, theirs) = socket::pair().expect("descriptors");
        let file = memory::create("pool-test", 4096).expect("memory");
        let mut packet = vec![IN_FILE, 0];
        packet.extend(64_u64.to_le_bytes());
        theirs.send(&packet, &[file.as_fd()]).expect("it is open");
        assert_eq!(read(&ours).expect_err("it may change").kind(), ErrorKind::Decode);
        let (file, ()) = memory::sealed("pool-test", 16, |_| Ok(())).expect("memory");
        theirs.send(&packet, &[file.as_fd()]).expect("it is open");
        assert_eq!(read(&ours).expect_err("it is too short").kind(), ErrorKind::Decode);
        packet[2..].copy_from_slice(&u64::MAX.to_le_bytes());
        theirs.send(&packet, &[file.as_fd()]).expect("it is open");
        assert_eq!(read(&ours).expect_err("it is too short").kind(), ErrorKind::Decode);
    }
}
