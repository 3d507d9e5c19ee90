//! Descriptors that travel beside the bytes of a value.
//!
//! The bytes hold only numbers. Where a message carries the bytes, `pack` collects what the value's parts hand in and
//! `unpack` gives them out again, each once. In a job of a pool nobody knows beforehand which worker will read an item: there
//! `keep` holds the descriptors in this process until the item has ended, and the worker asks for them. A worker's result
//! sends them ahead. Anywhere else a value with descriptors is an error. Between `codec` and whatever carries bytes; it knows
//! neither.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::LocalKey;

use crate::error::{Error, ErrorKind};

thread_local! {
    /// What happens to what is handed in. Neither is dropped, and so both are there for what other destructors of the thread encode
    /// and decode; they are empty then.
    static PACKING: RefCell<ManuallyDrop<Packing>> = const { RefCell::new(ManuallyDrop::new(Packing::Refused)) };
    /// Where what is taken comes from.
    static UNPACKING: RefCell<ManuallyDrop<Unpacking>> = const { RefCell::new(ManuallyDrop::new(Unpacking::Nowhere)) };
}

/// Sends a descriptor ahead, and gives its number.
pub(crate) type SendAhead = dyn Fn(BorrowedFd<'_>) -> Result<u64, Error>;
/// Asks whoever has it for the descriptor of that number.
pub(crate) type Ask = dyn Fn(u64) -> Result<OwnedFd, Error>;

enum Packing {
    Refused,
    /// Goes beside the bytes; its number is its position.
    Beside(Vec<OwnedFd>),
    /// Stays here until it is asked for.
    Kept(Vec<Kept>),
    Ahead(Rc<SendAhead>),
}

enum Unpacking {
    Nowhere,
    Beside(Vec<Option<OwnedFd>>),
    Asked(Rc<Ask>),
}

/// The most descriptors that go with one message.
pub(crate) const MOST: usize = crate::sys::socket::DESCRIPTORS - 2;

/// Numbers from here on name what is kept; below, they are positions.
const FIRST_KEPT: u64 = 1 << 32;

/// A descriptor that is kept until this is dropped.
#[derive(Debug)]
pub(crate) struct Kept(u64);

impl Kept {
    fn new(descriptor: OwnedFd) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(FIRST_KEPT);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        all_kept().insert(number, descriptor);
        Self(number)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        all_kept().remove(&self.0);
    }
}

fn all_kept() -> MutexGuard<'static, BTreeMap<u64, OwnedFd>> {
    static KEPT: Mutex<BTreeMap<u64, OwnedFd>> = Mutex::new(BTreeMap::new());
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A copy of what is kept under that number, or of what is at that position of `beside`.
///
/// # Errors
/// Kind `NotFound` when there is none, `Io` when this process may open no more.
pub(crate) fn copy_of(number: u64, beside: &[OwnedFd]) -> Result<OwnedFd, Error> {
    let copy = match all_kept().get(&number) {
        Some(kept) => kept.try_clone(),
        None => usize::try_from(number)
            .ok()
            .and_then(|at| beside.get(at))
            .ok_or_else(missing)?
            .try_clone(),
    };
    copy.map_err(no_more)
}

/// As [`copy_of`], for the only one who will ask: what is kept is his from now on, and nobody here holds the other end of his
/// connection open.
///
/// # Errors
/// As for [`copy_of`].
pub(crate) fn last_of(number: u64, beside: &[OwnedFd]) -> Result<OwnedFd, Error> {
    let kept = all_kept().remove(&number);
    kept.map_or_else(|| copy_of(number, beside), Ok)
}

/// Runs `encode`, and gives the descriptors that were handed in meanwhile, behind those of `before`.
pub(crate) fn pack<R>(before: Vec<OwnedFd>, encode: impl FnOnce() -> R) -> (R, Vec<OwnedFd>) {
    match packing(Packing::Beside(before), encode) {
        (result, Packing::Beside(packed)) => (result, packed),
        (result, _) => (result, Vec::new()),
    }
}

/// Runs `encode`, and gives what keeps the descriptors that were handed in meanwhile.
pub(crate) fn keep<R>(encode: impl FnOnce() -> R) -> (R, Vec<Kept>) {
    match packing(Packing::Kept(Vec::new()), encode) {
        (result, Packing::Kept(kept)) => (result, kept),
        (result, _) => (result, Vec::new()),
    }
}

/// Adds what was kept before to what the [`keep`] around this keeps.
pub(crate) fn hand_on(kept: Vec<Kept>) {
    PACKING.with_borrow_mut(|packing| {
        if let Packing::Kept(all) = &mut **packing {
            all.extend(kept);
        }
    });
}

/// Runs `encode` where nothing takes descriptors along, whatever goes on around it.
#[inline]
pub(crate) fn without<R>(encode: impl FnOnce() -> R) -> R {
    packing(Packing::Refused, encode).0
}

/// Runs `work` where descriptors are asked for when they are needed, and sent ahead when they are handed in.
pub(crate) fn at_work<R>(ask: Rc<Ask>, ahead: Rc<SendAhead>, work: impl FnOnce() -> R) -> R {
    packing(Packing::Ahead(ahead), || unpacking(Unpacking::Asked(ask), work)).0
}

/// Runs `decode`, which may take these descriptors. What it leaves is closed.
pub(crate) fn unpack<R>(descriptors: Vec<OwnedFd>, decode: impl FnOnce() -> R) -> R {
    unpacking(Unpacking::Beside(descriptors.into_iter().map(Some).collect()), decode)
}

