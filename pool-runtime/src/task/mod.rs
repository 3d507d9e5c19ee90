//! The typed side of a task: which parameters it has, what may be given for each, and how items fill them.
//!
//! Between the macros, which write one `impl Task` per task, and the engine, which knows only `TaskDef` and bytes. This is
//! the only place where types are erased: `run` is the way in, `collect` the way out.

mod accept;
mod bound;
mod call;
mod fill;
mod params;
pub(crate) mod part;
mod ready;
mod run;
mod source;
#[cfg(test)]
mod tests;
mod way;

pub use accept::{Accepts, Apply, ByRef, Items, LendsRead, LendsWrite, MapBound, MapItems, Plain};
pub use bound::Bound;
pub(crate) use bound::stopped;
pub use call::{Call, PartialCall};
pub use fill::{Fill, Holes, Index, Nth, One, S, Z};
pub(crate) use params::whole;
pub use params::{Missing, Owned, Param, Params, Ref, Slice, SliceMut, Str};
pub(crate) use ready::Ready;
pub(crate) use run::let_go_of_others;
pub use run::{failure, run};
pub(crate) use source::{Caught, Encoded, Items as ItemSource, Whole};
pub use way::{AnyWay, ByValue, ChooseAnyWay, ChooseByValue, Given, TakesValue, Values, Way};

use crate::collect::Gather;
use crate::registry::TaskDef;

/// A function that a worker can be asked to run. `#[pool_task]` implements it, for a type of the function's own name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "no task",
    note = "put `#[pool_task]` on the function `{Self}`"
)]
pub trait Task: Sized + 'static {
    /// What the function gives.
    type Output: 'static;
    /// How that travels.
    #[doc(hidden)]
    type Level: Gather<Self::Output>;
    /// The parameters, one after the other, a method's `self` among them.
    #[doc(hidden)]
    type Params: Params;
    /// The positions of all parameters but `self`.
    #[doc(hidden)]
    type Free;
    /// What the registry knows.
    #[doc(hidden)]
    const DEF: TaskDef;

    /// Calls the function.
    #[doc(hidden)]
    fn call(args: <Self::Params as Params>::Args<'_>) -> Self::Output;
}

/// The task takes `N` arguments, not counting `self`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not take {N} arguments",
    label = "it takes another number of them"
)]
pub trait Arity<const N: usize> {}
