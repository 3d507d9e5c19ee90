//! A queue that other programs reach over the network, and a client that takes jobs from it.
//!
//! Both in one: `cargo run --release --example remote_manager`. Or two programs, on one machine or on two:
//! `remote_manager serve 127.0.0.1:50000 hello world`, and then `remote_manager work 127.0.0.1:50000`.

use pool_runtime::manager::Queue;
use pool_runtime::prelude::*;

/// Known to both programs. A real one is long, random, and in no source.
const KEY: &[u8] = b"abracadabra";

/// Offers the words, and gathers what becomes of them.
fn serve(m: &Manager, words: &[String]) -> Result<(), Error> {
    let (jobs, results) = (m.queue::<String>()?, m.queue::<String>()?);
    m.shared()?.set("results", results.clone())?;
    // Whoever finds the jobs finds the results too.
    m.shared()?.set("jobs", jobs.clone())?;
    words.iter().try_for_each(|word| jobs.put(word.clone()))?;
    jobs.close()?;
    for _ in words {
        println!("{}", results.get()?);
    }
    Ok(())
}

/// Takes jobs until there are no more.
fn work(m: &Manager) -> Result<(), Error> {
    let jobs: Queue<String> = m.shared()?.get("jobs")?;
    let results: Queue<String> = m.shared()?.get("results")?;
    loop {
        match jobs.get() {
            Ok(word) => results.put(word.to_uppercase())?,
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

#[pool_task]
fn work_there(address: String) -> Result<(), Error> {
    loop {
        match work(&Manager::connect(&address, KEY)?) {
            // The server is there, and its jobs not yet.
            Err(error) if error.kind() == ErrorKind::NotFound => std::thread::yield_now(),
            done => return done,
        }
    }
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((role, rest)) if role == "serve" && !rest.is_empty() => {
            serve(&Manager::listen(&rest[0], KEY)?, &rest[1..])
        }
        Some((role, rest)) if role == "work" && rest.len() == 1 => {
            work(&Manager::connect(&rest[0], KEY)?)
        }
        Some(_) => Err(Error::new(
            ErrorKind::InvalidInput,
            "give `serve ADDRESS WORD..` or `work ADDRESS`, or nothing",
        )),
        None => {
            let m = Manager::listen("127.0.0.1:0", KEY)?;
            // Another process, which knows of this one only the address and the key.
            let worker = Process::spawn(task!(work_there(m.address().to_string())))?;
            serve(&m, &["hello", "manager"].map(str::to_owned))?;
            worker.join()?
        }
    }
}
