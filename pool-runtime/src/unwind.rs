//! Panics as data: caught here and nowhere else.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;
use std::thread;

use crate::error::Panic;

thread_local! {
    /// How many `catch` calls this thread is inside of.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// What the hook saw of the last panic that `catch` will catch. Other destructors of the thread come here when it is gone: then
    /// only the payload tells of the panic.
    static SEEN: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// Runs `f`, and gives its panic as data. The panic is not printed: it travels to the caller, who is told.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Panic> {
    static HOOK: Once = Once::new();
    // A thread that panics may not change the hook, and a user's `Drop` may come here then: a later call does it.
    if !HOOK.is_completed() && !thread::panicking() {
        HOOK.call_once(install_hook);
    }
    DEPTH.set(DEPTH.get() + 1);
    let result = panic::catch_unwind(AssertUnwindSafe(f)).map_err(told);
    DEPTH.set(DEPTH.get() - 1);
    result
}

#[cold]
fn told(payload: Box<dyn Any + Send>) -> Panic {
    let seen = take_seen().unwrap_or_default();
    let message = message_of(&*payload);
    forget(payload);
    Panic { message, ..seen }
}

fn take_seen() -> Option<Panic> {
    SEEN.try_with(RefCell::take).ok().flatten()
}

/// Keeps the hook that is there for the panics of others.
fn install_hook() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if DEPTH.get() > 0 && !aborts(info) { note(info) } else { tell(info, &previous) }
    }));
}

/// Whether the process ends with this panic, as far as can be known: then it cannot travel, and only stderr is left to tell it.
fn aborts(info: &PanicHookInfo<'_>) -> bool {
    // What std says of a panic that may not unwind; the panic that it grew out of was noted before it.
    let nowhere_to_go = |text: &str| {
        text.starts_with("panic in a function that cannot unwind")
            || text.starts_with("panic in a destructor during cleanup")
    };
    cfg!(panic = "abort") || info.payload_as_str().is_some_and(nowhere_to_go)
}

fn tell(info: &PanicHookInfo<'_>, previous: &dyn Fn(&PanicHookInfo<'_>)) {
    let seen = if DEPTH.get() > 0 { take_seen() } else { None };
    if let Some(Panic { message, location, .. }) = seen {
        let place = location.unwrap_or_default();
        let _ = writeln!(io::stderr(), "a task panicked at {place}: {message}");
    }
    previous(info);
}

fn note(info: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let panic = Panic {
        message: info.payload_as_str().unwrap_or_default().to_owned(),
        location: info.location().map(ToString::to_string),
        backtrace: captured.then(|| backtrace.to_string()),
    };
    let _ = SEEN.try_with(|seen| seen.replace(Some(panic)));
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is no string".to_owned()
    }
}

/// Drops a payload whose own drop may panic: then that second payload is leaked instead, and nobody hears of it.
fn forget(payload: Box<dyn Any + Send>) {
    if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
        take_seen();
    }
}
