//! A client's side: what this process has to do with one server. One connection says that the process lives; others carry
//! calls, as many as there are threads that call at the same time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::channel::Channel;
use super::handle::Request;
use super::scope;
use super::server::desk;
use super::wire::{self, DESK, LONGEST_OPENING, Locator, Opening, Reply, Welcome};
use crate::error::{Error, ErrorKind};
use crate::net::client::{self, authenticate};
use crate::net::{Address, ByteConnection};
use crate::sys::{process, random};

/// How long a connection to a server may take to be made.
const CONNECT: Duration = Duration::from_secs(20);

/// This process and one server.
#[derive(Debug)]
pub(crate) struct Link {
    locator: Locator,
    session: u128,
    /// The server takes its end for the end of this process.
    control: ByteConnection,
    pub(super) lines: Mutex<Lines>,
    /// For giving back what this process has when no more connections can be made, by one thread at a time; others it must not
    /// wait for. It is made before the first thing is taken.
    pub(super) spare: Mutex<Option<Line>>,
    gone: AtomicBool,
    made_by: u32,
    /// Whether the server runs the same file as this process, so that both know the same tasks.
    this_program: bool,
}

#[derive(Debug, Default)]
pub(super) struct Lines {
    idle: Vec<Line>,
    /// Counts that could not be given back, for there was no connection.
    pub(super) owed: Vec<u64>,
}

/// A connection for calls, and the room for their bytes.
#[derive(Debug)]
pub(super) struct Line {
    channel: Channel,
    request: Vec<u8>,
    reply: Vec<u8>,
}

/// Rooms that grew larger than this for one call are given back after it.
const ROOM: usize = 1 << 20;

static LINKS: Mutex<Option<HashMap<u128, Weak<Link>>>> = Mutex::new(None);

impl Link {
    /// The link to a server: the one that is there, or a new one.
    ///
    /// # Errors
    /// Kind `Disconnected` when the server is gone, `Authentication` when the key is another one.
    pub(crate) fn to(locator: &Locator) -> Result<Arc<Self>, Error> {
        if let Some(link) = find(locator.server) {
            return Ok(link);
        }
        let until = Instant::now() + CONNECT;
        let mut locator = locator.clone();
        let connected = match connect_local(&locator, until) {
            Err(_) if locator.address.is_some() => {
                locator.local.clear();
                connect_remote(&locator, until)?
            }
            other => other?,
        };
        if connected.2.server != locator.server {
            return Err(Error::new(ErrorKind::NotFound, "another server is there now"));
        }
        Ok(keep(Self::new(locator, connected)))
    }

    /// The link to whatever server listens at `address`.
    ///
    /// # Errors
    /// As for [`to`](Self::to).
    pub(crate) fn to_address(address: Address, key: &[u8]) -> Result<Arc<Self>, Error> {
        let until = Instant::now() + CONNECT;
        let mut locator =
            Locator { server: 0, local: Vec::new(), address: Some(address), key: key.to_vec() };
        let connected = connect_remote(&locator, until)?;
        (locator.server, locator.local) = (connected.2.server, connected.2.local.clone());
        if let Some(link) = find(locator.server) {
            return Ok(link);
        }
        // On the same machine there is a shorter way.
        match connect_local(&locator, until) {
            Ok(local) if local.2.server == locator.server => Ok(keep(Self::new(locator, local))),
            _ => {
                locator.local.clear();
                Ok(keep(Self::new(locator, connected)))
            }
        }
    }

    fn new(locator: Locator, (control, session, welcome): Connected) -> Self {
        let own = process::program();
        Self {
            // Over a network the numbers of files mean nothing.
            this_program: !locator.local.is_empty() && own.is_some() && welcome.program == own,
            locator,
            session,
            control,
            lines: Mutex::default(),
            spare: Mutex::default(),
            gone: AtomicBool::new(false),
            made_by: std::process::id(),
        }
    }

    pub(crate) fn server(&self) -> u128 {
        self.locator.server
    }

    pub(crate) fn is_this_program(&self) -> bool {
        self.this_program
    }

    pub(crate) fn locator(&self) -> &Locator {
        &self.locator
    }

