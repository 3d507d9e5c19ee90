//! Dict operations of a manager, beside Python's in the same run. `cargo bench --bench manager`.
#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pool_runtime::prelude::*;

const FOR: Duration = Duration::from_millis(700);
const ROUNDS: usize = 5;

const PYTHON: &str = r#"
import sys, time
from multiprocessing import Manager
if __name__ == '__main__':
    with Manager() as m:
        d = m.dict()
        for _ in range(int(sys.argv[1])):
            n, end = 0, time.perf_counter() + float(sys.argv[2])
            start = time.perf_counter()
            while time.perf_counter() < end:
                for k in range(100):
                    d[k] = n
                    d[k]
                n += 200
            print(n / (time.perf_counter() - start))
"#;

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn ours(d: &Dict<u64, u64>) -> Result<f64, Error> {
    let (start, mut n) = (Instant::now(), 0_u64);
    while start.elapsed() < FOR {
        for key in 0..100 {
            d.insert(key, n)?;
            d.get(&key)?;
        }
        n += 200;
    }
    Ok(n as f64 / start.elapsed().as_secs_f64())
}

fn python() -> Option<Vec<f64>> {
    let arguments = [ROUNDS.to_string(), FOR.as_secs_f64().to_string()];
    let output = Command::new("python3")
        .arg("-c")
        .arg(PYTHON)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().map(|line| line.parse().ok()).collect()
}

fn main() -> Result<(), Error> {
    let m = Manager::start()?;
    let d = m.dict()?;
    let over_tcp = Manager::listen("127.0.0.1:0", b"key")?;
    let shared = median((0..ROUNDS).map(|_| ours(&d)).collect::<Result<_, _>>()?);
    let listening = median((0..ROUNDS).map(|_| ours(&over_tcp.dict()?)).collect::<Result<_, _>>()?);
    println!("dict get/set, busy     {shared:>12.0} operations/s");
    println!("the same, listening    {listening:>12.0} operations/s");
    match python().filter(|rates| !rates.is_empty()).map(median) {
        Some(python) => println!(
            "Python's Manager       {python:>12.0} operations/s: ours is {:.1} times that",
            shared / python
        ),
        None => println!("Python's Manager: there is no python3"),
    }
    Ok(())
}
