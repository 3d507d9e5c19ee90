//! What a thread is encoding or decoding right now, so that handles in a value know on whose behalf they travel.
//!
//! While a value is encoded, the handles in it are noted, those of the server's objects and those of shared memory: the server
//! keeps what they name alive as long as it keeps the value. While a reply is decoded, the handles in it find that the server
//! has already counted them.

use std::cell::RefCell;

use super::handle::Handle;
use crate::luggage;
use crate::shm::pins::{self, Pins};

/// What the bytes of a value name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Objects of the server: held, for whoever encodes one may drop it at once.
    pub(crate) refs: Vec<Handle>,
    /// Objects in shared memory, which live at least as long as this.
    pub(crate) pins: Pins,
}

struct Scope<N> {
    server: u128,
    named: Vec<N>,
}

thread_local! {
    static ENCODING: RefCell<Vec<Scope<Handle>>> = const { RefCell::new(Vec::new()) };
    static DECODING: RefCell<Vec<Scope<u64>>> = const { RefCell::new(Vec::new()) };
}

type Stack<N> = std::thread::LocalKey<RefCell<Vec<Scope<N>>>>;

/// Takes its scope off the stack, also when the value's own code panics.
struct Entered<N: 'static>(&'static Stack<N>, Vec<N>);

impl<N> Entered<N> {
    fn new(stack: &'static Stack<N>, server: u128, named: Vec<N>) -> Self {
        stack.with_borrow_mut(|stack| stack.push(Scope { server, named }));
        Self(stack, Vec::new())
    }

    fn leave(mut self) -> Vec<N> {
        self.pop();
        std::mem::take(&mut self.1)
    }

    fn pop(&mut self) {
        self.1 =
            self.0.with_borrow_mut(|stack| stack.pop().map_or_else(Vec::new, |scope| scope.named));
    }
}

impl<N> Drop for Entered<N> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.pop();
        }
    }
}

/// Runs `encode`, and gives what the handles that it met name: those of `server`, and those of shared memory.
pub(crate) fn encoding<R>(server: u128, encode: impl FnOnce() -> R) -> (R, Names) {
    let scope = Entered::new(&ENCODING, server, Vec::new());
    // Descriptors cannot lie in a server, even while this process encodes something that could take them along.
    let (result, pins) = pins::collect(|| luggage::without(encode));
    (result, Names { refs: scope.leave(), pins })
}

/// A handle is being encoded. `false`: nobody on whose behalf.
pub(crate) fn encoded(handle: &Handle) -> bool {
    if !pins::are_kept() {
        return false;
    }
    let server = handle.link().server();
    ENCODING.with_borrow_mut(|stack| {
        match stack.last_mut().filter(|scope| scope.server == server) {
            Some(scope) => {
                scope.named.push(handle.clone());
                true
            }
            None => false,
        }
    })
}

/// Whether what is being encoded is for a server.
pub(crate) fn is_open() -> bool {
    ENCODING.with_borrow(|stack| !stack.is_empty())
}

/// Runs `decode`, which may take over what is held of `ids`; gives what it did not take.
pub(crate) fn decoding<R>(
    server: u128,
    ids: Vec<u64>,
    decode: impl FnOnce() -> R,
) -> (R, Vec<u64>) {
    let scope = Entered::new(&DECODING, server, ids);
    let result = decode();
    (result, scope.leave())
}

/// A handle is being decoded. `true`: the server has counted it, once.
pub(crate) fn decoded(server: u128, id: u64) -> bool {
    DECODING.with_borrow_mut(|stack| {
        let Some(scope) = stack.last_mut().filter(|scope| scope.server == server) else {
            return false;
        };
        let found = scope.named.iter().position(|&granted| granted == id);
        found.map(|at| scope.named.swap_remove(at)).is_some()
    })
}
