//! What several tests share.

use pool_runtime::Pool;

/// A pool for a test.
pub(crate) fn pool() -> Pool {
    Pool::builder().workers(2).build().expect("two workers can be started")
}
