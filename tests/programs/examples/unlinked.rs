//! Its workers are another program, which does not know its task.

use pool_runtime::prelude::*;

#[pool_task]
fn unheard_of(x: u64) -> u64 {
    x
}

fn main() {
    let other = std::env::args().nth(1).unwrap();
    let pool = Pool::builder().workers(1).worker_exe(other).build().unwrap();
    let error = par_apply!(unheard_of(3); pool = pool).unwrap_err();
    println!("{:?}: {error}", error.kind());
}