    /// Whether this is a copy, in a child of a plain `fork`: its connections belong to the process it was copied from.
    pub(crate) fn is_copy(&self) -> bool {
        self.made_by != std::process::id()
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Whether the server is there, for one who does not call it now.
    ///
    /// # Errors
    /// Kind `Disconnected` when it is gone, or has never been this process's.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.usable()?;
        if self.control.stream().is_gone() {
            return Err(gone());
        }
        Ok(())
    }

    /// Calls a method of an object.
    ///
    /// # Errors
    /// What the server says; kind `Disconnected` when it is gone; `Encode`, `Decode`.
    pub(crate) fn call<R>(
        self: &Arc<Self>,
        object: u64,
        method: u32,
        arguments: impl FnOnce(&mut Request<'_>) -> Result<(), Error>,
        result: impl FnOnce(&[u8]) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let line = self.line()?;
        let (result, line) = self.call_over(line, object, method, arguments, result);
        line.into_iter().for_each(|line| self.put_back(line));
        result
    }

    /// Gives the line back, if it is still good.
    pub(super) fn call_over<R>(
        self: &Arc<Self>,
        mut line: Line,
        object: u64,
        method: u32,
        arguments: impl FnOnce(&mut Request<'_>) -> Result<(), Error>,
        result: impl FnOnce(&[u8]) -> Result<R, Error>,
    ) -> (Result<R, Error>, Option<Line>) {
        wire::put_head(&mut line.request, object, method);
        let mut request = Request::new(&mut line.request, self.server());
        // What is encoded may call the same server; it then takes another line.
        let encoded = arguments(&mut request);
        let pins = request.pins;
        if let Err(error) = encoded {
            return (Err(error), Some(line));
        }
        if let Err(error) = self.exchange(&mut line) {
            return (Err(error), None);
        }
        // The server has answered, so it holds by now what it keeps.
        drop(pins);
        let (result, lent) = self.take(&line.reply, result);
        // The result is decoded: the server need not keep any more what that named. Without the line it will not either.
        let good = !lent || line.channel.send(&[]).is_ok();
        (result, good.then_some(line))
    }

    fn exchange(&self, line: &mut Line) -> Result<(), Error> {
        let done = line
            .channel
            .send(&line.request)
            .and_then(|()| line.channel.receive(&mut line.reply, &|| !self.is_gone()));
        done.map_err(|error| {
            if error.kind() == ErrorKind::InvalidInput {
                return error;
            }
            // With one connection everything is lost that the server held for this process.
            self.gone.store(true, Ordering::Release);
            gone()
        })
    }

    /// Takes a reply; says also whether the server waits to be told so.
    fn take<R>(
        self: &Arc<Self>,
        reply: &[u8],
        result: impl FnOnce(&[u8]) -> Result<R, Error>,
    ) -> (Result<R, Error>, bool) {
        let Reply { grants, result: bytes, lent } = match wire::take_reply(reply) {
            Ok(reply) => reply,
            Err(error) => return (Err(error), false),
        };
        if grants.is_empty() {
            return (result(bytes), lent);
        }
        let (result, left) = scope::decoding(self.server(), grants, || result(bytes));
        left.into_iter().for_each(|id| self.release(id));
        (result, lent)
    }

    pub(super) fn line(&self) -> Result<Line, Error> {
        self.usable()?;
        let idle = lock(&self.lines).idle.pop();
        idle.map_or_else(|| self.new_line(), Ok)
    }

    pub(super) fn usable(&self) -> Result<(), Error> {
        if self.is_copy() {
            return Err(forked());
        }
        if self.is_gone() {
            return Err(gone());
        }
        Ok(())
    }

    pub(super) fn new_line(&self) -> Result<Line, Error> {
        let channel = self.open()?;
        Ok(Line { channel, request: Vec::new(), reply: Vec::new() })
    }

    pub(super) fn put_back(self: &Arc<Self>, mut line: Line) {
        for room in [&mut line.request, &mut line.reply] {
            if room.capacity() > ROOM {
                *room = Vec::new();
            }
        }
        let mut lines = lock(&self.lines);
        lines.idle.push(line);
        let owed = std::mem::take(&mut lines.owed);
        drop(lines);
        owed.into_iter().for_each(|id| self.release(id));
    }

    fn open(&self) -> Result<Channel, Error> {
        let until = Instant::now() + CONNECT;
        let opening = wire::encode(&Opening::Calls { session: self.session })?;
        if self.locator.local.is_empty() {
            let connection = dial(self.locator.address.as_ref(), &self.locator.key, until)?;
            connection.send_until(&opening, Some(until))?;
            return Ok(Channel::over_socket(connection));
        }
        let local = Address::Abstract(self.locator.local.clone());
        let connection = dial(Some(&local), &self.locator.key, until)?;
        connection.send_until(&opening, Some(until))?;
        Channel::take_memory(connection, until)
    }

    /// Takes one count.
    ///
    /// # Errors
    /// Kind `NotFound` when the object is gone.
    pub(crate) fn acquire(self: &Arc<Self>, id: u64) -> Result<(), Error> {
        self.desk(desk::ACQUIRE, id)
    }

    /// Has the server keep an object for a while, for whoever decodes the handle.
    ///
    /// # Errors
    /// Kind `NotFound` when the object is gone.
    pub(crate) fn lend(self: &Arc<Self>, id: u64) -> Result<(), Error> {
        self.desk(desk::LEND, id)
    }

    /// Has the server keep an object as long as a token lives; `false` when it cannot see the token.
    ///
    /// # Errors
    /// Kind `NotFound` when the object is gone.
    pub(crate) fn keep(self: &Arc<Self>, id: u64, tree: u64, token: u64) -> Result<bool, Error> {
        let arguments = |request: &mut Request<'_>| {
            [id, tree, token].into_iter().for_each(|word| request.u64(word));
            Ok(())
        };
        self.call(DESK, desk::KEEP, arguments, wire::decode)
    }

    fn desk(self: &Arc<Self>, method: u32, id: u64) -> Result<(), Error> {
        let arguments = |request: &mut Request<'_>| {
            request.u64(id);
            Ok(())
        };
        self.call(DESK, method, arguments, |_| Ok(()))
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Disconnected, "the manager's server is gone")
}

