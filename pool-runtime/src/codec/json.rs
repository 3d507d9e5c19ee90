//! A wrapper for types that need a self-describing format.

use std::ops::{Deref, DerefMut};

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Carries a value as JSON: for types with `serde(flatten)`, `untagged` and the like, which the compact format of a pool
/// cannot read back, and for `serde_json::Value`.
///
/// ```
/// use pool_runtime::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Debug, PartialEq)]
/// #[serde(untagged)]
/// enum Id { Number(u64), Text(String) }
///
/// #[pool_task]
/// fn next(id: Json<Id>) -> Json<Id> {
///     match id.0 {
///         Id::Number(n) => Json(Id::Number(n + 1)),
///         Id::Text(text) => Json(Id::Text(text + "'")),
///     }
/// }
///
/// # fn main() -> Result<(), pool_runtime::Error> {
/// assert_eq!(par_apply!(next(Json(Id::Number(1))))?.0, Id::Number(2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json<T>(pub T);

impl<T> Json<T> {
    /// The value itself.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Json<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Json<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Serialize> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::to_string(&self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map(Self).map_err(D::Error::custom)
    }
}
