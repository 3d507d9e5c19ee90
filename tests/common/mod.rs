//! What several tests share.

use pool_runtime::Pool;

/// A pool for a test.
pub(crate) fn pool() -> Pool {
    Pool::builder().in_process().build().expect("a pool without workers needs nothing")
}
