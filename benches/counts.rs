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

/// What is counted: the program, its short and its long run, the function's name (all when empty), items that the long run has
/// more, and the limit: a tenth above what it was when it was last looked at.
type Counted = (&'static str, Program, [&'static str; 2], &'static str, f64, f64);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    /// This one.
    Own,
    /// The runtime's unit tests, of which one goes the way of an item in a single process: valgrind knows no `pidfd_open`, and so
    /// can start no pool.
    Tests,
}

use Program::{Own, Tests};

const COUNTED: &[Counted] = &[
    (
        "a number through a pool without workers",
        Own,
        ["codec 5000", "codec 25000"],
        "",
        2e4,
        1650.0,
    ),
    ("a string of 22 bytes, the same", Own, ["strings 5000", "strings 25000"], "", 2e4, 3400.0),
    ("a number over the board, chunk size 1000", Tests, ["1000 5", "1000 25"], "", 2e4, 85.0),
    ("a number over the board, chunk size 1", Tests, ["1 5", "1 25"], "", 2e4, 1300.0),
    (
        "of these: claimed, run and posted",
        Tests,
        ["1 5", "1 25"],
        "Worker::take_and_run",
        2e4,
        900.0,
    ),
    (
        "of these: taken and accounted for",
        Tests,
        ["1 5", "1 25"],
        "Desk>::take_results",
        2e4,
        255.0,
    ),
];

fn instructions() -> bool {
    if !present("valgrind") {
        println!("instructions are not counted: valgrind is not installed");
        return true;
    }
    let tests = unit_tests();
    if tests.is_none() {
        println!("the board is not counted: the unit tests of pool-runtime could not be built");
    }
    let mut fine = true;
    for (what, program, [short, long], function, items, limit) in COUNTED {
        let count = |run: &str| match program {
            Own => callgrind(&std::env::current_exe().ok()?, &format!("{RUN} {run}"), None),
            Tests => callgrind(tests.as_ref()?, "a_walk_over_the_board", Some(run)),
        };
        match (count(short), count(long)) {
            (Some(less), Some(more)) => {
                let more = inclusive(&more, function) - inclusive(&less, function);
                fine &= line(what, "item", more / items, *limit);
            }
            _ if *program == Own => println!("{what} is not counted: valgrind failed"),
            _ => {}
        }
    }
    fine
}

/// Builds the unit tests of the runtime, optimised, and says where they are.
fn unit_tests() -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["test", "--release", "--package", "pool-runtime", "--lib", "--no-run"])
        .args(["--quiet", "--message-format=json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(built.stdout).ok()?;
    let messages = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    messages
        .filter_map(|message: serde_json::Value| Some(message["executable"].as_str()?.into()))
        .next_back()
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

/// Runs a program under callgrind, and gives what that says of each function.
fn callgrind(program: &Path, arguments: &str, counts: Option<&str>) -> Option<String> {
    let file = scratch("callgrind");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args(arguments.split(' '))
        .envs(counts.map(|counts| ("POOL_COUNTS", counts)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let said = Command::new("callgrind_annotate")
        .args(["--inclusive=yes", "--threshold=100", "--auto=no"])
        .arg(&file)
        .output();
    let _ = std::fs::remove_file(&file);
    status.ok()?.success().then(|| String::from_utf8(said.ok()?.stdout).ok())?
}

/// Instructions in the function of that name and what it calls; in all functions when it is empty.
fn inclusive(said: &str, function: &str) -> f64 {
    let wanted = |line: &&str| match function {
        "" => line.contains("PROGRAM TOTALS"),
        name => line.contains(&format!("{name} [")),
    };
    let count = |line: &str| line.split_whitespace().next()?.replace(',', "").parse::<f64>().ok();
    said.lines().filter(wanted).filter_map(count).fold(0.0, f64::max)
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
