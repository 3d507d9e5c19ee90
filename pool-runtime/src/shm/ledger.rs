//! Who holds what: each process has a ledger, with a bit for every slot. A slot lives while it stands in any ledger.
//!
//! There is no count that could go wrong: a process that dies leaves its ledger, and whoever sweeps it clears it. A bit is
//! written by its process alone, or, when that is dead, by the one sweeper.

use std::sync::atomic::Ordering::SeqCst;

use super::arena::Arena;
use super::layout::{LEDGER, PAGE};
use super::process;
use crate::error::Error;

const SLOTS_PER_PAGE: usize = PAGE * 8;
const WORDS_PER_PAGE: usize = PAGE / 8;

/// Enters a slot.
///
/// # Errors
/// Kind `Io` when there is no memory for the ledger.
pub(crate) fn enter(arena: &Arena, process: usize, slot: usize) -> Result<(), Error> {
    arena.back_ledger(process, (slot / SLOTS_PER_PAGE) as u32)?;
    // SeqCst, here and in `slot`: either the one that enters sees that the slot is being given back, or the one that gives it
    // back sees the bit.
    arena.ledger(process, slot / 64).fetch_or(1 << (slot % 64), SeqCst);
    Ok(())
}

/// Strikes a slot out.
pub(crate) fn strike(arena: &Arena, process: usize, slot: usize) {
    arena.ledger(process, slot / 64).fetch_and(!(1 << (slot % 64)), SeqCst);
}

/// Whether any process but `except` holds the slot.
pub(crate) fn held_by_others(arena: &Arena, slot: usize, except: Option<usize>) -> bool {
    process::entries(arena).any(|process| Some(process) != except && holds(arena, process, slot))
}

fn holds(arena: &Arena, process: usize, slot: usize) -> bool {
    has_page(arena, process, slot / SLOTS_PER_PAGE)
        && arena.ledger(process, slot / 64).load(SeqCst) & 1 << (slot % 64) != 0
}

/// Pages without memory are not looked at: a look would give them some.
fn has_page(arena: &Arena, process: usize, page: usize) -> bool {
    arena.entry(process).ledger_pages.load(SeqCst) & 1 << page != 0
}

/// Every slot that stands in the ledger of `process`.
pub(crate) fn slots(arena: &Arena, process: usize) -> impl Iterator<Item = usize> {
    let words = (0..LEDGER / 8)
        .step_by(WORDS_PER_PAGE)
        .filter(move |word| has_page(arena, process, word / WORDS_PER_PAGE));
    let words = words.flat_map(|first| first..first + WORDS_PER_PAGE);
    words.flat_map(move |word| {
        bits(arena.ledger(process, word).load(SeqCst)).map(move |bit| word * 64 + bit)
    })
}

/// The slots of word `word` that stand in any ledger, as bits.
pub(crate) fn held_in_word(arena: &Arena, word: usize) -> u64 {
    let held =
        process::entries(arena).filter(|&process| has_page(arena, process, word / WORDS_PER_PAGE));
    held.fold(0, |all, process| all | arena.ledger(process, word).load(SeqCst))
}

/// The numbers of the bits that are set.
pub(crate) fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}
