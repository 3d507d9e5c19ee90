//! The pool: workers, and the jobs they are given.

mod inline;
pub(crate) mod later;
mod methods;
mod running;
pub(crate) mod typed;

use std::sync::{Arc, OnceLock};

pub(crate) use running::{Running, Turn};

use crate::error::Error;
use crate::job::{Finish, JobSpec, Source};

/// A pool of worker processes.
#[derive(Debug)]
pub struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {}

impl Inner {
    /// Starts a job that goes on without its caller.
    ///
    /// # Errors
    /// As for [`Running::start`].
    pub(crate) fn submit(
        self: &Arc<Self>,
        spec: JobSpec,
        mut source: Box<dyn Source + Send>,
        mut sink: Box<dyn Finish>,
    ) -> Result<JobHandle, Error> {
        let mut running = Running::start(self, spec)?;
        let result = loop {
            match running.turn(&mut *source, &mut *sink, u64::MAX) {
                Ok(Turn::Again) if !sink.is_settled() => {}
                Ok(_) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        sink.finish(result);
        Ok(JobHandle {})
    }
}

/// A job that goes on without its caller.
#[derive(Clone, Debug)]
pub(crate) struct JobHandle {}

impl JobHandle {
    /// Ends the job: its items that have not ended become `Cancelled`, also those that run.
    pub(crate) fn cancel(&self) {}
}

/// How a pool is to be.
#[derive(Debug, Default)]
pub struct Builder {}

impl Pool {
    /// A pool to be configured.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

/// The pool of the whole process, started on first use.
///
/// # Errors
/// As for [`Builder::build`], and then each time.
pub(crate) fn default_pool() -> Result<&'static Pool, Error> {
    static POOL: OnceLock<Result<Pool, Error>> = OnceLock::new();
    POOL.get_or_init(|| Pool::builder().in_process().build()).as_ref().map_err(Clone::clone)
}

impl Builder {
    /// No workers at all.
    #[must_use]
    pub fn in_process(self) -> Self {
        self
    }

    /// Makes the pool.
    ///
    /// # Errors
    /// Kind `Duplicate` when two tasks are given one name.
    pub fn build(self) -> Result<Pool, Error> {
        crate::registry::check()?;
        Ok(Pool { inner: Arc::new(Inner {}) })
    }
}
