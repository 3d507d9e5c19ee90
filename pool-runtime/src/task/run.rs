//! Runs some items of a task, in whatever process: bytes to arguments, the function, its result to bytes.

use std::any::Any;
use std::cell::RefCell;

use super::params::Params;
use super::{Task, params};
use crate::batch::Batch;
use crate::codec::{Codec, In};
use crate::error::Error;
use crate::unwind;

type Kept<T> = <<T as Task>::Params as Params>::Kept;
type Places<'a, T> = <<T as Task>::Params as Params>::Places<'a>;

thread_local! {
    /// The bound arguments of the job that this thread ran last, decoded. They are dropped with the thread; a job that another
    /// destructor of it runs afterwards keeps nothing.
    static KEPT: RefCell<Option<(u64, Box<dyn Any>)>> = const { RefCell::new(None) };
}

/// Runs `batch`; the registry holds this for each task.
pub fn run<T: Task>(batch: &mut Batch<'_>) {
    let mask = batch.bound_mask();
    if mask == 0 {
        return run_unbound::<T>(batch);
    }
    match prepare::<T>(batch) {
        Ok((places, kept)) => {
            batch.each::<_, T::Level, false>(|item| call::<T>(mask, item, &places, &kept));
            put_back(batch.job(), kept);
        }
        Err(error) => batch.fail_all(&error),
    }
}

/// With nothing bound, the usual case, nothing is kept, and the compiler sees a loop that does not ask for each parameter where
/// it is.
fn run_unbound<T: Task>(batch: &mut Batch<'_>) {
    let mut bound = batch.bound();
    let places = T::Params::places(0, &mut bound);
    match places.and_then(|places| T::Params::keep(0, &places).map(|kept| (places, kept))) {
        Ok((places, kept)) => {
            let call = |item: In<'_>| call::<T>(0, item, &places, &kept);
            // Known when this is compiled: each task has one of the two loops.
            if matches!(T::Params::STRIDE, Some(1..)) && matches!(result_size::<T>(), Some(1..)) {
                batch.each::<_, T::Level, true>(call);
            } else {
                batch.each::<_, T::Level, false>(call);
            }
        }
        Err(error) => batch.fail_all(&error),
    }
}

const fn result_size<T: Task>() -> Option<usize> {
    <T::Level as Codec<T::Output>>::STRIDE
}

#[inline(always)]
fn call<T: Task>(
    mask: u32,
    mut item: In<'_>,
    places: &Places<'_, T>,
    kept: &Kept<T>,
) -> Result<T::Output, Error> {
    let held = T::Params::read(mask, &mut item)?;
    let mut held = params::whole(held, item)?;
    Ok(T::call(T::Params::lend(&mut held, places, kept)?))
}

/// Finds the bound arguments, and decodes those that are decoded once per job.
fn prepare<'a, T: Task>(batch: &Batch<'a>) -> Result<(Places<'a, T>, Box<Kept<T>>), Error> {
    let (mask, mut bound) = (batch.bound_mask(), batch.bound());
    let places = T::Params::places(mask, &mut bound)?;
    if let Some(kept) = take_kept(batch.job()) {
        return Ok((places, kept));
    }
    // What a user's `Deserialize` does is no more to be trusted than the task itself.
    let kept = unwind::catch(|| T::Params::keep(mask, &places)).map_err(Error::panicked)??;
    Ok((places, Box::new(kept)))
}

/// Takes what is kept of this job out of its place, so that a task that runs a pool of its own in this thread finds the
/// place empty. What belongs to another job is dropped.
fn take_kept<K: 'static>(job: u64) -> Option<Box<K>> {
    let (of, kept) = KEPT.try_with(RefCell::take).ok()??;
    if of != job {
        discard(kept);
        return None;
    }
    kept.downcast().ok()
}

fn put_back<K: 'static>(job: u64, kept: Box<K>) {
    let mut other: Option<(u64, Box<dyn Any>)> = Some((job, kept));
    let _ = KEPT.try_with(|place| std::mem::swap(&mut *place.borrow_mut(), &mut other));
    if let Some((_, other)) = other {
        discard(other);
    }
}

/// Drops what is kept of any job but this one. For a worker, before an item of this job counts as begun: a `Drop` of the user's
/// may last, or end the process, and that is not the item's doing.
pub(crate) fn let_go_of_others(job: u64) {
    let other = KEPT.with_borrow_mut(|kept| kept.take_if(|(of, _)| *of != job));
    if let Some((_, other)) = other {
        discard(other);
    }
}

/// Drops values whose own drop may panic.
fn discard(kept: Box<dyn Any>) {
    let _ = unwind::catch(|| drop(kept));
}

/// When the encoded result of `T` is a failure, what it says.
pub fn failure<T: Task>(bytes: &[u8], text: fn(&T::Output) -> Option<String>) -> Option<String> {
    let mut input = In::new(bytes);
    match <T::Level as Codec<T::Output>>::decode(&mut input) {
        Ok(output) => text(&output),
        Err(error) => Some(error.to_string()),
    }
}
