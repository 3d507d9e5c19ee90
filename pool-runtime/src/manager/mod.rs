//! A server process for shared objects, reachable from every process that knows it, on this machine or another.
//!
//! A client's call goes `proxy → handle → link → channel ═▶ server → table → class`, and its reply back. `wire` has the bytes
//! of both and `blob` those of values, `scope` knows on whose behalf a handle is encoded, `stored` is a value that the server
//! keeps with what it names, `token` what keeps an object while bytes on their way name it, `session` what a client would leave
//! behind if it died. Each class of objects has a file with both halves: what the server keeps, and the proxies. The server
//! keeps values as bytes, and knows no types; so a client may be another program.
//!
//! On the same machine calls go through shared memory, and over a network through sockets, in the format of `net`. Either way
//! both sides have proved to know the key before anything else is read.

mod array;
mod barrier;
mod blob;
mod channel;
mod classes;
mod condition;
mod dict;
mod event;
mod give_back;
mod handle;
mod link;
mod list;
mod lock;
mod make;
pub(crate) mod managed;
mod modify;
mod process;
mod queue;
mod scope;
mod semaphore;
pub(crate) mod server;
mod session;
mod stored;
mod table;
mod thread;
mod token;
mod value;
pub(crate) mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use handle::{Handle, Request};
use link::Link;
use process::ServerProcess;
use serde::Serialize;
use serde::de::DeserializeOwned;
use server::desk;
use wire::DESK;

use crate::error::{Error, ErrorKind};
use crate::net::{Address, ToAddress};

pub use array::{Array, ArrayGuard};
pub use barrier::Barrier;
pub use condition::{Condition, IntoVerdict};
pub use dict::{Dict, Namespace};
pub use event::Event;
pub use list::List;
pub use lock::{Lock, LockGuard, RLock, RLockGuard};
pub use managed::{Managed, Proxy};
pub use queue::Queue;
pub use semaphore::{Permit, Semaphore};
pub use value::{Value, ValueGuard};

/// A server process for shared objects, or the way to one.
///
/// The objects live in the server; what its methods give are proxies, which are handles: they can be cloned, sent to other
/// threads, given to tasks, and stored in other objects of the server. An object lives as long as a proxy of it does,
/// anywhere, also as an argument, a result or an element of a queue. Bytes that other code makes of a proxy, such as
/// `serde_json`, keep the object for a minute; so do those that a process leaves behind, as a result or in a queue, which uses
/// a server on another machine or of another program. Calls of different threads and processes run side by side.
///
/// Handles of shared memory, such as [`Value`](crate::Value) and [`Lock`](crate::Lock), can be stored too, and what they mean
/// lives as long as they are stored. They open in the processes that share that memory: elsewhere, as on another machine, they
/// are errors of kind `NotFound`.
///
/// The process that started the server ends it by dropping the `Manager`; the server also ends when that process dies.
///
/// A proxy that travels as bytes carries the key of its server: who can read it may use the server.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// let m = Manager::start()?;
/// let squares = m.dict::<u64, u64>()?;
/// let seen = m.list::<u64>()?;
/// std::thread::scope(|scope| {
///     for x in 0..4 {
///         let (squares, seen) = (squares.clone(), seen.clone());
///         scope.spawn(move || squares.insert(x, x * x).and_then(|_| seen.push(x)).unwrap());
///     }
/// });
/// assert_eq!(squares.get(&3)?, Some(9));
/// assert_eq!(seen.len()?, 4);
/// # Ok::<(), Error>(())
/// ```
pub struct Manager {
    link: Arc<Link>,
    address: Option<Address>,
    /// After the link, so that the server sees its last client leave before it is told to leave itself.
    _server: Option<ServerProcess>,
}

impl Manager {
    /// Starts a server for this process and those that it gives proxies to, on this machine.
    ///
    /// # Errors
    /// Kind `Spawn` when the process cannot be started.
    pub fn start() -> Result<Self, Error> {
        Self::with_server(process::start(None)?)
    }

