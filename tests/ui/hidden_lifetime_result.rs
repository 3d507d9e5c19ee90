use pool_runtime::prelude::*;

use std::borrow::Cow;

#[pool_task]
fn same(text: &str) -> Cow<'_, str> {
    text.into()
}

fn main() {}
