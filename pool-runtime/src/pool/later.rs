//! Jobs that go on without their caller: what the `_async` forms come to.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::arrival::Arrival;
use super::typed::{Asked, progress};
use super::{Inner, Received};
use crate::async_result::{AsyncResult, Callbacks, Completion, Shared};
use crate::codec::{ALIGN, Codec, In, Out, align_up};
use crate::collect::{Collected, Gather};
use crate::error::Error;
use crate::job::{Finish, JobSpec, Sink, Source};
use crate::luggage;
use crate::payload::Payload;
use crate::progress::Progress;
use crate::shm::pins;
use crate::task::{
    Bound, Caught, Encoded, Fill, Holes, ItemSource, Plain, Ready, Task, Way, stopped,
};

/// A job that is about to go on by itself, and will give an `R`: an `_async` form before its `start`.
pub struct Later<T, R> {
    inner: Result<Arc<Inner>, Error>,
    spec: Result<JobSpec, Error>,
    source: Box<dyn Source + Send>,
    progress: Progress,
    callbacks: Callbacks<R>,
    finish: fn(Completion<R>, Progress) -> Box<dyn Finish>,
    copy: fn(&R) -> Result<R, Error>,
    task: PhantomData<fn() -> T>,
}

/// `par_map_async!` and `par_starmap_async!`.
#[must_use]
pub fn map_async<T, H, I, W>(
    bound: Bound<T>,
    _: Holes<H>,
    items: I,
    _: W,
    asked: Asked<'_>,
) -> Later<T, Vec<T::Output>>
where
    T: Task<Output: Send>,
    <T::Level as Gather<T::Output>>::Store: Send,
    I: IntoIterator<IntoIter: Send + 'static>,
    W: Way,
    H: Fill<T::Params, I::Item, W::Sent> + 'static,
{
    let finish = |completion, progress| -> Box<dyn Finish> {
        Box::new(Ending { sink: Collected::<T>::new(progress, 0), completion })
    };
    let source = ItemSource::<T::Params, H, W::Sent, _, Encoded>::new(items.into_iter());
    later(bound, H::STRIDE, Caught::new(source), asked, finish, copy_all::<T>)
}

/// `par_apply_async!`. The arguments are encoded at once: they may be borrowed.
#[must_use]
pub fn apply_async<T, H, A>(
    bound: Bound<T>,
    _: Holes<H>,
    args: A,
    asked: Asked<'_>,
) -> Later<T, T::Output>
where
    T: Task<Output: Send>,
    H: Fill<T::Params, A, Plain>,
{
    let finish = |completion, _| -> Box<dyn Finish> { Box::new(Arrival::<T>::new(completion)) };
    let source = Ready::new::<T::Params, H, Plain, A>(&args);
    later(bound, H::STRIDE, source, asked, finish, copy::<T>)
}

fn later<T: Task, R>(
    bound: Bound<T>,
    stride: Option<usize>,
    source: impl Source + Send + 'static,
    asked: Asked<'_>,
    finish: fn(Completion<R>, Progress) -> Box<dyn Finish>,
    copy: fn(&R) -> Result<R, Error>,
) -> Later<T, R> {
    let inner = asked.inner().cloned();
    let progress = progress(&asked.options, &source);
    let spec = bound.spec(stride, asked.options);
    Later {
        inner,
        spec,
        source: Box::new(source),
        progress,
        callbacks: Callbacks::default(),
        finish,
        copy,
        task: PhantomData,
    }
}

impl<T, R: Send + 'static> Later<T, R> {
    /// `callback = ..`: called with the result, unless the work fails. What it returns is dropped.
    #[must_use]
    pub fn callback<F: FnOnce(R) -> O + Send + 'static, O>(mut self, callback: F) -> Self {
        self.callbacks.done = Some(Box::new(move |result| drop(callback(result))));
        self
    }

    /// `error_callback = ..`: called with the error when the work fails. What it returns is dropped.
    #[must_use]
    pub fn error_callback<F: FnOnce(Error) -> O + Send + 'static, O>(
        mut self,
        callback: F,
    ) -> Self {
        self.callbacks.failed = Some(Box::new(move |error| drop(callback(error))));
        self
    }

    /// Starts the job.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn start(self) -> Result<AsyncResult<R>, Error> {
        let shared = Shared::new();
        let completion =
            Completion { shared: Arc::clone(&shared), callbacks: self.callbacks, copy: self.copy };
        let job = self.inner?.submit(
            self.spec?,
            self.source,
            (self.finish)(completion, self.progress),
        )?;
        Ok(AsyncResult::new(shared, job))
    }
}

/// A sink, and where its result goes.
struct Ending<S, R> {
    sink: S,
    completion: Completion<R>,
}

impl<S: Sink, R> Sink for Ending<S, R> {
    fn results(&mut self, first: u64, count: usize, payload: &Payload<'_>) {
        self.sink.results(first, count, payload);
    }

    fn failed(&mut self, index: u64, error: Error) {
        self.sink.failed(index, error);
    }
}

impl<T: Task<Output: Send>> Finish for Ending<Collected<T>, Vec<T::Output>>
where
    <T::Level as Gather<T::Output>>::Store: Send,
{
    fn is_settled(&self) -> bool {
        self.sink.has_failed()
    }

    fn calls_back(&self) -> bool {
        self.completion.callbacks.any()
    }

    fn finish(self: Box<Self>, result: Result<(), Error>, _: Received) {
        self.completion.complete(self.sink.finish(result));
    }
}

/// A second value of the same meaning, by way of its bytes: not every result can be cloned, but every result travels.
fn copy<T: Task>(value: &T::Output) -> Result<T::Output, Error> {
    // What its handles mean lives anyway, as long as `value` does.
    pins::collect(|| copied::<T>(value)).0
}

fn copied<T: Task>(value: &T::Output) -> Result<T::Output, Error> {
    // What is measured is encoded too, and what it took along is not needed.
    let (size, _) = luggage::pack(Vec::new(), || <T::Level as Codec<T::Output>>::size(value));
    let mut room = vec![0; ALIGN + align_up(size?)];
    let mut out = Out::new(&mut room);
    let (encoded, along) =
        luggage::pack(Vec::new(), || <T::Level as Codec<T::Output>>::encode(value, &mut out));
    encoded.map_err(stopped)?;
    luggage::unpack(along, || <T::Level as Codec<T::Output>>::decode(&mut In::new(out.written())))
}

#[expect(clippy::ptr_arg, reason = "the result is a vector, and this stands for copying a result")]
fn copy_all<T: Task>(values: &Vec<T::Output>) -> Result<Vec<T::Output>, Error> {
    values.iter().map(copy::<T>).collect()
}

impl<T, R> fmt::Debug for Later<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later").field("spec", &self.spec).finish_non_exhaustive()
    }
}
