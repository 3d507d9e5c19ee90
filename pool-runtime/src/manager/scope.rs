//! What a thread is encoding or decoding right now, so that handles in a value know on whose behalf they travel.
//!
//! While a value is encoded, the handles in it are noted, those of the server's objects and those of shared memory: the server
//! keeps what they name alive as long as it keeps the value. While a reply is decoded, the handles in it find that the server
//! has already counted them.

use std::cell::RefCell;

use crate::luggage;
use crate::shm::pins::{self, Pins};

/// What the bytes of a value name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Objects of the server.
    pub(crate) refs: Vec<u64>,
    /// Objects in shared memory, which live at least as long as this.
    pub(crate) pins: Pins,
}

struct Scope {
    server: u128,
    ids: Vec<u64>,
}

thread_local! {
    static ENCODING: RefCell<Vec<Scope>> = const { RefCell::new(Vec::new()) };
    static DECODING: RefCell<Vec<Scope>> = const { RefCell::new(Vec::new()) };
}

type Stack = std::thread::LocalKey<RefCell<Vec<Scope>>>;

/// Takes its scope off the stack, also when the value's own code panics.
struct Entered(&'static Stack, Vec<u64>);

impl Entered {
    fn new(stack: &'static Stack, server: u128, ids: Vec<u64>) -> Self {
        stack.with_borrow_mut(|stack| stack.push(Scope { server, ids }));
        Self(stack, Vec::new())
    }

    fn leave(mut self) -> Vec<u64> {
        self.pop();
        std::mem::take(&mut self.1)
    }

    fn pop(&mut self) {
        self.1 =
            self.0.with_borrow_mut(|stack| stack.pop().map_or_else(Vec::new, |scope| scope.ids));
    }
}

impl Drop for Entered {
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
pub(crate) fn encoded(server: u128, id: u64) -> bool {
    ENCODING.with_borrow_mut(|stack| {
        match stack.last_mut().filter(|scope| scope.server == server) {
            Some(scope) => {
                scope.ids.push(id);
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
        let found = scope.ids.iter().position(|&granted| granted == id);
        found.map(|at| scope.ids.swap_remove(at)).is_some()
    })
}
