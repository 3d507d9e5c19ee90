//! The Rust peers, each behind a line protocol: a question on stdin, its answer on stdout.

#[expect(dead_code, reason = "the harness uses the rest")]
#[path = "../../pool/shared/mod.rs"]
mod shared;

mod chunked;
mod ipc;
mod spawn;
mod threads;

use std::io::{BufRead, Write};

use chunked::Chunked;
use shared::contender::answer;
use shared::job::{Answer, Job};

fn main() {
    procspawn::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [ipc::WORKER, server] => ipc::serve(server),
        ["rayon"] => talk(answer::<threads::Rayon>),
        ["procspawn"] => talk(answer::<Chunked<spawn::Procspawn>>),
        ["ipc-channel"] => talk(answer::<Chunked<ipc::IpcPool>>),
        _ => eprintln!("peers rayon|procspawn|ipc-channel"),
    }
}

fn talk(answer: fn(&Job) -> Answer) {
    let mut out = std::io::stdout();
    for question in std::io::stdin().lock().lines().map_while(Result::ok) {
        let reply = question.parse().and_then(|job| answer(&job));
        if writeln!(out, "{}", line(&reply)).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

/// An answer as a line.
fn line(answer: &Answer) -> String {
    match answer {
        Ok(values) => {
            values.iter().fold("ok".to_owned(), |line, value| format!("{line} {value:e}"))
        }
        Err(reason) => format!("skip {}", reason.replace('\n', " ")),
    }
}
