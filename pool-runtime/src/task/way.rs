//! Which types the items of a call may have, settled before the type of the items themselves is.
//!
//! Where a `T` and a `&T` would both do, an item whose type is to be found, as of `text.lines().map(|l| l.parse().unwrap())`,
//! could be either, and the compiler would ask. So the macros look first whether the items can be what the parameters take by
//! value; what is not known yet can, and then is. The two traits are tried in turn, as method calls are: by value before by
//! reference. The trick is that of <https://lukaskalbertodt.github.io/2019/12/05/generalized-autoref-based-specialization.html>.

use std::marker::PhantomData;

use super::Task;
use super::accept::{Items, MapItems};
use super::bound::Bound;
use super::fill::{Holes, Nth, One};
use super::params::{Owned, Param, Ref};

/// How items are taken: the modes of [`Accepts`](super::Accepts) for those that are mapped at once, and for the others.
pub trait Way {
    /// In `par_map!` and `par_starmap!`.
    type Mapped: 'static;
    /// In the imap and async forms.
    type Sent: 'static;
}

/// Every argument of an item as its parameter's own type.
#[derive(Debug)]
pub struct ByValue;
/// Whatever the parameters accept.
#[derive(Debug)]
pub struct AnyWay;

impl Way for ByValue {
    type Mapped = Self;
    type Sent = Self;
}

impl Way for AnyWay {
    type Mapped = MapItems;
    type Sent = Items;
}

/// A parameter that has one type of which it takes a value.
pub trait TakesValue: Param {}
impl<T, L> TakesValue for Owned<T, L> where Self: Param {}
impl<T, L> TakesValue for Ref<T, L> where Self: Param {}

/// What items are that fill these positions among the parameters `P` by value.
pub trait Values<P> {
    /// Their type.
    type Item;
}

impl<P, N> Values<P> for One<N>
where
    P: Nth<N, Param: TakesValue>,
{
    type Item = <P::Param as Param>::Value;
}

/// A call whose items are about to be given. Made by the macros.
pub struct Given<T, H, I>(PhantomData<Types<T, H, I>>);

/// No value of them is had.
type Types<T, H, I> = fn() -> (T, H, I);

impl<T, H, I> Given<T, H, I> {
    /// These items, for these positions of this task.
    #[must_use]
    pub fn of(_: &Bound<T>, _: &Holes<H>, _: &I) -> Self {
        Self(PhantomData)
    }
}

/// Tried first.
pub trait ChooseByValue: Sized {
    /// By value.
    fn pool_way(self) -> ByValue {
        ByValue
    }
}

impl<T: Task, H, I> ChooseByValue for Given<T, H, I>
where
    H: Values<T::Params>,
    I: IntoIterator<Item = H::Item>,
{
}

/// Tried when that does not do.
pub trait ChooseAnyWay: Sized {
    /// However it goes.
    fn pool_way(self) -> AnyWay {
        AnyWay
    }
}

impl<T, H, I> ChooseAnyWay for &Given<T, H, I> {}

impl<T, H, I> std::fmt::Debug for Given<T, H, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Given")
    }
}
