//! The servers that are attacked, the ways to them, and numbers that look random.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

pub const KEY: &[u8] = b"the key of the good";

/// No attacker waits longer for an answer.
pub const PATIENCE: Duration = Duration::from_millis(200);

/// Where a server listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A connection of a stranger.
pub trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

impl Place {
    pub fn dial(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Ok(Box::new(stream))
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Ok(Box::new(stream))
            }
        }
    }

    /// Connects as somebody who says to know that key.
    pub fn client(&self, key: &[u8]) -> Result<ByteConnection, Error> {
        match self {
            Self::Tcp(address) => Client::connect(*address, key),
            Self::Unix(path) => Client::connect(path, key),
        }
    }

    pub fn manager(&self) -> Result<Manager, Error> {
        match self {
            Self::Tcp(address) => Manager::connect(*address, KEY),
            Self::Unix(path) => Manager::connect(path, KEY),
        }
    }
}

/// A server, and the process it is.
pub struct Target {
    pub manager: Manager,
    pub place: Place,
    pub pid: u32,
}

/// What knows which process it is in.
#[derive(Serialize, Deserialize)]
struct Inside;

#[managed]
impl Inside {
    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

impl Target {
    pub fn tcp() -> Self {
        let manager = Manager::listen("127.0.0.1:0", KEY).expect("a server");
        let place = Place::Tcp(manager.address());
        Self::new(manager, place)
    }

    pub fn unix() -> Self {
        let path = std::env::temp_dir().join(format!("pool-hostile-{}.sock", std::process::id()));
        let manager = Manager::listen(&path, KEY).expect("a server");
        Self::new(manager, Place::Unix(path))
    }

    fn new(manager: Manager, place: Place) -> Self {
        let pid = manager.create(Inside).and_then(|inside| inside.pid()).expect("a server");
        Self { manager, place, pid }
    }
}

/// A generator of numbers that look random.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Up to so many bytes.
    pub fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.next() as u8).collect()
    }
}
