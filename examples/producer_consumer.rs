//! Two processes make numbers, three look which are prime, and this one adds up what they say.
//!
//! `cargo run --release --example producer_consumer`

use pool_runtime::prelude::*;

#[pool_task]
fn produce(numbers: Queue<u64>, from: u64, to: u64) -> Result<(), Error> {
    (from..to).try_for_each(|number| numbers.put(number))
}

/// Takes numbers until the queue is closed and empty.
#[pool_task]
fn consume(numbers: Queue<u64>, primes: Queue<u64>) -> Result<u64, Error> {
    let mut looked_at = 0;
    while let Ok(number) = numbers.get() {
        looked_at += 1;
        if (2..).take_while(|divisor| divisor * divisor <= number).all(|d| number % d != 0) {
            primes.put(number)?;
        }
    }
    Ok(looked_at)
}

fn main() -> Result<(), Error> {
    let (numbers, primes) = (Queue::bounded(100)?, Queue::unbounded()?);
    let producers = [(2, 25_000), (25_000, 50_000)]
        .map(|(from, to)| Process::spawn(task!(produce(numbers.clone(), from, to))));
    let consumers =
        [(); 3].map(|()| Process::spawn(task!(consume(numbers.clone(), primes.clone()))));
    for producer in producers {
        producer?.join()??;
    }
    // No more numbers: the consumers take what is left, and return.
    numbers.close()?;
    for consumer in consumers {
        let consumer = consumer?;
        println!("{} looked at {} numbers", consumer.name(), consumer.join()??);
    }
    primes.close()?;
    let all: Vec<u64> = std::iter::from_fn(|| primes.get().ok()).collect();
    println!("{} primes below 50000, and their sum is {}", all.len(), all.iter().sum::<u64>());
    Ok(())
}
