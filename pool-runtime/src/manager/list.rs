//! Lists: what the server keeps, and the proxies.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::session::Call;
use super::stored::{Answer, Stored};
use super::table::{Class, no_method};
use super::wire::Args;
use crate::error::{Error, ErrorKind};

const PUSH: u32 = 0;
const POP: u32 = 1;
const GET: u32 = 2;
const SET: u32 = 3;
const LEN: u32 = 4;
const EXTEND: u32 = 5;
const TO_VEC: u32 = 6;
const CLEAR: u32 = 7;
const INSERT: u32 = 8;
const REMOVE: u32 = 9;
const REVERSE: u32 = 10;

/// What the server keeps.
#[derive(Default)]
pub(crate) struct Sequence(Mutex<Vec<Stored>>);

fn outside(index: usize, len: usize) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("index {index} in a list of {len}"))
}

impl Sequence {
    fn elements(&self) -> MutexGuard<'_, Vec<Stored>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, args: &mut Args<'_>, call: &Call<'_>) -> Result<Stored, Error> {
        let index = args.usize()?;
        let value = Stored::new(args.blob()?, call)?;
        let mut elements = self.elements();
        let len = elements.len();
        let element = elements.get_mut(index).ok_or_else(|| outside(index, len))?;
        Ok(std::mem::replace(element, value))
    }

    fn insert(&self, args: &mut Args<'_>, call: &Call<'_>) -> Result<(), Error> {
        let index = args.usize()?;
        let value = Stored::new(args.blob()?, call)?;
        let mut elements = self.elements();
        if index > elements.len() {
            return Err(outside(index, elements.len()));
        }
        elements.insert(index, value);
        Ok(())
    }

    fn remove(&self, index: usize) -> Result<Stored, Error> {
        let mut elements = self.elements();
        if index >= elements.len() {
            return Err(outside(index, elements.len()));
        }
        Ok(elements.remove(index))
    }

    fn extend(&self, args: &mut Args<'_>, call: &Call<'_>) -> Result<(), Error> {
        let mut new = Vec::new();
        for _ in 0..args.usize()? {
            new.push(Stored::new(args.blob()?, call)?);
        }
        self.elements().append(&mut new);
        Ok(())
    }
}

impl Class for Sequence {
    fn call(
        &self,
        method: u32,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        match method {
            PUSH => {
                let value = Stored::new(args.blob()?, call)?;
                self.elements().push(value);
            }
            POP => {
                let last = self.elements().pop();
                answer.option(last.as_ref());
            }
            GET => {
                let index = args.usize()?;
                let elements = self.elements();
                answer.stored(elements.get(index).ok_or_else(|| outside(index, elements.len()))?);
            }
            SET => drop(self.set(args, call)?),
            LEN => answer.count(self.elements().len()),
            EXTEND => self.extend(args, call)?,
            TO_VEC => {
                let elements = self.elements();
                answer.count(elements.len());
                elements.iter().for_each(|value| answer.stored(value));
            }
            CLEAR => {
                let old = std::mem::take(&mut *self.elements());
                drop(old);
            }
            INSERT => self.insert(args, call)?,
            REMOVE => {
                let old = self.remove(args.usize()?)?;
                answer.stored(&old);
            }
            REVERSE => self.elements().reverse(),
            other => return Err(no_method(other)),
        }
        Ok(())
    }
}

super::proxy! {
    /// A list in the server of a [`Manager`](crate::Manager), shared by all processes that hold it.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// let m = Manager::start()?;
    /// let names = m.list::<String>()?;
    /// names.extend(["Ada".to_owned(), "Bob".to_owned()])?;
    /// names.push("Cy".to_owned())?;
    /// assert_eq!(names.get(1)?, "Bob");
    /// assert_eq!(names.get(3).unwrap_err().kind(), ErrorKind::InvalidInput);
    /// assert_eq!(names.pop()?.as_deref(), Some("Cy"));
    /// assert_eq!(names.to_vec()?, ["Ada", "Bob"]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Every method: kind `Disconnected` when the server is gone, `Encode` and `Decode` when an element does not travel, or
    /// was put there as another type.
    pub struct List<T>;
}

impl<T: Serialize + DeserializeOwned> List<T> {
    /// Adds an element at the end.
    ///
    /// # Errors
    /// See [`List`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "what is pushed is given away, as in any list"
    )]
    pub fn push(&self, value: T) -> Result<(), Error> {
        self.handle.call(PUSH, |request| request.value(&value))
    }

    /// Takes the last element away, if there is one.
    ///
    /// # Errors
    /// See [`List`].
    pub fn pop(&self) -> Result<Option<T>, Error> {
        self.handle.ask(POP)
    }

    /// The element at `index`, from 0.
    ///
    /// # Errors
    /// Kind `InvalidInput` when the list ends before, and see [`List`].
    pub fn get(&self, index: usize) -> Result<T, Error> {
        self.handle.call(GET, |request| {
            request.u64(index as u64);
            Ok(())
        })
    }

    /// Puts an element in place of the one at `index`.
    ///
    /// # Errors
    /// Kind `InvalidInput` when the list ends before, and see [`List`].
    #[expect(clippy::needless_pass_by_value, reason = "what is set is given away, as in any list")]
    pub fn set(&self, index: usize, value: T) -> Result<(), Error> {
        self.handle.call(SET, |request| {
            request.u64(index as u64);
            request.value(&value)
        })
    }

    /// Puts an element before the one at `index`, or at the end.
    ///
    /// # Errors
    /// Kind `InvalidInput` when the list ends before, and see [`List`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "what is inserted is given away, as in any list"
    )]
    pub fn insert(&self, index: usize, value: T) -> Result<(), Error> {
        self.handle.call(INSERT, |request| {
            request.u64(index as u64);
            request.value(&value)
        })
    }

    /// Takes the element at `index` away.
    ///
    /// # Errors
    /// Kind `InvalidInput` when the list ends before, and see [`List`].
    pub fn remove(&self, index: usize) -> Result<T, Error> {
        self.handle.call(REMOVE, |request| {
            request.u64(index as u64);
            Ok(())
        })
    }

    /// How many elements there are.
    ///
    /// # Errors
    /// See [`List`].
    pub fn len(&self) -> Result<usize, Error> {
        self.handle.ask(LEN)
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// See [`List`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Adds all of `values` at the end at once: nobody's elements come between them.
    ///
    /// # Errors
    /// See [`List`].
    pub fn extend(&self, values: impl IntoIterator<Item = T>) -> Result<(), Error> {
        let mut count: u64 = 0;
        self.handle.call(EXTEND, |request| {
            let at = request.bytes.len();
            request.u64(0);
            for value in values {
                request.value(&value)?;
                count += 1;
            }
            request.bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
            Ok(())
        })
    }

    /// All elements, as they are at one moment.
    ///
    /// # Errors
    /// See [`List`].
    pub fn to_vec(&self) -> Result<Vec<T>, Error> {
        self.handle.ask(TO_VEC)
    }

    /// Takes all elements away.
    ///
    /// # Errors
    /// See [`List`].
    pub fn clear(&self) -> Result<(), Error> {
        self.handle.ask(CLEAR)
    }

    /// Turns the order round.
    ///
    /// # Errors
    /// See [`List`].
    pub fn reverse(&self) -> Result<(), Error> {
        self.handle.ask(REVERSE)
    }
}
