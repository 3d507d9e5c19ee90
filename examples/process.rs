//! One process that answers questions over a pipe, one that panics, and one that never ends.
//!
//! `cargo run --release --example process`

use std::time::Duration;

use pool_runtime::prelude::*;

#[pool_task]
fn answer(questions: Connection<String>) -> usize {
    let mut answered = 0;
    while let Ok(question) = questions.recv() {
        if questions.send(question.chars().rev().collect()).is_err() {
            break;
        }
        answered += 1;
    }
    answered
}

#[pool_task]
fn fail(reason: &str) {
    panic!("{reason}")
}

#[pool_task]
fn wait_for_ever() {
    loop {
        std::thread::park();
    }
}

fn main() -> Result<(), Error> {
    let (here, there) = pipe::<String>()?;
    let process = Process::builder().name("mirror").spawn(task!(answer(there)))?;
    for question in ["stressed", "live"] {
        here.send(question.to_owned())?;
        println!("{} says: {}", process.name(), here.recv()?);
    }
    drop(here);
    println!("it answered {} questions", process.join()?);

    let failure = Process::spawn(task!(fail("out of luck")))?.join().unwrap_err();
    println!("{failure}");

    let endless = Process::spawn(task!(wait_for_ever()))?;
    println!("{}", endless.join_timeout(Duration::from_millis(50)).unwrap_err());
    endless.terminate()?;
    println!("{} (exit code {:?})", endless.join().unwrap_err(), endless.exit_code());
    Ok(())
}
