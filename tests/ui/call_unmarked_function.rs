use pool_runtime::prelude::*;

fn plain(x: u64) -> u64 {
    x
}

fn main() {
    let _ = par_map!(plain, 0..3);
}
