//! Processes of one's own, by situation. The names in comments are those of CPython's tests of the same behaviour.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use pool_runtime::Waitable;
use pool_runtime::prelude::*;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

#[pool_task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[pool_task]
fn halve(x: u64) -> Result<u64, String> {
    if x.is_multiple_of(2) { Ok(x / 2) } else { Err(format!("{x} is odd")) }
}

#[pool_task]
fn fails(text: &str) -> u64 {
    panic!("no luck with {text}")
}

#[pool_task]
fn leaves(code: i32) {
    std::process::exit(code)
}

#[pool_task]
fn aborts() {
    std::process::abort()
}

#[pool_task]
fn waits_for_ever() {
    loop {
        std::thread::park();
    }
}

/// Says that it has begun, then waits until the other end is closed.
#[pool_task]
fn stays(ready: Connection<u32>) {
    ready.send(std::process::id()).expect("the parent listens");
    while ready.recv().is_ok() {}
}

#[pool_task]
fn who() -> (String, u32, Option<(String, u32, bool)>) {
    let here = current_process();
    let parent = parent_process().map(|p| (p.name().to_owned(), p.pid(), p.is_alive()));
    (here.name().to_owned(), here.pid(), parent)
}

#[pool_task]
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| i as u8).collect()
}

#[pool_task]
fn sum(data: &[u8]) -> u64 {
    data.iter().map(|&byte| u64::from(byte)).sum()
}

#[pool_task]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("there is /proc").count()
}

#[pool_task]
fn down(levels: u32) -> Vec<String> {
    let mut names = vec![current_process().name().to_owned()];
    if levels > 1 {
        let child = Process::spawn(task!(down(levels - 1))).expect("it starts");
        names.extend(child.join().expect("it ends"));
    }
    names
}

#[pool_task]
fn pool_inside() -> Result<Vec<i64>, Error> {
    par_starmap!(add, [(1, 2), (3, 4)]; pool = Pool::new(2)?)
}

