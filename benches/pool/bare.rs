//! What the machine itself can do, measured like a contender: copies of memory, a socket between two processes, processes that
//! start and end.

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::shared::contender::vectors;
use crate::shared::job::{Answer, Job};
use crate::shared::kernels;

pub const NOTHING: &str = "--end-at-once";
pub const ECHO: &str = "--echo-stdin";

pub fn answer(job: &Job) -> Answer {
    match &*job.kind {
        "start" => Ok((0..job.reps).map(|_| spawns(job.workers)).collect()),
        "apply" => socket(job),
        "owned" | "lent" => Ok(copies(job)),
        _ => Err("no limit".to_owned()),
    }
}

/// As many bare starts of this binary as there would be workers, all started before the first is waited for.
fn spawns(count: usize) -> f64 {
    let start = Instant::now();
    let children: Vec<Child> = (0..count).map(|_| spawn(NOTHING, Stdio::null())).collect();
    children.into_iter().for_each(|mut child| drop(child.wait()));
    start.elapsed().as_secs_f64()
}

fn spawn(argument: &str, stdin: Stdio) -> Child {
    Command::new("/proc/self/exe").arg(argument).stdin(stdin).spawn().unwrap()
}

/// Round trips of a byte through a socket to another process.
fn socket(job: &Job) -> Answer {
    let (mut near, far) = UnixStream::pair().map_err(|error| error.to_string())?;
    // The other end stands in for stdin, and is written to as well.
    let mut child = spawn(ECHO, Stdio::from(OwnedFd::from(far)));
    let mut times: Vec<f64> = (0..job.n)
        .map(|_| {
            if job.micros > 0.0 {
                std::thread::sleep(Duration::from_secs_f64(job.micros / 1e6));
            }
            let start = Instant::now();
            near.write_all(&[1]).and_then(|()| near.read_exact(&mut [0])).unwrap();
            start.elapsed().as_secs_f64()
        })
        .collect();
    drop(near);
    let _ = child.wait();
    times.sort_by(f64::total_cmp);
    Ok(vec![times[times.len() / 2], times[times.len() * 99 / 100]])
}

/// The other process: gives back each byte.
pub fn echo() {
    use std::os::fd::AsFd;
    let Ok(end) = std::io::stdin().as_fd().try_clone_to_owned() else { return };
    let mut end = UnixStream::from(end);
    let mut byte = [0];
    while end.read_exact(&mut byte).and_then(|()| end.write_all(&byte)).is_ok() {}
}

/// What lending the vectors to two workers comes to without processes: one thread copies them into two buffers in turn, which two
/// others sum up. Seconds for all.
pub fn through_two_buffers(vectors: &[Vec<f64>]) -> f64 {
    let (give_back, free) = mpsc::sync_channel(2);
    let buffers = [vectors[0].clone(), vectors[0].clone()];
    buffers.into_iter().for_each(|buffer| give_back.send(buffer).unwrap());
    let (give, take) = mpsc::sync_channel::<Vec<f64>>(2);
    let take = &Mutex::new(take);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let give_back = give_back.clone();
            let next = || take.lock().unwrap().recv().ok();
            scope.spawn(move || {
                while let Some(buffer) = next() {
                    black_box(kernels::sum(&buffer));
                    give_back.send(buffer).unwrap();
                }
            });
        }
        for vector in vectors {
            let mut buffer = free.recv().unwrap();
            buffer.copy_from_slice(vector);
            give.send(buffer).unwrap();
        }
        drop(give);
    });
    start.elapsed().as_secs_f64()
}

/// Three passes over the vectors, each copied by one thread to memory that is warm.
fn copies(job: &Job) -> Vec<f64> {
    let vectors = vectors(job);
    let mut targets: Vec<Vec<f64>> = vectors.iter().map(|vector| (**vector).clone()).collect();
    let pass = |targets: &mut Vec<Vec<f64>>| {
        let start = Instant::now();
        for (target, vector) in targets.iter_mut().zip(&vectors) {
            target.copy_from_slice(black_box(vector));
        }
        start.elapsed().as_secs_f64()
    };
    (0..3).map(|_| pass(&mut targets)).collect()
}
