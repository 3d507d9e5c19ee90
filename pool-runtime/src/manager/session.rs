//! One client process, as the server sees it: what it counts, and what it would leave behind if it died.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::server::Server;
use super::table::Object;
use crate::error::{Error, ErrorKind};

/// How long a call that waits sleeps before it looks whether its client still lives.
const LOOK: Duration = Duration::from_millis(200);

/// A client process. It lasts as long as its control connection.
pub(crate) struct Session {
    pub(crate) id: u128,
    ended: AtomicBool,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    counts: HashMap<u64, (Arc<Object>, u64)>,
    /// Objects of which it holds something that others wait for.
    locks: HashMap<u64, (Arc<Object>, u64)>,
}

impl Session {
    pub(crate) fn new(id: u128) -> Self {
        Self { id, ended: AtomicBool::new(false), held: Mutex::default() }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more count. After the end there are none.
    pub(crate) fn grant(&self, object: &Arc<Object>) {
        let mut held = self.held();
        if !self.is_over() {
            held.counts.entry(object.id).or_insert_with(|| (object.clone(), 0)).1 += 1;
        }
    }

    /// One count less.
    ///
    /// # Errors
    /// Kind `NotFound` when it has none.
    pub(crate) fn release(&self, id: u64) -> Result<(), Error> {
        let mut held = self.held();
        let Entry::Occupied(mut count) = held.counts.entry(id) else { return Err(not_held(id)) };
        count.get_mut().1 -= 1;
        let last = (count.get().1 == 0).then(|| count.remove());
        drop(held);
        // Outside of the lock: it may be the end of the object, and of much else.
        drop(last);
        Ok(())
    }

    /// An object that this client counts.
    ///
    /// # Errors
    /// Kind `NotFound`.
    pub(crate) fn find(&self, id: u64) -> Result<Arc<Object>, Error> {
        self.held().counts.get(&id).map(|(object, _)| object.clone()).ok_or_else(|| not_held(id))
    }

    /// Gives everything back.
    pub(crate) fn end(&self) {
        let held = {
            let mut held = self.held();
            self.ended.store(true, Ordering::Release);
            std::mem::take(&mut *held)
        };
        for (object, _) in held.locks.values() {
            object.class().abandoned(self.id);
        }
    }
}

fn not_held(id: u64) -> Error {
    Error::new(ErrorKind::NotFound, format!("this process holds no object {id} of the manager"))
}

/// One call, for the class that runs it.
pub(crate) struct Call<'a> {
    pub(crate) server: &'a Arc<Server>,
    pub(crate) session: &'a Arc<Session>,
    pub(crate) object: &'a Arc<Object>,
}

impl Call<'_> {
    /// From now on the class is told when the caller ends. To be called while the class is locked.
    ///
    /// # Errors
    /// Kind `Disconnected` when it has ended already.
    pub(crate) fn hold(&self) -> Result<(), Error> {
        let mut held = self.session.held();
        if self.session.is_over() {
            return Err(client_gone());
        }
        held.locks.entry(self.object.id).or_insert_with(|| (self.object.clone(), 0)).1 += 1;
        Ok(())
    }

    /// The class need not be told any more; once for each [`hold`](Self::hold).
    pub(crate) fn let_go(&self) {
        let mut held = self.session.held();
        let Entry::Occupied(mut lock) = held.locks.entry(self.object.id) else { return };
        lock.get_mut().1 -= 1;
        let last = (lock.get().1 == 0).then(|| lock.remove());
        drop(held);
        drop(last);
    }

    /// The same call, on another object.
    pub(crate) fn on<'o>(&'o self, object: &'o Arc<Object>) -> Call<'o> {
        Call { server: self.server, session: self.session, object }
    }

    /// Sleeps until woken, or until it is worth a look again; says no when the time is over.
    ///
    /// # Errors
    /// Kind `Disconnected` when the caller has ended: it must take nothing any more.
    pub(crate) fn sleep<'m, T>(
        &self,
        guard: MutexGuard<'m, T>,
        changed: &Condvar,
        until: Option<Instant>,
    ) -> Result<(MutexGuard<'m, T>, bool), Error> {
        let left =
            until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()).min(LOOK));
        let (guard, _) = changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner);
        if self.session.is_over() {
            return Err(client_gone());
        }
        Ok((guard, until.is_none_or(|until| Instant::now() < until)))
    }
}

fn client_gone() -> Error {
    Error::new(ErrorKind::Disconnected, "the caller is gone")
}
