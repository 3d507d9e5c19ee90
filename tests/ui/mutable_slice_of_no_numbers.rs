use pool_runtime::prelude::*;

#[pool_task]
fn shout(part: &mut [String]) {
    for text in part {
        *text = text.to_uppercase();
    }
}

fn main() {}
