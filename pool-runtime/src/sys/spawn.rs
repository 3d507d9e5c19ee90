//! Starting this program again as a child.
#![expect(unsafe_code, reason = "calls posix_spawn, which std does not expose")]

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use rustix::process::Pid;

use super::process::Child;
use crate::error::{Error, ErrorKind};

/// The descriptor that a child finds its socket at.
pub(crate) const CHILD_SOCKET: i32 = 3;

/// What a child is started with. It sees no arguments, and its stdin is empty.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    /// The environment, whole.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// What `ps` shows.
    pub(crate) title: &'a OsStr,
    /// The executable; `None` is this program itself, though its file may have been replaced or deleted.
    pub(crate) executable: Option<&'a Path>,
}

/// Starts a child that finds `socket` at [`CHILD_SOCKET`].
///
/// `posix_spawn` and not `Command` with `pre_exec`: that one forks, which was measured at 44 ms with 1 GiB resident against
/// 0.7 ms so. Call it on a thread that lives as long as the child may: the death of the spawning thread is what the child
/// takes for the death of its parent.
///
/// # Errors
/// Kind `Spawn`, with what the system said.
pub(crate) fn spawn(start: &Start<'_>, socket: &OwnedFd) -> Result<Child, Error> {
    // Above every number that a file action writes to.
    let socket = rustix::io::fcntl_dupfd_cloexec(socket, CHILD_SOCKET + 1)
        .map_err(|error| failed(&error))?;
    let own = Path::new("/proc/self/exe");
    let first = spawn_file(start, start.executable.unwrap_or(own), &socket);
    match (first, start.executable) {
        // No /proc: the path that the program was started by must do.
        (Err(libc::ENOENT), None) => {
            let path = std::env::current_exe().map_err(|error| failed(&error))?;
            spawn_file(start, &path, &socket)
        }
        (first, _) => first,
    }
    .map_err(|code| failed(&std::io::Error::from_raw_os_error(code)))
    .and_then(|pid| Child::adopt(pid).map_err(|error| error.with_kind(ErrorKind::Spawn)))
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Spawn, error.to_string())
}

fn spawn_file(start: &Start<'_>, file: &Path, socket: &OwnedFd) -> Result<Pid, i32> {
    let text = |bytes: &OsStr| CString::new(bytes.as_bytes()).map_err(|_| libc::EINVAL);
    let path = text(file.as_os_str())?;
    let arguments = [text(start.title)?];
    let variables = start.environment.iter().map(|(name, value)| {
        let mut pair = name.clone();
        pair.push("=");
        pair.push(value);
        text(&pair)
    });
    let variables = variables.collect::<Result<Vec<_>, _>>()?;
    let arguments = pointers(&arguments);
    let variables = pointers(&variables);
    let (actions, attributes) = (Actions::new(socket)?, Attributes::new()?);
    let mut pid = 0;
    // SAFETY: every pointer is to a live, null-terminated string or list of them.
    let code = unsafe {
        libc::posix_spawn(
            &mut pid,
            path.as_ptr(),
            &actions.0,
            &attributes.0,
            arguments.as_ptr(),
            variables.as_ptr(),
        )
    };
    match (code, Pid::from_raw(pid)) {
        (0, Some(pid)) => Ok(pid),
        (0, None) => Err(libc::EINVAL),
        (code, _) => Err(code),
    }
}

/// As C wants a list of strings: pointers, and a null at the end.
fn pointers(strings: &[CString]) -> Vec<*mut libc::c_char> {
    strings.iter().map(|string| string.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

/// What the child does between start and exec.
struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new(socket: &OwnedFd) -> Result<Self, i32> {
        let mut actions = std::mem::MaybeUninit::uninit();
        // SAFETY: the call makes `actions` valid, and only then is it taken for so; the strings are literals.
        unsafe {
            check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            let mut actions = Self(actions.assume_init());
            check(libc::posix_spawn_file_actions_addopen(
                &mut actions.0,
                0,
                c"/dev/null".as_ptr(),
                libc::O_RDONLY,
                0,
            ))?;
            check(libc::posix_spawn_file_actions_adddup2(
                &mut actions.0,
                socket.as_raw_fd(),
                CHILD_SOCKET,
            ))?;
            Ok(actions)
        }
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: made by `init`, and destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

/// How the child begins: with SIGINT blocked, until it ignores it. Otherwise a Ctrl-C that comes while it starts would end it.
struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> Result<Self, i32> {
        let mut attributes = std::mem::MaybeUninit::uninit();
        let mut blocked = std::mem::MaybeUninit::uninit();
        // SAFETY: `init` makes `attributes` valid and `sigemptyset` makes `blocked` so, and only then are they taken for so.
        unsafe {
            check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            let mut attributes = Self(attributes.assume_init());
            libc::sigemptyset(blocked.as_mut_ptr());
            let mut blocked = blocked.assume_init();
            libc::sigaddset(&mut blocked, libc::SIGINT);
            check(libc::posix_spawnattr_setsigmask(&mut attributes.0, &blocked))?;
            let flags = libc::POSIX_SPAWN_SETSIGMASK as libc::c_short;
            check(libc::posix_spawnattr_setflags(&mut attributes.0, flags))?;
            Ok(attributes)
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: made by `init`, and destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

fn check(code: i32) -> Result<(), i32> {
    if code == 0 { Ok(()) } else { Err(code) }
}