fn forked() -> Error {
    Error::new(ErrorKind::Disconnected, "this handle belongs to the process that was forked")
}

type Connected = (ByteConnection, u128, Welcome);

fn connect_local(locator: &Locator, until: Instant) -> Result<Connected, Error> {
    if locator.local.is_empty() {
        return Err(Error::new(ErrorKind::Disconnected, "the server is not on this machine"));
    }
    introduce(dial(Some(&Address::Abstract(locator.local.clone())), &locator.key, until)?, until)
}

fn connect_remote(locator: &Locator, until: Instant) -> Result<Connected, Error> {
    introduce(dial(locator.address.as_ref(), &locator.key, until)?, until)
}

fn dial(address: Option<&Address>, key: &[u8], until: Instant) -> Result<ByteConnection, Error> {
    let address =
        address.ok_or_else(|| Error::new(ErrorKind::Disconnected, "the server has no address"))?;
    let connection = client::connect_first(std::slice::from_ref(address), until)?;
    // The server takes its end for the end of this process.
    connection.stream().keep_from_copies();
    authenticate(&connection, key, until)?;
    Ok(connection)
}

fn introduce(control: ByteConnection, until: Instant) -> Result<Connected, Error> {
    let session = random::id()?;
    control.send_until(&wire::encode(&Opening::Control { session })?, Some(until))?;
    let welcome = wire::decode(&control.receive(LONGEST_OPENING, Some(until))?)?;
    Ok((control, session, welcome))
}

fn find(server: u128) -> Option<Arc<Link>> {
    let link = lock(&LINKS).as_ref()?.get(&server)?.upgrade()?;
    (!link.is_copy() && !link.is_gone()).then_some(link)
}

/// Of two threads that connect at once, both use the link of the first.
fn keep(link: Link) -> Arc<Link> {
    let mut links = lock(&LINKS);
    let links = links.get_or_insert_default();
    links.retain(|_, link| link.strong_count() > 0);
    if let Some(first) = links.get(&link.server()).and_then(Weak::upgrade)
        && !first.is_copy()
        && !first.is_gone()
    {
        return first;
    }
    let link = Arc::new(link);
    links.insert(link.server(), Arc::downgrade(&link));
    link
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
