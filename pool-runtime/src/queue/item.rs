//! An item on its way: a value's bytes in the ring, or, when they are many, in an object of their own that the ring names.

use std::cell::Cell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Codec, In, Level, Out, SERDE, Stop, message};
use crate::error::{Error, ErrorKind};
use crate::luggage;
use crate::shm::handle::{Handle, Kind, Mark, Ticket};
use crate::shm::pins::{self, Transit};
use crate::shm::ring::{Item, LARGEST, MOST_RECORDS};
use crate::shm::transit::Record;
use crate::task::{stopped, whole};

/// The first byte of an item: the value follows, or the ticket of the object that has it.
const HERE: u8 = 0;
const OUTSIDE: u8 = 1;
/// Bytes in front of the value, so that it is aligned.
const HEAD: usize = 16;

thread_local! {
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A value, encoded.
#[derive(Debug)]
pub(crate) struct Packed {
    room: Vec<u8>,
    len: usize,
    /// Of what the value keeps alive, and of the object outside. Dropped, they are struck out.
    transit: Transit,
    /// Bytes outside of the ring.
    pub(crate) outside: u64,
}

/// Encodes a value.
///
/// # Errors
/// Kind `Encode` when it cannot be encoded, `Io` or `Full` when there is no memory for it.
pub(crate) fn pack<T: Serialize + DeserializeOwned>(value: &T) -> Result<Packed, Error> {
    let mut room = ROOM.take();
    room.resize(HEAD + LARGEST, 0);
    let encode = |room: &mut [u8]| {
        let mut out = Out::new(room);
        <Level<SERDE> as Codec<T>>::encode(value, &mut out).map(|()| out.position())
    };
    // Descriptors cannot lie in a queue, even while this process encodes something that could take them along.
    let (encoded, transit) = pins::in_transit(|| luggage::without(|| encode(&mut room[HEAD..])));
    match encoded {
        Ok(len) => {
            check_records(&transit)?;
            room[0] = HERE;
            Ok(Packed { room, len: HEAD + len, transit, outside: 0 })
        }
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Full) => {
            drop(transit);
            pack_outside(value, room)
        }
    }
}

fn pack_outside<T: Serialize + DeserializeOwned>(
    value: &T,
    mut room: Vec<u8>,
) -> Result<Packed, Error> {
    // What is kept alive while the value is measured is not on its way.
    let (size, _) = pins::in_transit(|| <Level<SERDE> as Codec<T>>::size(value));
    let size = size?;
    let (made, mut transit) = pins::in_transit(|| {
        let mut len = Ok(0);
        let mark = Mark::plain(Kind::Piece);
        let fill = |bytes: &mut [u8]| {
            let mut out = Out::new(bytes);
            len = <Level<SERDE> as Codec<T>>::encode(value, &mut out).map(|()| out.position());
        };
        let piece = Handle::make_filled(mark, size.max(1), fill)?;
        Ok::<_, Error>((piece, len.map_err(stopped)?))
    });
    let (piece, len) = made?;
    let (ticket, piece_transit) = pins::in_transit(|| piece.ticket());
    transit = Transit::found(transit.keep().into_iter().chain(piece_transit.keep()).collect());
    check_records(&transit)?;
    room.clear();
    room.resize(HEAD, 0);
    room[0] = OUTSIDE;
    message::encode(&(ticket?, len as u64), &mut room)?;
    Ok(Packed { len: room.len(), room, transit, outside: size as u64 })
}

fn check_records(transit: &Transit) -> Result<(), Error> {
    if transit.records().len() < MOST_RECORDS {
        return Ok(());
    }
    let text = format!("an item of a queue holds at most {MOST_RECORDS} handles");
    Err(Error::new(ErrorKind::Encode, text))
}

impl Packed {
    pub(crate) fn parts(&self) -> (&[u8], &[Record]) {
        (&self.room[..self.len], self.transit.records())
    }

    /// It lies in the ring: what it keeps alive goes with it.
    pub(crate) fn sent(self) {
        self.transit.keep();
        ROOM.set(self.room);
    }
}

/// How many bytes of the item lie outside of the ring.
pub(crate) fn outside(item: &Item) -> u64 {
    if item.bytes.first() != Some(&OUTSIDE) {
        return 0;
    }
    item.bytes
        .get(HEAD..)
        .and_then(|bytes| named(bytes).ok())
        .map_or(0, |(ticket, _)| ticket.size())
}

fn named(bytes: &[u8]) -> Result<(Ticket, u64), Error> {
    message::decode(bytes)
}

/// Decodes an item, and lets go of what it kept alive.
///
/// # Errors
/// Kind `Decode` for bytes that are no `T`.
pub(crate) fn unpack<T: Serialize + DeserializeOwned>(item: &mut Item) -> Result<T, Error> {
    // Dropped last: until the value has opened its handles, the records keep them alive.
    let _kept = Transit::found(std::mem::take(&mut item.records));
    let bytes = item.bytes.get(HEAD..).ok_or_else(no_item)?;
    match item.bytes[0] {
        HERE => decode(bytes),
        OUTSIDE => {
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
        _ => Err(no_item()),
    }
}

fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut input = In::new(bytes);
    whole(<Level<SERDE> as Codec<T>>::decode(&mut input)?, input)
}

#[cold]
fn no_item() -> Error {
    Error::new(ErrorKind::Decode, "what lay in the queue is no item")
}
