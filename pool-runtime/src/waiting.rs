//! Waiting for one of several things, of whatever kinds.
//!
//! Each kind knows how to ring a `Bell` when it is ready; whoever waits hangs one bell on all of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use self::sealed::Watch as _;
use crate::error::{Error, ErrorKind};

/// Something that becomes ready once: an [`AsyncResult`](crate::AsyncResult), a process that ends, a connection with
/// something to be received. For [`wait_any`] and [`as_completed`]; it cannot be implemented elsewhere.
pub trait Waitable: sealed::Watch {}

impl<W: sealed::Watch + ?Sized> Waitable for W {}

pub(crate) mod sealed {
    use std::sync::Arc;

    use super::Bell;

    /// What `Waitable` is inside.
    pub trait Watch {
        /// Rings `bell` with `number` as soon as this is ready, at once if it is.
        fn watch(&self, bell: &Arc<Bell>, number: usize);

        /// Forgets a bell that was hung on this.
        fn unwatch(&self, bell: &Arc<Bell>);

        /// Tells two of them apart; equal for two handles of one thing.
        fn identity(&self) -> usize;
    }

    impl<W: Watch + ?Sized> Watch for &W {
        fn watch(&self, bell: &Arc<Bell>, number: usize) {
            (**self).watch(bell, number);
        }

        fn unwatch(&self, bell: &Arc<Bell>) {
            (**self).unwatch(bell);
        }

        fn identity(&self) -> usize {
            (**self).identity()
        }
    }

    impl<W: Watch + ?Sized> Watch for Box<W> {
        fn watch(&self, bell: &Arc<Bell>, number: usize) {
            (**self).watch(bell, number);
        }

        fn unwatch(&self, bell: &Arc<Bell>) {
            (**self).unwatch(bell);
        }

        fn identity(&self) -> usize {
            (**self).identity()
        }
    }
}

/// Rung by whatever is ready, with the number it was given.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<Vec<usize>>,
    any: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self, number: usize) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).push(number);
        self.any.notify_all();
    }

    /// Waits for the next number. Whatever is watched ends at last, be it by `Cancelled` or `WorkerDied`.
    fn wait(&self) -> usize {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if !rung.is_empty() {
                return rung.remove(0);
            }
            rung = self.any.wait(rung).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Waits until one of `handles` is ready, and gives its position. One that is ready stays so.
///
/// Handles of different kinds go together as `&[&dyn Waitable]`.
///
/// # Errors
/// Kind `InvalidInput` when there are none: that would wait for ever.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn double(x: u64) -> u64 { x * 2 }
///
/// # fn main() -> Result<(), pool_runtime::Error> {
/// let calls = [par_apply_async!(double(1))?, par_apply_async!(double(2))?];
/// let first = wait_any(&calls)?;
/// assert!(calls[first].is_ready());
/// # Ok(())
/// # }
/// ```
pub fn wait_any<W: Waitable>(handles: &[W]) -> Result<usize, Error> {
    if handles.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "there is nothing to wait for"));
    }
    let bell = Arc::new(Bell::default());
    for (number, handle) in handles.iter().enumerate() {
        handle.watch(&bell, number);
    }
    let first = bell.wait();
    for handle in handles {
        handle.unwatch(&bell);
    }
    Ok(first)
}

/// Gives `handles` back in the order in which they become ready, each once, however often it was given.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn double(x: u64) -> u64 { x * 2 }
///
/// # fn main() -> Result<(), pool_runtime::Error> {
/// let calls = (1..4).map(|x| par_apply_async!(double(x))).collect::<Result<Vec<_>, _>>()?;
/// let mut sum = 0;
/// for call in as_completed(calls) {
///     sum += call.get()?;
/// }
/// assert_eq!(sum, 12);
/// # Ok(())
/// # }
/// ```
pub fn as_completed<I>(handles: I) -> AsCompleted<I::Item>
where
    I: IntoIterator<Item: Waitable>,
{
    let bell = Arc::new(Bell::default());
    let mut waiting = HashMap::new();
    for handle in handles {
        waiting.entry(handle.identity()).or_insert(handle);
    }
    for (number, handle) in &waiting {
        handle.watch(&bell, *number);
    }
    AsCompleted { bell, waiting }
}

/// What [`as_completed`] gives.
pub struct AsCompleted<W: Waitable> {
    bell: Arc<Bell>,
    waiting: HashMap<usize, W>,
}

impl<W: Waitable> Iterator for AsCompleted<W> {
    type Item = W;

    fn next(&mut self) -> Option<W> {
        while !self.waiting.is_empty() {
            if let Some(ready) = self.waiting.remove(&self.bell.wait()) {
                return Some(ready);
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.waiting.len(), Some(self.waiting.len()))
    }
}

impl<W: Waitable> ExactSizeIterator for AsCompleted<W> {}

impl<W: Waitable> Drop for AsCompleted<W> {
    fn drop(&mut self) {
        for handle in self.waiting.values() {
            handle.unwatch(&self.bell);
        }
    }
}

impl<W: Waitable> fmt::Debug for AsCompleted<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}
