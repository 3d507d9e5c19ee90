//! Bytes that another process wrote, and might still be writing: to be copied out before they are looked at.
#![expect(unsafe_code, reason = "reads memory that another process may write")]

use std::fmt;
use std::marker::PhantomData;

/// A piece of memory that is only ever copied from. No reference to its bytes exists.
pub struct Payload<'a> {
    from: *const u8,
    len: usize,
    _lent: PhantomData<&'a [u8]>,
}

impl<'a> Payload<'a> {
    /// # Safety
    /// `from` is readable for `len` bytes, in a mapping that stays for `'a`.
    pub(crate) unsafe fn from_raw(from: *const u8, len: usize) -> Self {
        Self { from, len, _lent: PhantomData }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies `to.len()` bytes from `at` on into `to`; `false`, and nothing copied, when there are not as many.
    #[must_use]
    pub fn copy_at(&self, at: usize, to: &mut [u8]) -> bool {
        if at > self.len || to.len() > self.len - at {
            return false;
        }
        // SAFETY: the range was just checked to lie within `from..from + len`, which is readable, and `to` is a fresh exclusive borrow.
        unsafe { std::ptr::copy_nonoverlapping(self.from.add(at), to.as_mut_ptr(), to.len()) };
        true
    }

    /// What lies from `at` on; `None` beyond the end.
    pub(crate) fn beyond(&self, at: usize) -> Option<Self> {
        let len = self.len.checked_sub(at)?;
        // SAFETY: `at` is at most `len`, so the place lies in the same memory, or just behind it.
        Some(Self { from: unsafe { self.from.add(at) }, len, _lent: PhantomData })
    }

    /// Copies everything to `to`.
    ///
    /// # Safety
    /// `to` is writable for [`len`](Self::len) bytes, and nobody else looks at it.
    pub(crate) unsafe fn copy_all(&self, to: *mut u8) {
        // SAFETY: `from` is readable for `len` bytes, and the caller answers for `to`.
        unsafe { std::ptr::copy_nonoverlapping(self.from, to, self.len) };
    }

    /// Copies everything into `to`, in place of what it holds.
    pub fn copy_to(&self, to: &mut Vec<u8>) {
        to.resize(self.len, 0);
        let whole = self.copy_at(0, to);
        debug_assert!(whole);
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self { from: bytes.as_ptr(), len: bytes.len(), _lent: PhantomData }
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len)
    }
}
