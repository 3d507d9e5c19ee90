//! A hold on a slot: while there is one in any process, the slot lives.
//!
//! Within a process holds are counted in its own memory; only the first and the last of them touch the ledger.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::arena::Arena;
use super::layout::{CLASSES, SLOTS, Slot, class_of, classes_for};
use super::process::{self, Own};
use super::{burial, ledger, owner, slot, sweep};
use crate::error::{Error, ErrorKind};
use crate::sys::fork;

const CHUNK: usize = 4096;
const SHARDS: usize = 64;
/// How many slots are looked up at once.
const BATCH: usize = 32;

struct Local {
    /// How many holds this process has, by slot.
    counts: [OnceLock<Box<[AtomicU32]>>; SLOTS.div_ceil(CHUNK)],
    /// Held while a slot's count leaves 0 or comes back to it.
    shards: [Mutex<()>; SHARDS],
    /// By class, slots that may be free.
    spare: [Mutex<Vec<u32>>; CLASSES.len()],
}

static LOCAL: Local = Local {
    counts: [const { OnceLock::new() }; SLOTS.div_ceil(CHUNK)],
    shards: [const { Mutex::new(()) }; SHARDS],
    spare: [const { Mutex::new(Vec::new()) }; CLASSES.len()],
};

impl Local {
    fn count(&self, slot: usize) -> &AtomicU32 {
        let chunk = self.counts[slot / CHUNK]
            .get_or_init(|| (0..CHUNK).map(|_| AtomicU32::new(0)).collect());
        &chunk[slot % CHUNK]
    }

    fn shard(&self, slot: usize) -> MutexGuard<'_, ()> {
        lock(&self.shards[slot % SHARDS])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an object is, as it is entered in its slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    pub(crate) kind: u64,
    pub(crate) size: usize,
    pub(crate) align: usize,
    pub(crate) guarded_by: u64,
    /// How many of its bytes have memory behind them from the beginning.
    pub(crate) backed: usize,
}

/// Keeps a slot alive.
#[derive(Debug)]
pub(crate) struct Hold {
    own: &'static Own,
    slot: u32,
    generation: u32,
}

impl Hold {
    /// Makes an object; its bytes are zeros until `fill` writes them, and nobody else sees it before.
    ///
    /// # Errors
    /// Kind `Io` or `Full` when memory or slots have run out, `InvalidInput` for a size or alignment beyond all bounds.
    pub(crate) fn make(about: &About, fill: impl FnOnce(&Self)) -> Result<Self, Error> {
        let own = process::own()?;
        sweep::now_and_then(own);
        let mut largest = None;
        for class in classes_for(about.size, about.align).filter(|&class| own.arena.reaches(class))
        {
            let reserved = reserve(own, class);
            // A place that was looked at meanwhile may have been the last that a queue had.
            after_burials(own);
            if let Some((slot, generation)) = reserved? {
                let hold = Self { own, slot, generation };
                hold.prepare(about)?;
                fill(&hold);
                slot::publish(own.arena, slot as usize, generation);
                return Ok(hold);
            }
            largest = Some(class);
        }
        let text = format!("{} bytes of shared memory aligned to {}", about.size, about.align);
        Err(match largest {
            Some(_) => Error::new(ErrorKind::Full, format!("no place is left for {text}")),
            None => Error::new(ErrorKind::InvalidInput, format!("{text} are more than can be had")),
        })
    }

    fn prepare(&self, about: &About) -> Result<(), Error> {
        let head = self.head();
        head.kind.store(about.kind, Relaxed);
        head.size.store(about.size as u64, Relaxed);
        head.guarded_by.store(about.guarded_by, Relaxed);
        self.own.arena.fill(self.slot as usize, about.backed)
    }

    /// Holds the object of that generation. The numbers may be anything.
    ///
    /// # Errors
    /// Kind `NotFound` when it is gone or never was, `Io` when the limit of this process's address space keeps it out of reach.
    pub(crate) fn open(slot: u32, generation: u32) -> Result<Self, Error> {
        let (own, at) = (process::own()?, slot as usize);
        // Below what was ever used there is memory; above there is nothing to find.
        if at >= SLOTS || slot::is_fresh(own.arena, at) {
            return Err(slot::gone());
        }
        let count = LOCAL.count(at);
        if !own.arena.reaches(class_of(at)) {
            let text =
                "the object lies beyond what this process may map: its address space is limited";
            return Err(Error::new(ErrorKind::Io, text));
        }
        let one_more = |count: u32| (count > 0).then(|| count + 1);
        if count.fetch_update(AcqRel, Relaxed, one_more).is_err() {
            let _shard = LOCAL.shard(at);
            if count.load(Acquire) == 0 {
                ledger::enter(own.arena, own.index, at)?;
            }
            count.fetch_add(1, AcqRel);
        }
        // Made before the check: dropping it undoes the above.
        let hold = Self { own, slot, generation };
        slot::check(own.arena, at, generation)?;
        Ok(hold)
    }

