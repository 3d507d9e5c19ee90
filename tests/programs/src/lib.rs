//! A library with a task, and a doc-test that runs it.
//!
//! ```
//! use pool_runtime::prelude::*;
//! use programs::square;
//!
//! let squares = par_map!(square, 0..4).unwrap();
//! assert_eq!(squares, [0, 1, 4, 9]);
//! assert_ne!(par_apply!(programs::pid()).unwrap(), std::process::id());
//! ```

use pool_runtime::prelude::*;

#[pool_task]
pub fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
pub fn pid() -> u32 {
    std::process::id()
}

/// Two workers give the right results, from processes of their own.
pub fn check() {
    let pool = Pool::new(2).unwrap();
    assert_eq!(par_map!(square, 0..100; pool = pool).unwrap(), (0..100).map(|x| x * x).collect::<Vec<_>>());
    assert!(pool.worker_pids().contains(&par_apply!(pid(); pool = pool).unwrap()));
}

#[cfg(test)]
mod tests {
    #[test]
    fn in_a_unit_test() {
        super::check();
    }
}
