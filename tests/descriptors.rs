//! Files, sockets and connections as arguments and results of tasks.

mod common;

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use common::{is_program, pool, program, run_well, watchdog, workers};
use pool_runtime::prelude::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[pool_task]
fn read_all(mut file: File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).map_or_else(|error| error.to_string(), |_| text)
}

#[pool_task]
fn written(text: &str) -> File {
    let path = std::env::temp_dir().join(format!("pool-test-{}-{text}", std::process::id()));
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(&path)
        .expect("a file");
    std::fs::remove_file(&path).expect("it is there");
    file.write_all(text.as_bytes()).and_then(|()| file.rewind()).expect("room");
    file
}

#[pool_task]
fn greet(mut to: UnixStream, name: String) -> usize {
    to.write(format!("hello {name}").as_bytes()).unwrap_or(0)
}

#[pool_task]
fn answer(questions: Connection<u64>) -> u64 {
    let question = questions.recv().expect("a question");
    questions.send(question * 2).expect("somebody listens");
    question
}

#[pool_task]
fn with_file(file: File, _more: Vec<usize>) -> String {
    read_all(file)
}

fn file_with(text: &str) -> File {
    let path = std::env::temp_dir().join(format!("pool-test-file-{}-{text}", std::process::id()));
    std::fs::write(&path, text).expect("room");
    let file = File::open(&path).expect("it is there");
    std::fs::remove_file(&path).expect("it is there");
    file
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

#[test]
fn a_file_is_an_item() {
    let files: Vec<File> = (0..20).map(|n| file_with(&format!("file {n}"))).collect();
    let texts = par_map!(read_all, files; pool = pool()).expect("all are read");
    assert_eq!(texts, (0..20).map(|n| format!("file {n}")).collect::<Vec<_>>());
}

#[test]
fn a_file_is_a_result() {
    let files =
        par_map!(written, (0..20).map(|n| n.to_string()); pool = pool()).expect("all are written");
    for (n, mut file) in files.into_iter().enumerate() {
        let mut text = String::new();
        file.read_to_string(&mut text).expect("it can be read");
        assert_eq!(text, n.to_string());
    }
    let pool = pool();
    let streamed = par_imap!(written, ["a", "b"]; pool = &pool).expect("it starts");
    let streamed: Vec<_> = streamed.collect();
    assert!(streamed.len() == 2 && streamed.iter().all(Result::is_ok), "{streamed:?}");
}

#[test]
fn a_socket_is_a_bound_argument() {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let names = ["ann", "bob"].map(str::to_owned);
    let sent = par_map!(greet(theirs, _), names; pool = pool()).expect("both greet");
    assert_eq!(sent, [9, 9]);
    let mut text = [0; 18];
    (&ours).read_exact(&mut text).expect("both came");
}

#[test]
fn a_connection_goes_to_a_worker() {
    let (ours, theirs) = pipe::<u64>().expect("a pipe");
    ours.send(21).expect("room");
    assert_eq!(par_apply!(answer(theirs); pool = pool()).expect("it answers"), 21);
    assert_eq!(ours.recv().expect("the answer"), 42);
}

#[test]
fn nothing_is_left_open() {
    // Alone: the other tests open files too.
    if !is_program() {
        run_well(&mut program("nothing_is_left_open"));
        return;
    }
    let own = Pool::new(2).expect("a pool");
    let round = || {
        let files = (0..50).map(|n| file_with(&format!("round {n}")));
        par_map!(read_all, files; pool = &own).expect("all are read");
        par_map!(written, (0..50).map(|n| n.to_string()); pool = &own).expect("all are written");
    };
    round();
    let before = open_descriptors();
    round();
    round();
    assert_eq!(open_descriptors(), before);
}

#[test]
fn an_owned_descriptor_is_a_value() {
    #[pool_task]
    fn same(file: OwnedFd) -> OwnedFd {
        file
    }
    let back = par_apply!(same(OwnedFd::from(file_with("round trip"))); pool = pool())
        .expect("it comes back");
    let mut text = String::new();
    File::from(back).read_to_string(&mut text).expect("it can be read");
    assert_eq!(text, "round trip");
}

#[test]
fn a_callback_and_the_caller_get_the_file_both() {
    let (pool, (tell, told)) = (pool(), std::sync::mpsc::channel());
    let result =
        par_apply_async!(written("both"); pool = pool, callback = move |file| tell.send(file));
    assert_eq!(read_all(result.unwrap().get().unwrap()), "both");
    assert!(told.recv().unwrap().metadata().unwrap().len() == 4);
}

#[test]
fn small_items_and_large_ones_keep_their_files() {
    // The large ones find no room where the small ones are, and travel alone.
    let pool = pool();
    let items = (0..40_usize)
        .map(|x| (file_with(&format!("item {x}")), vec![x; if x % 5 == 4 { 100_000 } else { 1 }]));
    let items: Vec<_> = items.collect();
    let later = par_starmap_async!(with_file, items; pool = pool).unwrap();
    assert_eq!(later.get().unwrap(), (0..40).map(|x| format!("item {x}")).collect::<Vec<_>>());
}

#[pool_task]
fn pid() -> u32 {
    std::process::id()
}

/// What was lost is told at once, and the worker is heard as before.
#[test]
fn a_parent_that_may_open_no_more() {
    let _dog = watchdog();
    if !is_program() {
        run_well(&mut program("a_parent_that_may_open_no_more"));
        return;
    }
    let pool = workers(1);
    let worker = par_apply!(pid(); pool = &pool).expect("it works");
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(200), ..limit }).expect("less");
    let taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let error = par_apply!(written("lost"); pool = &pool).expect_err("there is no room");
    assert!(error.to_string().contains("may open no more"), "{error}");
    drop(taken);
    let text = par_apply!(read_all(file_with("heard")); pool = &pool).expect("it is heard");
    assert_eq!(text, "heard");
    let mut text = String::new();
    let mut file = par_apply!(written("found"); pool = &pool).expect("there is room");
    file.read_to_string(&mut text).expect("it can be read");
    assert_eq!(text, "found");
    assert_eq!(par_apply!(pid(); pool = &pool).expect("it works"), worker);
}

