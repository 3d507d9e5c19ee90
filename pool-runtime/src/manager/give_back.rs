//! Giving back what this process has in a server: it must be possible also when no more connections can be made, or all others
//! would wait for it without end.

use std::sync::Arc;

use super::handle::Request;
use super::link::{Line, Link, lock};
use super::server::desk;
use super::wire::DESK;
use crate::error::Error;

impl Link {
    /// Calls a method that gives back what this process has, for which [`provide`](Self::provide) has seen that there is a connection.
    /// With a server that is gone there is nothing to give back.
    pub(crate) fn give_back(
        self: &Arc<Self>,
        object: u64,
        method: u32,
        arguments: impl FnOnce(&mut Request<'_>) -> Result<(), Error>,
    ) {
        if let Ok(line) = self.line() {
            self.tell(line, object, method, arguments);
        } else if self.usable().is_ok() {
            let mut spare = lock(&self.spare);
            if let Some(line) = spare.take() {
                *spare = self.call_over(line, object, method, arguments, |_| Ok(())).1;
            }
        }
    }

    /// Sees that there is a connection for giving back what is now to be taken.
    ///
    /// # Errors
    /// Kind `Io` when descriptors have run out, and `Disconnected`.
    pub(crate) fn provide(&self) -> Result<(), Error> {
        self.usable()?;
        let mut spare = lock(&self.spare);
        if spare.is_none() {
            *spare = Some(self.new_line()?);
        }
        Ok(())
    }

    fn tell(
        self: &Arc<Self>,
        line: Line,
        object: u64,
        method: u32,
        arguments: impl FnOnce(&mut Request<'_>) -> Result<(), Error>,
    ) {
        let (_, line) = self.call_over(line, object, method, arguments, |_| Ok(()));
        line.into_iter().for_each(|line| self.put_back(line));
    }

    /// Gives one count back.
    pub(crate) fn release(self: &Arc<Self>, id: u64) {
        if self.usable().is_err() {
            return;
        }
        match self.line() {
            Ok(line) => self.tell(line, DESK, desk::RELEASE, |request| {
                request.u64(id);
                Ok(())
            }),
            Err(_) => lock(&self.lines).owed.push(id),
        }
    }
}
