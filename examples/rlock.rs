//! A lock that its holder may take again: an account whose methods lock, and call each other.
//!
//! With a plain `Lock`, `transfer` would be told `Deadlock` by `withdraw`; an `RLock` lets its own thread in.
//!
//! Run with `cargo run --example rlock`.
//!
//! `cargo run --release --example rlock`

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Bank {
    lock: RLock,
    accounts: RawArray<AtomicI64>,
}

impl Bank {
    fn deposit(&self, account: usize, amount: i64) -> Result<(), Error> {
        let _guard = self.lock.lock()?;
        let balance = self.accounts[account].load(SeqCst);
        self.accounts[account].store(balance + amount, SeqCst);
        Ok(())
    }

    fn transfer(&self, from: usize, to: usize, amount: i64) -> Result<(), Error> {
        let _guard = self.lock.lock()?;
        self.deposit(from, -amount)?;
        self.deposit(to, amount)
    }
}

#[pool_task]
fn shuffle(bank: Bank, seed: usize) -> Result<(), Error> {
    for n in 0..1000 {
        bank.transfer((seed + n) % 4, (seed + 3 * n) % 4, 5)?;
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    let bank = Bank { lock: RLock::new()?, accounts: RawArray::from_slice(&[100; 4])? };
    let done = par_map!(shuffle(bank.clone(), _), 0..8_usize; pool = Pool::new(4)?)?;
    done.into_iter().collect::<Result<(), _>>()?;

    let balances: Vec<_> = bank.accounts.iter().map(|account| account.load(SeqCst)).collect();
    println!("{balances:?}, {} in all", balances.iter().sum::<i64>());

    let plain = Lock::new()?;
    let _guard = plain.lock()?;
    if let Err(error) = plain.lock() {
        println!("a plain lock, taken twice: {error}");
    }
    Ok(())
}
