//! Initializers and finalizers: calls that are run once where a pool's work is done, and whose results nobody wants.

use super::inline::run_call;
use crate::error::{Error, ErrorKind};
use crate::message::EncodedCall;
use crate::registry::{self, TaskId};
use crate::unwind;

/// Runs an initializer.
///
/// # Errors
/// Kind `Initializer`: its panic, what its `Err` says, or what happened to its arguments.
pub(crate) fn initialize(call: &EncodedCall) -> Result<(), Error> {
    match run(call) {
        Ok(None) => Ok(()),
        Ok(Some((task, text))) => Err(Error::new(ErrorKind::Initializer, text).with_task(task)),
        Err(error) => Err(error.with_kind(ErrorKind::Initializer)),
    }
}

/// Runs a finalizer.
///
/// # Errors
/// Its panic, what its `Err` says, or what happened to its arguments, for whoever reads stderr: nobody else is left to hear of it.
pub(crate) fn finalize(call: &EncodedCall) -> Result<(), String> {
    match run(call) {
        Ok(None) => Ok(()),
        Ok(Some((task, text))) => Err(format!("task `{task}`: {text}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Gives the task's name and what its `Err` says, where its result is one.
fn run(call: &EncodedCall) -> Result<Option<(&'static str, String)>, Error> {
    let task = registry::find(TaskId(call.task))?;
    let work = || run_call(task, &call.arguments).map(|result| (task.failed)(&result));
    // Its result is decoded too, by code of the user's.
    let said = unwind::catch(work).unwrap_or_else(|panic| Err(Error::panicked(panic)))?;
    Ok(said.map(|text| (task.name, text)))
}
