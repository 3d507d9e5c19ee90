//! The child's side of a process: arguments, the function, its result, the end.

use std::io::Write as _;

use crate::error::{Error, ErrorKind};
use crate::luggage;
use crate::message::ProcessHello;
use crate::pool;
use crate::registry::{self, TaskId};
use crate::shm::{pins, process};
use crate::sys::fork;
use crate::sys::signals;
use crate::sys::socket::Socket;
use crate::wire::{self, Bytes, NO_READER, Value};

/// The notes of the one message that a child sends: its encoded result, or an [`Error`].
pub(crate) const RETURNED: u8 = 0;
pub(crate) const FAILED: u8 = 1;

/// What a program leaves with that panics.
const PANICKED: i32 = 101;
const FAILURE: i32 = 1;

/// The whole life of a process.
pub(crate) fn main(hello: &ProcessHello, socket: &Socket) -> ! {
    signals::end_when_asked();
    fork::watch_and_leave();
    let ((result, luggage), transit) =
        pins::in_transit(|| luggage::pack(Vec::new(), || run(hello, socket)));
    // Handles in the result live until the parent has opened them, and sweeps what this process leaves.
    if !transit.keep().is_empty() {
        process::leave_to_parent();
    }
    let (code, sent) = match result {
        Ok(bytes) => (0, wire::send(socket, RETURNED, luggage, &Bytes(&bytes), NO_READER)),
        Err(error) => (report(&error), fail(socket, &error)),
    };
    // The parent may be gone, and the user's code may have closed what it prints to.
    drop((sent, std::io::stdout().flush()));
    std::process::exit(code)
}

/// Says to the parent why there is no result.
///
/// # Errors
/// Kind `Disconnected` when it is gone.
pub(crate) fn fail(socket: &Socket, error: &Error) -> Result<(), Error> {
    wire::send(socket, FAILED, Vec::new(), &Value(error), NO_READER)
}

fn run(hello: &ProcessHello, socket: &Socket) -> Result<Vec<u8>, Error> {
    let task = registry::find(TaskId(hello.task))?;
    // What the arguments take along is taken when they are decoded, which is before the function begins.
    wire::receive(socket, None, |_, arguments| {
        let result = pool::run_call(task, arguments);
        fork::leave_if_copied();
        result
    })
}

/// Says on stderr why the process ends, and gives the code it leaves with.
fn report(error: &Error) -> i32 {
    let mut text = format!("process `{}`: {error}\n", crate::context::name());
    if let Some(backtrace) = error.backtrace() {
        text.push_str(backtrace);
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
    if error.kind() == ErrorKind::Panicked { PANICKED } else { FAILURE }
}
