//! Atomics of which every operation is a step: another thread may run before it, and the own one may die.

use std::sync::atomic::Ordering::{self, SeqCst};

shuttle::thread_local! {
    /// After how many steps this thread dies; `None` is never.
    static STEPS_LEFT: std::cell::Cell<Option<u32>> = std::cell::Cell::new(None);
}

/// What a thread that dies unwinds with.
pub(crate) struct Death;

/// Runs `life`, which dies after so many steps; whether it did.
pub(crate) fn dies_after(steps: Option<u32>, life: impl FnOnce()) -> bool {
    STEPS_LEFT.with(|left| left.set(steps));
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(life));
    STEPS_LEFT.with(|left| left.set(None));
    match ended {
        Ok(()) => false,
        Err(payload) if payload.is::<Death>() => true,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

fn step() {
    shuttle::thread::yield_now();
    STEPS_LEFT.with(|left| match left.get() {
        Some(0) => std::panic::resume_unwind(Box::new(Death)),
        Some(steps) => left.set(Some(steps - 1)),
        None => {}
    });
}

pub(crate) fn fence(_: Ordering) {
    step();
}

macro_rules! atomics {
    ($($name:ident $number:ty;)*) => {$(
        #[derive(Debug)]
        #[repr(transparent)]
        pub(crate) struct $name(std::sync::atomic::$name);

        impl $name {
            pub(crate) fn new(value: $number) -> Self {
                Self(std::sync::atomic::$name::new(value))
            }

            /// Without a step.
            pub(crate) fn look(&self) -> $number {
                self.0.load(SeqCst)
            }

            pub(crate) fn load(&self, _: Ordering) -> $number {
                step();
                self.0.load(SeqCst)
            }

            pub(crate) fn store(&self, value: $number, _: Ordering) {
                step();
                self.0.store(value, SeqCst);
            }

            pub(crate) fn swap(&self, value: $number, _: Ordering) -> $number {
                step();
                self.0.swap(value, SeqCst)
            }

            pub(crate) fn fetch_add(&self, value: $number, _: Ordering) -> $number {
                step();
                self.0.fetch_add(value, SeqCst)
            }

            pub(crate) fn fetch_sub(&self, value: $number, _: Ordering) -> $number {
                step();
                self.0.fetch_sub(value, SeqCst)
            }

            pub(crate) fn fetch_min(&self, value: $number, _: Ordering) -> $number {
                step();
                self.0.fetch_min(value, SeqCst)
            }

            pub(crate) fn fetch_max(&self, value: $number, _: Ordering) -> $number {
                step();
                self.0.fetch_max(value, SeqCst)
            }

            pub(crate) fn compare_exchange(
                &self,
                old: $number,
                new: $number,
                _: Ordering,
                _: Ordering,
            ) -> Result<$number, $number> {
                step();
                self.0.compare_exchange(old, new, SeqCst, SeqCst)
            }
        }
    )*};
}

atomics! {
    AtomicU32 u32;
    AtomicU64 u64;
}
