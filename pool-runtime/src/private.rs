//! All that generated code may name. Not for people, and not stable.

pub use inventory;

pub use crate::batch::Batch;
pub use crate::codec::{
    ALIGN, Codec, Fallback, In, Level, Out, Probe, Sendable, SliceCodec, Stop, Verdict, Writable,
    level,
};
pub use crate::collect::Gather;
pub use crate::elapsed::Elapsed;
pub use crate::error::Error;
pub use crate::imap::{Imap, ImapUnordered};
pub use crate::job::{Filled, ItemWriter, JobSpec, Options, Sink, Source};
pub use crate::manager::managed::{
    Managed, ManagedDef, ManagedHandle, ManagedMethod, ManagedMethods, managed_call, managed_open,
    managed_put, managed_reply, managed_take, managed_this, managed_type,
};
pub use crate::payload::Payload;
pub use crate::pool::later::{Later, apply_async, map_async};
pub use crate::pool::typed::{Asked, apply, imap, imap_unordered, map};
pub use crate::progress::IntoProgress;
pub use crate::registry::TaskDef;
pub use crate::task::{
    Accepts, AnyWay, Apply, Arity, Bound, ByRef, ByValue, ChooseAnyWay, ChooseByValue, Fill, Given,
    Holes, Index, Items, LendsRead, LendsWrite, MapBound, MapItems, Missing, Nth, One, Owned,
    Param, Params, Plain, Ref, S, Slice, SliceMut, Str, TakesValue, Task, Values, Way, Z, failure,
    run,
};
pub mod verdict {
    //! The ways to look at a result.
    pub use crate::verdict::{Outcome, OutcomeDebug, OutcomeDisplay, OutcomeOther, OutcomeResult};
}
pub use crate::{__level as level_of, __outcome as outcome_of};

/// Asks whether `T` can travel; `V` is what its level says.
pub fn sendable<T: Sendable<V> + ?Sized, V>() {}

/// Asks whether a slice of `T` can be written in place; `V` is what its level says.
pub fn writable<T: Writable<V>, V>() {}

/// Given a closure where a function pointer `F` is wanted, for the sake of the name that a refusal shows.
pub fn a_value_from_outside_goes_in_by_partial_application<F>(_: F) {}
