//! Where a listener is found, in the forms that Python's `multiprocessing.connection` takes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::sys::stream::Place;

/// Where a [`Listener`](crate::Listener) is found: a TCP address, a socket in the file system, or an abstract name of Linux.
///
/// ```
/// use pool_runtime::{Address, ToAddress};
///
/// assert!(matches!("127.0.0.1:7000".to_addresses()?[0], Address::Tcp(_)));
/// assert!(matches!(("127.0.0.1", 7000).to_addresses()?[0], Address::Tcp(_)));
/// assert!(matches!("/tmp/my.sock".to_addresses()?[0], Address::Unix(_)));
/// assert!(matches!("\0my-name".to_addresses()?[0], Address::Abstract(_)));
/// # Ok::<(), pool_runtime::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Address {
    /// A host and a port; port 0 lets the system choose one.
    Tcp(SocketAddr),
    /// A socket in the file system. Binding makes the file, dropping the listener removes it.
    Unix(PathBuf),
    /// A name of this machine that is no file, without the zero byte that leads it.
    Abstract(Vec<u8>),
}

impl Address {
    /// The TCP address, if it is one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) | Self::Abstract(_) => None,
        }
    }

    /// The IP address; the unspecified one for a Unix socket.
    pub fn ip(&self) -> IpAddr {
        self.tcp().map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip())
    }

    /// The TCP port; 0 for a Unix socket.
    pub fn port(&self) -> u16 {
        self.tcp().map_or(0, |address| address.port())
    }

    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Tcp(address) => Place::Tcp(*address),
            Self::Unix(path) => Place::Path(path.clone()),
            Self::Abstract(name) => Place::Abstract(name.clone()),
        }
    }
}

impl From<Place> for Address {
    fn from(place: Place) -> Self {
        match place {
            Place::Tcp(address) => Self::Tcp(address),
            Place::Path(path) => Self::Unix(path),
            Place::Abstract(name) => Self::Abstract(name),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
        }
    }
}

/// What can be an address.
///
/// A `(host, port)` pair, a [`SocketAddr`] and a text `host:port` are TCP, a [`Path`] is a socket in the file system, and a
/// text with a `/` is one too. A text that begins with a zero byte is an abstract name, as in Python.
pub trait ToAddress {
    /// All addresses that it means, the best first: a host's name may have several.
    ///
    /// # Errors
    /// Kind `InvalidInput` for what is no address, `NotFound` for a host that nobody knows.
    fn to_addresses(&self) -> Result<Vec<Address>, Error>;
}

impl ToAddress for Address {
    fn to_addresses(&self) -> Result<Vec<Address>, Error> {
        Ok(vec![self.clone()])
    }
}

impl ToAddress for SocketAddr {
    fn to_addresses(&self) -> Result<Vec<Address>, Error> {
        Ok(vec![Address::Tcp(*self)])
    }
}

impl ToAddress for str {
    fn to_addresses(&self) -> Result<Vec<Address>, Error> {
        if let Some(name) = self.strip_prefix('\0') {
            return Ok(vec![Address::Abstract(name.as_bytes().to_vec())]);
        }
        if self.contains('/') {
            return Path::new(self).to_addresses();
        }
        match self.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => resolve(self, self),
            _ => Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "`{self}` is no address: write `host:port`, or a path with a `/` for a Unix socket"
                ),
            )),
        }
    }
}

impl ToAddress for String {
    fn to_addresses(&self) -> Result<Vec<Address>, Error> {
        self.as_str().to_addresses()
    }
}

impl ToAddress for Path {
    fn to_addresses(&self) -> Result<Vec<Address>, Error> {
        if self.as_os_str().is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "an empty path is no address"));
        }
        Ok(vec![Address::Unix(self.to_owned())])
    }
}

impl ToAddress for PathBuf {
    fn to_addresses(&self) -> Result<Vec<Address>, Error> {
        self.as_path().to_addresses()
    }
}

impl ToAddress for (&str, u16) {
    fn to_addresses(&self) -> Result<Vec<Address>, Error> {
        resolve(*self, self.0)
    }
}

impl ToAddress for (String, u16) {
    fn to_addresses(&self) -> Result<Vec<Address>, Error> {
        (self.0.as_str(), self.1).to_addresses()
    }
}

impl<T: ToAddress + ?Sized> ToAddress for &T {
    fn to_addresses(&self) -> Result<Vec<Address>, Error> {
        (**self).to_addresses()
    }
}

macro_rules! socket_addresses {
    ($($form:ty),*) => {$(
        impl ToAddress for $form {
            fn to_addresses(&self) -> Result<Vec<Address>, Error> {
                Ok(vec![Address::Tcp((*self).into())])
            }
        }
    )*};
}

socket_addresses!(SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16));

/// Asks the system for the addresses of a host; IPv4 first, as Python's listeners are.
fn resolve(what: impl ToSocketAddrs, shown: &str) -> Result<Vec<Address>, Error> {
    let unknown = |error: &dyn fmt::Display| {
        Error::new(ErrorKind::NotFound, format!("no address of `{shown}`: {error}"))
    };
    let mut all: Vec<SocketAddr> =
        what.to_socket_addrs().map_err(|error| unknown(&error))?.collect();
    all.sort_by_key(SocketAddr::is_ipv6);
    if all.is_empty() {
        return Err(unknown(&"the system knows none"));
    }
    Ok(all.into_iter().map(Address::Tcp).collect())
}
