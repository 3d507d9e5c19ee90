//! What a lock is for: lines of several processes that are printed in pieces, without it and with it.
//!
//! Without the lock the pieces of different lines mix; with it each line stays whole.
//!
//! Run with `cargo run --example lock`.
//!
//! `cargo run --release --example lock`

use std::io::{Write, stdout};

use pool_runtime::prelude::*;

/// Prints a line in ten pieces, which another process may come between.
fn print_in_pieces(number: u32) -> std::io::Result<()> {
    for _ in 0..10 {
        write!(stdout(), "{number} ")?;
        stdout().flush()?;
        std::thread::yield_now();
    }
    writeln!(stdout())?;
    stdout().flush()
}

#[pool_task]
fn without(start: Barrier, number: u32) -> Result<(), Error> {
    start.wait()?;
    print_in_pieces(number).map_err(|error| Error::new(ErrorKind::Io, error.to_string()))
}

#[pool_task]
fn with(lock: Lock, start: Barrier, number: u32) -> Result<(), Error> {
    start.wait()?;
    let _guard = lock.lock()?;
    print_in_pieces(number).map_err(|error| Error::new(ErrorKind::Io, error.to_string()))
}

fn main() -> Result<(), Error> {
    const PROCESSES: u32 = 4;
    let (lock, start) = (Lock::new()?, Barrier::new(PROCESSES as usize)?);
    let pool = Pool::new(PROCESSES as usize)?;

    println!("without a lock:");
    let done = par_map!(without(start.clone(), _), 0..PROCESSES; pool = &pool, chunk_size = 1)?;
    done.into_iter().collect::<Result<(), _>>()?;

    println!("with a lock:");
    let done =
        par_map!(with(lock.clone(), start.clone(), _), 0..PROCESSES; pool = &pool, chunk_size = 1)?;
    done.into_iter().collect()
}
