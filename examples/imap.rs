//! An endless input: the smallest number that, behind TEXT, gives a SHA-256 with many zeros in front. Results come in the order
//! of the input while it is still being taken, only a window of it is ever out, and leaving the loop ends the work.
//!
//! `cargo run --release --example imap -- TEXT`

use pool_runtime::prelude::*;
use sha2::{Digest, Sha256};

const BLOCK: u64 = 100_000;

/// The first number of the block whose digest begins with so many zero bits.
#[pool_task]
fn mine(text: &str, zeros: u32, block: u64) -> Option<(u64, String)> {
    let text = Sha256::new_with_prefix(text);
    (block * BLOCK..(block + 1) * BLOCK).find_map(|number| {
        let digest = text.clone().chain_update(number.to_string()).finalize();
        let head = u64::from_be_bytes(digest[..8].try_into().ok()?);
        (head.leading_zeros() >= zeros).then(|| (number, format!("{digest:x}")))
    })
}

fn main() -> Result<(), Error> {
    let text = std::env::args().nth(1).unwrap_or_else(|| "hello".to_owned());
    for found in par_imap!(mine(&text, 24, _), 0..; window = 64)? {
        if let Some((number, digest)) = found? {
            println!("{digest}  {text}{number}");
            break;
        }
    }
    Ok(())
}
