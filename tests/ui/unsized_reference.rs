use pool_runtime::prelude::*;

use std::path::Path;

#[pool_task]
fn exists(path: &Path) -> bool {
    path.exists()
}

fn main() {}
