//! Descriptors that travel beside the bytes of a value.
//!
//! While a value is encoded for a way that carries descriptors, `pack` collects what the value's parts hand in, and the bytes
//! hold only numbers; where it is decoded, `unpack` gives them out by these numbers, each once. Anywhere else a value with
//! descriptors is an error. Between `codec` and whatever carries messages; it knows neither.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Error, ErrorKind};

thread_local! {
    /// What has been handed in; `None` outside of `pack`.
    static PACKING: RefCell<Option<Vec<OwnedFd>>> = const { RefCell::new(None) };
    /// What may still be taken; `None` outside of `unpack`.
    static UNPACKING: RefCell<Option<Vec<Option<OwnedFd>>>> = const { RefCell::new(None) };
}

/// The most descriptors that go with one value.
pub(crate) const MOST: usize = crate::sys::socket::DESCRIPTORS - 2;

/// Runs `encode`, and gives the descriptors that were handed in meanwhile, behind those of `before`.
pub(crate) fn pack<R>(before: Vec<OwnedFd>, encode: impl FnOnce() -> R) -> (R, Vec<OwnedFd>) {
    struct Restore(Option<Vec<OwnedFd>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            PACKING.set(self.0.take());
        }
    }
    // A value may encode another one for another way while it is encoded, and it may panic.
    let restore = Restore(PACKING.replace(Some(before)));
    let result = encode();
    let packed = PACKING.take().unwrap_or_default();
    drop(restore);
    (result, packed)
}

/// Hands in a copy of a descriptor; its number goes into the bytes.
///
/// # Errors
/// Kind `Encode` where nothing carries descriptors, or no more of them; `Io` when this process may open no more.
pub(crate) fn hand_in(descriptor: BorrowedFd<'_>) -> Result<u32, Error> {
    PACKING.with_borrow_mut(|packing| {
        let packing = packing.as_mut().ok_or_else(no_way)?;
        if packing.len() >= MOST {
            let text = format!("a value takes at most {MOST} files, sockets and connections along");
            return Err(Error::new(ErrorKind::Encode, text));
        }
        let copy = descriptor.as_fd().try_clone_to_owned();
        packing.push(copy.map_err(|error| Error::os("duplicating a descriptor", error))?);
        Ok(packing.len() as u32 - 1)
    })
}

/// For ways that carry no descriptors.
///
/// # Errors
/// Kind `Encode` when there are any.
pub(crate) fn refuse(descriptors: &[OwnedFd]) -> Result<(), Error> {
    if descriptors.is_empty() { Ok(()) } else { Err(no_way()) }
}

#[cold]
fn no_way() -> Error {
    let text = "a file, socket or connection goes only directly to another process: \
                as an argument of a process, as its result, or through a connection";
    Error::new(ErrorKind::Encode, text)
}

/// Runs `decode`, which may take these descriptors. What it leaves is closed.
pub(crate) fn unpack<R>(descriptors: Vec<OwnedFd>, decode: impl FnOnce() -> R) -> R {
    struct Restore(Option<Vec<Option<OwnedFd>>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            drop(UNPACKING.replace(self.0.take()));
        }
    }
    let open = descriptors.into_iter().map(Some).collect();
    let _restore = Restore(UNPACKING.replace(Some(open)));
    decode()
}

/// Takes the descriptor of that number.
///
/// # Errors
/// Kind `Decode` when there is none, or no longer.
pub(crate) fn take(number: u32) -> Result<OwnedFd, Error> {
    let taken = UNPACKING.with_borrow_mut(|open| open.as_mut()?.get_mut(number as usize)?.take());
    taken.ok_or_else(|| Error::new(ErrorKind::Decode, "a descriptor did not come along"))
}

#[cfg(test)]
mod tests {
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
}
