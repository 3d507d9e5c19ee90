//! An item on its way: a value's bytes in the ring, or, when they are many, in an object of their own that the ring names.

use std::cell::Cell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, Codec, In, Level, Out, SERDE, Stop, message};
use crate::error::{Error, ErrorKind};
use crate::luggage;
use crate::shm::handle::{Handle, Kind, Mark, Ticket};
use crate::shm::pins::{self, Transit};
use crate::shm::ring::{Item, LARGEST, MOST_HANDLES, Parts};
use crate::task::{stopped, whole};

thread_local! {
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Encodes a value, and has it `put`.
///
/// # Errors
/// Kind `Encode` when it cannot be encoded, `Io` or `Full` when there is no memory for it, and those of `put`.
#[inline]
pub(crate) fn pack<T: Serialize + DeserializeOwned>(
    value: &T,
    put: impl FnOnce(Parts<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    // Taken, not borrowed: encoding runs code of the user's, which may put something, too.
    // When another destructor of the thread puts something it is gone, and there is a new one each time.
    let mut room = ROOM.try_with(Cell::take).unwrap_or_default();
    room.resize(LARGEST, 0);
    let done = match encode(value, &mut room) {
        Ok((len, transit)) => send(Parts { bytes: &room[..len], ..Parts::default() }, transit, put),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Full) => pack_outside(value, put),
    };
    let _ = ROOM.try_with(|place| place.set(room));
    done
}

#[inline]
fn encode<T: Serialize + DeserializeOwned>(
    value: &T,
    room: &mut [u8],
) -> Result<(usize, Transit), Stop> {
    let mut out = Out::new(room);
    if codec::names_nothing::<T>() {
        <Level<SERDE> as Codec<T>>::encode(value, &mut out)?;
        return Ok((out.position(), Transit::default()));
    }
    // Descriptors cannot lie in a queue, even while this process encodes something that could take them along.
    let encode = || luggage::without(|| <Level<SERDE> as Codec<T>>::encode(value, &mut out));
    let (encoded, transit) = pins::in_transit(encode);
    encoded.map(|()| (out.position(), transit))
}

/// Puts it: what it keeps alive goes with it. What is not put keeps nothing alive.
#[inline]
fn send(
    parts: Parts<'_>,
    transit: Transit,
    put: impl FnOnce(Parts<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let records = transit.records();
    // The place of a value that lies outside is none of its handles.
    let handles = records.len().saturating_sub(usize::from(parts.outside > 0));
    if handles > MOST_HANDLES {
        let text = format!("an item of a queue holds at most {MOST_HANDLES} handles");
        return Err(Error::new(ErrorKind::Encode, text));
    }
    put(Parts { records, ..parts })?;
    transit.keep();
    Ok(())
}

#[cold]
fn pack_outside<T: Serialize + DeserializeOwned>(
    value: &T,
    put: impl FnOnce(Parts<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    // What is kept alive while the value is measured is not on its way. Descriptors are refused, as above.
    let measure = || luggage::without(|| <Level<SERDE> as Codec<T>>::size(value));
    let (size, _) = pins::in_transit(measure);
    let size = size?;
    let (made, mut transit) = pins::in_transit(|| {
        let mut len = Ok(0);
        let mark = Mark::plain(Kind::Piece);
        let fill = |bytes: &mut [u8]| {
            let mut out = Out::new(bytes);
            let encode = || <Level<SERDE> as Codec<T>>::encode(value, &mut out);
            len = luggage::without(encode).map(|()| out.position());
        };
        let piece = Handle::make_filled(mark, size.max(1), fill)?;
        Ok::<_, Error>((piece, len.map_err(stopped)?))
    });
    let (piece, len) = made?;
    let (ticket, piece_transit) = pins::in_transit(|| piece.ticket());
    transit = Transit::found(transit.keep().into_iter().chain(piece_transit.keep()).collect());
    let mut bytes = Vec::new();
    message::encode(&(ticket?, len as u64), &mut bytes)?;
    send(Parts { bytes: &bytes, outside: size.max(1) as u64, records: &[] }, transit, put)
}

/// How many bytes of the item lie outside of the ring.
#[inline]
pub(crate) fn outside(item: &Item) -> u64 {
    if !item.names {
        return 0;
    }
    named(&item.bytes).map_or(0, |(ticket, _)| ticket.size())
}

fn named(bytes: &[u8]) -> Result<(Ticket, u64), Error> {
    message::decode(bytes)
}

/// Decodes an item, and lets go of what it kept alive.
///
/// # Errors
/// Kind `Decode` for bytes that are no `T`.
#[inline]
pub(crate) fn unpack<T: Serialize + DeserializeOwned>(item: &mut Item) -> Result<T, Error> {
    // Dropped last: until the value has opened its handles, the records keep them alive.
    let _kept = Transit::found(std::mem::take(&mut item.records));
    if item.names { unpack_outside(&item.bytes) } else { decode(&item.bytes) }
}

#[cold]
fn unpack_outside<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let (ticket, len) = named(bytes)?;
    let piece = Handle::open(&ticket, Mark::plain(Kind::Piece))?;
    let mut copy = Vec::new();
    let len = usize::try_from(len).map_err(|_| no_item())?;
    if !piece.copy_out(len, &mut copy) {
        return Err(no_item());
    }
    drop(piece);
    decode(&copy)
}

#[inline]
fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut input = In::new(bytes);
    whole(<Level<SERDE> as Codec<T>>::decode(&mut input)?, input)
}

#[cold]
fn no_item() -> Error {
    Error::new(ErrorKind::Decode, "what lay in the queue is no item")
}