#[test]
fn a_result_comes_back() {
    // _TestProcess.test_process
    let process = Process::spawn(task!(add(2, 3))).expect("it starts");
    assert_eq!(process.join().expect("it returns"), 5);
    assert_eq!(process.exit_code(), Some(0));
    assert!(!process.is_alive());
    let again = process.join().expect_err("the result was given");
    assert_eq!(again.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_result_that_is_an_err_is_a_value() {
    let process = Process::spawn(task!(halve(3))).expect("it starts");
    assert_eq!(process.join().expect("it returns"), Err("3 is odd".to_owned()));
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
fn large_arguments_and_results() {
    let data: Vec<u8> = (0..5_000_000_u32).map(|i| i as u8).collect();
    let wanted: u64 = data.iter().map(|&byte| u64::from(byte)).sum();
    assert_eq!(
        Process::spawn(task!(sum(&data))).expect("it starts").join().expect("it returns"),
        wanted
    );
    assert_eq!(
        Process::spawn(task!(bytes(data.len()))).expect("it starts").join().expect("it returns"),
        data
    );
    assert!(
        Process::spawn(task!(bytes(0))).expect("it starts").join().expect("it returns").is_empty()
    );
}

#[test]
fn a_panic_is_told() {
    let process = Process::spawn(task!(fails("seven"))).expect("it starts");
    let error = process.join().expect_err("it panicked");
    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert_eq!(error.panic_message(), Some("no luck with seven"));
    assert!(error.panic_location().is_some_and(|place| place.contains("process.rs")));
    assert!(error.task().is_some_and(|task| task.ends_with("fails")));
    assert_eq!(error.worker_pid(), Some(process.pid()));
    assert_eq!(process.exit_code(), Some(101));
    assert_eq!(process.join().expect_err("it still did").kind(), ErrorKind::Panicked);
}

#[test]
fn an_exit_code_is_told() {
    // _TestSubclassingProcess.test_sys_exit
    for code in [0, 1, 8] {
        let process = Process::spawn(task!(leaves(code))).expect("it starts");
        let error = process.join().expect_err("it gave no result");
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::WorkerDied, Some(code)));
        assert_eq!(process.exit_code(), Some(code));
    }
}

#[test]
fn a_signal_is_told() {
    let process = Process::spawn(task!(aborts())).expect("it starts");
    let error = process.join().expect_err("it died");
    assert_eq!((error.kind(), error.signal()), (ErrorKind::WorkerDied, Some(6)));
    assert_eq!(process.exit_code(), Some(-6));
}

#[test]
fn terminate_and_kill() {
    // _TestProcess.test_terminate
    for (signal, end) in
        [(15, Process::terminate as fn(&Process<()>) -> Result<(), Error>), (9, Process::kill)]
    {
        let process = Process::spawn(task!(waits_for_ever())).expect("it starts");
        assert!(process.is_alive());
        assert_eq!(process.exit_code(), None);
        let early = process.join_timeout(Duration::ZERO).expect_err("it has not ended");
        assert_eq!(early.kind(), ErrorKind::TimedOut);
        end(&process).expect("it is ours");
        let error = process.join_timeout(LONG).expect_err("it was ended");
        assert_eq!(error.signal(), Some(signal));
        assert_eq!(process.exit_code(), Some(-signal));
        assert!(!process.is_alive());
        end(&process).expect("one that has ended takes no notice");
    }
}

#[test]
fn dropping_kills_and_reaps() {
    let process = Process::spawn(task!(waits_for_ever())).expect("it starts");
    let path = format!("/proc/{}", process.pid());
    assert!(std::path::Path::new(&path).exists());
    drop(process);
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn who_is_whose() {
    // _TestProcess.test_current, test_parent_process_attributes
    assert!(parent_process().is_none());
    let process = Process::builder().name("reader").spawn(task!(who())).expect("it starts");
    assert_eq!(process.name(), "reader");
    let (name, pid, parent) = process.join().expect("it returns");
    assert_eq!((&*name, pid), ("reader", process.pid()));
    assert_eq!(parent, Some(("main".to_owned(), std::process::id(), true)));
}

#[test]
fn names_tell_the_place_in_the_tree() {
    let names = Process::spawn(task!(down(3))).expect("it starts").join().expect("it returns");
    assert!(names[0].starts_with("Process-"));
    assert_eq!(names[1], format!("{}:1", names[0]));
    assert_eq!(names[2], format!("{}:1", names[1]));
}

#[test]
fn children_are_listed_while_they_live() {
    // _TestProcess.test_active_children
    let listed = |pid| active_children().iter().any(|child| child.pid() == pid);
    let (here, there) = pipe().expect("a pipe");
    let process = Process::spawn(task!(stays(there))).expect("it starts");
    assert_eq!(here.recv().expect("it says so"), process.pid());
    assert!(listed(process.pid()));
    drop(here);
    process.join().expect("it returns");
    assert!(!listed(process.pid()));
}

#[test]
fn a_hundred_at_once() {
    // _TestProcess.test_many_processes
    let start = |x: i64| Process::spawn(task!(add(x, x))).expect("it starts");
    let processes: Vec<_> = (0..100).map(start).collect();
    for (x, process) in (0..).zip(&processes) {
        assert_eq!(process.join().expect("it returns"), 2 * x);
    }
    let start = |_| Process::spawn(task!(waits_for_ever())).expect("it starts");
    let processes: Vec<_> = (0..100).map(start).collect();
    processes.iter().for_each(|process| process.terminate().expect("it is ours"));
    for process in &processes {
        assert_eq!(process.join().expect_err("it was ended").signal(), Some(15));
    }
}

#[test]
fn descriptors_do_not_pile_up() {
    // _TestProcess.test_child_fd_inflation, TestCloseFds.test_closefd
    let count =
        || Process::spawn(task!(descriptors())).expect("it starts").join().expect("it returns");
    let alone = count();
    let siblings: Vec<_> =
        (0..20).map(|_| Process::spawn(task!(waits_for_ever())).expect("it starts")).collect();
    let _open: Vec<_> = (0..20).map(|_| File::open("/dev/null").expect("it is there")).collect();
    assert_eq!(count(), alone);
    drop(siblings);
}

#[test]
fn a_pool_in_a_process() {
    // TestStdinBadfiledescriptor.test_pool_in_process
    let process = Process::spawn(task!(pool_inside())).expect("it starts");
    assert_eq!(process.join().expect("it returns").expect("the pool works"), [3, 7]);
}

#[pool_task]
fn keeps_a_tree(tell: Connection<u32>, levels: u32) {
    let (here, there) = pipe::<u32>().expect("a pipe");
    let _ = tell.send(std::process::id());
    if levels > 1 {
        let child = Process::spawn(task!(keeps_a_tree(there, levels - 1))).expect("it starts");
        while let Ok(pid) = here.recv() {
            let _ = tell.send(pid);
        }
        drop(child);
    }
    waits_for_ever();
}

#[test]
fn a_killed_parent_takes_its_tree_along() {
    let (here, there) = pipe().expect("a pipe");
    let top = Process::spawn(task!(keeps_a_tree(there, 3))).expect("it starts");
    let pids: Vec<u32> = (0..3).map(|_| here.recv().expect("each tells its pid")).collect();
    assert!(pids.iter().all(|&pid| alive(pid)));
    top.kill().expect("it is ours");
    assert_eq!(top.join().expect_err("it was killed").signal(), Some(9));
    let end = Instant::now() + LONG;
    while pids.iter().any(|&pid| alive(pid)) {
        assert!(Instant::now() < end, "somebody is left of {pids:?}");
        std::thread::yield_now();
    }
}

/// Whether the process runs; one that has ended and that nobody has reaped does not.
fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !matches!(rest.trim_start().chars().next(), None | Some('Z' | 'X')))
}

