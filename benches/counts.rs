//! What does not depend on the clock: instructions per item in the codec and in the claim path, counted by valgrind, and system
//! calls per item, counted by strace. `cargo bench --bench counts`; what is not installed is left out, and said so.
//!
//! Each count is taken twice, of a short and of a long run, and their difference divided by the items that the long one has more:
//! what starting and ending cost falls out. With `--check`, a count above its limit is a failure.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use pool_runtime::prelude::*;

#[pool_task]
fn noop(x: u64) -> u64 {
    x + 1
}

#[pool_task]
fn length(text: String) -> String {
    text
}

/// The run itself, in a process of its own.
const RUN: &str = "--run";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let all: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let [RUN, kind, n] = all[..] {
        workload(kind, n.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let wanted = |id: &str| {
        let names = || all.iter().filter(|name| !name.starts_with('-'));
        names().count() == 0 || names().any(|name| *name == id)
    };
    if !wanted("counts") {
        return ExitCode::SUCCESS;
    }
    println!("| what | per | count | limit | |\n|---|---|---|---|---|");
    let fine = [instructions(), system_calls()];
    let failed = fine.contains(&false) && all.contains(&"--check");
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn workload(kind: &str, n: u64) {
    let pool = match kind {
        "codec" | "strings" => Pool::builder().in_process().build(),
        _ => Pool::new(2),
    };
    let pool = pool.unwrap();
    match kind {
        "strings" => {
            let items = (0..n).map(|_| "twenty-two bytes of it".to_owned());
            drop(par_map!(length, items; pool = &pool).unwrap());
        }
        "chunk" => drop(par_map!(noop, 0..n; pool = &pool, chunk_size = 1).unwrap()),
        "many" => {
            for _ in 0..n / 1_000_000 {
                drop(par_map!(noop, 0..1_000_000; pool = &pool).unwrap());
            }
        }
        _ => drop(par_map!(noop, 0..n; pool = &pool).unwrap()),
    }
}

/// What is counted: the workload, a part of the function's name (all when empty), whether in the worker, and the limit.
const COUNTED: &[(&str, &str, &str, f64)] = &[
    ("number there and back, whole map in one process", "codec", "", 60.0),
    ("string of 22 bytes there and back, the same", "strings", "", 1500.0),
    ("claim of a chunk of one", "chunk", "board::claim::take", 120.0),
    ("item run, result posted", "chunk", "batch::Batch::each", 260.0),
    ("result taken and placed", "chunk", "drain_worker", 220.0),
    ("item written", "chunk", "RunWriter::write", 60.0),
];

fn instructions() -> bool {
    if !present("valgrind") {
        println!("instructions are not counted: valgrind is not installed");
        return true;
    }
    let mut fine = true;
    for kind in ["codec", "strings", "chunk"] {
        let (short, long) = (5_000, 25_000);
        let (Some(less), Some(more)) = (callgrind(kind, short), callgrind(kind, long)) else {
            println!("{kind} is not counted: valgrind failed");
            continue;
        };
        for (what, _, function, limit) in COUNTED.iter().filter(|counted| counted.1 == kind) {
            let more = inclusive(&more, function) - inclusive(&less, function);
            fine &= line(what, "item", more / (long - short) as f64, *limit);
        }
    }
    fine
}

fn line(what: &str, per: &str, count: f64, limit: f64) -> bool {
    let fine = count <= limit;
    println!("| {what} | {per} | {count:.4} | {limit} | {} |", if fine { "" } else { "**above**" });
    fine
}

fn present(program: &str) -> bool {
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("pool-counts-{}-{name}", std::process::id()))
}

/// Runs a workload under callgrind, all of its processes, and gives what it says of each of them.
fn callgrind(kind: &str, n: u64) -> Option<String> {
    let directory = scratch("callgrind");
    std::fs::create_dir_all(&directory).ok()?;
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--trace-children=yes", "--quiet"])
        .arg(format!("--callgrind-out-file={}/%p", directory.display()))
        .arg(std::env::current_exe().ok()?)
        .args([RUN, kind, &n.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let files = std::fs::read_dir(&directory).ok()?.flatten().map(|entry| entry.path());
    let said = files.filter_map(|file| annotate(&file)).collect();
    let _ = std::fs::remove_dir_all(&directory);
    status.ok()?.success().then_some(said)
}

fn annotate(file: &Path) -> Option<String> {
    let output = Command::new("callgrind_annotate")
        .args(["--inclusive=yes", "--threshold=100", "--auto=no"])
        .arg(file)
        .output();
    String::from_utf8(output.ok()?.stdout).ok()
}

/// Instructions in functions of that name and what they call, of all processes; in all functions when it is empty.
fn inclusive(said: &str, function: &str) -> f64 {
    let wanted = |line: &&str| match function {
        "" => line.contains("PROGRAM TOTALS"),
        name => line.contains(name) && !line.contains('\''),
    };
    let count = |line: &str| line.split_whitespace().next()?.replace(',', "").parse::<f64>().ok();
    said.lines().filter(wanted).filter_map(count).sum()
}

fn system_calls() -> bool {
    if !present("strace") {
        println!("system calls are not counted: strace is not installed");
        return true;
    }
    let (short, long) = (2_000_000, 12_000_000);
    let (Some(less), Some(more)) = (strace(short), strace(long)) else {
        println!("system calls are not counted: strace failed");
        return true;
    };
    line("system calls, default chunks", "item", (more - less) / (long - short) as f64, 0.01)
}

/// All system calls of all processes of maps of a million.
fn strace(n: u64) -> Option<f64> {
    let file = scratch("strace");
    let status = Command::new("strace")
        .args(["-c", "-f", "-o"])
        .arg(&file)
        .arg(std::env::current_exe().ok()?)
        .args([RUN, "many", &n.to_string()])
        .status();
    let text = std::fs::read_to_string(&file).ok()?;
    let _ = std::fs::remove_file(&file);
    let total = text.lines().find(|line| line.ends_with(" total"))?;
    // `% time, seconds, usecs/call, calls, [errors,] total`
    status.ok()?.success().then_some(())?;
    total.split_whitespace().nth(3)?.parse().ok()
}
