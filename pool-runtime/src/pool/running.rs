//! The caller's side of a job: feeds its items, takes its results, and waits when it can do neither. The thread that feeds also
//! drains, so it has a single wait, and drains before it feeds.

use super::fed::{Fed, Step};
use super::inline::Inline;
use super::work::Interest;
use super::{Inner, Received};
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
    Inline(Box<Inline>),
    Fed(Box<Fed>),
}

impl Running {
    /// # Errors
    /// Kind `InvalidInput` for an option of zero, `Closed` for a pool that was closed, and why the pool cannot go on if it cannot.
    pub(crate) fn start(pool: &Inner, spec: JobSpec) -> Result<Self, Error> {
        let task = spec.task.name;
        Self::try_start(pool, spec).map_err(|error| error.with_task(task))
    }

    fn try_start(pool: &Inner, spec: JobSpec) -> Result<Self, Error> {
        spec.options.check()?;
        pool.check_task(spec.task, &spec.options)?;
        Ok(Self(match &pool.engine {
            Some(engine) => Way::Fed(Box::new(Fed::start(engine, spec)?)),
            None => {
                pool.here.check_open()?;
                Way::Inline(Box::new(Inline::new(spec)))
            }
        }))
    }

    /// Says that items point into memory that is lent for as long as the job: its end then waits until no process can touch it
    /// any more.
    pub(crate) fn lending(mut self, lends: bool) -> Self {
        if let Way::Fed(fed) = &mut self.0 {
            fed.lends = lends;
        }
        self
    }

    /// Delivers what has come, then feeds what there is room for, then, if there was nothing of either, waits for one.
    ///
    /// `taken` is how many items' outcomes the consumer has had so far: the input is taken at most a window ahead of it.
    /// Those who collect everything pass `u64::MAX`.
    ///
    /// # Errors
    /// When the job as a whole cannot go on.
    pub(crate) fn turn(
        &mut self,
        source: &mut dyn Source,
        sink: &mut dyn Sink,
        taken: u64,
    ) -> Result<Turn, Error> {
        match &mut self.0 {
            Way::Inline(job) => {
                Ok(if job.turn(source, sink) { Turn::Again } else { Turn::Finished })
            }
            Way::Fed(fed) => loop {
                match fed.step(source, sink, taken)? {
                    Step::Moved => return Ok(Turn::Again),
                    Step::Finished => return Ok(Turn::Finished),
                    Step::Stuck => fed.wait(taken),
                }
            },
        }
    }

    /// One turn that does not wait; `None` when there was nothing to do.
    ///
    /// # Errors
    /// As for [`Running::turn`].
    pub(crate) fn poll(
        &mut self,
        source: &mut dyn Source,
        sink: &mut dyn Sink,
    ) -> Result<Option<Turn>, Error> {
        match &mut self.0 {
            Way::Inline(job) => {
                Ok(Some(if job.turn(source, sink) { Turn::Again } else { Turn::Finished }))
            }
            Way::Fed(fed) => Ok(match fed.step(source, sink, u64::MAX)? {
                Step::Moved => Some(Turn::Again),
                Step::Finished => Some(Turn::Finished),
                Step::Stuck => None,
            }),
        }
    }

    /// Says that a consumer takes the results one by one: nobody waits for it when the pool is closed.
    pub(crate) fn is_stream(&mut self) {
        if let Way::Fed(fed) = &mut self.0 {
            fed.streams = true;
            if let Some(job) = fed.engine.desk().job(fed.slot, fed.id) {
                job.stream = true;
            }
        }
    }

    /// Whether anything was taken from its input: a turn may also have made room only.
    pub(crate) fn has_fed(&self) -> bool {
        match &self.0 {
            Way::Inline(_) => true,
            Way::Fed(fed) => fed.pulled > 0 || fed.input_over,
        }
    }

    /// What the results so far have taken along, for whoever keeps their bytes.
    pub(crate) fn take_received(&mut self) -> Received {
        let Way::Fed(fed) = &self.0 else { return Received::default() };
        let mut desk = fed.engine.desk();
        let job = desk.job(fed.slot, fed.id);
        job.map_or_else(Received::default, |job| std::mem::take(&mut job.received))
    }

    /// Starts nothing more of the job and leaves what runs to its end, unobserved: how a `map` that failed goes.
    pub(crate) fn abandon(mut self) {
        if let Way::Fed(fed) = &mut self.0 {
            fed.end(Interest::None);
        }
    }

    /// Slot and id of the job, for those who may cancel it.
    pub(crate) fn ticket(&self) -> Option<(usize, u64)> {
        match &self.0 {
            Way::Inline(_) => None,
            Way::Fed(fed) => Some((fed.slot, fed.id)),
        }
    }
}