    /// Holds what a word that anybody may have written names, if it is one that [`slot::pack`] makes.
    ///
    /// # Errors
    /// As for [`open`](Self::open), and kind `Decode` for a word that names no place.
    pub(crate) fn open_named(word: u64) -> Result<Self, Error> {
        let (slot, generation) = slot::unpack(word)
            .ok_or_else(|| Error::new(ErrorKind::Decode, "these bytes are no handle"))?;
        // Below what was ever used there is memory; above there is nothing to find.
        if slot::is_fresh(process::own()?.arena, slot as usize) {
            return Err(slot::gone());
        }
        Self::open(slot, generation)
    }

    #[inline]
    pub(crate) fn own(&self) -> &'static Own {
        self.own
    }

    #[inline]
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    #[inline]
    pub(crate) fn head(&self) -> &'static Slot {
        self.own.arena.slot(self.slot as usize)
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        LOCAL.count(self.slot as usize).fetch_add(1, Relaxed);
        Self { ..*self }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if fork::is_copy() {
            return;
        }
        let (at, count) = (self.slot as usize, LOCAL.count(self.slot as usize));
        let one_less = |count: u32| (count > 1).then(|| count - 1);
        if count.fetch_update(Release, Relaxed, one_less).is_ok() {
            return;
        }
        let shard = LOCAL.shard(at);
        // A lock that this process holds, by a guard that was forgotten, must not become another object. The ledger keeps it
        // until the process ends.
        let held = || owner::process_of(self.head().lock.load(Acquire)) == Some(self.own.index);
        if count.fetch_sub(1, AcqRel) == 1 && !held() {
            give_back(self.own, at);
        }
        drop(shard);
        after_burials(self.own);
    }
}

/// Whether the object that a word names lives, for one who does not hold it. The word may be anything.
pub(crate) fn lives(own: &Own, word: u64) -> bool {
    sweep::now_and_then(own);
    slot::unpack(word).is_some_and(|(slot, generation)| {
        !slot::is_fresh(own.arena, slot as usize)
            && slot::lives(own.arena, slot as usize, generation)
    })
}

/// Gives back what a queue or a pipe that was given back kept alive, unless others hold it.
pub(crate) fn after_burials(own: &Own) {
    while let Some(slot) = burial::next_freed() {
        succeed(own, slot, |_| ());
    }
}

fn give_back(own: &Own, slot: usize) {
    slot::let_go(own.arena, own.index, slot);
    let mut spare = lock(&LOCAL.spare[class_of(slot)]);
    if spare.len() < BATCH * BATCH {
        spare.push(slot as u32);
    }
}

/// Reserves a slot of the class; `None` when none is free. The hold counts once.
fn reserve(own: &Own, class: usize) -> Result<Option<(u32, u32)>, Error> {
    let mut from = own.index * 977;
    let mut looks = 0;
    loop {
        let next = lock(&LOCAL.spare[class]).pop();
        let slot = match next {
            Some(slot) => slot,
            None => {
                looks += 1;
                let found = slot::candidates(own.arena, class, BATCH, from)?;
                let Some(&last) = found.last().filter(|_| looks < SHARDS) else { return Ok(None) };
                from = last as usize;
                lock(&LOCAL.spare[class]).extend(found);
                continue;
            }
        };
        if let Some(generation) = try_reserve(own, slot as usize)? {
            return Ok(Some((slot, generation)));
        }
    }
}

fn try_reserve(own: &Own, slot: usize) -> Result<Option<u32>, Error> {
    let (count, _shard) = (LOCAL.count(slot), LOCAL.shard(slot));
    if count.load(Acquire) != 0
        || slot::phase(own.arena.slot(slot).state.load(Relaxed)) != slot::FREE
    {
        return Ok(None);
    }
    // Entered first: a death from here on is found by whoever sweeps the ledger.
    ledger::enter(own.arena, own.index, slot)?;
    let generation = slot::try_reserve(own.arena, own.index, slot);
    match generation {
        Some(_) => count.store(1, Release),
        None => slot::let_go(own.arena, own.index, slot),
    }
    Ok(generation)
}

/// Holds a slot for a moment, whatever lives in it, while `meanwhile` strikes out another's claim to it. When that was the
/// last one, the slot is given back.
pub(crate) fn succeed(own: &Own, slot: usize, meanwhile: impl FnOnce(&Arena)) {
    let (count, _shard) = (LOCAL.count(slot), LOCAL.shard(slot));
    let mine = count.load(Acquire) != 0
        || owner::process_of(own.arena.slot(slot).lock.load(Acquire)) == Some(own.index);
    let entered = mine || ledger::enter(own.arena, own.index, slot).is_ok();
    meanwhile(own.arena);
    if !mine && entered {
        give_back(own, slot);
    }
}
