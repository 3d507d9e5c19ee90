//! Changing one entry of a dict by a task, so that nobody comes between reading and writing it.
//!
//! The server runs the task itself when it is the same program and the bytes of values can be told from outside; then a call
//! is one round trip, however many modify the same entry. Otherwise the client runs it, and the server takes the result
//! if the entry is still what it was.

use std::any::TypeId;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::blob;
use super::dict::{Dict, Key, Map};
use super::handle::Request;
use super::scope;
use super::session::Call;
use super::stored::{Answer, Stored};
use super::wire::Args;
use crate::codec::{ALIGN, align_up};
use crate::error::{Error, ErrorKind};
use crate::pool;
use crate::registry::{self, TaskId};
use crate::shm::pins;
use crate::task::PartialCall;

pub(crate) const MODIFY: u32 = 20;
pub(crate) const LOOK: u32 = 21;
pub(crate) const REPLACE: u32 = 22;

/// How long one that modifies waits for another before it goes on beside it. It then may have to run its task again. The
/// bound is for a task that modifies the dict that it is run for.
const TURN: Duration = Duration::from_millis(100);

/// Those that modify a dict take turns, so that in most cases none runs its task in vain.
#[derive(Default)]
pub(crate) struct Turns {
    taken: Mutex<bool>,
    free: Condvar,
}

/// How often a task may run in vain. Insertions that come in between are few; a task that changes the entry itself does so each time.
const RUNS: usize = 1000;

fn in_vain() -> Error {
    let text = format!("the entry changed each of the {RUNS} times that the task ran");
    Error::new(ErrorKind::Deadlock, text)
}

struct Turn<'a>(Option<&'a Turns>);

impl Turns {
    fn take(&self, call: &Call<'_>) -> Result<Turn<'_>, Error> {
        let until = Instant::now() + TURN;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken {
            let in_time;
            (taken, in_time) = call.sleep(taken, &self.free, Some(until))?;
            if !in_time {
                return Ok(Turn(None));
            }
        }
        *taken = true;
        Ok(Turn(Some(self)))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(turns) = self.0 {
            *turns.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
            turns.free.notify_one();
        }
    }
}

impl Map {
    /// Runs a task on an entry, and puts its result there.
    ///
    /// # Errors
    /// Kind `UnknownTask` when this is another program, what the task fails with, `Disconnected` when the caller has ended.
    pub(crate) fn modify(
        &self,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        let (key, task) = (Key::new(args.blob()?, call)?, registry::find(TaskId(args.u64()?))?);
        let (before, after) = (args.blob()?.bytes, args.blob()?.bytes);
        let _turn = self.turns.take(call)?;
        for _ in 0..RUNS {
            let (value, version) = self.look(key.bytes);
            let arguments = [before, &placed(value.as_ref()), after].concat();
            let (result, names) =
                scope::encoding(call.server.id(), || pool::run_call(task, &arguments));
            // Until here it kept what the task was given.
            drop(value);
            let new = Stored::made_here(result?, names, call.server)?;
            if self.replace(key.clone(), version, new.clone()) {
                answer.stored(&new);
                return Ok(());
            }
        }
        Err(in_vain())
    }

