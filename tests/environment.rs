//! What a worker has around it: the parent's environment and directory, an empty stdin, the parent's stdout, no arguments.

mod common;

use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use common::{Scratch, is_program, mark, program, run_well, watchdog, workers};
use pool_runtime::cpu_count;
use pool_runtime::prelude::*;

#[pool_task]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[pool_task]
fn directory() -> String {
    std::env::current_dir().unwrap().display().to_string()
}

#[pool_task]
fn niceness() -> i32 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The 19th field, counted from the pid; the name before it may hold spaces.
    stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(16).unwrap().parse().unwrap()
}

#[pool_task]
fn allowed_cpus() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap();
    line.split_once(':').unwrap().1.trim().to_owned()
}

#[pool_task]
fn arguments() -> Vec<String> {
    std::env::args().collect()
}

#[pool_task]
fn read_everything() -> String {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    text
}

#[pool_task]
fn say(text: &str) {
    print!("{text}");
    eprint!("{text}");
}

#[pool_task]
fn marker() -> Vec<String> {
    std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("POOL_RUNTIME")).collect()
}

#[pool_task]
fn executable() -> PathBuf {
    std::env::current_exe().unwrap()
}

#[pool_task]
fn count() -> usize {
    cpu_count()
}

#[pool_task]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn the_environment_is_the_parents_and_the_builders() {
    let _dog = watchdog();
    let pool = Pool::builder()
        .workers(1)
        .env("GREETING", "hello")
        .env("HOME", "/elsewhere")
        .build()
        .unwrap();
    let get = |name: &str| par_apply!(variable(name); pool = pool).unwrap();
    assert_eq!(get("GREETING").as_deref(), Some("hello"));
    assert_eq!(get("HOME").as_deref(), Some("/elsewhere"));
    assert_eq!(get("PATH"), std::env::var("PATH").ok());
    assert_eq!(std::env::var("GREETING").ok(), None);
    assert_eq!(par_apply!(marker(); pool = pool).unwrap(), Vec::<String>::new());
}

#[test]
fn the_directory_is_the_parents_or_the_builders() {
    let _dog = watchdog();
    let here = std::env::current_dir().unwrap().display().to_string();
    assert_eq!(par_apply!(directory(); pool = workers(1)).unwrap(), here);
    let pool = Pool::builder().workers(1).current_dir("/").build().unwrap();
    assert_eq!(par_apply!(directory(); pool = pool).unwrap(), "/");
    let lost = Process::builder().current_dir("/no/such/place").spawn(task!(directory())).unwrap();
    let error = lost.join().unwrap_err();
    assert_eq!((error.kind(), lost.exit_code()), (ErrorKind::Spawn, Some(1)));
    assert!(error.to_string().contains("/no/such/place"), "{error}");
    let pool = Pool::builder().workers(1).current_dir("/no/such/place").build().unwrap();
    let error = par_apply!(directory(); pool = pool).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spawn);
    assert!(error.to_string().contains("/no/such/place"), "{error}");
}

#[test]
fn niceness_and_affinity_are_the_builders() {
    let _dog = watchdog();
    let here = par_apply!(niceness(); pool = workers(1)).unwrap();
    let pool = Pool::builder().workers(1).nice(3).cpu_affinity([0]).build().unwrap();
    assert_eq!(par_apply!(niceness(); pool = pool).unwrap(), (here + 3).min(19));
    assert_eq!(par_apply!(allowed_cpus(); pool = pool).unwrap(), "0");
    assert_eq!(par_apply!(count(); pool = pool).unwrap(), 1);
}

#[test]
fn a_worker_does_not_see_the_parents_arguments() {
    let (_dog, pool) = (watchdog(), workers(1));
    assert_eq!(par_apply!(arguments(); pool = pool).unwrap().len(), 1);
}

#[test]
fn a_worker_reads_nothing_and_writes_where_the_parent_does() {
    if is_program() {
        let pool = workers(2);
        assert_eq!(par_apply!(read_everything(); pool = pool).unwrap(), "");
        println!();
        // Neither has a line break behind it.
        par_map!(say, ["one ", "two "]; pool = pool, chunk_size = 2).unwrap();
        drop(pool);
        let mut mine = String::new();
        std::io::stdin().read_to_string(&mut mine).unwrap();
        println!("\nmine: {mine}");
        return;
    }
    let _dog = watchdog();
    let mut command = program("a_worker_reads_nothing_and_writes_where_the_parent_does");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"for the parent").unwrap();
    let output = child.wait_with_output().unwrap();
    let out = common::text(&output.stdout);
    assert!(output.status.success(), "{out}");
    assert!(out.contains("\none two \n") && out.contains("mine: for the parent"), "{out}");
    assert_eq!(common::text(&output.stderr), "one two ");
}

#[test]
fn descriptors_of_the_parent_do_not_leak_into_workers() {
    let (_dog, pool) = (watchdog(), workers(1));
    let before = par_apply!(descriptors(); pool = pool).unwrap();
    let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    let many = workers(20);
    assert_eq!(par_apply!(descriptors(); pool = many).unwrap(), before);
    drop(files);
}

