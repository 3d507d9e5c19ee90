//! Results as they come: the iterators of the imap forms.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::iter::FusedIterator;

use crate::collect::Gather;
use crate::error::{Error, ErrorKind};
use crate::job::{Sink, Source};
use crate::payload::Payload;
use crate::pool::{Running, Turn};
use crate::progress::Progress;
use crate::task::Task;

/// Results in the order of the input, while the input is still being taken. Dropping it ends the work.
pub struct Imap<T: Task, S>(Stream<T, S, InOrder<T::Output>>);

/// Results in the order of completion, each with its position in the input. Dropping it ends the work.
pub struct ImapUnordered<T: Task, S>(Stream<T, S, AsTheyCome<T::Output>>);

impl<T: Task, S: Source> Imap<T, S> {
    pub(crate) fn new(running: Running, source: S, progress: Progress) -> Self {
        Self(Stream::new(running, source, progress, InOrder { results: VecDeque::new(), first: 0 }))
    }
}

impl<T: Task, S: Source> ImapUnordered<T, S> {
    pub(crate) fn new(running: Running, source: S, progress: Progress) -> Self {
        Self(Stream::new(running, source, progress, AsTheyCome::default()))
    }
}

impl<T: Task, S: Source> Iterator for Imap<T, S> {
    type Item = Result<T::Output, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T: Task, S: Source> Iterator for ImapUnordered<T, S> {
    type Item = (usize, Result<T::Output, Error>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T: Task, S: Source> FusedIterator for Imap<T, S> {}
impl<T: Task, S: Source> FusedIterator for ImapUnordered<T, S> {}

/// Results that wait for the consumer.
trait Waiting<R> {
    /// What the consumer is given.
    type Given;

    fn put(&mut self, index: usize, result: Result<R, Error>);

    /// The next that may be given.
    fn take(&mut self) -> Option<Self::Given>;

    fn len(&self) -> usize;

    /// Gives the failure of the job as a whole, in the place of whatever is missing.
    fn end(&mut self, error: Error);
}

struct InOrder<R> {
    results: VecDeque<Option<Result<R, Error>>>,
    /// The position of the first of them.
    first: usize,
}

impl<R> Waiting<R> for InOrder<R> {
    type Given = Result<R, Error>;

    fn put(&mut self, index: usize, result: Result<R, Error>) {
        let Some(at) = index.checked_sub(self.first) else { return };
        if self.results.len() <= at {
            self.results.resize_with(at + 1, || None);
        }
        self.results[at] = Some(result);
    }

    fn take(&mut self) -> Option<Result<R, Error>> {
        self.results.front()?.as_ref()?;
        self.first += 1;
        self.results.pop_front()?
    }

    fn len(&self) -> usize {
        self.results.iter().flatten().count()
    }

    fn end(&mut self, error: Error) {
        let missing = self.results.iter().position(Option::is_none).unwrap_or(self.results.len());
        self.results.truncate(missing);
        self.results.push_back(Some(Err(error)));
    }
}

/// A failure of the job as a whole takes the place of the first result that has not come.
struct AsTheyCome<R> {
    results: VecDeque<(usize, Result<R, Error>)>,
    /// Below here every result has come.
    first: usize,
    /// Those beyond that have come.
    early: BTreeSet<usize>,
}

impl<R> Default for AsTheyCome<R> {
    fn default() -> Self {
        Self { results: VecDeque::new(), first: 0, early: BTreeSet::new() }
    }
}

impl<R> Waiting<R> for AsTheyCome<R> {
    type Given = (usize, Result<R, Error>);

    fn put(&mut self, index: usize, result: Result<R, Error>) {
        self.results.push_back((index, result));
        if index != self.first {
            self.early.insert(index);
            return;
        }
        self.first += 1;
        while self.early.remove(&self.first) {
            self.first += 1;
        }
    }

    fn take(&mut self) -> Option<Self::Given> {
        self.results.pop_front()
    }

    fn len(&self) -> usize {
        self.results.len()
    }

    fn end(&mut self, error: Error) {
        let index = error.index().unwrap_or(self.first);
        self.results.push_back((index, Err(error)));
    }
}

struct Stream<T: Task, S, W> {
    /// `None` when the job has ended.
    running: Option<Running>,
    source: S,
    arrived: Arrived<T, W>,
    /// How many outcomes the consumer has had.
    taken: u64,
}

impl<T: Task, S: Source, W: Waiting<T::Output>> Stream<T, S, W> {
    fn new(running: Running, source: S, progress: Progress, waiting: W) -> Self {
        let arrived =
            Arrived { waiting, scratch: Vec::new(), progress, task: std::marker::PhantomData };
        Self { running: Some(running), source, arrived, taken: 0 }
    }

    fn next(&mut self) -> Option<W::Given> {
        loop {
            // What is finished comes before the input is touched: an endless or slow input holds no result back.
            if let Some(given) = self.arrived.waiting.take() {
                self.taken += 1;
                return Some(given);
            }
            self.turn()?;
        }
    }

    /// Goes on with the job; `None` when it had ended before.
    fn turn(&mut self) -> Option<()> {
        let turn = self.running.as_mut()?.turn(&mut self.source, &mut self.arrived, self.taken);
        match turn {
            Ok(Turn::Again) => {}
            Ok(Turn::Finished) => self.running = None,
            Err(error) => {
                self.running = None;
                self.arrived.waiting.end(error.with_task(T::DEF.name));
            }
        }
        Some(())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let ready = self.arrived.waiting.len();
        match self.running {
            // Items on their way are not counted by anyone here, so there is no upper bound.
            Some(_) => (ready, None),
            None => (ready, Some(ready)),
        }
    }
}

struct Arrived<T: Task, W> {
    waiting: W,
    scratch: Vec<u8>,
    progress: Progress,
    task: std::marker::PhantomData<fn() -> T>,
}

impl<T: Task, W: Waiting<T::Output>> Sink for Arrived<T, W> {
    fn results(&mut self, first: u64, count: usize, payload: &Payload<'_>) {
        self.progress.add(count);
        let mut at = 0;
        for index in first..first.saturating_add(count as u64) {
            let result = <T::Level as Gather<T::Output>>::one(payload, &mut at, &mut self.scratch)
                .map_err(|error| error.with_task(T::DEF.name).with_index(index));
            self.waiting.put(usize::try_from(index).unwrap_or(usize::MAX), result);
        }
    }

    fn failed(&mut self, index: u64, error: Error) {
        self.progress.add(1);
        self.waiting.put(usize::try_from(index).unwrap_or(usize::MAX), Err(error));
    }
}

/// The result of one item alone.
pub(crate) struct Single<T: Task> {
    result: Option<Result<T::Output, Error>>,
}

impl<T: Task> Single<T> {
    pub(crate) fn new() -> Self {
        Self { result: None }
    }

    /// Whether it has come.
    pub(crate) fn has_ended(&self) -> bool {
        self.result.is_some()
    }

    /// The result.
    ///
    /// # Errors
    /// The item's failure, or what ended the job.
    pub(crate) fn finish(self, ended: Result<(), Error>) -> Result<T::Output, Error> {
        self.result.unwrap_or_else(|| {
            ended?;
            Err(Error::new(ErrorKind::Cancelled, "the call ended without a result")
                .with_task(T::DEF.name))
        })
    }
}

impl<T: Task> Sink for Single<T> {
    fn results(&mut self, _: u64, _: usize, payload: &Payload<'_>) {
        let mut scratch = Vec::new();
        let result = <T::Level as Gather<T::Output>>::one(payload, &mut 0, &mut scratch);
        self.result = Some(result.map_err(|error| error.with_task(T::DEF.name)));
    }

    fn failed(&mut self, _: u64, error: Error) {
        self.result = Some(Err(error));
    }
}

impl<T: Task, S> fmt::Debug for Imap<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap")
            .field("task", &T::DEF.name)
            .field("taken", &self.0.taken)
            .finish_non_exhaustive()
    }
}

impl<T: Task, S> fmt::Debug for ImapUnordered<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImapUnordered")
            .field("task", &T::DEF.name)
            .field("taken", &self.0.taken)
            .finish_non_exhaustive()
    }
}