    /// The methods of this file.
    ///
    /// # Errors
    /// As for [`modify`](Self::modify).
    pub(crate) fn modify_method(
        &self,
        method: u32,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        match method {
            MODIFY => self.modify(args, call, answer),
            LOOK => {
                let (value, version) = self.look(args.blob()?.bytes);
                answer.option(value.as_ref());
                answer.bytes.extend_from_slice(&version.to_le_bytes());
                Ok(())
            }
            REPLACE => {
                let (key, version) = (Key::new(args.blob()?, call)?, args.u64()?);
                let replaced = self.replace(key, version, Stored::new(args.blob()?, call)?);
                answer.flag(replaced);
                Ok(())
            }
            other => Err(super::table::no_method(other)),
        }
    }
}

/// An `Option` of a value as an argument: its length in eight bytes, zeros up to `ALIGN`, what serde writes, and zeros again.
fn placed(value: Option<&Stored>) -> Vec<u8> {
    let len = 1 + value.map_or(0, |value| value.bytes.len());
    let mut bytes = vec![0; ALIGN + align_up(len)];
    bytes[..8].copy_from_slice(&(len as u64).to_le_bytes());
    if let Some(value) = value {
        bytes[ALIGN] = 1;
        bytes[ALIGN + 1..ALIGN + len].copy_from_slice(&value.bytes);
    }
    bytes
}

/// Whether the bytes of a value are the same by serde as by a codec of its own.
fn is_number<V: 'static>() -> bool {
    macro_rules! any {
        ($($number:ty),*) => {
            [$(TypeId::of::<$number>(), TypeId::of::<Vec<$number>>()),*].contains(&TypeId::of::<V>())
        };
    }
    cfg!(target_endian = "little")
        && any!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64)
}

impl<K, V> Dict<K, V>
where
    K: Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned + 'static,
{
    /// Replaces the value of `key` by the result of `task`, whose `_` is the value that it has now, and gives the new one.
    /// Nobody comes between the reading and the writing.
    ///
    /// The task runs in the server if that is this same program, else here. If the entry changes meanwhile (by `insert`, say),
    /// the task runs again on the new value.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// #[pool_task]
    /// fn bump(old: Option<u64>, by: u64) -> u64 { old.unwrap_or(0) + by }
    ///
    /// # fn main() -> Result<(), Error> {
    /// let m = Manager::start()?;
    /// let hits = m.dict::<String, u64>()?;
    /// assert_eq!(hits.modify("page".into(), task!(bump(_, 3)))?, 3);
    /// assert_eq!(hits.modify("page".into(), task!(bump(_, 4)))?, 7);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Kind `Panicked` when the task did, and then the entry is as it was; what its arguments said when they were encoded;
    /// `InvalidInput` for one that is a descriptor; `Deadlock` when the entry changed each of a thousand times that the task ran, as it
    /// does if the task changes it; and see [`Dict`].
    #[expect(clippy::needless_pass_by_value, reason = "`task!` is written in its place")]
    pub fn modify(&self, key: K, task: PartialCall<Option<V>, V>) -> Result<V, Error> {
        if !task.open().baggage().luggage.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "a descriptor cannot go to a manager"));
        }
        if self.handle().link().is_this_program()
            && task.hole_is_serde()
            && (task.result_is_serde() || is_number::<V>())
        {
            return self.modify_there(&key, &task);
        }
        self.modify_here(&key, &task)
    }

    fn modify_there(&self, key: &K, task: &PartialCall<Option<V>, V>) -> Result<V, Error> {
        let (id, before, after) = (task.open().task()?.id(), task.before()?, task.after()?);
        self.handle().call(MODIFY, |request| {
            request.value(key)?;
            request.u64(id.0);
            // The task keeps what they name until the call is over.
            blob::put_plain(request.bytes, before);
            blob::put_plain(request.bytes, after);
            Ok(())
        })
    }

    fn modify_here(&self, key: &K, task: &PartialCall<Option<V>, V>) -> Result<V, Error> {
        for _ in 0..RUNS {
            let (old, version): (Option<V>, u64) =
                self.handle().call(LOOK, |request| request.value(key))?;
            // `old` is kept here, and by nobody else because of this.
            let (call, _) = pins::collect(|| task.fill(&old));
            let call = call?;
            let (task, arguments) = (call.task()?, call.bytes()?);
            // What the result names lives until it is decoded.
            let (result, _pins) = pins::collect(|| pool::run_call(task, arguments));
            let new = call.decode(&result?)?;
            let arguments = |request: &mut Request<'_>| {
                request.value(key)?;
                request.u64(version);
                request.value(&new)
            };
            if self.handle().call(REPLACE, arguments)? {
                return Ok(new);
            }
        }
        Err(in_vain())
    }
}