#[test]
fn the_number_of_cpus_is_what_the_process_may_use() {
    if is_program() {
        let pool = Pool::builder().build().unwrap();
        println!("\ncpus {} workers {}", cpu_count(), pool.workers());
        return;
    }
    let _dog = watchdog();
    let test = "the_number_of_cpus_is_what_the_process_may_use";
    let mut pinned = std::process::Command::new("taskset");
    let plain = program(test);
    pinned.args(["-c", "0"]).arg(plain.get_program()).args(plain.get_args());
    pinned.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let out = run_well(&mut pinned);
    assert!(out.contains("cpus 1 workers 1"), "{out}");
}

#[test]
fn the_executable_is_the_parents_or_the_builders() {
    // _TestProcess.test_set_executable
    let (_dog, scratch) = (watchdog(), Scratch::new());
    let own = std::env::current_exe().unwrap();
    assert_eq!(par_apply!(executable(); pool = workers(1)).unwrap(), own);
    let other = scratch.at("other");
    std::fs::hard_link(own, &other).unwrap();
    let pool = Pool::builder().workers(1).worker_exe(&other).build().unwrap();
    assert_eq!(par_apply!(executable(); pool = pool).unwrap(), other);
}

/// Where the program of the next test says that it has come to its end.
const DONE: &str = "POOL_TEST_DONE";

/// Says something, and gives what its standard descriptors are.
#[pool_task]
fn say_where(text: &str) -> Vec<String> {
    say(text);
    let name = |number| std::fs::read_link(format!("/proc/self/fd/{number}"));
    (0..3).map(|number| name(number).map_or("none".into(), |to| to.display().to_string())).collect()
}

#[pool_task]
fn sum_of(shared: Array<u64>, more: u64) -> u64 {
    shared.to_vec().unwrap().iter().sum::<u64>() + more
}

#[test]
fn a_parent_without_stdin_stdout_or_stderr() {
    // _TestProcess.test_error_on_stdio_flush_1
    let test = "a_parent_without_stdin_stdout_or_stderr";
    if is_program() {
        let pool = workers(2);
        let mut places = par_map!(say_where, ["one", "two", "three"]; pool = &pool).unwrap();
        drop(pool);
        places.push(Process::spawn(task!(say_where("four"))).unwrap().join().unwrap());
        // Nothing of the library's own has come where programs read and write.
        for place in places.concat() {
            assert!(place == "/dev/null" || place.starts_with("pipe:"), "{place}");
        }
        mark(std::env::var_os(DONE).unwrap().as_ref());
        return;
    }
    let (_dog, scratch) = (watchdog(), Scratch::new());
    for closed in ["0", "1", "2", "12", "012"] {
        let (plain, done) = (program(test), scratch.at(closed));
        let without: String = closed.chars().map(|number| format!(" {number}>&-")).collect();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("exec \"$0\" \"$@\"{without}")]);
        shell.arg(plain.get_program()).args(plain.get_args());
        shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        run_well(shell.env(DONE, &done));
        assert!(done.exists(), "without {closed}");
    }
}

#[test]
fn a_program_that_closes_its_standard_descriptors() {
    // _TestProcess.test_error_on_stdio_flush_1
    let test = "a_program_that_closes_its_standard_descriptors";
    if is_program() {
        for number in 0..3 {
            #[expect(unsafe_code, reason = "std closes its own descriptors never")]
            // SAFETY: nobody else in this process holds them, and what std writes to one that is closed goes nowhere.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
        let pool = workers(2);
        let m = Manager::listen("127.0.0.1:0", b"key").unwrap();
        let listener = Listener::bind("127.0.0.1:0", b"key").unwrap();
        let client = m.list::<u8>().and_then(|list| list.push(1));
        let shared = Array::from_slice(&[7_u64; 8]).unwrap();
        let mut places = par_map!(say_where, ["one", "two", "three"]; pool = &pool).unwrap();
        places.push(Process::spawn(task!(say_where("four"))).unwrap().join().unwrap());
        say("to nobody");
        let of_ours = |number| std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok();
        let sums = par_map!(sum_of(shared.clone(), _), 0..100; pool = &pool).unwrap();
        let served = client.is_ok() && listener.accept_timeout(Duration::ZERO).is_err();
        let well = served
            && places.concat().iter().all(|place| place == "/dev/null" || place == "none")
            && !(0..3).any(of_ours)
            && sums == (56..156).collect::<Vec<u64>>();
        well.then(|| mark(std::env::var_os(DONE).unwrap().as_ref()));
        // The harness would panic where it can no longer print.
        std::process::exit(0);
    }
    let (_dog, scratch) = (watchdog(), Scratch::new());
    let done = scratch.at("done");
    run_well(program(test).env(DONE, &done));
    assert!(done.exists());
}
