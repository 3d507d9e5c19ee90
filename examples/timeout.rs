//! A limit per item: what takes too long is stopped, for good, and the rest of the stream goes on.
//!
//! `cargo run --release --example timeout`

use std::time::Duration;

use pool_runtime::prelude::*;

/// How many steps the Collatz sequence of `n` takes. From 0 it never arrives.
#[pool_task]
fn collatz(n: u64) -> u32 {
    let (mut at, mut steps) = (n, 0);
    while at != 1 {
        at = if at % 2 == 0 { at / 2 } else { 3 * at + 1 };
        steps += 1_u32;
        steps %= 1_000_000;
    }
    steps
}

fn main() -> Result<(), Error> {
    let steps = par_imap!(collatz, [27, 0, 97, 871]; timeout = Duration::from_millis(300))?;
    for steps in steps {
        match steps {
            Ok(steps) => println!("{steps} steps"),
            Err(error) if error.kind() == ErrorKind::TimedOut => println!("{error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
