//! The server's process: lets clients in, and runs their calls, each connection in a thread of its own.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::channel::Channel;
use super::classes;
use super::dict;
use super::scope::Names;
use super::session::{Call, Session};
use super::stored::Answer;
use super::table::{Object, Table};
use super::token::{self, TICK};
use super::wire::{self, Args, DESK, LONGEST, LONGEST_OPENING, Opening, Welcome};
use crate::error::{Error, ErrorKind};
use crate::message::ManagerHello;
use crate::net::ByteConnection;
use crate::net::door::{Arrival, Door, HANDSHAKE};
use crate::sys::socket::Socket;
use crate::sys::stream::Listening;
use crate::sys::{fork, process};
use crate::unwind;

/// The methods of the object that is always there.
pub(crate) mod desk {
    /// Makes an object: its class, and what the class wants.
    pub(crate) const CREATE: u32 = 0;
    /// One count more, of an object that somebody else counts.
    pub(crate) const ACQUIRE: u32 = 1;
    /// One count less.
    pub(crate) const RELEASE: u32 = 2;
    /// Keeps an object for a while.
    pub(crate) const LEND: u32 = 3;
    /// How many objects there are.
    pub(crate) const COUNT: u32 = 4;
    /// The namespace that is always there.
    pub(crate) const SHARED: u32 = 5;
    /// Keeps an object as long as a token lives.
    pub(crate) const KEEP: u32 = 6;
}

/// How long an object lives whose handle was encoded where nobody knows what becomes of the bytes: by a user's own code, or
/// for those who have no token that this process can see.
const LOAN: Duration = Duration::from_secs(60);
/// How many connections may be open at once. Each has a thread.
const CONNECTIONS: usize = 8192;
/// The socket of the clients on the same machine, by its position.
const LOCAL: usize = 0;

/// A server.
pub(crate) struct Server {
    id: u128,
    local: Vec<u8>,
    table: Arc<Table>,
    shared: Arc<Object>,
    sessions: Mutex<HashMap<u128, Arc<Session>>>,
    loans: Mutex<VecDeque<(Instant, Arc<Object>)>>,
    /// By tokens.
    kept: Mutex<Vec<(u64, Arc<Object>)>>,
    connections: AtomicUsize,
}

/// Serves until the parent lets go of `parent`, and leaves the process.
pub(crate) fn main(
    hello: ManagerHello,
    parent: &Socket,
    descriptors: impl Iterator<Item = OwnedFd>,
) -> ! {
    process::raise_descriptor_limit();
    fork::watch_and_leave();
    let sockets: Vec<_> =
        descriptors.map(|socket| (Listening::from(socket), Some(hello.key.clone()))).collect();
    // Who connects to a copy of this process would wait for it.
    sockets.iter().for_each(|(socket, _)| fork::keep_from_copies(socket.as_fd()));
    let table = Arc::<Table>::default();
    let server = Arc::new(Server {
        id: hello.server,
        local: hello.local,
        shared: table.add(Box::new(dict::Map::default())),
        table,
        sessions: Mutex::default(),
        loans: Mutex::default(),
        kept: Mutex::default(),
        connections: AtomicUsize::new(0),
    });
    let mut door = Door::new(sockets);
    let mut looked = Instant::now();
    loop {
        match door.next(Some(Instant::now() + TICK), Some(parent.as_fd())) {
            Some(Arrival::Friend(connection, socket)) => {
                server.welcome(connection, socket == LOCAL)
            }
            Some(Arrival::WrongKey(_) | Arrival::NoRoom(_)) => {}
            None => {
                if parent.try_receive(&mut [0; 16]).is_err() {
                    std::process::exit(0);
                }
            }
        }
        // Also if somebody always comes.
        if looked.elapsed() >= TICK {
            server.collect();
            looked = Instant::now();
        }
    }
}

impl Server {
    pub(crate) fn id(&self) -> u128 {
        self.id
    }

    /// The objects that something names which was encoded here.
    ///
    /// # Errors
    /// Kind `NotFound` when one is gone.
    pub(crate) fn objects(&self, names: &Names) -> Result<Vec<Arc<Object>>, Error> {
        names.refs.iter().map(|object| self.table.find(object.id())).collect()
    }

    fn welcome(self: &Arc<Self>, connection: ByteConnection, local: bool) {
        let place = Place::take(self);
        let Some(place) = place else { return };
        // Without a thread to spare the connection is dropped, and its client told so by that.
        let _ = std::thread::Builder::new().name("pool-manager".to_owned()).spawn(move || {
            // An error here is the end of this connection and of nothing else.
            let _ = place.0.serve(connection, local);
        });
    }

    fn serve(self: &Arc<Self>, connection: ByteConnection, local: bool) -> Result<(), Error> {
        // The client takes its end for the end of this process.
        connection.stream().keep_from_copies();
        let opening = connection.receive(LONGEST_OPENING, Some(Instant::now() + HANDSHAKE))?;
        match wire::decode(&opening)? {
            Opening::Control { session } => self.attend(&connection, session),
            Opening::Calls { session } => {
                let session = lock(&self.sessions).get(&session).cloned();
                let session =
                    session.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such session"))?;
                let channel = if local {
                    Channel::offer_memory(connection)?
                } else {
                    Channel::over_socket(connection)
                };
                self.run(channel, &session)
            }
        }
    }

