//! Keeps alive what bytes mean, while the bytes are on their way.
//!
//! Within [`collect`], every handle that is encoded leaves a hold in the [`Pins`], which go with the bytes: to the job, the
//! chunk that has them. Within [`ahead`] another process is to hold the same, before it can see the bytes; that is for a worker's
//! results, chunk by chunk. Within [`in_transit`], which is for bytes on their way to another process by themselves, it leaves a record that the
//! one who decodes it strikes out. Elsewhere encoding leaves nothing: such bytes open while the object lives. Where a task runs
//! within one of these, only its [result] is encoded for it; what the task encodes by itself leaves nothing.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::atomic::Ordering::Acquire;

use super::hold::{self, Hold};
use super::process;
use super::slot::pack;
use super::transit::{self, Record};
use crate::error::Error;
use crate::sys::fork;

/// Holds on all that was encoded; drop them when the bytes are gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pins(Vec<Hold>);

impl Pins {
    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Holds these slots too, which somebody else holds now; those that are gone are passed over.
    pub(crate) fn open(slots: &[(u32, u32)]) -> Self {
        Self(
            slots
                .iter()
                .filter_map(|&(slot, generation)| Hold::open_named(pack(slot, generation)).ok())
                .collect(),
        )
    }

    /// Holds what another process names, which may name anything. Objects of another tree are none of ours.
    ///
    /// # Errors
    /// Kind `NotFound` or `Decode` when an object of this tree is not there, `Io` when it is out of reach.
    pub(crate) fn open_named(tree: u64, mut objects: Vec<u64>) -> Result<Self, Error> {
        if objects.is_empty() || tree != process::own()?.arena.head().tree.load(Acquire) {
            return Ok(Self::default());
        }
        // Each is held once: the count of holds is not for others to drive up.
        objects.sort_unstable();
        objects.dedup();
        objects.into_iter().map(Hold::open_named).collect::<Result<_, _>>().map(Self)
    }

    /// The tree of what is kept, for [`open_named`](Self::open_named).
    pub(crate) fn tree(&self) -> u64 {
        self.0.first().map_or(0, |hold| hold.own().arena.head().tree.load(Acquire))
    }

    /// What is kept, each as a word, for [`open_named`](Self::open_named).
    pub(crate) fn objects(&self) -> impl ExactSizeIterator<Item = u64> {
        self.0.iter().map(|hold| pack(hold.slot(), hold.generation()))
    }

    /// Adds another's to these.
    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The slots and generations that are kept, for those that keep bytes in shared memory, and must then keep these too.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().map(|hold| (hold.slot(), hold.generation()))
    }
}

/// Records of all that was encoded. Dropping them strikes out those that nobody has taken: do so when the one who gets the
/// bytes has decoded or dropped them.
#[derive(Debug, Default)]
pub(crate) struct Transit(Vec<Record>);

impl Drop for Transit {
    #[inline]
    fn drop(&mut self) {
        if !self.0.is_empty() {
            self.strike_out();
        }
    }
}

impl Transit {
    #[cold]
    fn strike_out(&mut self) {
        let Some(own) = process::own_if_any().filter(|_| !fork::is_copy()) else { return };
        for record in self.0.drain(..) {
            if let Some(slot) = transit::strike(own.arena, record) {
                hold::succeed(own, slot, |_| ());
            }
        }
        // What is gone now may have been a queue or a pipe, with messages in it.
        hold::after_burials(own);
    }

    /// The records, to be put where others find them with the bytes: nothing strikes them out here any more.
    pub(crate) fn keep(mut self) -> Vec<Record> {
        std::mem::take(&mut self.0)
    }

    /// Records that came with bytes; what was decoded has struck out its own.
    pub(crate) fn found(records: Vec<Record>) -> Self {
        Self(records)
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.0
    }

    /// For the moment when the bytes go where they outlive this process: it keeps the records no more. They last as long as
    /// `reader`, without which nobody takes the bytes.
    pub(crate) fn entrust(&self, reader: Option<&Hold>) {
        if let Some(own) = process::own_if_any() {
            transit::entrust(own.arena, &self.0, reader.map(|reader| reader.slot() as usize));
        }
    }

    /// The bytes did not go: this process keeps the records.
    pub(crate) fn take_back(&self) {
        if let Some(own) = process::own_if_any() {
            transit::hand_over(own.arena, &self.0, own.index);
        }
    }
}

/// Gives pins to another process that is to hold the same.
pub(crate) type HandOver = dyn Fn(Pins) -> Result<(), Error>;
/// So many are handed over at once: as go into a message without a file.
const AT_ONCE: usize = 1000;

enum Collector {
    Pins(Vec<Hold>),
    /// The first so many have been handed over.
    Ahead(Vec<Hold>, usize, Rc<HandOver>),
    Transit(Transit),
}

thread_local! {
    /// Not dropped, and so there for what other destructors of the thread encode; it is empty then.
    static COLLECTOR: RefCell<ManuallyDrop<Option<Collector>>> = const { RefCell::new(ManuallyDrop::new(None)) };
    /// Whether what is encoded now is for the collector.
    static HEEDS: Cell<bool> = const { Cell::new(false) };
    /// Something may have to be handed over.
    static NEWS: Cell<bool> = const { Cell::new(false) };
    /// Something may be kept within [`ahead`].
    static KEPT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, of which the collector around it takes only what a [result] names.
pub(crate) fn aside<R>(work: impl FnOnce() -> R) -> R {
    heeding(false, work)
}

/// Runs `encode`, for the collector around this: the result of what is run [aside], or [ahead].
#[inline]
pub(crate) fn result<R>(encode: impl FnOnce() -> R) -> R {
    heeding(true, encode)
}

#[inline]
fn heeding<R>(heeds: bool, work: impl FnOnce() -> R) -> R {
    /// Also when `work` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            HEEDS.set(self.0);
        }
    }
    let _restore = Restore(HEEDS.replace(heeds));
    work()
}

