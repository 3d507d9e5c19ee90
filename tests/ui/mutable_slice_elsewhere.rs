use pool_runtime::prelude::*;

#[pool_task]
fn fill(part: &mut [f64], value: f64) {
    part.fill(value);
}

fn main() {
    let mut own = vec![0.0; 4];
    let _ = par_apply!(fill(&mut own[..], 1.0));
}
