//! Starting workers when the system says no: an error or fewer workers, and nothing left over.

mod failing;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use failing::{descendants, descriptors, eventually, place_of_program, program, watchdog};
use pool_runtime::prelude::*;
use rustix::process::{Resource, Rlimit, setrlimit};

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn measure(bytes: &[u8]) -> usize {
    bytes.len()
}

#[pool_task]
fn open_descriptors(_x: u64) -> usize {
    descriptors(std::process::id())
}

fn limit(resource: Resource, to: u64) {
    setrlimit(resource, Rlimit { current: Some(to), maximum: Some(to) }).expect("a limit");
}

/// Runs `test` as a program of its own; it must leave with code 0.
#[track_caller]
fn run(test: &str) {
    let _dog = watchdog(120);
    let output = program(test, Path::new("/")).output().expect("a program");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
}

/// A pool of two works, and leaves nothing behind.
fn works_again() {
    let pool = Pool::new(2).expect("a pool");
    assert_eq!(par_map!(square, 0..100; pool = &pool).expect("values").len(), 100);
    drop(pool);
    assert!(descendants(std::process::id()).is_empty());
}

#[test]
fn too_few_descriptors_are_an_error_of_kind_spawn() {
    if place_of_program().is_none() {
        return run("too_few_descriptors_are_an_error_of_kind_spawn");
    }
    works_again();
    let before = descriptors(std::process::id());
    limit(Resource::Nofile, before as u64 + 12);
    let error = Pool::new(50).expect_err("too many workers");
    assert!(matches!(error.kind(), ErrorKind::Spawn | ErrorKind::Io), "{error}");
    assert!(descendants(std::process::id()).is_empty(), "workers are left");
    assert_eq!(descriptors(std::process::id()), before, "descriptors are left");
    works_again();
    assert_eq!(descriptors(std::process::id()), before);
}

#[test]
fn too_little_address_space_is_an_error_or_smaller_segments() {
    if place_of_program().is_none() {
        return run("too_little_address_space_is_an_error_or_smaller_segments");
    }
    // Enough for smaller segments and for a part of the arena, where what is not large is shared as ever.
    limit(Resource::As, 40 << 30);
    works_again();
    assert_eq!(Value::new(5_u64).and_then(|value| value.get()).expect("a small value"), 5);
    let error = SharedBuffer::<u8>::zeroed(60 << 30).expect_err("no room");
    assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::InvalidInput), "{error}");
    limit(Resource::As, 1 << 30);
    let error = Pool::new(2).expect_err("no room");
    assert!(matches!(error.kind(), ErrorKind::Spawn | ErrorKind::Io), "{error}");
    assert!(descendants(std::process::id()).is_empty(), "workers are left");
}

#[test]
fn a_limit_of_file_sizes_is_an_error_and_not_the_end() {
    if place_of_program().is_none() {
        return run("a_limit_of_file_sizes_is_an_error_and_not_the_end");
    }
    limit(Resource::Fsize, 1 << 20);
    let error = Pool::new(2).expect_err("no room");
    assert!(matches!(error.kind(), ErrorKind::Spawn | ErrorKind::Io), "{error}");
    assert!(error.to_string().contains("ulimit -f"), "{error}");
    assert_eq!(Value::new(5_u64).expect_err("no room").kind(), ErrorKind::Io);
    let named = SharedMemory::create_unnamed(2 << 20);
    assert_eq!(named.expect_err("no room").kind(), ErrorKind::Io);
    assert!(descendants(std::process::id()).is_empty(), "workers are left");
}

/// Where there is no room for an item in each worker, fewer run at a time.
fn large_items_take_turns() {
    let pool = Pool::new(2).expect("a pool");
    for mebibytes in [80, 127] {
        let bytes = vec![1_u8; mebibytes << 20];
        let lens = par_map!(measure, [&*bytes; 6]; pool = &pool).expect("values");
        assert_eq!(lens, [bytes.len(); 6]);
    }
}

/// Which limit the program of the next test has, in KiB.
const LIMIT: &str = "POOL_TEST_ADDRESSES";

#[test]
fn a_pool_works_under_every_limit_of_addresses_from_2_gb_on() {
    if place_of_program().is_some() {
        let kib: u64 = std::env::var(LIMIT).expect("a limit").parse().expect("a number");
        limit(Resource::As, kib << 10);
        works_again();
        assert_eq!(Value::new(5_u64).and_then(|value| value.get()).expect("a small value"), 5);
        if kib < 4_000_000 {
            large_items_take_turns();
        }
        if kib >= 3_000_000 {
            works_beside_another();
        }
        if kib >= 16_000_000 {
            let queue = Queue::bounded(2).expect("a queue");
            queue.put(5).expect("room");
            assert_eq!(queue.get().expect("an item"), 5);
        }
        return;
    }
    let _dog = watchdog(120);
    for millions in [2, 3, 4, 6, 7, 8, 10, 12, 14, 16, 20, 24, 67, 200] {
        let mut program =
            program("a_pool_works_under_every_limit_of_addresses_from_2_gb_on", Path::new("/"));
        let output = program.env(LIMIT, format!("{millions}000000")).output().expect("a program");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{millions} GB: {}\n{text}", output.status);
    }
}

