//! What the macros write passes the strictest lints, in code that means no harm.
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    nonstandard_style,
    unused
)]
#![deny(clippy::pedantic)]
#![forbid(unsafe_code)]

#[expect(
    clippy::pedantic,
    unreachable_pub,
    reason = "what all tests share is not what is tested here"
)]
mod common;

/// Names that the standard library has too, and that generated code must not meet.
pub mod shadowed {
    #![expect(dead_code, clippy::pedantic, reason = "the names are the point")]

    use ::pool_runtime::{par_apply, par_map, par_starmap, pool_task};

    struct Option;
    struct Result;
    struct Vec;
    struct String;
    struct Box;
    struct Task;
    struct Bound;
    struct Holes;
    struct Z;
    mod core {}
    mod std {}
    mod pool_runtime {}
    mod __p {}

    #[pool_task]
    fn twice(x: u64) -> u64 {
        2 * x
    }

    #[pool_task]
    fn sum(a: i32, b: i32) -> i32 {
        a + b
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Adder(i32);

    #[pool_task]
    impl Adder {
        #[pool_task]
        fn add(&self, items: i32) -> i32 {
            self.0 + items
        }
    }

    #[test]
    fn shadowed_names() {
        let (items, task, bound, a0) = ([1, 2], Adder(1), 3, 4);
        assert_eq!(par_map!(twice, items).unwrap(), [2, 4]);
        assert_eq!(par_map!(sum(a0, _), [bound]).unwrap(), [7]);
        assert_eq!(par_starmap!(sum, [(a0, bound)]; chunk_size = bound as usize).unwrap(), [7]);
        assert_eq!(par_apply!(task.add(bound)).unwrap(), 4);
        assert_eq!(par_map!(|items: u64| -> u64 { items + 1 }, items).unwrap(), [2, 3]);
    }
}

/// Public tasks of a crate that documents everything.
pub mod documented {
    use pool_runtime::prelude::*;
    use serde::{Deserialize, Serialize};

    /// A task.
    #[pool_task]
    #[must_use]
    pub fn twice(x: u64) -> u64 {
        2 * x
    }

    /// A task that takes nothing and gives nothing.
    #[pool_task]
    pub fn nothing() {}

    /// A task that is rarely there.
    #[pool_task]
    #[cfg(target_os = "none")]
    pub fn nowhere(x: Missing) -> Missing {
        x
    }

    /// An object.
    #[derive(Debug, Serialize, Deserialize)]
    pub struct Adder {
        /// What is added.
        pub by: i64,
    }

    #[pool_task]
    impl Adder {
        /// A task.
        #[pool_task]
        #[must_use]
        pub fn add(&self, to: i64, times: &[i64]) -> Vec<i64> {
            times.iter().map(|n| to + self.by * n).collect()
        }

        /// A task that is rarely there.
        #[pool_task]
        #[cfg(target_os = "none")]
        pub fn nowhere(&self, x: Missing) -> Missing {
            x
        }
    }

    /// Takes its time.
    #[elapsed]
    #[must_use]
    pub fn slow(n: u64) -> u64 {
        const START: u64 = 1;
        (START..=n).sum()
    }

    /// Uses all of them.
    ///
    /// # Errors
    /// Never.
    pub fn all() -> Result<u64, Error> {
        par_apply!(nothing())?;
        let adder = Adder { by: 2 };
        let sums = par_map!(adder.add(1, _), [[1, 2]])?;
        let more: u64 = par_map!(|x: u64| -> u64 { x + 1 }, 0..3)?.iter().sum();
        let streamed: u64 = par_imap!(twice, 0..3; window = 2)?.sum::<Result<u64, Error>>()?;
        let later = par_map_async!(twice, 0..3; callback = drop)?;
        let _: Call<u64> = task!(twice(1));
        Ok(more + streamed + later.get()?.len() as u64 + sums.len() as u64 + slow(3))
    }
}

macro_rules! tasks {
    ($($name:ident: $argument:ty => $result:ty { $body:expr })*) => {$(
        #[pool_runtime::pool_task]
        fn $name(x: $argument) -> $result {
            $body(x)
        }
    )*};
}

tasks! {
    length: &str => usize { str::len }
    total: &[u32] => u32 { sum_of }
}

fn sum_of(numbers: &[u32]) -> u32 {
    numbers.iter().sum()
}

macro_rules! map_over {
    ($task:path, $items:expr) => {
        pool_runtime::par_map!($task, $items)
    };
}

#[test]
fn strict_lints() {
    assert_eq!(documented::all().unwrap(), 6 + 6 + 3 + 1 + 6);
}

#[test]
fn by_macro_rules() {
    assert_eq!(map_over!(length, ["a", "bb"]).unwrap(), [1, 2]);
    assert_eq!(map_over!(total, [[1, 2]]).unwrap(), [3]);
    assert_eq!(map_over!(documented::twice, 0..2).unwrap(), [0, 2]);
}

#[test]
fn by_another_path() {
    mod renamed {
        pub(super) use pool_runtime as runtime;
    }

    #[pool_runtime::pool_task(crate = renamed::runtime)]
    fn three() -> u8 {
        3
    }

    assert_eq!(common::pool().apply::<three>(()).unwrap(), 3);
}
