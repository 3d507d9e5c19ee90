//! Dicts: what the server keeps, and the proxies.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::blob::Blob;
use super::handle::Request;
use super::modify::Turns;
use super::session::Call;
use super::stored::{Answer, Kept, Stored};
use super::table::Class;
use super::wire::Args;
use crate::error::Error;

const INSERT: u32 = 0;
const GET: u32 = 1;
const REMOVE: u32 = 2;
const CONTAINS: u32 = 3;
const LEN: u32 = 4;
const KEYS: u32 = 5;
const VALUES: u32 = 6;
const ITEMS: u32 = 7;
const CLEAR: u32 = 8;
const UPDATE: u32 = 9;

/// What the server keeps. A key is its encoding.
#[derive(Default)]
pub(crate) struct Map {
    entries: Mutex<Entries>,
    pub(crate) turns: Turns,
}

#[derive(Default)]
struct Entries {
    values: HashMap<Box<[u8]>, Entry>,
    /// Goes up with every value that is put, and is the version of that value; one that is not there has version 0.
    version: u64,
}

struct Entry {
    /// What its key names.
    key: Kept,
    value: Stored,
    version: u64,
}

/// A key under which something is to be put.
#[derive(Clone)]
pub(crate) struct Key<'a> {
    pub(crate) bytes: &'a [u8],
    kept: Kept,
}

impl<'a> Key<'a> {
    /// # Errors
    /// As for [`Kept::new`].
    pub(crate) fn new(blob: Blob<'a>, call: &Call<'_>) -> Result<Self, Error> {
        Ok(Self { bytes: blob.bytes, kept: Kept::new(&blob, call)? })
    }
}

impl Entries {
    /// Puts a value, and gives what the caller is to drop outside of the lock: it may be the end of much else.
    fn insert(&mut self, key: Key<'_>, value: Stored) -> Option<(Stored, Kept)> {
        self.version += 1;
        let version = self.version;
        if let Some(entry) = self.values.get_mut(key.bytes) {
            entry.version = version;
            // The same bytes name the same.
            return Some((std::mem::replace(&mut entry.value, value), key.kept));
        }
        self.values.insert(key.bytes.into(), Entry { key: key.kept, value, version });
        None
    }
}

impl Map {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A value and its version.
    pub(crate) fn look(&self, key: &[u8]) -> (Option<Stored>, u64) {
        let entries = self.entries();
        let entry = entries.values.get(key);
        entry.map_or((None, 0), |entry| (Some(entry.value.clone()), entry.version))
    }

    /// Puts a value in place of the one of that version, if it is still there; says whether.
    pub(crate) fn replace(&self, key: Key<'_>, version: u64, new: Stored) -> bool {
        let mut entries = self.entries();
        if entries.values.get(key.bytes).map_or(0, |entry| entry.version) != version {
            return false;
        }
        let old = entries.insert(key, new);
        drop(entries);
        drop(old);
        true
    }

    fn update(&self, args: &mut Args<'_>, call: &Call<'_>) -> Result<(), Error> {
        let mut new = Vec::new();
        for _ in 0..args.usize()? {
            let key = Key::new(args.blob()?, call)?;
            new.push((key, Stored::new(args.blob()?, call)?));
        }
        let mut entries = self.entries();
        let old: Vec<_> = new.into_iter().map(|(key, value)| entries.insert(key, value)).collect();
        drop(entries);
        drop(old);
        Ok(())
    }
}

impl Class for Map {
    fn call(
        &self,
        method: u32,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        match method {
            INSERT => {
                let key = Key::new(args.blob()?, call)?;
                let value = Stored::new(args.blob()?, call)?;
                let old = self.entries().insert(key, value);
                answer.option(old.as_ref().map(|(old, _)| old));
            }
            GET => {
                let key = args.blob()?.bytes;
                answer.option(self.entries().values.get(key).map(|entry| &entry.value));
            }
            REMOVE => {
                let old = self.entries().values.remove(args.blob()?.bytes);
                answer.option(old.as_ref().map(|old| &old.value));
            }
            CONTAINS => answer.flag(self.entries().values.contains_key(args.blob()?.bytes)),
            LEN => answer.count(self.entries().values.len()),
            KEYS | VALUES | ITEMS => {
                let entries = self.entries();
                answer.count(entries.values.len());
                for (key, entry) in &entries.values {
                    if method != VALUES {
                        answer.kept(key, &entry.key);
                    }
                    if method != KEYS {
                        answer.stored(&entry.value);
                    }
                }
            }
            CLEAR => {
                let old = std::mem::take(&mut self.entries().values);
                drop(old);
            }
            UPDATE => self.update(args, call)?,
            other => self.modify_method(other, args, call, answer)?,
        }
        Ok(())
    }
}

super::proxy! {
    /// A map in the server of a [`Manager`](crate::Manager), shared by all processes that hold it.
    ///
    /// Two keys are the same when their encodings are: an array is not the slice of the same elements, and the handle of a managed object
    /// also says how the process that made it reaches that object, so that as a key others may not find it. The entries are in no
    /// particular order. A key or a value may be a handle of another object, which then lives as long as the entry.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// let m = Manager::start()?;
    /// let ages = m.dict::<String, u32>()?;
    /// assert_eq!(ages.insert("Ada".into(), 36)?, None);
    /// assert_eq!(ages.get("Ada")?, Some(36));
    /// assert_eq!(ages.get("Bob")?, None);
    /// ages.update([("Bob".to_owned(), 40), ("Cy".to_owned(), 50)])?;
    /// assert_eq!(ages.len()?, 3);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Every method: kind `Disconnected` when the server is gone, `Encode` and `Decode` when a key or value does not travel,
    /// or was put there as another type.
    pub struct Dict<K, V>;
}

