//! The caller's side of a job: feeds its items, takes its results, and waits when it can do neither.

use super::Inner;
use super::inline::Inline;
use crate::error::Error;
use crate::job::{JobSpec, Sink, Source};

/// What one turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Something was fed or delivered, or may be at the next turn.
    Again,
    /// The input is at its end, and every item has been delivered.
    Finished,
}

/// A job under way. Dropping it ends the job: what has not started is not started, and what runs is stopped.
#[derive(Debug)]
pub(crate) struct Running(Way);

#[derive(Debug)]
enum Way {
    Inline(Inline),
}

impl Running {
    /// # Errors
    /// Kind `InvalidInput` for an option of zero, `Closed` for a pool that was closed.
    pub(crate) fn start(_pool: &Inner, spec: JobSpec) -> Result<Self, Error> {
        spec.options.check()?;
        Ok(Self(Way::Inline(Inline::new(spec))))
    }

    /// Delivers what has come, then feeds what there is room for, then, if there was nothing of either, waits for one.
    ///
    /// `taken` is how many items' outcomes the consumer has had so far: the input is taken at most a window ahead of it.
    /// Those who collect everything pass `u64::MAX`.
    ///
    /// # Errors
    /// When the job as a whole cannot go on: kind `Closed`, `Initializer`, `Spawn`, `Cancelled`.
    pub(crate) fn turn(
        &mut self,
        source: &mut dyn Source,
        sink: &mut dyn Sink,
        taken: u64,
    ) -> Result<Turn, Error> {
        let _ = taken;
        match &mut self.0 {
            Way::Inline(job) => {
                Ok(if job.turn(source, sink) { Turn::Again } else { Turn::Finished })
            }
        }
    }

    /// Starts nothing more of the job and leaves what runs to its end, unobserved: how a `map` that failed goes.
    pub(crate) fn abandon(self) {}
}