#[pool_task]
fn prints_and_panics() {
    eprintln!("a last line");
    panic!("the very end")
}

#[test]
fn a_panic_reaches_stderr() {
    // _TestSubclassingProcess.test_stderr_flush: this test runs itself again, with stderr in a pipe.
    const MARK: &str = "POOL_TEST_STDERR";
    if std::env::var_os(MARK).is_some() {
        let process = Process::spawn(task!(prints_and_panics())).expect("it starts");
        assert_eq!(process.join().expect_err("it panicked").kind(), ErrorKind::Panicked);
        return;
    }
    let own = std::env::current_exe().expect("there is one");
    let mut run = std::process::Command::new(own);
    run.args(["--exact", "a_panic_reaches_stderr", "--nocapture"]).env(MARK, "1");
    let output = run.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("a last line\n"), "{text}");
    assert!(text.contains("the very end") && text.contains("process.rs"), "{text}");
}

#[test]
fn waiting_for_processes_and_results_together() {
    // TestWait.test_wait_integer
    let quick = Process::spawn(task!(add(1, 1))).expect("it starts");
    let slow = Process::spawn(task!(waits_for_ever())).expect("it starts");
    let (here, there) = pipe::<u32>().expect("a pipe");
    let handles: [&dyn Waitable; 3] = [&slow, &quick, &here];
    assert_eq!(wait_any(&handles).expect("there are some"), 1);
    there.send(1).expect("the other end is open");
    let handles: [&dyn Waitable; 2] = [&slow, &here];
    assert_eq!(wait_any(&handles).expect("there are some"), 1);
    slow.kill().expect("it is ours");
    assert_eq!(wait_any(&[&slow]).expect("there are some"), 0);
}

#[test]
fn in_order_of_their_ends() {
    let (first_here, first_there) = pipe::<u32>().expect("a pipe");
    let (second_here, second_there) = pipe::<u32>().expect("a pipe");
    let first = Process::spawn(task!(stays(first_there))).expect("it starts");
    let second = Process::spawn(task!(stays(second_there))).expect("it starts");
    let (first_pid, second_pid) = (first.pid(), second.pid());
    let mut ends = vec![first_here, second_here];
    let mut seen = Vec::new();
    let mut ended = as_completed([first, second]);
    for _ in 0..2 {
        drop(ends.pop());
        seen.push(ended.next().expect("one ends").pid());
    }
    assert_eq!(seen, [second_pid, first_pid]);
}

#[test]
fn an_argument_that_cannot_be_encoded() {
    let error = Process::spawn(task!(odd(Refuses))).map(|_| ()).expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::Encode);
}

#[derive(serde::Deserialize)]
struct Refuses;

impl serde::Serialize for Refuses {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not this one"))
    }
}

#[pool_task]
fn odd(_value: Refuses) {}

#[pool_task]
fn reads(mut file: File, ending: OwnedFd) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).expect("it can be read");
    File::from(ending).read_to_string(&mut text).expect("it can be read");
    text
}

