//! Connections that carry messages of bytes, in the format of Python's `multiprocessing.connection`, so that a Python process
//! is a peer.
//!
//! `frame` knows where a message ends, `challenge` what proves that somebody knows the key, `handshake` in which order the
//! two sides prove it. None of the three touches a socket. `door` lets in who has proved it, however many others stand
//! there; `listener`, `client` and `connection` are what users hold, and `turn` is how their threads wait for each other. Nothing
//! here knows what a message means.
//!
//! The format, as CPython has it: <https://github.com/python/cpython/blob/main/Lib/multiprocessing/connection.py>

pub(crate) mod address;
pub(crate) mod challenge;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod door;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod listener;
mod turn;

pub use address::{Address, ToAddress};
pub use client::Client;
pub use connection::ByteConnection;
pub use listener::Listener;
