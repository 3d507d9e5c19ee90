//! Ways in for fuzzers: everything that reads bytes that another process wrote. None may panic, hang or allocate without bound,
//! whatever the bytes are. The targets are in `fuzz/`; the tests here run the same functions on bytes that look random.

use serde::{Deserialize, Serialize};

use crate::codec::{self, Codec, In, Level};
use crate::error::Error;
use crate::manager::wire as manager;
use crate::message::{FromWorker, Hello, ToWorker};
use crate::net::frame::Frame;
use crate::net::handshake::{Handshake, Side};
use crate::shm::pins::Pins;

pub use crate::pool::forged::{outbox, posts};

/// What parent and child say to each other.
pub fn message(bytes: &[u8]) {
    let _ = codec::message::decode::<Hello>(bytes);
    if let Ok(FromWorker::Holds { slots, .. }) = codec::message::decode(bytes) {
        drop(Pins::open(&slots));
    }
    let _ = codec::message::decode::<ToWorker>(bytes);
}

/// A failure, as a worker posts it.
pub fn error(bytes: &[u8]) {
    if let Ok(error) = codec::message::decode::<Error>(bytes) {
        let _ = (error.to_string(), format!("{error:?}"), error.index(), error.backtrace());
    }
}

/// What comes over a socket: messages of Python's wire format in pieces, and what they say to both sides of a handshake.
pub fn frames(bytes: &[u8]) {
    let (mut rest, mut frame) = (bytes, Frame::default());
    let mut sides =
        [Side::Listener, Side::Client].map(|side| Handshake::new(side, b"key", [7; 40]));
    loop {
        let message = frame.advance(1 << 20, |room| {
            // Pieces of lengths that the bytes choose.
            let piece = rest.first().map_or(0, |&len| usize::from(len) + 1);
            let len = room.len().min(piece).min(rest.len());
            room[..len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
            Ok((len > 0).then_some(len))
        });
        let Ok(Some(message)) = message else { return };
        for side in &mut sides {
            let _ = side.receive(&message);
        }
    }
}

/// What clients and the server of a manager say to each other.
pub fn requests(bytes: &[u8]) {
    if let Ok((_, _, mut args)) = manager::take_head(bytes) {
        let refs = args.blob().map_or(0, |blob| blob.refs().count());
        assert!(refs <= bytes.len() / 8, "more objects than there are bytes for");
        let _ = (args.limit(), args.rest());
    }
    if let Ok(reply) = manager::take_reply(bytes) {
        assert!(reply.grants.len() <= bytes.len() / 8, "more objects than there are bytes for");
    }
    let _ = (manager::decode::<Anything>(bytes), manager::decode::<Error>(bytes));
}

/// A bit of everything that serde knows.
#[derive(Debug, Serialize, Deserialize)]
struct Anything {
    numbers: (u8, i16, u32, i64, u128, f32, f64),
    flag: bool,
    letter: char,
    text: String,
    maybe: Option<Box<Anything>>,
    many: Vec<(String, Vec<u8>)>,
    nothings: Vec<()>,
    kind: Kind,
    table: std::collections::BTreeMap<String, u16>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Unit,
    New(u32),
    Pair(u8, String),
    Fields { a: u64 },
}

/// Values, as results and arguments.
pub fn values(bytes: &[u8]) {
    let _ = <Level<{ codec::SERDE }> as Codec<Anything>>::decode(&mut In::new(bytes));
    let _ = <Level<{ codec::VEC }> as Codec<Vec<u64>>>::decode(&mut In::new(bytes));
    let _ = <Level<{ codec::CHECKED }> as Codec<char>>::decode(&mut In::new(bytes));
    let _ = <Level<{ codec::CHECKED }> as Codec<bool>>::decode(&mut In::new(bytes));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn forged_messages(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            super::message(&bytes);
            super::error(&bytes);
        }

        /// The small numbers that tags and lengths are.
        #[test]
        fn forged_values(bytes in prop::collection::vec(prop_oneof![Just(0_u8), 0_u8..9, any::<u8>()], 0..400)) {
            super::values(&bytes);
            super::frames(&bytes);
            super::requests(&bytes);
            super::message(&bytes);
            super::error(&bytes);
        }

        #[test]
        fn forged_posts(bytes in prop::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..600)) {
            super::posts(&bytes);
        }

        #[test]
        fn forged_cells(tag in any::<[u8; 2]>(), items in any::<[u8; 2]>(), high in any::<u8>()) {
            super::posts(&[tag[0], tag[1], items[0], items[1], 0, 0, 254, high | 0xf0]);
            super::posts(&[tag[0], 1, items[0], items[1], 0, 0, 254, 255]);
        }

        #[test]
        fn forged_outboxes(bytes in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..4000)) {
            super::outbox(&bytes);
        }
    }
}
