//! Messages per second through a queue, and the start of a process: ours, and their peers', in one run.
//!
//! `cargo bench --bench queue`; a number as argument says how many messages, 1,000,000 otherwise.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ipc_channel::ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender};
use pool_runtime::prelude::*;

#[pool_task]
fn puts_numbers(queue: Queue<u64>, count: u64) {
    (0..count).for_each(|x| queue.put(x).expect("the queue is open"));
}

#[pool_task]
fn puts_texts(queue: Queue<String>, count: u64, len: usize) {
    let text = "x".repeat(len);
    (0..count).for_each(|_| queue.put(text.clone()).expect("the queue is open"));
}

#[pool_task]
fn sends_numbers(server: &str, count: u64) {
    let (sender, receiver) = ipc::channel::<u64>().expect("a channel");
    IpcSender::connect(server.to_owned()).expect("it listens").send(receiver).expect("it listens");
    (0..count).for_each(|x| sender.send(x).expect("it listens"));
}

#[pool_task]
fn sends_texts(server: &str, count: u64, len: usize) {
    let (sender, receiver) = ipc::channel::<String>().expect("a channel");
    IpcSender::connect(server.to_owned()).expect("it listens").send(receiver).expect("it listens");
    let text = "x".repeat(len);
    (0..count).for_each(|_| sender.send(text.clone()).expect("it listens"));
}

#[pool_task]
fn nothing() {}

const TEXT: usize = 256;
/// Set: this program ends at once.
const LEAVE: &str = "POOL_BENCH_LEAVE";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::var_os(LEAVE).is_some() {
        return Ok(());
    }
    let count = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(1_000_000);
    say(&format!("{count} messages from one process to another, in messages per second"));
    for round in 1..=3 {
        say(&format!("round {round}"));
        let (ours, ipc, theirs) =
            (numbers(count)?, ipc_numbers(count / 5)?, python(count / 20, "1"));
        compare("a number", ours, ipc, theirs);
        let script = format!("'x' * {TEXT}");
        let (ours, ipc, theirs) =
            (texts(count)?, ipc_texts(count / 5)?, python(count / 20, &script));
        compare(&format!("a text of {TEXT} bytes"), ours, ipc, theirs);
        starts()?;
    }
    Ok(())
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("somebody reads this");
}

fn compare(what: &str, ours: f64, ipc: f64, python: Option<f64>) {
    say(&format!("  {what}: queue {ours:.0}, ipc-channel {ipc:.0} ({:.1} times)", ours / ipc));
    if let Some(python) = python {
        say(&format!("    multiprocessing.Queue {python:.0} ({:.1} times)", ours / python));
    }
}

fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// From the first message on, so that no start of a process is counted.
fn numbers(count: u64) -> Result<f64, Error> {
    let queue = Queue::bounded(1000)?;
    let process = Process::spawn(task!(puts_numbers(queue.clone(), count)))?;
    queue.get()?;
    let start = Instant::now();
    for _ in 1..count {
        queue.get()?;
    }
    let took = start.elapsed();
    process.join()?;
    Ok(rate(count, took))
}

fn texts(count: u64) -> Result<f64, Error> {
    let queue = Queue::<String>::bounded(1000)?;
    let process = Process::spawn(task!(puts_texts(queue.clone(), count, TEXT)))?;
    queue.get()?;
    let start = Instant::now();
    for _ in 1..count {
        queue.get()?;
    }
    let took = start.elapsed();
    process.join()?;
    Ok(rate(count, took))
}

fn ipc_numbers(count: u64) -> Result<f64, Box<dyn std::error::Error>> {
    let (server, name) = IpcOneShotServer::<IpcReceiver<u64>>::new()?;
    let process = Process::spawn(task!(sends_numbers(&name, count)))?;
    let (_, receiver) = server.accept()?;
    receiver.recv().map_err(|error| format!("{error:?}"))?;
    let start = Instant::now();
    for _ in 1..count {
        receiver.recv().map_err(|error| format!("{error:?}"))?;
    }
    let took = start.elapsed();
    process.join()?;
    Ok(rate(count, took))
}

fn ipc_texts(count: u64) -> Result<f64, Box<dyn std::error::Error>> {
    let (server, name) = IpcOneShotServer::<IpcReceiver<String>>::new()?;
    let process = Process::spawn(task!(sends_texts(&name, count, TEXT)))?;
    let (_, receiver) = server.accept()?;
    receiver.recv().map_err(|error| format!("{error:?}"))?;
    let start = Instant::now();
    for _ in 1..count {
        receiver.recv().map_err(|error| format!("{error:?}"))?;
    }
    let took = start.elapsed();
    process.join()?;
    Ok(rate(count, took))
}

/// `None` when there is no Python here.
fn python(count: u64, item: &str) -> Option<f64> {
    let script = format!(
        "import multiprocessing as mp, time\n\
         def put(q):\n\x20   item = {item}\n\x20   for _ in range({count}): q.put(item)\n\
         if __name__ == '__main__':\n\
         \x20   q = mp.Queue(1000)\n\x20   p = mp.Process(target=put, args=(q,))\n\x20   p.start()\n\
         \x20   q.get()\n\x20   t = time.perf_counter()\n\x20   for _ in range({count} - 1): q.get()\n\
         \x20   print({count} / (time.perf_counter() - t))\n\x20   p.join()\n"
    );
    let path = std::env::temp_dir().join(format!("pool-bench-{}.py", std::process::id()));
    std::fs::write(&path, script).ok()?;
    let output = Command::new("python3").arg(&path).stderr(Stdio::inherit()).output();
    let _ = std::fs::remove_file(&path);
    String::from_utf8(output.ok()?.stdout).ok()?.trim().parse().ok()
}

/// A process from its start to its end, and the same program started and ended by nobody's help.
fn starts() -> Result<(), Box<dyn std::error::Error>> {
    const COUNT: u32 = 200;
    let own = std::env::current_exe()?;
    let (mut ours, mut bare) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..COUNT {
        let start = Instant::now();
        Process::spawn(task!(nothing()))?.join()?;
        ours += start.elapsed();
        let start = Instant::now();
        Command::new(&own).env(LEAVE, "1").stdin(Stdio::null()).status()?;
        bare += start.elapsed();
    }
    let (ours, bare) = (ours / COUNT, bare / COUNT);
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    say(&format!("  a process from start to end: {ours:?}, bare {bare:?} ({ratio:.2} times)"));
    Ok(())
}
