//! Two ends of a pipe between processes, for values of one type.
//!
//! Each end is a socket; `wire` says how a value travels on it.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{Codec, In, Level, SERDE};
use crate::error::{self, Error, ErrorKind};
use crate::luggage;
use crate::shm::handle::{Handle, Kind, Mark, Ticket};
use crate::shm::process;
use crate::supervisor::{self, Ward};
use crate::sys::socket::{self, Socket};
use crate::sys::watch;
use crate::task::whole;
use crate::waiting::{Bell, sealed::Watch};
use crate::wire::{self, NO_READER, Value};

/// One end of a [`pipe`]: sends values to the other end, and receives what was sent there.
///
/// A value arrives whole and in order, or not at all, however large it is and however the sender ends. Several threads may
/// use one end; each value goes to one of them. An end is given to another process as an argument, as a result or through
/// another connection; it is then closed here. It cannot be cloned, so that each end has one owner, whose death the other end is told of.
///
/// What a value's handles mean lives while the value is on its way, also when its sender has ended. It is let go of with the
/// end that was to receive it, when that is dropped or its process dies, before the value was received or in the middle of it.
///
/// ```standalone_crate
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn echo(connection: Connection<String>) {
///     while let Ok(text) = connection.recv() {
///         connection.send(text.to_uppercase()).expect("the other end is open");
///     }
/// }
///
/// # fn main() -> Result<(), pool_runtime::Error> {
/// let (here, there) = pipe::<String>()?;
/// let process = Process::spawn(task!(echo(there)))?;
/// here.send("hello".to_owned())?;
/// assert_eq!(here.recv()?, "HELLO");
/// drop(here);
/// process.join()?;
/// # Ok(())
/// # }
/// ```
pub struct Connection<T> {
    end: Arc<End>,
    values: PhantomData<fn(T) -> T>,
}

/// Makes a pipe: what is sent at one end is received at the other, both ways.
///
/// # Errors
/// Kind `Io` when descriptors have run out.
pub fn pipe<T>() -> Result<(Connection<T>, Connection<T>), Error> {
    let (a, b) = socket::pair()?;
    let (seat_a, seat_b) = (take_seat(), take_seat());
    let (name_a, name_b) = (name_of(seat_a.as_ref()), name_of(seat_b.as_ref()));
    Ok((Connection::new(a, seat_a, name_b), Connection::new(b, seat_b, name_a)))
}

/// Where there is no shared memory there are no handles that messages could keep alive, and the pipe needs none.
fn take_seat() -> Option<Handle> {
    Handle::make(seat_mark(), (0, 1), None, |_| ()).ok()
}

/// As in [`take_seat`]; elsewhere an end without its seat would lose the handles of whatever is sent to it.
fn open_seat(seat: &Ticket) -> Result<Option<Handle>, Error> {
    match process::own() {
        Ok(_) => Handle::open(seat, seat_mark()).map(Some),
        Err(_) => Ok(None),
    }
}

fn name_of(seat: Option<&Handle>) -> u64 {
    seat.map_or(NO_READER, Handle::object)
}

fn seat_mark() -> Mark {
    Mark::plain(Kind::PipeEnd)
}

/// All that crosses is values.
const VALUE: u8 = 0;

impl<T> Connection<T> {
    fn new(socket: Socket, seat: Option<Handle>, reader: u64) -> Self {
        let end = End { socket, seat, reader, bells: Mutex::default() };
        Self { end: Arc::new(end), values: PhantomData }
    }

    /// Waits until there is something to receive, or the other end is closed, at most for `timeout`; whether there is. Takes
    /// nothing away.
    ///
    /// # Errors
    /// None so far.
    pub fn poll(&self, timeout: Duration) -> Result<bool, Error> {
        Ok(watch::readable(&self.end.socket, Some(end_of(timeout))))
    }
}

impl<T: Serialize + DeserializeOwned> Connection<T> {
    /// Sends a value. It waits while the other end is far behind; when it returns, the value is on its way, and this process may end.
    ///
    /// # Errors
    /// Kind `Encode` when the value cannot be encoded, after which the connection goes on; `Disconnected` when the other end
    /// is closed; `Io` when memory has run out.
    pub fn send(&self, value: T) -> Result<(), Error> {
        wire::send(&self.end.socket, VALUE, Vec::new(), &Value(&value), self.end.reader)
    }

    /// Waits for a value.
    ///
    /// # Errors
    /// Kind `Disconnected` when the other end is closed and everything that was sent there has been received; `Decode` when
    /// what came is no `T`, after which the connection goes on; `Io` when descriptors have run out.
    ///
    /// A value with a handle in it may have come too late: then the kind is what opening the handle gives, and the connection
    /// goes on. That is `Disconnected`, too, for a proxy of a [`Manager`](crate::Manager) whose server is gone.
    pub fn recv(&self) -> Result<T, Error> {
        wire::receive(&self.end.socket, None, decode)
    }

    /// As [`recv`](Self::recv), but no longer than `timeout`.
    ///
    /// # Errors
    /// Kind `TimedOut` when nothing came in time, and else as for [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, Error> {
        wire::receive(&self.end.socket, Some(end_of(timeout)), decode)
    }
}

fn decode<T: Serialize + DeserializeOwned>(note: u8, bytes: &[u8]) -> Result<T, Error> {
    if note != VALUE {
        return Err(Error::new(ErrorKind::Decode, "what came is no value"));
    }
    let mut input = In::new(bytes);
    whole(<Level<SERDE> as Codec<T>>::decode(&mut input)?, input)
}