/// Runs `decode`, which asks for the descriptors that it needs.
pub(crate) fn unpack_asking<R>(ask: Rc<Ask>, decode: impl FnOnce() -> R) -> R {
    unpacking(Unpacking::Asked(ask), decode)
}

#[inline]
fn swap<T>(place: &'static LocalKey<RefCell<ManuallyDrop<T>>>, now: T) -> T {
    ManuallyDrop::into_inner(place.replace(ManuallyDrop::new(now)))
}

/// A value may encode another one for another way while it is encoded, and it may panic: so what was there comes back.
#[inline]
fn packing<R>(now: Packing, encode: impl FnOnce() -> R) -> (R, Packing) {
    struct Restore(Packing);
    impl Drop for Restore {
        fn drop(&mut self) {
            drop(swap(&PACKING, std::mem::replace(&mut self.0, Packing::Refused)));
        }
    }
    let restore = Restore(swap(&PACKING, now));
    let result = encode();
    let packed = swap(&PACKING, Packing::Refused);
    drop(restore);
    (result, packed)
}

fn unpacking<R>(now: Unpacking, decode: impl FnOnce() -> R) -> R {
    struct Restore(Unpacking);
    impl Drop for Restore {
        fn drop(&mut self) {
            drop(swap(&UNPACKING, std::mem::replace(&mut self.0, Unpacking::Nowhere)));
        }
    }
    let _restore = Restore(swap(&UNPACKING, now));
    decode()
}

/// Hands in a copy of a descriptor; its number goes into the bytes.
///
/// # Errors
/// Kind `Encode` where nothing carries descriptors, or no more of them; `Io` when this process may open no more.
pub(crate) fn hand_in(descriptor: BorrowedFd<'_>) -> Result<u64, Error> {
    let ahead = PACKING.with_borrow_mut(|packing| match &mut **packing {
        Packing::Refused => Err(no_way()),
        Packing::Ahead(ahead) => Ok(Err(Rc::clone(ahead))),
        Packing::Beside(packed) if packed.len() >= MOST => {
            let text =
                format!("a message takes at most {MOST} files, sockets and connections along");
            Err(Error::new(ErrorKind::Encode, text))
        }
        Packing::Beside(packed) => {
            packed.push(descriptor.try_clone_to_owned().map_err(no_more)?);
            Ok(Ok(packed.len() as u64 - 1))
        }
        Packing::Kept(kept) => {
            let one = Kept::new(descriptor.try_clone_to_owned().map_err(no_more)?);
            let number = one.0;
            kept.push(one);
            Ok(Ok(number))
        }
    })?;
    ahead.or_else(|ahead| ahead(descriptor))
}

#[cold]
fn no_more(error: std::io::Error) -> Error {
    Error::os("duplicating a descriptor", error)
}

#[cold]
fn no_way() -> Error {
    let text = "a file, socket or connection cannot lie in a queue, a manager or anywhere else as bytes: it goes only directly \
                to another process, as an argument or a result of a task or a process, or through a connection";
    Error::new(ErrorKind::Encode, text)
}

#[cold]
fn missing() -> Error {
    Error::new(ErrorKind::NotFound, "a descriptor did not come along")
}

/// Takes the descriptor of that number.
///
/// # Errors
/// Kind `Decode` when there is none, or no longer.
pub(crate) fn take(number: u64) -> Result<OwnedFd, Error> {
    let ask = UNPACKING.with_borrow_mut(|unpacking| match &mut **unpacking {
        Unpacking::Nowhere => Err(missing()),
        Unpacking::Asked(ask) => Ok(Err(Rc::clone(ask))),
        Unpacking::Beside(open) => {
            let at = usize::try_from(number).map_err(|_| missing())?;
            open.get_mut(at).and_then(Option::take).map(Ok).ok_or_else(missing)
        }
    });
    let taken = ask.and_then(|taken| taken.or_else(|ask| ask(number)));
    taken.map_err(|error| error.with_kind(ErrorKind::Decode))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn some_descriptor() -> OwnedFd {
        std::fs::File::open("/dev/null").map(OwnedFd::from).expect("there is /dev/null")
    }

    #[test]
    fn each_is_taken_once() {
        let (number, packed) = pack(Vec::new(), || hand_in(some_descriptor().as_fd()));
        let number = number.expect("it is being packed");
        unpack(packed, || {
            assert!(take(number + 1).is_err());
            assert!(take(number).is_ok());
            assert!(take(number).is_err());
        });
        assert!(take(number).is_err());
    }

    #[test]
    fn outside_nothing_is_handed_in() {
        let error = hand_in(some_descriptor().as_fd()).expect_err("nothing is being packed");
        assert_eq!(error.kind(), ErrorKind::Encode);
    }

    #[test]
    fn packing_inside_of_packing_is_separate() {
        let (inner, outer) = pack(Vec::new(), || {
            hand_in(some_descriptor().as_fd()).expect("it is being packed");
            pack(Vec::new(), || ()).1.len()
        });
        assert_eq!((inner, outer.len()), (0, 1));
    }

    #[test]
    fn what_is_kept_is_there_as_long_as_it_is_kept() {
        let (number, kept) = keep(|| hand_in(some_descriptor().as_fd()));
        let number = number.expect("it is being kept");
        assert!(copy_of(number, &[]).is_ok());
        assert!(copy_of(0, &[some_descriptor()]).is_ok());
        drop(kept);
        assert!(copy_of(number, &[]).is_err());
    }
}
