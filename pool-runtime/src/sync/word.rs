//! The lock: one word, taken by a compare-and-swap and given back by a swap.
//!
//! The word names its holder (see `shm::owner` for its bits), so that a death at any instruction leaves an exact record.
//! Nobody registers anything beside it. Who waits sleeps in short slices and looks after each whether the holder still lives:
//! a wake-up that went to a waiter that was killed is lost, and costs the others one slice.
//!
//! The operations are behind [`Ground`], so that a model can run every interleaving of them.

use std::time::Duration;

use crate::shm::owner::{DIED, WAITERS, holder, process_of};
use crate::sys::alive::Thread;

/// What the algorithm stands on.
pub(crate) trait Ground {
    /// Looks at the word before the first sleep: a holder on another core is often done by then. Each look is a pause of some
    /// 40 ns, and all of them together are shorter than a sleep and a wake-up.
    const LOOKS: u32;

    fn load(&self) -> u64;
    /// Acquire on success.
    fn replace(&self, old: u64, new: u64) -> bool;
    /// Release; gives the old word.
    fn swap(&self, new: u64) -> u64;
    /// Sleeps while the word is `word`, at most for `limit`; `false` when the time was over.
    fn sleep(&self, word: u64, limit: Duration) -> bool;
    fn wake_one(&self);
    /// What became of the holder that a word names.
    fn fate(&self, word: u64) -> Thread;
    /// How long the caller may still wait; `None` for ever.
    fn left(&self) -> Option<Duration>;
}

/// How a lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Plainly,
    /// From a process that died while it held it.
    FromTheDead,
}

/// Why it was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The caller holds it, and would wait for itself for ever.
    OwnThread,
    /// Its holder is a thread that ended, of a process that lives.
    HolderEnded,
    /// It did not come free in time.
    NotNow,
}

/// The first slice of sleep, and the longest: a death is told within the longest and one look at `/proc`.
const FIRST_SLICE: Duration = Duration::from_millis(2);
const LONGEST_SLICE: Duration = Duration::from_millis(32);

/// Takes the lock for `me`.
#[inline]
pub(crate) fn lock(ground: &impl Ground, me: u64) -> Result<Taken, Refused> {
    if ground.replace(0, me) { Ok(Taken::Plainly) } else { lock_slowly(ground, me) }
}

#[cold]
fn lock_slowly<G: Ground>(ground: &G, me: u64) -> Result<Taken, Refused> {
    let (mut looks, mut slice, mut mark) = (0, FIRST_SLICE, 0);
    loop {
        let now = ground.load();
        let left = ground.left();
        if process_of(now).is_none() {
            if ground.replace(now, me | mark | now & WAITERS) {
                return Ok(if now & DIED == 0 { Taken::Plainly } else { Taken::FromTheDead });
            }
            continue;
        }
        if holder(now) == me && left.is_none() {
            return Err(Refused::OwnThread);
        }
        if left.is_some_and(|left| left.is_zero()) {
            // The wake-up that this one may have had was for one of those that wait: whoever holds the lock is to know of them.
            if now | mark != now && !ground.replace(now, now | mark) {
                continue;
            }
            return give_up(ground, me, now | mark);
        }
        if looks < G::LOOKS {
            looks += 1;
            std::hint::spin_loop();
            continue;
        }
        if now & WAITERS == 0 && !ground.replace(now, now | WAITERS) {
            continue;
        }
        let now = now | WAITERS;
        mark = WAITERS;
        if !ground.sleep(now, left.map_or(slice, |left| left.min(slice)))
            && ground.load() == now
            && holder(now) != me
        {
            if let Some(answer) = ask(ground, me, now) {
                return answer;
            }
            slice = (slice * 2).min(LONGEST_SLICE);
        }
    }
}

/// The time is over; what else there may be to say than that.
fn give_up(ground: &impl Ground, me: u64, now: u64) -> Result<Taken, Refused> {
    let news = if holder(now) == me { None } else { ask(ground, me, now) };
    news.unwrap_or(Err(Refused::NotNow))
}

/// Looks what became of the holder; `None` when it lives, or the word has changed meanwhile.
fn ask(ground: &impl Ground, me: u64, now: u64) -> Option<Result<Taken, Refused>> {
    match ground.fate(now) {
        Thread::Lives => None,
        Thread::Ended => (ground.load() == now).then_some(Err(Refused::HolderEnded)),
        // The word names the dead for as long as it stands: nobody else can have been given it since.
        Thread::ProcessEnded => ground.replace(now, me | WAITERS).then_some(Ok(Taken::FromTheDead)),
    }
}

/// Gives the lock back.
#[inline]
pub(crate) fn unlock(ground: &impl Ground) {
    if ground.swap(0) & WAITERS != 0 {
        ground.wake_one();
    }
}
