//! Exists because `links` asks for it: there is nothing to build.

fn main() {}
