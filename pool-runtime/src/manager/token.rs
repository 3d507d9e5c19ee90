//! What keeps an object of a server while it is named by bytes that are on their way: in bound arguments, an item, a result, a
//! queue.
//!
//! A token is an object in shared memory with nothing in it. It goes with the bytes as handles of shared memory do, and so
//! lives as long as they, wherever they lie and whoever dies. The server keeps what it is a token of until it has ended. One of
//! another tree of processes cannot see that end: then the process that made the token looks for it, and the server's loan
//! is for bytes that outlive that process.

use std::sync::atomic::Ordering::Acquire;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::handle::Handle;
use super::link::Link;
use crate::error::Error;
use crate::shm::handle::{self as shared, Kind, Mark, Ticket};
use crate::shm::{hold, process};

/// How often ends are looked for.
pub(crate) const TICK: Duration = Duration::from_secs(5);

/// As long as any process holds it, or bytes name it, the server has the object that it is a token of.
#[derive(Debug)]
pub(crate) struct Token {
    shared: shared::Handle,
    /// Whether the server sees its end.
    seen: bool,
}

fn mark() -> Mark {
    Mark::plain(Kind::Token)
}

impl Token {
    /// A token of an object that the caller holds.
    ///
    /// # Errors
    /// Kind `Full` or `Io` when shared memory has run out, `Disconnected` when the server is gone.
    pub(crate) fn of(link: &Arc<Link>, id: u64) -> Result<Self, Error> {
        let shared = shared::Handle::make(mark(), (0, 1), None, |_| ())?;
        let seen = link.keep(id, shared.tree(), shared.object())?;
        if !seen {
            link.acquire(id)?;
            watch(shared.object(), Handle::counted(link.clone(), id));
        }
        Ok(Self { shared, seen })
    }

    /// As bytes, and kept with them. A server that is not of this tree of processes has been told of each by itself.
    ///
    /// # Errors
    /// Kind `Full` or `Io` when it cannot be kept.
    pub(crate) fn ticket(&self) -> Result<Ticket, Error> {
        self.shared.ticket()
    }

    /// Whether the server keeps the object as long as this lives, whatever becomes of this process.
    pub(crate) fn is_seen(&self) -> bool {
        self.seen
    }
}

/// Takes the token out of the bytes that came with it, for as long as the result lives. One of another tree, or one that has
/// ended, is none: then the server knows whether it has the object.
pub(crate) fn taken(ticket: Option<&Ticket>) -> Option<shared::Handle> {
    shared::Handle::open(ticket?, mark()).ok()
}

/// Whether tokens of that tree are this process's to see.
pub(crate) fn is_here(tree: u64) -> bool {
    process::own().is_ok_and(|own| own.arena.head().tree.load(Acquire) == tree)
}

/// Whether the token lives that an untrusted word names.
pub(crate) fn lives(token: u64) -> bool {
    process::own_if_any().is_some_and(|own| hold::lives(own, token))
}

/// Tokens that this process made, of objects whose servers do not see them.
struct Watched {
    tokens: Vec<(u64, Handle)>,
    /// Whether a thread looks for their ends.
    looked_at: bool,
}

fn watched() -> MutexGuard<'static, Watched> {
    static WATCHED: Mutex<Watched> = Mutex::new(Watched { tokens: Vec::new(), looked_at: false });
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds an object as long as the token lives.
fn watch(token: u64, held: Handle) {
    let mut watched = watched();
    watched.tokens.push((token, held));
    if !watched.looked_at {
        // Without a thread to spare the object is held until there is one, or to the end of this process.
        let looking = std::thread::Builder::new().name("pool-tokens".to_owned()).spawn(look);
        watched.looked_at = looking.is_ok();
    }
}

/// Lets go of the objects whose tokens have ended, until there are none.
fn look() {
    loop {
        std::thread::sleep(TICK);
        drop(ended());
        let mut watched = watched();
        if watched.tokens.is_empty() {
            watched.looked_at = false;
            return;
        }
    }
}

/// To be dropped without the lock: that calls servers.
fn ended() -> Vec<(u64, Handle)> {
    watched().tokens.extract_if(.., |(token, _)| !lives(*token)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::Manager;

    // As in a client of another tree, whose server does not see the token.
    #[test]
    fn who_makes_a_token_may_look_for_its_end() {
        let m = Manager::start().expect("a server");
        let d = m.dict::<u8, u8>().expect("a dict");
        let token = shared::Handle::make(mark(), (0, 1), None, |_| ()).expect("a token");
        let (link, id) = (d.handle().link().clone(), d.handle().id());
        assert!(!link.keep(id, token.tree() ^ 1, token.object()).expect("the call"));
        link.acquire(id).expect("it is there");
        watch(token.object(), Handle::counted(link, id));
        drop(d);
        drop(ended());
        assert_eq!(m.objects().expect("count"), 1);
        drop(token);
        drop(ended());
        assert_eq!(m.objects().expect("count"), 0);
    }
}
