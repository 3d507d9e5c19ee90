//! The board's own files, over atomics that are steps.
#![expect(unsafe_code, reason = "a control segment is made of zeros")]

pub(crate) mod atomic;
#[path = "../../src/board/claim.rs"]
pub(crate) mod claim;
#[path = "../../src/board/layout.rs"]
pub(crate) mod layout;
#[path = "../../src/board/recall.rs"]
pub(crate) mod recall;
#[path = "../../src/board/remains.rs"]
pub(crate) mod remains;
#[path = "../../src/board/sleep.rs"]
pub(crate) mod sleep;

use layout::Control;

/// A control segment, all zeros as a new one is.
pub(crate) fn control() -> Box<Control> {
    // SAFETY: a `Control` is nothing but atomics, for which zeros are valid.
    unsafe { Box::<Control>::new_zeroed().assume_init() }
}
