use pool_runtime::prelude::*;

#[pool_task]
#[allow(clippy::too_many_arguments)]
#[rustfmt::skip]
fn many(_0: u8, _1: u8, _2: u8, _3: u8, _4: u8, _5: u8, _6: u8, _7: u8, _8: u8, _9: u8, _10: u8, _11: u8, _12: u8, _13: u8, _14: u8, _15: u8, _16: u8, _17: u8, _18: u8, _19: u8, _20: u8, _21: u8, _22: u8, _23: u8, _24: u8, _25: u8, _26: u8, _27: u8, _28: u8, _29: u8, _30: u8, _31: u8, _32: u8) {}

fn main() {}
