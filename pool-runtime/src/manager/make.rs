//! What a manager makes besides containers: locks and their kin, queues, values.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handle::{Handle, Request};
use super::{
    Array, Barrier, Condition, Event, Lock, Manager, Queue, RLock, Semaphore, Value, classes,
};
use crate::error::{Error, ErrorKind};
use crate::shared::Shareable;

impl Manager {
    /// A new lock.
    ///
    /// # Errors
    /// See [`dict`](Self::dict).
    pub fn lock(&self) -> Result<Lock, Error> {
        self.make(classes::LOCK, |_| Ok(())).map(Lock::of)
    }

    /// A new lock that the thread that has it can take again.
    ///
    /// # Errors
    /// See [`dict`](Self::dict).
    pub fn rlock(&self) -> Result<RLock, Error> {
        self.make(classes::RLOCK, |_| Ok(())).map(RLock::of)
    }

    /// A new semaphore with `permits` permits, which can be released any number of times.
    ///
    /// # Errors
    /// See [`dict`](Self::dict).
    pub fn semaphore(&self, permits: usize) -> Result<Semaphore, Error> {
        self.permits(permits, u64::MAX)
    }

    /// A new semaphore that never has more than `permits` permits.
    ///
    /// # Errors
    /// See [`dict`](Self::dict).
    pub fn bounded_semaphore(&self, permits: usize) -> Result<Semaphore, Error> {
        self.permits(permits, permits as u64)
    }

    fn permits(&self, permits: usize, most: u64) -> Result<Semaphore, Error> {
        let arguments = |request: &mut Request<'_>| {
            request.u64(permits as u64);
            request.u64(most);
            Ok(())
        };
        self.make(classes::SEMAPHORE, arguments).map(Semaphore::of)
    }

    /// A new condition under `lock`, which must be of this manager.
    ///
    /// # Errors
    /// Kind `InvalidInput` for the lock of another manager, and see [`dict`](Self::dict).
    pub fn condition(&self, lock: &Lock) -> Result<Condition, Error> {
        if lock.handle().link().server() != self.link.server() {
            return Err(Error::new(ErrorKind::InvalidInput, "a lock of another manager"));
        }
        let arguments = |request: &mut Request<'_>| {
            request.u64(lock.handle().id());
            Ok(())
        };
        self.make(classes::CONDITION, arguments).map(Condition::of)
    }

    /// A new event that has not happened.
    ///
    /// # Errors
    /// See [`dict`](Self::dict).
    pub fn event(&self) -> Result<Event, Error> {
        self.make(classes::EVENT, |_| Ok(())).map(Event::of)
    }

    /// A new barrier for `parties` parties.
    ///
    /// # Errors
    /// Kind `InvalidInput` for none, and see [`dict`](Self::dict).
    pub fn barrier(&self, parties: usize) -> Result<Barrier, Error> {
        let arguments = |request: &mut Request<'_>| {
            request.u64(parties as u64);
            Ok(())
        };
        self.make(classes::BARRIER, arguments).map(Barrier::of)
    }

    /// A new queue for any number of elements.
    ///
    /// # Errors
    /// See [`dict`](Self::dict).
    pub fn queue<T: Serialize + DeserializeOwned>(&self) -> Result<Queue<T>, Error> {
        self.line(u64::MAX)
    }

    /// A new queue for at most `capacity` elements.
    ///
    /// # Errors
    /// Kind `InvalidInput` for none, and see [`dict`](Self::dict).
    pub fn bounded_queue<T: Serialize + DeserializeOwned>(
        &self,
        capacity: usize,
    ) -> Result<Queue<T>, Error> {
        self.line(capacity as u64)
    }

    fn line<T>(&self, most: u64) -> Result<Queue<T>, Error> {
        let arguments = |request: &mut Request<'_>| {
            request.u64(most);
            Ok(())
        };
        self.make(classes::QUEUE, arguments).map(Queue::of)
    }

    /// A new value with its own lock.
    ///
    /// # Errors
    /// See [`dict`](Self::dict).
    pub fn value<T: Shareable>(&self, value: T) -> Result<Value<T>, Error> {
        self.numbers(&[value]).map(Value::of)
    }

    /// A new array with its own lock.
    ///
    /// # Errors
    /// See [`dict`](Self::dict).
    pub fn array<T: Shareable>(&self, elements: impl AsRef<[T]>) -> Result<Array<T>, Error> {
        self.numbers(elements.as_ref()).map(Array::of)
    }

    fn numbers<T: Shareable>(&self, elements: &[T]) -> Result<Handle, Error> {
        self.make(classes::VALUE, |request| {
            request.u64(size_of::<T>() as u64);
            request.bytes.extend_from_slice(bytemuck::cast_slice(elements));
            Ok(())
        })
    }
}
