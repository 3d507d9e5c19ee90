//! All that generated code may name. Not for people, and not stable.

pub use inventory;

pub use crate::batch::Batch;
pub use crate::codec::{Codec, Fallback, Level, Probe, Sendable, Verdict, level};
pub use crate::elapsed::Elapsed;
pub use crate::pool::later::{apply_async, map_async};
pub use crate::pool::typed::{Asked, apply, imap, imap_unordered, map};
pub use crate::registry::TaskDef;
pub use crate::task::{
    Apply, Arity, Bound, Holes, Items, MapBound, MapItems, One, Owned, Params, Plain, Ref, S,
    Slice, SliceMut, Str, Task, Z, failure, run,
};
pub mod verdict {
    //! The ways to look at a result.
    pub use crate::verdict::{Outcome, OutcomeDebug, OutcomeDisplay, OutcomeOther, OutcomeResult};
}
pub use crate::{__level as level_of, __outcome as outcome_of};

/// Asks whether `T` can travel; `V` is what its level says.
pub fn sendable<T: Sendable<V> + ?Sized, V>() {}
