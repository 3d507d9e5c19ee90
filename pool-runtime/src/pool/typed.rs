//! The typed calls: what the methods of `Pool` and the macros come to.

use std::sync::Arc;
use std::time::Duration;

use super::{Inner, Pool, Running, Turn, default_pool};
use crate::collect::Collected;
use crate::error::Error;
use crate::imap::{Imap, ImapUnordered, Single};
use crate::job::{Options, Sink, Source};
use crate::progress::{IntoProgress, Progress};
use crate::task::{Apply, Bound, Fill, Holes, ItemSource, Task, Way, Whole};

/// The options of one call, as written behind its `;`. Made by the macros.
#[derive(Debug, Default)]
pub struct Asked<'p> {
    pool: Option<&'p Pool>,
    pub(super) options: Options,
}

impl<'p> Asked<'p> {
    /// No options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `pool = ..`: a pool, or whatever derefs to one.
    #[must_use]
    pub fn pool(mut self, pool: &'p Pool) -> Self {
        self.pool = Some(pool);
        self
    }

    /// `chunk_size = ..`
    #[must_use]
    pub fn chunk_size(mut self, items: usize) -> Self {
        self.options.chunk_size = Some(items);
        self
    }

    /// `timeout = ..`
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// `retries = ..`
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.retries = Some(retries);
        self
    }

    /// `window = ..`
    #[must_use]
    pub fn window(mut self, items: usize) -> Self {
        self.options.window = Some(items);
        self
    }

    /// `progress = ..`
    #[must_use]
    pub fn progress(mut self, progress: impl IntoProgress) -> Self {
        self.options.progress = progress.into_progress();
        self
    }

    pub(super) fn inner(&self) -> Result<&'p Arc<Inner>, Error> {
        Ok(match self.pool {
            Some(pool) => pool.inner(),
            None => default_pool()?.inner(),
        })
    }
}

/// A bar for as many items as `source` knows to have.
pub(super) fn progress(options: &Options, source: &impl Source) -> Progress {
    let items = match source.size_hint() {
        (least, Some(most)) if least == most => Some(most),
        _ => None,
    };
    Progress::new(options.progress.as_deref(), items)
}

/// `par_map!` and `par_starmap!`.
///
/// # Errors
/// The failure of the lowest index that is known, or what kept the job as a whole from going on.
pub fn map<T, H, I, W>(
    bound: Bound<T>,
    _: Holes<H>,
    items: I,
    _: W,
    asked: Asked<'_>,
) -> Result<Vec<T::Output>, Error>
where
    T: Task,
    I: IntoIterator,
    W: Way,
    H: Fill<T::Params, I::Item, W::Mapped>,
{
    let inner = asked.inner()?;
    let lends = H::LENDS || bound.lends;
    let spec = bound.spec(H::STRIDE, asked.options)?;
    let mut source = ItemSource::<T::Params, H, W::Mapped, _, Whole<_>>::new(items.into_iter());
    let mut sink = Collected::<T>::new(progress(&spec.options, &source), source.size_hint().0);
    let running = Running::start(inner, spec)?.lending(lends);
    let result = collect(running, lends, &mut source, &mut sink, Collected::has_failed);
    sink.finish(result)
}

/// Goes on with a job until it has ended or `settled` says that nothing more is wanted.
fn collect<S: Sink>(
    mut running: Running,
    lends: bool,
    source: &mut dyn Source,
    sink: &mut S,
    settled: impl Fn(&S) -> bool,
) -> Result<(), Error> {
    loop {
        match running.turn(source, sink, u64::MAX)? {
            Turn::Finished => return Ok(()),
            Turn::Again if !settled(sink) => {}
            // What still runs must not touch memory that was lent: it is stopped.
            Turn::Again if lends => return Ok(()),
            Turn::Again => {
                running.abandon();
                return Ok(());
            }
        }
    }
}

/// `par_apply!`: one item, which holds all arguments.
///
/// # Errors
/// What the call failed with.
pub fn apply<T, H, A>(
    bound: Bound<T>,
    _: Holes<H>,
    args: A,
    asked: Asked<'_>,
) -> Result<T::Output, Error>
where
    T: Task,
    H: Fill<T::Params, A, Apply>,
{
    let inner = asked.inner()?;
    let bound_lends = bound.lends;
    let spec = bound.spec(H::STRIDE, asked.options)?;
    let mut source = ItemSource::<T::Params, H, Apply, _, Whole<_>>::one(args);
    let mut sink = Single::<T>::new();
    let lends = H::LENDS || bound_lends;
    let running = Running::start(inner, spec)?.lending(lends);
    let result = collect(running, lends, &mut source, &mut sink, Single::has_ended);
    sink.finish(result)
}

/// `par_imap!`.
///
/// # Errors
/// What kept the job from starting.
pub fn imap<T, H, I, W>(
    bound: Bound<T>,
    _: Holes<H>,
    items: I,
    _: W,
    asked: Asked<'_>,
) -> Result<Imap<T, impl Source + use<T, H, I, W>>, Error>
where
    T: Task,
    I: IntoIterator,
    W: Way,
    H: Fill<T::Params, I::Item, W::Sent>,
{
    let (running, source, progress) = stream::<T, H, I, W>(bound, items, asked)?;
    Ok(Imap::new(running, source, progress))
}

/// `par_imap_unordered!`.
///
/// # Errors
/// What kept the job from starting.
pub fn imap_unordered<T, H, I, W>(
    bound: Bound<T>,
    _: Holes<H>,
    items: I,
    _: W,
    asked: Asked<'_>,
) -> Result<ImapUnordered<T, impl Source + use<T, H, I, W>>, Error>
where
    T: Task,
    I: IntoIterator,
    W: Way,
    H: Fill<T::Params, I::Item, W::Sent>,
{
    let (running, source, progress) = stream::<T, H, I, W>(bound, items, asked)?;
    Ok(ImapUnordered::new(running, source, progress))
}

type Stream<T, H, I, W> = (
    Running,
    ItemSource<
        <T as Task>::Params,
        H,
        <W as Way>::Sent,
        <I as IntoIterator>::IntoIter,
        Whole<<I as IntoIterator>::Item>,
    >,
    Progress,
);

fn stream<T, H, I, W>(
    bound: Bound<T>,
    items: I,
    asked: Asked<'_>,
) -> Result<Stream<T, H, I, W>, Error>
where
    T: Task,
    I: IntoIterator,
    W: Way,
    H: Fill<T::Params, I::Item, W::Sent>,
{
    let inner = asked.inner()?;
    let spec = bound.spec(H::STRIDE, asked.options)?;
    let source = ItemSource::new(items.into_iter());
    let progress = progress(&spec.options, &source);
    let mut running = Running::start(inner, spec)?;
    running.is_stream();
    Ok((running, source, progress))
}
