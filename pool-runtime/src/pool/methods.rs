//! The calls without macros: `pool.map::<square>(items)` and its kin.

use std::fmt;

use super::Pool;
use super::later::{self, apply_async};
use super::typed::{self, Asked};
use crate::async_result::AsyncResult;
use crate::collect::Gather;
use crate::error::Error;
use crate::task::{AnyWay, Apply, Arity, Bound, Fill, Holes, Items, MapItems, One, Plain, Task, Z};

/// Items that each fill the open arguments `H` of `T`.
#[doc(hidden)]
pub trait Input<T: Task, H, M>: IntoIterator {
    /// `H` again, with what it can do.
    type Holes: Fill<T::Params, Self::Item, M>;
}

impl<T: Task, H, M, I: IntoIterator> Input<T, H, M> for I
where
    H: Fill<T::Params, I::Item, M>,
{
    type Holes = H;
}

/// The same for what may be sent to another thread.
#[doc(hidden)]
pub trait SendInput<T: Task, H, M>: IntoIterator<IntoIter: Send + 'static> {
    /// `H` again, with what it can do.
    type Holes: Fill<T::Params, Self::Item, M> + 'static;
}

impl<T: Task, H: 'static, M, I: IntoIterator<IntoIter: Send + 'static>> SendInput<T, H, M> for I
where
    H: Fill<T::Params, I::Item, M>,
{
    type Holes = H;
}

/// A tuple of all arguments of `T`.
#[doc(hidden)]
pub trait Args<T: Task, M>: Sized {
    /// The positions of the arguments.
    type Holes: Fill<T::Params, Self, M> + 'static;
}

impl<T: Task<Free: 'static>, M, A> Args<T, M> for A
where
    T::Free: Fill<T::Params, A, M>,
{
    type Holes = T::Free;
}

impl Pool {
    fn asked(&self) -> Asked<'_> {
        Asked::new().pool(self)
    }

    /// Applies the task to each item, and gives the results in the order of the items. It stops at the first failure.
    ///
    /// # Errors
    /// The failure of the lowest index that is known, or what kept the job as a whole from going on.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// #[pool_task]
    /// fn square(x: u64) -> u64 { x * x }
    ///
    /// # fn main() -> Result<(), pool_runtime::Error> {
    /// let pool = Pool::builder().in_process().build()?;
    /// assert_eq!(pool.map::<square>(0..4)?, [0, 1, 4, 9]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<T: Task + Arity<1>>(
        &self,
        items: impl Input<T, One<Z>, MapItems>,
    ) -> Result<Vec<T::Output>, Error> {
        map::<T, One<Z>, _>(items, self.asked())
    }

    /// Applies the task to each tuple of arguments, and gives the results in the order of the tuples. It stops at the first
    /// failure.
    ///
    /// # Errors
    /// As for [`map`](Self::map).
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// #[pool_task]
    /// fn add(a: i64, b: i64) -> i64 { a + b }
    ///
    /// # fn main() -> Result<(), pool_runtime::Error> {
    /// let pool = Pool::builder().in_process().build()?;
    /// assert_eq!(pool.starmap::<add>([(1, 2), (3, 4)])?, [3, 7]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn starmap<T: Task>(
        &self,
        tuples: impl Input<T, T::Free, MapItems>,
    ) -> Result<Vec<T::Output>, Error> {
        map::<T, T::Free, _>(tuples, self.asked())
    }

    /// Runs the task once, with a tuple of arguments, and waits for its result.
    ///
    /// # Errors
    /// What the call failed with.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// #[pool_task]
    /// fn add(a: i64, b: i64) -> i64 { a + b }
    ///
    /// # fn main() -> Result<(), pool_runtime::Error> {
    /// let pool = Pool::builder().in_process().build()?;
    /// assert_eq!(pool.apply::<add>((2, 3))?, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn apply<T: Task>(&self, args: impl Args<T, Apply>) -> Result<T::Output, Error> {
        apply::<T, _>(args, self.asked())
    }

    /// As [`map`](Self::map), but gives each result as soon as it and those before it are there, and goes on past failures.
    /// Dropping the iterator ends the work.
    ///
    /// # Errors
    /// What kept the job from starting.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// #[pool_task]
    /// fn square(x: u64) -> u64 { x * x }
    ///
    /// # fn main() -> Result<(), pool_runtime::Error> {
    /// let pool = Pool::builder().in_process().build()?;
    /// for (x, y) in pool.imap::<square>(0..)?.take(3).enumerate() {
    ///     assert_eq!(y?, (x * x) as u64);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn imap<T: Task + Arity<1>>(
        &self,
        items: impl Input<T, One<Z>, Items>,
    ) -> Result<impl Iterator<Item = Result<T::Output, Error>> + fmt::Debug, Error> {
        imap::<T, One<Z>, _>(items, self.asked())
    }

    /// As [`imap`](Self::imap), but in the order of completion: each result comes with its position in the input.
    ///
    /// # Errors
    /// What kept the job from starting.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// #[pool_task]
    /// fn square(x: u64) -> u64 { x * x }
    ///
    /// # fn main() -> Result<(), pool_runtime::Error> {
    /// let pool = Pool::builder().in_process().build()?;
    /// for (index, y) in pool.imap_unordered::<square>([5, 6])? {
    ///     assert_eq!(y?, [25, 36][index]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn imap_unordered<T: Task + Arity<1>>(
        &self,
        items: impl Input<T, One<Z>, Items>,
    ) -> Result<impl Iterator<Item = (usize, Result<T::Output, Error>)> + fmt::Debug, Error> {
        imap_unordered::<T, One<Z>, _>(items, self.asked())
    }

    /// As [`map`](Self::map), but returns at once; the result is there later.
    ///
    /// # Errors
    /// What kept the job from starting.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// #[pool_task]
    /// fn square(x: u64) -> u64 { x * x }
    ///
    /// # fn main() -> Result<(), pool_runtime::Error> {
    /// let pool = Pool::builder().in_process().build()?;
    /// let squares = pool.map_async::<square>(0..3)?;
    /// assert_eq!(squares.get()?, [0, 1, 4]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn map_async<T>(
        &self,
        items: impl SendInput<T, One<Z>, Items>,
    ) -> Result<AsyncResult<Vec<T::Output>>, Error>
    where
        T: Task<Output: Send> + Arity<1>,
        <T::Level as Gather<T::Output>>::Store: Send,
    {
        map_async::<T, One<Z>, _>(items, self.asked())
    }

    /// As [`starmap`](Self::starmap), but returns at once; the result is there later.
    ///
    /// # Errors
    /// What kept the job from starting.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// #[pool_task]
    /// fn add(a: i64, b: i64) -> i64 { a + b }
    ///
    /// # fn main() -> Result<(), pool_runtime::Error> {
    /// let pool = Pool::builder().in_process().build()?;
    /// assert_eq!(pool.starmap_async::<add>([(1, 2)])?.get()?, [3]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn starmap_async<T>(
        &self,
        tuples: impl SendInput<T, T::Free, Items>,
    ) -> Result<AsyncResult<Vec<T::Output>>, Error>
    where
        T: Task<Output: Send>,
        <T::Level as Gather<T::Output>>::Store: Send,
    {
        map_async::<T, T::Free, _>(tuples, self.asked())
    }

    /// As [`apply`](Self::apply), but returns at once; the result is there later.
    ///
    /// # Errors
    /// What kept the job from starting.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// #[pool_task]
    /// fn add(a: i64, b: i64) -> i64 { a + b }
    ///
    /// # fn main() -> Result<(), pool_runtime::Error> {
    /// let pool = Pool::builder().in_process().build()?;
    /// assert_eq!(pool.apply_async::<add>((2, 3))?.get()?, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn apply_async<T>(&self, args: impl Args<T, Plain>) -> Result<AsyncResult<T::Output>, Error>
    where
        T: Task<Output: Send>,
    {
        apply_later::<T, _>(args, self.asked())
    }
}

