//! One thread per process that stands beside all work: it watches children, and tells whoever they belong to that one has
//! ended. It waits for nothing else: who starts children is the `starter`.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::starter::Starter;
use crate::sys::fork;
use crate::sys::watch::Watch;

/// Something with children.
pub(crate) trait Ward: Send + Sync {
    /// What was watched under `token` is ready: a child has ended.
    fn ready(&self, token: u32);

    /// Looks after what no event tells of. Gives how long until it wants to look again; `None` is never.
    fn tick(self: Arc<Self>, now: Instant) -> Option<Duration>;
}

/// The supervisor of this process.
pub(crate) struct Supervisor {
    process: u32,
    watch: Watch,
    wards: Mutex<HashMap<u32, Weak<dyn Ward>>>,
    /// Starts the children.
    pub(crate) starter: Starter,
    /// Held while wards are looked after, and so kept alive by this thread.
    looking: Mutex<()>,
    thread: OnceLock<ThreadId>,
    next_ward: AtomicU64,
}

/// The supervisor of this process, once there is one. A plain `fork` copies it, and does not copy its thread.
static CURRENT: RwLock<Option<&'static Supervisor>> = RwLock::new(None);

/// The supervisor; the first call of a process starts it.
///
/// # Errors
/// Kind `Spawn` when its thread or its descriptors cannot be made.
pub(crate) fn get() -> Result<&'static Supervisor, Error> {
    let ours = |supervisor: &&Supervisor| supervisor.process == fork::generation();
    if let Some(supervisor) = CURRENT.read().unwrap_or_else(PoisonError::into_inner).filter(ours) {
        return Ok(supervisor);
    }
    let mut current = CURRENT.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(supervisor) = current.filter(ours) {
        return Ok(supervisor);
    }
    let supervisor = start()?;
    *current = Some(supervisor);
    Ok(supervisor)
}

fn start() -> Result<&'static Supervisor, Error> {
    let supervisor = Supervisor {
        process: fork::generation(),
        watch: Watch::new().map_err(|error| error.with_kind(ErrorKind::Spawn))?,
        wards: Mutex::default(),
        starter: Starter::new()?,
        looking: Mutex::default(),
        thread: OnceLock::new(),
        next_ward: AtomicU64::new(1),
    };
    let (give, take) = mpsc::sync_channel::<&'static Supervisor>(1);
    std::thread::Builder::new()
        .name("pool-supervisor".to_owned())
        .spawn(move || {
            if let Ok(supervisor) = take.recv() {
                supervisor.run();
            }
        })
        .map_err(|error| {
            Error::new(ErrorKind::Spawn, format!("starting the supervisor's thread: {error}"))
        })?;
    let supervisor: &'static Supervisor = Box::leak(Box::new(supervisor));
    let _ = give.send(supervisor);
    Ok(supervisor)
}

/// Looks after one ward. An error of ours in that must not take the others down: nobody would be left to see workers end.
fn guarded<R>(look: impl FnOnce() -> R) -> Option<R> {
    match crate::unwind::catch(look) {
        Ok(result) => Some(result),
        Err(panic) => {
            eprintln!("the supervisor of the pools panicked: {}", Error::panicked(panic));
            None
        }
    }
}

impl Supervisor {
    fn run(&self) {
        let mut ready = Vec::new();
        let mut limit = None;
        let _ = self.thread.set(std::thread::current().id());
        loop {
            self.watch.wait(limit, &mut ready);
            let _look = lock(&self.looking);
            for &key in &ready {
                if let Some(ward) = self.ward((key >> 32) as u32) {
                    guarded(|| ward.ready(key as u32));
                }
            }
            limit = self.tick();
        }
    }

    fn tick(&self) -> Option<Duration> {
        let wards: Vec<_> = lock(&self.wards).values().cloned().collect();
        let now = Instant::now();
        wards
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|ward| guarded(|| ward.tick(now)).flatten())
            .min()
    }

    fn ward(&self, id: u32) -> Option<Arc<dyn Ward>> {
        lock(&self.wards).get(&id)?.upgrade()
    }

    /// Takes a ward; its number is for `watch` and `release`.
    pub(crate) fn adopt(&self, ward: Weak<dyn Ward>) -> u32 {
        let id = self.next_ward.fetch_add(1, Ordering::Relaxed) as u32;
        lock(&self.wards).insert(id, ward);
        id
    }

    /// Looks after the ward no longer.
    pub(crate) fn release(&self, ward: u32) {
        lock(&self.wards).remove(&ward);
    }

    /// Looks after the ward no longer, and has let go of it when this returns: what it owned may be gone with its last owner.
    pub(crate) fn let_go(&self, ward: u32) {
        self.release(ward);
        if self.thread.get() != Some(&std::thread::current().id()) {
            drop(lock(&self.looking));
        }
        self.starter.finish(ward);
    }

    /// Tells the ward when the descriptor is ready.
    ///
    /// # Errors
    /// Kind `Io` when the kernel has no room.
    pub(crate) fn watch(&self, descriptor: &impl AsFd, ward: u32, token: u32) -> Result<(), Error> {
        self.watch.add(descriptor, u64::from(ward) << 32 | u64::from(token))
    }

    /// Watches the descriptor no longer.
    pub(crate) fn unwatch(&self, descriptor: &impl AsFd) {
        self.watch.remove(descriptor);
    }

    /// Makes the supervisor tick soon.
    pub(crate) fn nudge(&self) {
        self.watch.ring();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