/// A result of this length does not fit into a ring.
#[pool_task]
fn bytes(len: usize) -> Vec<u8> {
    vec![7; len]
}

fn works_beside_another() {
    let _first = Pool::new(2).expect("a pool");
    let second = Pool::new(1).expect("a pool");
    assert_eq!(par_apply!(bytes(20 << 20); pool = &second).expect("bytes").len(), 20 << 20);
}

#[pool_task]
fn dies(_x: u64) {
    std::process::abort();
}

#[test]
fn an_ending_that_the_system_forgets_is_made_up_by_nobody() {
    if place_of_program().is_none() {
        return run("an_ending_that_the_system_forgets_is_made_up_by_nobody");
    }
    #[expect(
        unsafe_code,
        reason = "the children of a process that ignores SIGCHLD are reaped by the system"
    )]
    // SAFETY: it changes only what this process does on SIGCHLD.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_IGN)
    };
    let process = Process::spawn(task!(dies(1))).expect("a process").join();
    for error in [process, par_apply!(dies(1))].map(|result| result.expect_err("a death")) {
        assert_eq!(error.kind(), ErrorKind::WorkerDied, "{error}");
        assert_eq!((error.exit_code(), error.signal()), (None, None), "{error}");
    }
}

/// A user that has no other processes, for whom a limit of processes counts.
const NOBODY: u32 = 64_123;

#[test]
fn too_few_processes_are_an_error_of_kind_spawn() {
    if place_of_program().is_none() {
        return run("too_few_processes_are_an_error_of_kind_spawn");
    }
    #[expect(unsafe_code, reason = "the limit does not hold for root")]
    // SAFETY: it changes who this process is, which nothing here depends on; no other thread of it looks at files meanwhile.
    let changed = unsafe { libc::setuid(NOBODY) } == 0;
    if !changed {
        // Without the right to be another user it counts all that this one runs, which the test cannot know.
        return;
    }
    // This process has two threads already, the supervisor and the starter are two more, and three workers fit.
    limit(Resource::Nproc, 7);
    let error = Pool::new(10).expect_err("too many workers");
    assert_eq!(error.kind(), ErrorKind::Spawn, "{error}");
    assert!(descendants(std::process::id()).is_empty(), "workers are left");
    works_again();
}

#[test]
fn p29_p31_pool_of_200_under_1024_descriptors() {
    if place_of_program().is_none() {
        return run("p29_p31_pool_of_200_under_1024_descriptors");
    }
    limit(Resource::Nofile, 1024);
    let before = descriptors(std::process::id());
    let pool = Pool::new(200).expect("a pool");
    assert_eq!(par_map!(square, 0..100_000; pool = &pool).expect("values").len(), 100_000);
    let used = descriptors(std::process::id()) - before;
    assert!(used <= 3 * 200 + 10, "{used} descriptors");
    // None per task, and a worker knows nothing of its siblings.
    let calls: Vec<_> =
        (0..2000).map(|x| par_apply_async!(square(x); pool = &pool).expect("a call")).collect();
    assert!(descriptors(std::process::id()) - before <= 3 * 200 + 10);
    drop(calls);
    let most = par_map!(open_descriptors, 0..200; pool = &pool).expect("values").into_iter().max();
    assert!(most.is_some_and(|most| most < 16), "{most:?}");
    drop(pool);
    assert!(descendants(std::process::id()).is_empty());
}

#[test]
fn p17_nothing_is_left_in_the_file_system() {
    let _dog = watchdog(60);
    let names = |directory: &str| failing::marks(&PathBuf::from(directory), "");
    let ours = || names("/tmp").into_iter().filter(|name| name.contains("pool-"));
    let all = || names("/dev/shm").into_iter().chain(ours()).collect::<BTreeSet<_>>();
    let before = all();
    // Whatever other programs have there meanwhile, they take away again.
    let nothing_new = || eventually("nothing new", || all().is_subset(&before));
    let pool = Pool::new(2).expect("a pool");
    par_map!(square, 0..1000; pool = &pool).expect("values");
    nothing_new();
    pool.worker_pids().into_iter().for_each(failing::kill);
    eventually("both are back", || pool.worker_pids().len() == 2);
    drop(pool);
    nothing_new();
}

#[test]
fn descriptors_do_not_grow_with_deaths() {
    if place_of_program().is_none() {
        return run("descriptors_do_not_grow_with_deaths");
    }
    let pool = Pool::new(2).expect("a pool");
    par_map!(square, 0..1000; pool = &pool).expect("values");
    let count = || descriptors(std::process::id());
    let before = count();
    for _ in 0..100 {
        let pid = pool.worker_pids()[0];
        failing::kill(pid);
        eventually("a successor", || {
            let pids = pool.worker_pids();
            pids.len() == 2 && !pids.contains(&pid)
        });
    }
    eventually("no more than before", || count() <= before);
    drop(pool);
}

#[test]
fn p13_many_threads_that_allocate_and_print_hold_up_no_start() {
    let _dog = watchdog(120);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::black_box(vec![0_u8; 10_000]);
                    std::hint::black_box(std::env::var_os("PATH"));
                    std::thread::yield_now();
                }
            });
        }
        let pool = Pool::builder().workers(2).max_tasks_per_worker(1).build().expect("a pool");
        assert_eq!(par_map!(square, 0..200; pool = &pool).expect("values").len(), 200);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
