//! The classes by number, as clients ask for them.

use std::sync::Arc;

use super::lock::{Again, Mutual};
use super::session::Session;
use super::table::Class;
use super::wire::Args;
use super::{barrier, condition, dict, event, list, managed, queue, semaphore, value};
use crate::error::{Error, ErrorKind};

/// A dict, or a namespace.
pub(crate) const DICT: u32 = 0;
pub(crate) const LIST: u32 = 1;
pub(crate) const LOCK: u32 = 2;
pub(crate) const SEMAPHORE: u32 = 3;
pub(crate) const CONDITION: u32 = 4;
pub(crate) const EVENT: u32 = 5;
pub(crate) const BARRIER: u32 = 6;
pub(crate) const QUEUE: u32 = 7;
pub(crate) const VALUE: u32 = 8;
pub(crate) const MANAGED: u32 = 9;
pub(crate) const RLOCK: u32 = 10;

/// Makes an object from the arguments of a client.
///
/// # Errors
/// Kind `NotFound` for a class that there is not, and what the class says of its arguments.
pub(crate) fn make(
    class: u32,
    args: &mut Args<'_>,
    session: &Arc<Session>,
) -> Result<Box<dyn Class>, Error> {
    Ok(match class {
        DICT => Box::new(dict::Map::default()),
        LIST => Box::new(list::Sequence::default()),
        LOCK => Box::new(Mutual::new(Again::Deadlocks)),
        RLOCK => Box::new(Mutual::new(Again::Counts)),
        SEMAPHORE => Box::new(semaphore::Permits::new(args)?),
        CONDITION => Box::new(condition::Meeting::new(args, session)?),
        EVENT => Box::new(event::Flag::default()),
        BARRIER => Box::new(barrier::Gate::new(args)?),
        QUEUE => Box::new(queue::Line::new(args)?),
        MANAGED => Box::new(managed::Own::new(args)?),
        VALUE => Box::new(value::Numbers::new(args)?),
        other => {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("the manager has no class {other}"),
            ));
        }
    })
}