#[pool_task]
fn opens() -> File {
    let mut file = tempfile();
    file.write_all(b"from the child").expect("there is room");
    file.rewind().expect("it can be rewound");
    file
}

/// A file that nobody else sees.
fn tempfile() -> File {
    let path = std::env::temp_dir().join(format!("pool-test-{}", std::process::id()));
    let open = File::options().read(true).write(true).create(true).truncate(true).open(&path);
    std::fs::remove_file(&path).expect("it was just made");
    open.expect("there is room")
}

#[test]
fn files_are_arguments_and_results() {
    // _TestConnection.test_fd_transfer
    let mut file = Process::spawn(task!(opens())).expect("it starts").join().expect("it returns");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("it can be read");
    assert_eq!(text, "from the child");
    file.rewind().expect("it can be rewound");
    let second = tempfile();
    (&second).write_all(b", twice").expect("there is room");
    (&second).rewind().expect("it can be rewound");
    let process = Process::spawn(task!(reads(file, second.into()))).expect("it starts");
    assert_eq!(process.join().expect("it returns"), "from the child, twice");
}

#[test]
fn an_interrupt_ends_it() {
    // _TestProcess.test_interrupt_no_handler
    let (here, there) = pipe().expect("a pipe");
    let process = Process::spawn(task!(stays(there))).expect("it starts");
    let pid = here.recv().expect("it says so").cast_signed();
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is ours");
    assert_eq!(process.join().expect_err("it was ended").signal(), Some(2));
    assert_eq!(process.exit_code(), Some(-2));
}

#[pool_task]
fn prints_to_nowhere() -> u32 {
    let full = File::options().write(true).open("/dev/full").expect("it is there");
    rustix::stdio::dup2_stdout(&full).expect("it is open");
    rustix::stdio::dup2_stderr(&full).expect("it is open");
    print!("this is never seen");
    5
}

#[test]
fn output_that_cannot_be_written_harms_nobody() {
    // _TestProcess.test_error_on_stdio_flush_2
    let process = Process::spawn(task!(prints_to_nowhere())).expect("it starts");
    assert_eq!(process.join().expect("it returns"), 5);
    assert_eq!(process.exit_code(), Some(0));
}

extern "C" fn leave_a_mark() {
    let path = std::env::var_os("POOL_TEST_MARK").expect("it was set");
    std::fs::write(path, "gone").expect("there is room");
}

#[pool_task]
fn has_an_exit_hook() {
    unsafe extern "C" {
        safe fn atexit(hook: extern "C" fn()) -> i32;
    }
    assert_eq!(atexit(leave_a_mark), 0);
}

#[test]
fn exit_hooks_run() {
    // _TestAtExit.test_atexit
    let path = std::env::temp_dir().join(format!("pool-test-mark-{}", std::process::id()));
    let builder = Process::builder().env("POOL_TEST_MARK", &path);
    builder.spawn(task!(has_an_exit_hook())).expect("it starts").join().expect("it returns");
    assert_eq!(std::fs::read_to_string(&path).expect("it was written"), "gone");
    std::fs::remove_file(&path).expect("it is there");
}

extern "C" fn on_signal(_: i32) {}

/// Lets `SIGUSR1` have a handler in this process.
fn take_signals() {
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(libc::SIGUSR1, on_signal as *const () as libc::sighandler_t) };
}

fn signal_the_parent() {
    let parent = parent_process().expect("there is one").pid().cast_signed();
    let parent = rustix::process::Pid::from_raw(parent).expect("a pid");
    rustix::process::kill_process(parent, rustix::process::Signal::USR1).expect("it is there");
}

/// Lets a signal that has a handler come to this process while it waits for a child of its own.
#[pool_task]
fn joins_under_signals() -> u32 {
    take_signals();
    let (here, there) = pipe::<u32>().expect("a pipe");
    let process = Process::spawn(task!(signals_its_parent(there))).expect("it starts");
    let mut heard = 0;
    while here.recv_timeout(LONG).is_ok() {
        heard += 1;
    }
    process.join().expect("it returns");
    heard
}

#[pool_task]
fn signals_its_parent(tell: Connection<u32>) {
    for x in 0..100 {
        signal_the_parent();
        tell.send(x).expect("it listens");
    }
    drop(tell);
    for _ in 0..100 {
        signal_the_parent();
        std::thread::yield_now();
    }
}

