//! How a child of ours begins: before `main`, which it never reaches.
//!
//! A child is this executable, started again with a marker in its environment. One constructor looks for the marker; without
//! it, that is all it does. With it, it runs the constructors that come after it, so that every task is registered, and then
//! does what the child is for and leaves. A marked process whose parent is gone, or that was not started by us at all, leaves
//! at once: a program that is started twice by accident must not run twice.
#![expect(unsafe_code, reason = "runs before main, in an environment that std has not set up")]

use std::ffi::{CStr, OsString, c_char, c_int};
use std::os::fd::{FromRawFd, OwnedFd};

use rustix::process::{Pid, Signal};

use crate::context;
use crate::error::{Error, ErrorKind};
use crate::manager;
use crate::message::{self, FromWorker, Hello, Role, Surroundings};
use crate::process;
use crate::shm::tree;
use crate::sys::signals;
use crate::sys::socket::Socket;
use crate::sys::spawn::CHILD_SOCKET;
use crate::sys::standard;
use crate::worker;

/// `PARENT:ID`: the pid of the parent, and the id that its first message carries, in hexadecimal.
pub(crate) const MARKER: &CStr = c"POOL_RUNTIME_CHILD";

/// The code of a marked process that finds nobody who started it.
const NOT_OURS: i32 = 113;

type Constructor = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
static ENTRY: Constructor = enter;

// The list that the linker makes of all constructors. Weak: a shared library has none, and there both ends read 0.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
std::arch::global_asm!(
    ".pushsection .data.rel.ro.pool_runtime_constructors, \"aw\"",
    ".weak __init_array_start",
    ".hidden __init_array_start",
    ".weak __init_array_end",
    ".hidden __init_array_end",
    ".globl pool_runtime_constructors",
    ".hidden pool_runtime_constructors",
    ".balign 8",
    "pool_runtime_constructors:",
    ".quad __init_array_start",
    ".quad __init_array_end",
    ".popsection",
);

unsafe extern "C" {
    static pool_runtime_constructors: [*const Constructor; 2];
}

extern "C" fn enter(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) {
    // SAFETY: the name is a C string, and no other thread exists that could change the environment.
    if unsafe { libc::getenv(MARKER.as_ptr()) }.is_null() {
        return;
    }
    run_later_constructors(argc, argv, envp);
    be_a_child()
}

/// The constructors behind ours in the list: they register tasks, and would have run before `main`.
fn run_later_constructors(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) {
    // SAFETY: the linker defines both words.
    let [start, end] = unsafe { pool_runtime_constructors };
    let mut at = start;
    let mut later = false;
    while at < end {
        // SAFETY: `at` lies between the two ends, and every entry is a constructor (the C library calls them all).
        let constructor = unsafe { at.read() };
        if later {
            constructor(argc, argv, envp);
        }
        later |= std::ptr::fn_addr_eq(constructor, enter as Constructor);
        // SAFETY: still within the list, or one past it.
        at = unsafe { at.add(1) };
    }
}

/// The way in for hosts where nothing runs before `main`. Elsewhere a child never comes here, and for any other process it
/// does nothing.
pub fn init() {
    // SAFETY: as in `enter`; a host that calls this has not started threads yet.
    if !unsafe { libc::getenv(MARKER.as_ptr()) }.is_null() {
        be_a_child();
    }
}

fn be_a_child() -> ! {
    signals::set_up();
    standard::fill();
    let Some((socket, hello, descriptors)) = introduce() else { leave(NOT_OURS) };
    let mut descriptors = descriptors.into_iter();
    if let Some(arena) = descriptors.next() {
        tree::adopt(arena);
    }
    context::enter(&hello);
    if let Err(error) = settle(&hello.surroundings) {
        let error = error.with_kind(ErrorKind::Spawn);
        let _ = match hello.role {
            Role::Process(_) => process::fail(&socket, &error),
            _ => message::send(&socket, &FromWorker::Failed(error), &[]),
        };
        leave(1);
    }
    match hello.role {
        Role::Worker(hello) => worker::main(hello, socket, descriptors),
        Role::Manager(hello) => manager::server::main(hello, &socket, descriptors),
        Role::Process(hello) => process::main(&hello, &socket),
    }
}

/// Finds the parent and its first message; `None` when there is no such parent.
fn introduce() -> Option<(Socket, Hello, Vec<OwnedFd>)> {
    let marker = std::env::var(MARKER.to_str().ok()?).ok()?;
    let (parent, id) = marker.split_once(':')?;
    let (parent, id) = (Pid::from_raw(parent.parse().ok()?)?, u128::from_str_radix(id, 16).ok()?);
    // SAFETY: nothing has started a thread yet.
    unsafe { std::env::remove_var(MARKER.to_str().ok()?) };
    // First the wish to die with the parent, then the look whether it is still there: in between nothing is missed.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).ok()?;
    if rustix::process::getppid() != Some(parent) {
        return None;
    }
    let socket = inherited_socket()?;
    let (hello, descriptors): (Hello, _) = message::receive(&socket).ok()?;
    (hello.id == id).then_some((socket, hello, descriptors))
}

/// Takes the socket and closes every other descriptor above the standard ones: what leaked into this process is not ours.
fn inherited_socket() -> Option<Socket> {
    // SAFETY: the call only looks at the descriptor's flags.
    if unsafe { libc::fcntl(CHILD_SOCKET, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: descriptors above our own belong to nobody: `main` has not begun. A kernel without the call leaves them open.
    unsafe { libc::syscall(libc::SYS_close_range, CHILD_SOCKET + 1, libc::c_uint::MAX, 0) };
    // SAFETY: it is open, as was just seen, and our parent put it there for us alone.
    let socket = unsafe { OwnedFd::from_raw_fd(CHILD_SOCKET) };
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC).ok()?;
    Some(socket.into())
}

fn settle(surroundings: &Surroundings) -> Result<(), Error> {
    if let Some(directory) = &surroundings.directory {
        let failed = |error| Error::os(&format!("changing to {}", directory.display()), error);
        std::env::set_current_dir(directory).map_err(failed)?;
    }
    if let Some(nice) = surroundings.nice {
        rustix::process::nice(nice).map_err(|error| Error::os("nice", error))?;
    }
    if let Some(cpus) = &surroundings.cpus {
        let mut set = rustix::thread::CpuSet::new();
        for &cpu in cpus {
            if cpu >= rustix::thread::CpuSet::MAX_CPU {
                return Err(Error::new(ErrorKind::InvalidInput, format!("there is no CPU {cpu}")));
            }
            set.set(cpu);
        }
        rustix::thread::sched_setaffinity(None, &set)
            .map_err(|error| Error::os("setting the CPU affinity", error))?;
    }
    let name: Vec<u8> = surroundings.name.bytes().take(15).chain([0]).collect();
    if let Ok(name) = CStr::from_bytes_with_nul(&name) {
        let _ = rustix::thread::set_name(name);
    }
    Ok(())
}

/// The environment of a child: this process's, with `changes`, and the marker.
pub(crate) fn environment(changes: &[(OsString, OsString)], id: u128) -> Vec<(OsString, OsString)> {
    let mut all: std::collections::BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    all.extend(changes.iter().cloned());
    let marker = format!("{}:{id:x}", std::process::id());
    all.insert(MARKER.to_string_lossy().into_owned().into(), marker.into());
    all.into_iter().collect()
}

/// Leaves at once, without the program's exit handlers: it has not begun.
fn leave(code: i32) -> ! {
    // SAFETY: `_exit` takes any code and does not return.
    unsafe { libc::_exit(code) }
}