    /// Keeps a session for as long as its control connection is open.
    fn attend(&self, connection: &ByteConnection, id: u128) -> Result<(), Error> {
        let session = Arc::new(Session::new(id));
        if lock(&self.sessions).insert(id, session.clone()).is_some() {
            // Somebody has guessed, or made, another's number: neither of them goes on.
            lock(&self.sessions).remove(&id);
            return Err(Error::new(ErrorKind::Duplicate, "a session of that number is there"));
        }
        let welcome = wire::encode(&Welcome {
            server: self.id,
            local: self.local.clone(),
            program: process::program(),
        })?;
        if connection.send_until(&welcome, Some(Instant::now() + HANDSHAKE)).is_ok() {
            // Nothing more is said on this connection: whatever comes is its end.
            let _ = connection.receive(LONGEST_OPENING, None);
        }
        lock(&self.sessions).remove(&id);
        session.end();
        Ok(())
    }

    /// Answers the calls of one connection.
    fn run(self: &Arc<Self>, mut channel: Channel, session: &Arc<Session>) -> Result<(), Error> {
        let (mut request, mut reply, mut answer) = (Vec::new(), Vec::new(), Answer::default());
        loop {
            channel.receive(&mut request, &|| !session.is_over())?;
            // Whatever has come, the client has decoded the answer before it, and holds what that named.
            answer.clear();
            if request.is_empty() {
                continue;
            }
            let done = self.handle(&request, session, &mut answer);
            if done.is_err() {
                answer.clear();
            }
            wire::put_reply(&mut reply, done.map(|()| answer.reply()));
            if wire::refuse_longer(&mut reply, LONGEST) {
                answer.clear();
            }
            answer.grants.drain(..).for_each(|object| session.grant(&object));
            channel.send(&reply)?;
            shrink(&mut [&mut request, &mut reply, &mut answer.bytes]);
        }
    }

    fn handle(
        self: &Arc<Self>,
        request: &[u8],
        session: &Arc<Session>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        let (id, method, mut args) = wire::take_head(request)?;
        if id == DESK {
            return self.desk(method, &mut args, session, answer);
        }
        let object = session.find(id)?;
        let call = Call { server: self, session, object: &object };
        let done = unwind::catch(|| object.class().call(method, &mut args, &call, answer));
        fork::leave_if_copied();
        done.map_err(Error::panicked)?
    }

    fn desk(
        self: &Arc<Self>,
        method: u32,
        args: &mut Args<'_>,
        session: &Arc<Session>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        match method {
            desk::CREATE => {
                let class = args.u32()?;
                let made = unwind::catch(|| classes::make(class, args, session))
                    .map_err(Error::panicked)??;
                answer.object(self.table.add(made));
                Ok(())
            }
            desk::ACQUIRE => {
                session.grant(&self.table.find(args.u64()?)?);
                Ok(())
            }
            desk::RELEASE => session.release(args.u64()?),
            desk::LEND => {
                let object = session.find(args.u64()?)?;
                lock(&self.loans).push_back((Instant::now() + LOAN, object));
                Ok(())
            }
            desk::COUNT => {
                self.collect_kept();
                answer.put(&(self.table.len() - 1))
            }
            desk::SHARED => {
                answer.object(self.shared.clone());
                Ok(())
            }
            desk::KEEP => {
                let object = session.find(args.u64()?)?;
                let (tree, token) = (args.u64()?, args.u64()?);
                let seen = token::is_here(tree) && token::lives(token);
                if seen {
                    lock(&self.kept).push((token, object));
                }
                answer.flag(seen);
                Ok(())
            }
            other => Err(super::table::no_method(other)),
        }
    }

    /// Lets go of what nobody names any more. That may be the end of much else, and run users' code, which may call this server:
    /// so the door does not wait for it.
    fn collect(self: &Arc<Self>) {
        if lock(&self.loans).is_empty() && lock(&self.kept).is_empty() {
            return;
        }
        let server = self.clone();
        // Without a thread to spare, next time.
        let _ = std::thread::Builder::new().name("pool-manager".to_owned()).spawn(move || {
            server.collect_loans();
            server.collect_kept();
        });
    }

    fn collect_loans(&self) {
        let now = Instant::now();
        let mut loans = lock(&self.loans);
        let over = loans.partition_point(|(until, _)| *until <= now);
        let over: Vec<_> = loans.drain(..over).collect();
        drop(loans);
        drop(over);
    }

    /// Lets go of the objects whose tokens have ended.
    fn collect_kept(&self) {
        let ended: Vec<_> =
            lock(&self.kept).extract_if(.., |(token, _)| !token::lives(*token)).collect();
        // Without the lock, as above: it may be the end of much else.
        drop(ended);
    }
}

/// One of the connections that may be open.
struct Place(Arc<Server>);

impl Place {
    fn take(server: &Arc<Server>) -> Option<Self> {
        let place = Self(server.clone());
        (server.connections.fetch_add(1, Ordering::Relaxed) < CONNECTIONS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gives back the room that one large message took.
fn shrink(rooms: &mut [&mut Vec<u8>]) {
    const ROOM: usize = 1 << 20;
    rooms.iter_mut().filter(|room| room.capacity() > ROOM).for_each(|room| **room = Vec::new());
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
