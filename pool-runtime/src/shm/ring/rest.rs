//! The end of a ring: what its items kept alive is let go of.
#![expect(unsafe_code, reason = "looks at shared memory as atomic words")]

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::bytes::Bytes;
use super::header::Header;
use super::{BACKED, BYTES_AT, HEAD, NAMES, RECORD, SKIP};
use crate::shm::arena::Arena;
use crate::shm::layout::class_of;
use crate::shm::transit::Record;

/// Gives `strike` the records of what is left in a ring that is being given back.
pub(crate) fn left_in(arena: &Arena, slot: usize, strike: impl FnMut(Record)) {
    let about = arena.slot(slot);
    if !arena.reaches(class_of(slot)) {
        return;
    }
    let (block, room) = arena.block(slot);
    let size = (about.size.load(Acquire) as usize).min(room);
    if size < BACKED {
        return;
    }
    // SAFETY: as in `Ring::new`; the slot is the caller's alone.
    let header = unsafe { block.cast::<Header>().as_ref() };
    // SAFETY: within the block.
    let base = unsafe { block.add(BYTES_AT) };
    let rest = Rest { header, bytes: Bytes { base, len: size - BYTES_AT } };
    rest.records(strike);
}

/// A ring that nobody uses any more.
struct Rest<'a> {
    header: &'a Header,
    bytes: Bytes,
}

impl Rest<'_> {
    /// Gives `strike` every record of every item; stops where there is no item.
    fn records(&self, mut strike: impl FnMut(Record)) -> Option<()> {
        let (gets, puts) = (self.header.gets.own(), self.header.puts.own());
        let capacity = self.header.capacity.load(Relaxed);
        if !capacity.is_power_of_two() {
            return None;
        }
        let mut at = gets.at;
        for _ in gets.count..puts.count {
            let mut place = (at & (capacity - 1)) as usize;
            let [mut need, mut about] = self.bytes.read_words(place)?;
            if need == SKIP {
                at = at.checked_add(about)?;
                place = (at & (capacity - 1)) as usize;
                [need, about] = self.bytes.read_words(place)?;
            }
            let records_at =
                place + HEAD + ((about >> 16) as usize).checked_next_multiple_of(HEAD)?;
            for i in 0..(about & (NAMES - 1)) as usize {
                strike(Record::from_words(
                    self.bytes.read_words(records_at.checked_add(i * RECORD)?)?,
                ));
            }
            at = at.checked_add(need)?;
        }
        Some(())
    }
}