/// What shared memory was refused at first is not refused for ever.
#[test]
fn a_program_that_may_open_no_more_at_first() {
    let _dog = watchdog();
    if !is_program() {
        run_well(&mut program("a_program_that_may_open_no_more_at_first"));
        return;
    }
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), ..limit }).expect("less");
    let taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert_eq!(Value::new(1_i64).expect_err("there is no room").kind(), ErrorKind::Io);
    drop(taken);
    assert_eq!(Value::new(1_i64).expect("there is room").get().expect("it lives"), 1);
}

/// Says what is no message on every socket that this worker has, and would never end.
#[pool_task]
fn babble(_x: u64) -> u64 {
    for name in std::fs::read_dir("/proc/self/fd").expect("/proc") {
        let number = name.expect("a name").file_name().to_string_lossy().parse().expect("a number");
        #[expect(unsafe_code, reason = "the parent's socket belongs to the library")]
        // SAFETY: nothing in this process is closed meanwhile; a number that is open no more gives an error.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = rustix::net::send(descriptor, b"\xff\xff", rustix::net::SendFlags::DONTWAIT);
    }
    loop {
        std::thread::park();
    }
}

#[test]
fn a_worker_that_cannot_be_understood() {
    let _dog = watchdog();
    let pool = workers(1);
    let error = par_apply!(babble(1); pool = &pool).expect_err("it is no message");
    assert_eq!(error.kind(), ErrorKind::WorkerDied);
    assert!(error.to_string().contains("could not be read"), "{error}");
    assert_eq!(par_apply!(read_all(file_with("next")); pool = &pool).expect("it reads"), "next");
}

#[pool_task]
fn says_and_closes(connection: Connection<u64>, gate: Event) {
    connection.send(1).expect("somebody listens");
    drop(connection);
    gate.wait().expect("the gate opens");
}

#[test]
fn a_connection_that_was_given_away_is_open_nowhere_else() {
    let (pool, gate) = (pool(), Event::new().expect("memory"));
    let (here, there) = pipe::<u64>().expect("a pipe");
    let result =
        par_apply_async!(says_and_closes(there, gate.clone()); pool = pool).expect("it starts");
    assert_eq!(here.recv().expect("a word"), 1);
    // Its task goes on, and holds it no more.
    assert_eq!(here.recv().expect_err("the other end is closed").kind(), ErrorKind::Disconnected);
    gate.set().expect("memory");
    result.get().expect("it returns");
}