/// A timeout beyond what the clock can count is a year, after which nobody waits any more.
fn end_of(timeout: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now + YEAR)
}

/// The descriptor travels beside the bytes.
impl<T> Serialize for Connection<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = luggage::hand_in(self.end.socket.as_fd()).map_err(error::refuse_encoding)?;
        let seat = self.end.seat.as_ref().map(Handle::ticket).transpose();
        (number, seat.map_err(error::refuse_encoding)?, self.end.reader).serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Connection<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (number, seat, reader) = <(u64, Option<Ticket>, u64)>::deserialize(deserializer)?;
        let descriptor = luggage::take(number).map_err(error::refuse)?;
        let socket = Socket::try_from_stranger(descriptor).map_err(D::Error::custom)?;
        wire::check_reader(reader).map_err(error::refuse)?;
        let seat = seat.map_or(Ok(None), |seat| open_seat(&seat)).map_err(error::refuse)?;
        Ok(Self::new(socket, seat, reader))
    }
}

impl<T> fmt::Debug for Connection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("socket", &self.end.socket).finish()
    }
}

impl<T> Watch for Connection<T> {
    fn watch(&self, bell: &Arc<Bell>, number: usize) {
        if watch::readable(&self.end.socket, Some(Instant::now())) {
            return bell.ring(number);
        }
        let mut bells = self.end.bells();
        bells.hung.push((Arc::clone(bell), number));
        if bells.ward.is_none() {
            match self.end.be_watched() {
                Ok(ward) => bells.ward = Some((ward, std::process::id())),
                // Nobody would ring: whoever waits finds nothing there, and waits in `recv`.
                Err(_) => bells.ring(),
            }
        }
    }

    fn unwatch(&self, bell: &Arc<Bell>) {
        let mut bells = self.end.bells();
        bells.hung.retain(|(other, _)| !Arc::ptr_eq(other, bell));
        if bells.hung.is_empty() {
            self.end.forget_watch(&mut bells);
        }
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.end).addr()
    }
}

/// The socket, and who waits for something to come.
#[derive(Debug)]
struct End {
    socket: Socket,
    /// Keeps alive what messages name that nobody has received here.
    seat: Option<Handle>,
    /// The other end's, by which those that are sent from here live.
    reader: u64,
    bells: Mutex<Bells>,
}

#[derive(Debug, Default)]
struct Bells {
    hung: Vec<(Arc<Bell>, usize)>,
    /// Its number with the supervisor, while that watches it, and the process whose supervisor that is.
    ward: Option<(u32, u32)>,
}

impl Bells {
    fn ring(&mut self) {
        self.hung.drain(..).for_each(|(bell, number)| bell.ring(number));
    }
}

impl End {
    fn bells(&self) -> MutexGuard<'_, Bells> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn be_watched(self: &Arc<Self>) -> Result<u32, Error> {
        let supervisor = supervisor::get()?;
        let weak: Weak<dyn Ward> = Arc::downgrade(self) as Weak<dyn Ward>;
        let ward = supervisor.adopt(weak);
        supervisor.watch(&self.socket, ward, 0).inspect_err(|_| supervisor.release(ward))?;
        Ok(ward)
    }

    fn forget_watch(&self, bells: &mut Bells) {
        // In a child of a plain `fork` the supervisor is the parent's.
        let here = |&(_, creator): &(u32, u32)| creator == std::process::id();
        if let Some((ward, _)) = bells.ward.take().filter(here)
            && let Ok(supervisor) = supervisor::get()
        {
            supervisor.unwatch(&self.socket);
            supervisor.release(ward);
        }
    }
}

impl Ward for End {
    fn ready(&self, _token: u32) {
        let mut bells = self.bells();
        self.forget_watch(&mut bells);
        bells.ring();
    }

    fn tick(self: Arc<Self>, _now: Instant) -> Option<Duration> {
        None
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut bells = std::mem::take(&mut *self.bells());
        self.forget_watch(&mut bells);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Out;

    type End = Connection<i64>;

    fn packed(end: &End) -> (Vec<u8>, Vec<std::os::fd::OwnedFd>) {
        let mut room = vec![0; 1000];
        let (len, along) = luggage::pack(Vec::new(), || {
            let mut out = Out::new(&mut room);
            <Level<SERDE> as Codec<End>>::encode(end, &mut out).expect("there is room");
            out.position()
        });
        room.truncate(len);
        (room, along)
    }

    fn unpacked((bytes, along): (Vec<u8>, Vec<std::os::fd::OwnedFd>)) -> Result<End, Error> {
        luggage::unpack(along, || <Level<SERDE> as Codec<End>>::decode(&mut In::new(&bytes)))
    }

    #[test]
    fn an_end_whose_seat_is_gone_is_refused() {
        let (here, _there) = pipe::<i64>().expect("a pipe");
        assert!(unpacked(packed(&here)).expect("it is there").end.seat.is_some());
        let late = packed(&here);
        drop(here);
        assert_eq!(unpacked(late).expect_err("it is gone").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_reader_that_is_none_is_refused() {
        let lock = crate::Lock::new().expect("a lock");
        let event = Handle::make(Mark::plain(Kind::Event), (8, 8), None, |_| ()).expect("memory");
        let (a, _b) = socket::pair().expect("descriptors");
        let end = Connection::new(a, None, event.object());
        let error = unpacked(packed(&end)).expect_err("it is no reader");
        assert_eq!(error.kind(), ErrorKind::Decode);
        let end = Connection { end: end.end, values: PhantomData };
        assert_eq!(end.send(lock).expect_err("it is no reader").kind(), ErrorKind::Decode);
    }
}