// An `impl Trait` argument has no name to be used above, so each call is named once more here.

fn map<T: Task, H, I: Input<T, H, MapItems>>(
    items: I,
    asked: Asked<'_>,
) -> Result<Vec<T::Output>, Error> {
    typed::map::<T, I::Holes, I, _>(Bound::new(), Holes::new(), items, AnyWay, asked)
}

fn apply<T: Task, A: Args<T, Apply>>(args: A, asked: Asked<'_>) -> Result<T::Output, Error> {
    typed::apply::<T, A::Holes, A>(Bound::new(), Holes::new(), args, asked)
}

fn imap<T: Task, H, I: Input<T, H, Items>>(
    items: I,
    asked: Asked<'_>,
) -> Result<impl Iterator<Item = Result<T::Output, Error>> + fmt::Debug + use<T, H, I>, Error> {
    typed::imap::<T, I::Holes, I, _>(Bound::new(), Holes::new(), items, AnyWay, asked)
}

fn imap_unordered<T: Task, H, I: Input<T, H, Items>>(
    items: I,
    asked: Asked<'_>,
) -> Result<
    impl Iterator<Item = (usize, Result<T::Output, Error>)> + fmt::Debug + use<T, H, I>,
    Error,
> {
    typed::imap_unordered::<T, I::Holes, I, _>(Bound::new(), Holes::new(), items, AnyWay, asked)
}

fn map_async<T, H, I: SendInput<T, H, Items>>(
    items: I,
    asked: Asked<'_>,
) -> Result<AsyncResult<Vec<T::Output>>, Error>
where
    T: Task<Output: Send>,
    <T::Level as Gather<T::Output>>::Store: Send,
{
    later::map_async::<T, I::Holes, I, _>(Bound::new(), Holes::new(), items, AnyWay, asked).start()
}

fn apply_later<T, A: Args<T, Plain>>(
    args: A,
    asked: Asked<'_>,
) -> Result<AsyncResult<T::Output>, Error>
where
    T: Task<Output: Send>,
{
    apply_async::<T, A::Holes, A>(Bound::new(), Holes::new(), args, asked).start()
}
