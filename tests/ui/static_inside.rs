use pool_runtime::prelude::*;

use std::borrow::Cow;

#[derive(Clone)]
struct Name<'a>(&'a str);

#[pool_task]
fn name(name: Name<'static>) -> usize {
    name.0.len()
}

#[pool_task]
fn names(texts: Vec<Cow<'static, [&'static str]>>) -> Option<Cow<'static, Name<'static>>> {
    texts[0].first().map(|text| Cow::Owned(Name(text)))
}

fn main() {}
