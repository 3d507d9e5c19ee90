//! The chunk board: how items and results cross between the processes of a pool, without anybody handing them out.
//!
//! Between `codec` and `worker` on the way in, and between `worker` and `collect` on the way back. It does not know what
//! the bytes mean. `layout` says what lies in shared memory, `input` how items come, `claim` how a worker takes work, `outbox`
//! how results go back, with `extents` for large ones, and `sleep` how each side waits for the other. `recall` is how the parent
//! takes back what a worker has not begun, and `remains` what the cell of a dead one says.
#![expect(unsafe_code, reason = "views shared memory as the atomics that it holds")]

mod atomic;
pub(crate) mod claim;
mod extents;
pub(crate) mod input;
pub(crate) mod layout;
pub(crate) mod outbox;
pub(crate) mod recall;
pub(crate) mod remains;
pub(crate) mod sleep;

use std::ops::Deref;
use std::os::fd::BorrowedFd;

use crate::error::Error;
use crate::sys::memory::{Access, Map};
use layout::{Control, Outbox};

/// The control segment, mapped.
#[derive(Debug)]
pub(crate) struct ControlMap(Map);

impl ControlMap {
    pub(crate) const LEN: usize = size_of::<Control>();

    /// # Errors
    /// Kind `Io` when it cannot be mapped.
    pub(crate) fn new(file: BorrowedFd<'_>) -> Result<Self, Error> {
        Map::new(file, Self::LEN, Access::Write).map(Self)
    }
}

impl Deref for ControlMap {
    type Target = Control;

    fn deref(&self) -> &Control {
        // SAFETY: the mapping is page-aligned, as long as a `Control`, and lives as long as `self`. A `Control` is nothing but
        // atomics, for which every bit pattern is valid and every write by another process is a race they allow.
        unsafe { self.0.base().cast().as_ref() }
    }
}

/// The beginning of a result segment.
fn outbox(map: &Map) -> &Outbox {
    assert!(map.len() >= size_of::<Outbox>(), "a result segment is longer than its head");
    // SAFETY: as for `ControlMap`: atomics only, aligned, and just checked to be long enough. Nothing is written to it through
    // a mapping for reading: the reader only loads.
    unsafe { map.base().cast().as_ref() }
}