impl<K, V> Dict<K, V>
where
    K: Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned,
{
    /// Puts a value in place of the one that `key` has, and gives that one.
    ///
    /// # Errors
    /// See [`Dict`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "what is inserted is given away, as in any map"
    )]
    pub fn insert(&self, key: K, value: V) -> Result<Option<V>, Error> {
        self.handle.call(INSERT, |request| {
            request.value(&key)?;
            request.value(&value)
        })
    }

    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// See [`Dict`].
    pub fn get<Q: Serialize + ?Sized>(&self, key: &Q) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
    {
        self.handle.call(GET, |request| request.value(key))
    }

    /// Takes `key` and its value away, and gives the value.
    ///
    /// # Errors
    /// See [`Dict`].
    pub fn remove<Q: Serialize + ?Sized>(&self, key: &Q) -> Result<Option<V>, Error>
    where
        K: Borrow<Q>,
    {
        self.handle.call(REMOVE, |request| request.value(key))
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    /// See [`Dict`].
    pub fn contains_key<Q: Serialize + ?Sized>(&self, key: &Q) -> Result<bool, Error>
    where
        K: Borrow<Q>,
    {
        self.handle.call(CONTAINS, |request| request.value(key))
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// See [`Dict`].
    pub fn len(&self) -> Result<usize, Error> {
        self.handle.ask(LEN)
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// See [`Dict`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// All keys, as they are at one moment.
    ///
    /// # Errors
    /// See [`Dict`].
    pub fn keys(&self) -> Result<Vec<K>, Error> {
        self.handle.ask(KEYS)
    }

    /// All values, as they are at one moment.
    ///
    /// # Errors
    /// See [`Dict`].
    pub fn values(&self) -> Result<Vec<V>, Error> {
        self.handle.ask(VALUES)
    }

    /// All entries, as they are at one moment.
    ///
    /// # Errors
    /// See [`Dict`].
    pub fn items(&self) -> Result<Vec<(K, V)>, Error> {
        self.handle.ask(ITEMS)
    }

    /// Takes everything away.
    ///
    /// # Errors
    /// See [`Dict`].
    pub fn clear(&self) -> Result<(), Error> {
        self.handle.ask(CLEAR)
    }

    /// Inserts all of `entries` at once: nobody sees some of them without the others.
    ///
    /// # Errors
    /// See [`Dict`].
    pub fn update(&self, entries: impl IntoIterator<Item = (K, V)>) -> Result<(), Error> {
        let mut count: u64 = 0;
        self.handle.call(UPDATE, |request| {
            let at = request.bytes.len();
            request.u64(0);
            for (key, value) in entries {
                request.value(&key)?;
                request.value(&value)?;
                count += 1;
            }
            request.bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
            Ok(())
        })
    }
}

super::proxy! {
    /// Named values of any types, in the server of a [`Manager`](crate::Manager).
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// let m = Manager::start()?;
    /// let ns = m.namespace()?;
    /// ns.set("rate", 0.5)?;
    /// ns.set("label", "fast")?;
    /// assert_eq!(ns.get::<f64>("rate")?, 0.5);
    /// assert_eq!(ns.get::<String>("label")?, "fast");
    /// assert_eq!(ns.get::<u8>("color").unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok::<(), Error>(())
    /// ```
    pub struct Namespace;
}

impl Namespace {
    /// The value of `name`, which must have been set as this type.
    ///
    /// # Errors
    /// Kind `NotFound` when there is none, `Decode` when it is of another type, `Disconnected` when the server is gone.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let value: Option<T> = self.handle.call(GET, |request| request.value(name))?;
        value.ok_or_else(|| missing(name))
    }

    /// Sets the value of `name`.
    ///
    /// # Errors
    /// Kind `Encode` when it does not travel, `Disconnected` when the server is gone.
    pub fn set<T: Serialize>(&self, name: &str, value: T) -> Result<(), Error> {
        let arguments = |request: &mut Request<'_>| {
            request.value(name)?;
            request.value(&value)
        };
        self.handle.call_raw(INSERT, arguments, |_| Ok(()))
    }

    /// Takes the value of `name` away.
    ///
    /// # Errors
    /// Kind `NotFound` when there is none, `Disconnected` when the server is gone.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let was_there = |bytes: &[u8]| Ok(bytes.first() == Some(&1));
        let there = self.handle.call_raw(REMOVE, |request| request.value(name), was_there)?;
        if there { Ok(()) } else { Err(missing(name)) }
    }

    /// All names, in alphabetical order.
    ///
    /// # Errors
    /// Kind `Disconnected` when the server is gone.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let mut names: Vec<String> = self.handle.ask(KEYS)?;
        names.sort_unstable();
        Ok(names)
    }
}

fn missing(name: &str) -> Error {
    Error::new(crate::error::ErrorKind::NotFound, format!("the namespace has no `{name}`"))
}