    /// Starts a server that others reach at `address`, if they know `key`.
    ///
    /// What is sent is neither encrypted nor signed: over a network that is not trusted, a tunnel is needed as well. Whoever
    /// knows the key can have the server keep as much as its memory holds, and run the methods of
    /// [`#[managed]`](crate::managed) types and the tasks of this program.
    ///
    /// # Errors
    /// Kind `InvalidInput` for what is no address, `NotFound` for an unknown host, `Io` when the place is taken or is not this
    /// machine's, `Spawn` when the process cannot be started.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// let server = Manager::listen("127.0.0.1:0", b"key")?;
    /// let client = Manager::connect(server.address(), b"key")?;
    /// client.dict::<String, u64>()?.insert("a".into(), 1)?;
    /// assert_eq!(Manager::connect(server.address(), b"guess").unwrap_err().kind(), ErrorKind::Authentication);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn listen(address: impl ToAddress, key: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::with_server(process::start(Some((&address.to_addresses()?, key.as_ref())))?)
    }

    /// Connects to a server that another process has started with [`listen`](Self::listen).
    ///
    /// # Errors
    /// Kind `Disconnected` when nobody listens there, `Authentication` when its key is another one, `TimedOut` when it is
    /// silent, and those of the address.
    pub fn connect(address: impl ToAddress, key: impl AsRef<[u8]>) -> Result<Self, Error> {
        let mut failed = Error::new(ErrorKind::InvalidInput, "no address");
        for address in address.to_addresses()? {
            match Link::to_address(address.clone(), key.as_ref()) {
                Ok(link) => return Ok(Self { link, address: Some(address), _server: None }),
                // Somebody was there: what other addresses say, short of a welcome, is no news.
                Err(_) if failed.kind() == ErrorKind::Authentication => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn with_server(
        (link, address, server): (Arc<Link>, Option<Address>, ServerProcess),
    ) -> Result<Self, Error> {
        Ok(Self { link, address, _server: Some(server) })
    }

    /// The TCP address of the server, with the port that the system chose if it was asked to. The unspecified address,
    /// `0.0.0.0:0`, when it listens at none.
    pub fn address(&self) -> SocketAddr {
        self.endpoint().and_then(Address::tcp).unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())
    }

    /// Where the server listens for other machines, or for other programs on this one; `None` after [`start`](Self::start).
    pub fn endpoint(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// The namespace that every client of this server has: where one puts a proxy under a name, for others to find.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// let server = Manager::listen("127.0.0.1:0", b"key")?;
    /// server.shared()?.set("jobs", server.list::<u32>()?)?;
    ///
    /// // In another program:
    /// let client = Manager::connect(server.address(), b"key")?;
    /// let jobs: List<u32> = client.shared()?.get("jobs")?;
    /// jobs.push(1)?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// Kind `Disconnected` when the server is gone.
    pub fn shared(&self) -> Result<Namespace, Error> {
        self.object(desk::SHARED, |_| Ok(())).map(Namespace::of)
    }

    /// How many objects the server keeps, but for the one that [`shared`](Self::shared) gives.
    ///
    /// # Errors
    /// Kind `Disconnected` when the server is gone.
    pub fn objects(&self) -> Result<usize, Error> {
        self.link.call(DESK, desk::COUNT, |_| Ok(()), wire::decode)
    }

    /// A new, empty dict.
    ///
    /// # Errors
    /// Kind `Disconnected` when the server is gone; the same for the others below.
    pub fn dict<K, V>(&self) -> Result<Dict<K, V>, Error>
    where
        K: Serialize + DeserializeOwned,
        V: Serialize + DeserializeOwned,
    {
        self.make(classes::DICT, |_| Ok(())).map(Dict::of)
    }

    /// A new, empty list.
    ///
    /// # Errors
    /// See [`dict`](Self::dict).
    pub fn list<T: Serialize + DeserializeOwned>(&self) -> Result<List<T>, Error> {
        self.make(classes::LIST, |_| Ok(())).map(List::of)
    }

    /// A new namespace without names.
    ///
    /// # Errors
    /// See [`dict`](Self::dict).
    pub fn namespace(&self) -> Result<Namespace, Error> {
        self.make(classes::DICT, |_| Ok(())).map(Namespace::of)
    }

    /// Gives an object of your own to the server, and the way to it.
    ///
    /// # Errors
    /// Kind `NotFound` when the server is another program and has no such type, `Encode` and `Decode` when the value does not
    /// travel, and see [`dict`](Self::dict).
    #[expect(clippy::needless_pass_by_value, reason = "the object is the server's from now on")]
    pub fn create<T: Managed>(&self, value: T) -> Result<Proxy<T>, Error> {
        self.make(classes::MANAGED, |request| managed::creation(&value, request))
            .map(managed::proxy)
    }

    fn make(
        &self,
        class: u32,
        arguments: impl FnOnce(&mut Request<'_>) -> Result<(), Error>,
    ) -> Result<Handle, Error> {
        let with_class = |request: &mut Request<'_>| {
            request.u32(class);
            arguments(request)
        };
        self.object(desk::CREATE, with_class)
    }

    /// Asks for an object.
    fn object(
        &self,
        method: u32,
        arguments: impl FnOnce(&mut Request<'_>) -> Result<(), Error>,
    ) -> Result<Handle, Error> {
        self.link.call(DESK, method, arguments, |reply| {
            let id = wire::decode(reply)?;
            // The server has counted it for us, and this takes the count over.
            scope::decoded(self.link.server(), id);
            Ok(Handle::counted(self.link.clone(), id))
        })
    }
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manager").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A type that is a handle of an object in the server, with the types of what is in it.
macro_rules! proxy {
    ($(#[$attribute:meta])* pub struct $name:ident $(<$($parameter:ident),+>)?;) => {
        $(#[$attribute])*
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(transparent, bound = "")]
        pub struct $name $(<$($parameter),+>)? {
            handle: $crate::manager::handle::Handle,
            #[serde(skip)]
            types: std::marker::PhantomData<fn() -> ($($($parameter,)+)?)>,
        }

        impl $(<$($parameter),+>)? $name $(<$($parameter),+>)? {
            pub(crate) fn of(handle: $crate::manager::handle::Handle) -> Self {
                Self { handle, types: std::marker::PhantomData }
            }

            #[allow(dead_code, clippy::allow_attributes, reason = "not every class is an argument of another")]
            pub(crate) fn handle(&self) -> &$crate::manager::handle::Handle {
                &self.handle
            }
        }

        impl $(<$($parameter),+>)? Clone for $name $(<$($parameter),+>)? {
            fn clone(&self) -> Self {
                Self::of(self.handle.clone())
            }
        }

        impl $(<$($parameter),+>)? std::fmt::Debug for $name $(<$($parameter),+>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.handle)
            }
        }
    };
}
use proxy;