#[test]
fn waiting_survives_signals() {
    // _TestPollEintr.test_poll_eintr, TestIgnoreEINTR.test_ignore
    let process = Process::spawn(task!(joins_under_signals())).expect("it starts");
    assert_eq!(process.join().expect("it returns"), 100);
}

/// The same while it waits for a peer, for what that says, and for room for what that is told.
#[pool_task]
fn accepts_under_signals() -> u8 {
    take_signals();
    let listener = Listener::bind("127.0.0.1:0", b"key").expect("it is free");
    let address = listener.address().to_string();
    let process = Process::spawn(task!(connects_among_signals(address))).expect("it starts");
    let peer = listener.accept().expect("a peer");
    for x in 0..100 {
        assert_eq!(peer.recv_bytes().expect("it speaks"), [x]);
    }
    peer.send_bytes(vec![7; 16 << 20]).expect("it listens");
    process.join().expect("it returns")
}

#[pool_task]
fn connects_among_signals(address: String) -> u8 {
    let signals = || {
        for _ in 0..100 {
            signal_the_parent();
            std::thread::yield_now();
        }
    };
    signals();
    let peer = Client::connect(address, b"key").expect("somebody listens");
    for x in 0..100 {
        signal_the_parent();
        peer.send_bytes([x]).expect("it listens");
    }
    signals();
    let bytes = peer.recv_bytes().expect("it speaks");
    assert_eq!(bytes.len(), 16 << 20);
    bytes[0]
}

#[test]
fn listening_survives_signals() {
    // TestIgnoreEINTR.test_ignore_listener, and test_ignore over a socket
    let process = Process::spawn(task!(accepts_under_signals())).expect("it starts");
    assert_eq!(process.join().expect("it returns"), 7);
}

#[pool_task]
fn forks_beside_handles() -> (i32, bool, u32) {
    let (here, there) = pipe::<u32>().expect("a pipe");
    let process = Process::spawn(task!(stays(there))).expect("it starts");
    here.recv().expect("it says so");
    let queue = Queue::<u32>::bounded(1).expect("there is memory");
    // SAFETY: this process has no thread that holds a lock which the child could ask for: the supervisor sleeps.
    let copy = unsafe { libc::fork() };
    if copy == 0 {
        drop((here, queue, process));
        // SAFETY: it takes any code and does not return.
        unsafe { libc::_exit(7) };
    }
    let code = code_of(copy);
    queue.put(5).expect("it is open");
    (code, process.is_alive(), queue.get().expect("it is there"))
}

/// Waits for a copy of this process.
fn code_of(copy: i32) -> i32 {
    let copy = rustix::process::Pid::from_raw(copy).expect("it was made");
    let options = rustix::process::WaitOptions::empty();
    let ended = rustix::process::waitpid(Some(copy), options).expect("it is ours");
    ended.and_then(|(_, status)| status.exit_status()).unwrap_or(-1)
}

#[test]
fn handles_dropped_in_a_fork_do_nothing() {
    let process = Process::spawn(task!(forks_beside_handles())).expect("it starts");
    assert_eq!(process.join().expect("it returns"), (7, true, 5));
}

#[pool_task]
fn sends_from_a_fork() -> (i32, bool) {
    let (here, _there) = pipe::<Value<i64>>().expect("a pipe");
    let value = Value::new(5_i64).expect("there is memory");
    let other = value.clone();
    // On a thread of its own: what this one writes may be on its way to the parent.
    let trace = std::thread::spawn(move || serde_json::to_string(&other).expect("bytes"));
    let trace = trace.join().expect("no panic");
    // SAFETY: this process has no other thread.
    let copy = unsafe { libc::fork() };
    if copy == 0 {
        let error = here.send(value.clone()).expect_err("it has no handles");
        // SAFETY: it takes any code and does not return.
        unsafe { libc::_exit(i32::from(error.kind() != ErrorKind::Disconnected)) };
    }
    let code = code_of(copy);
    drop(value);
    (code, serde_json::from_str::<Value<i64>>(&trace).is_ok())
}

#[test]
fn handles_sent_from_a_fork_leave_nothing() {
    let process = Process::spawn(task!(sends_from_a_fork())).expect("it starts");
    assert_eq!(process.join().expect("it returns"), (0, false));
}
