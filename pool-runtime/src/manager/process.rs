//! Starting the server's process, and ending it.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::Link;
use super::wire::Locator;
use crate::child;
use crate::context;
use crate::error::{Error, ErrorKind};
use crate::message::{self, Hello, ManagerHello, Role, Surroundings};
use crate::net::Address;
use crate::net::listener::{BACKLOG, SocketFile, bind_first};
use crate::shm::tree;
use crate::supervisor;
use crate::sys::process::Child;
use crate::sys::socket::{self, Socket};
use crate::sys::spawn::{self, Start};
use crate::sys::stream::{Listening, Place};
use crate::sys::{random, stream};

/// How long the server may take to leave before it is killed.
const LEAVE: Duration = Duration::from_secs(2);

/// The server's process, which leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    socket: Socket,
    _file: Option<SocketFile>,
    started_by: u32,
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if self.started_by != std::process::id() {
            return;
        }
        self.socket.shut();
        let until = Instant::now() + LEAVE;
        let left = stream::ready(
            &[self.child.as_fd()],
            Some(until.saturating_duration_since(Instant::now())),
        );
        if left != [true] {
            self.child.kill();
        }
        self.child.reap();
    }
}

/// Starts a server, which others reach at one of the addresses, and connects to it.
///
/// # Errors
/// Kind `Spawn` when the process cannot be started, `Io` when no address can be had.
pub(crate) fn start(
    public: Option<(&[Address], &[u8])>,
) -> Result<(Arc<Link>, Option<Address>, ServerProcess), Error> {
    let server = random::id()?;
    let local = format!("pool-manager-{:x}", random::id()?).into_bytes();
    let local_socket = Listening::bind(&Place::Abstract(local.clone()), BACKLOG)
        .map_err(|error| error.with_kind(ErrorKind::Spawn))?;
    let public_socket = public.map(|(addresses, _)| bind_first(addresses)).transpose()?;
    let key = match public {
        Some((_, key)) => key.to_vec(),
        None => random::bytes::<32>()?.to_vec(),
    };
    let (public_socket, address) = public_socket.unzip();
    let hello = ManagerHello { server, local: local.clone(), key: key.clone() };
    let sockets: Vec<_> = [Some(local_socket), public_socket].into_iter().flatten().collect();
    let mut process = spawn(hello, &sockets).map_err(|error| error.with_kind(ErrorKind::Spawn))?;
    process._file = address.as_ref().and_then(SocketFile::of);
    // Ours are closed, so that a server that dies at once is seen, and not waited for.
    drop(sockets);
    let link = Link::to(&Locator { server, local, address: address.clone(), key });
    Ok((link.map_err(|error| error.with_kind(ErrorKind::Spawn))?, address, process))
}

fn spawn(hello: ManagerHello, sockets: &[Listening]) -> Result<ServerProcess, Error> {
    let (ours, theirs) = socket::pair()?;
    let id = random::id()?;
    let surroundings = Surroundings {
        default_workers: context::default_workers(),
        name: "pool-manager".to_owned(),
        parent_name: context::name().to_owned(),
        ..Surroundings::default()
    };
    let hello = Hello { id, role: Role::Manager(hello), surroundings };
    let arena = tree::arena()?;
    let descriptors: Vec<_> = [arena].into_iter().chain(sockets.iter().map(AsFd::as_fd)).collect();
    message::send(&ours, &hello, &descriptors)?;
    let environment = child::environment(&[], id);
    // On the thread that lives as long as this process: its death is what the server would die of.
    let child = supervisor::get()?.starter.run(move || {
        let title = std::env::args_os().next().unwrap_or_default();
        spawn::spawn(&Start { environment, title: &title, executable: None }, &theirs.into())
    })??;
    Ok(ServerProcess { child, socket: ours, _file: None, started_by: std::process::id() })
}
