//! The macros of `pool-runtime`, which re-exports and documents them.