/// Runs `encode`, and keeps alive what it encodes.
pub(crate) fn collect<R>(encode: impl FnOnce() -> R) -> (R, Pins) {
    match within(Collector::Pins(Vec::new()), encode) {
        (result, Some(Collector::Pins(holds))) => (result, Pins(holds)),
        (result, _) => (result, Pins::default()),
    }
}

/// Runs `work`, and keeps alive what its results name until it calls [`let_go`]; whenever it calls [`hand_over`], what is new is
/// handed over.
pub(crate) fn ahead<R>(hand_over: Rc<HandOver>, work: impl FnOnce() -> R) -> R {
    within(Collector::Ahead(Vec::new(), 0, hand_over), || aside(work)).0
}

/// Lets go of what was kept.
#[inline]
pub(crate) fn let_go() {
    if KEPT.replace(false) {
        let_go_of_some();
    }
}

#[cold]
fn let_go_of_some() {
    NEWS.set(false);
    // Dropped after the collector is not borrowed any more.
    let _holds = COLLECTOR.with_borrow_mut(|collector| match &mut **collector {
        Some(Collector::Ahead(holds, known, _)) => {
            *known = 0;
            std::mem::take(holds)
        }
        _ => Vec::new(),
    });
}

/// Hands over what has been encoded since the last time. To be called before others can see the bytes: from then on they mean
/// something, whether this process lives or not.
///
/// # Errors
/// Why the other process does not hold it.
#[inline]
pub(crate) fn hand_over() -> Result<(), Error> {
    if NEWS.get() { hand_over_news() } else { Ok(()) }
}

#[cold]
fn hand_over_news() -> Result<(), Error> {
    // The collector is not borrowed meanwhile: it is not known here what handing over does.
    while let Some((pins, way)) = news() {
        let count = pins.0.len();
        let handed = way(pins);
        COLLECTOR.with_borrow_mut(|collector| match &mut **collector {
            Some(Collector::Ahead(_, known, _)) if handed.is_ok() => *known += count,
            // What names these next must try again.
            Some(Collector::Ahead(holds, known, _)) => holds.truncate(*known),
            _ => {}
        });
        handed?;
    }
    Ok(())
}

fn news() -> Option<(Pins, Rc<HandOver>)> {
    COLLECTOR.with_borrow(|collector| {
        // Another collector is within the one that has news, and leaves them to it.
        let Some(Collector::Ahead(holds, known, way)) = &**collector else { return None };
        let some = holds[*known..].chunks(AT_ONCE).next();
        NEWS.set(some.is_some());
        Some((Pins(some?.to_vec()), Rc::clone(way)))
    })
}

/// Adds what was kept alive before to what the [`collect`] around this keeps.
pub(crate) fn hand_on(pins: Pins) {
    COLLECTOR.with_borrow_mut(|collector| {
        if let Some(Collector::Pins(holds)) = &mut **collector {
            holds.extend(pins.0);
        }
    });
}

/// Runs `encode`, whose bytes go to another process; what it encodes lives until it is decoded there.
#[inline]
pub(crate) fn in_transit<R>(encode: impl FnOnce() -> R) -> (R, Transit) {
    match within(Collector::Transit(Transit::default()), encode) {
        (result, Some(Collector::Transit(transit))) => (result, transit),
        (result, _) => (result, Transit::default()),
    }
}

#[inline]
fn swap(collector: Option<Collector>) -> Option<Collector> {
    ManuallyDrop::into_inner(COLLECTOR.replace(ManuallyDrop::new(collector)))
}

#[inline]
fn within<R>(collector: Collector, encode: impl FnOnce() -> R) -> (R, Option<Collector>) {
    /// Puts the outer collector back, also when `encode` panics: what it had encoded until then is let go of.
    struct Restore(Option<Collector>);
    impl Drop for Restore {
        fn drop(&mut self) {
            drop(swap(self.0.take()));
        }
    }
    let restore = Restore(swap(Some(collector)));
    let result = heeding(true, encode);
    let collected = swap(None);
    drop(restore);
    (result, collected)
}

/// Whether somebody keeps alive what is encoded now.
pub(crate) fn are_kept() -> bool {
    HEEDS.get() && COLLECTOR.with_borrow(|collector| collector.is_some())
}

/// How many of the last pins are looked at for one that is there already: a lock that goes with every item is kept once.
const LOOK_BACK: usize = 8;

/// A handle is being encoded; gives the record of it, if it is in transit.
///
/// # Errors
/// As for [`transit::enter`], and kind `Disconnected` in a plain fork: its record would be its parent's, which knows nothing of
/// it.
pub(crate) fn note(held: &Hold) -> Result<Option<Record>, Error> {
    process::own()?;
    if !HEEDS.get() {
        return Ok(None);
    }
    COLLECTOR.with_borrow_mut(|collector| match &mut **collector {
        None => Ok(None),
        Some(Collector::Pins(holds)) => {
            keep(holds, held);
            Ok(None)
        }
        Some(Collector::Ahead(holds, ..)) => {
            NEWS.set(true);
            KEPT.set(true);
            keep(holds, held);
            Ok(None)
        }
        Some(Collector::Transit(transit)) => {
            let record = transit::enter(held.own(), held.slot() as usize)?;
            transit.0.push(record);
            Ok(Some(record))
        }
    })
}

fn keep(holds: &mut Vec<Hold>, held: &Hold) {
    if !holds.iter().rev().take(LOOK_BACK).any(|hold| hold.slot() == held.slot()) {
        holds.push(held.clone());
    }
}
