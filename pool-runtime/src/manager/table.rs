//! The objects of a server, and what every class of them can do.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::lock::Mutual;
use super::session::Call;
use super::stored::Answer;
use super::wire::Args;
use crate::error::{Error, ErrorKind};
use crate::unwind;

/// One kind of object. Each locks itself, and for no longer than a call's own work: calls on others go on meanwhile.
pub(crate) trait Class: Send + Sync {
    /// Runs a method.
    ///
    /// # Errors
    /// What the method says; kind `Decode` for arguments that are none.
    fn call(
        &self,
        method: u32,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error>;

    /// A process that held something of this object (see [`Call::hold`]) has ended.
    fn abandoned(&self, _session: u128) {}

    /// The lock, for conditions that are built on one.
    fn as_lock(&self) -> Option<&Mutual> {
        None
    }
}

/// There is no method of that number.
pub(crate) fn no_method(method: u32) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("the object has no method {method}; is it of another class?"),
    )
}

/// One object. It lives as long as anybody counts it: clients, and values that name it.
pub(crate) struct Object {
    pub(crate) id: u64,
    class: Option<Box<dyn Class>>,
    table: Weak<Table>,
}

impl Object {
    pub(crate) fn class(&self) -> &dyn Class {
        // Taken only when the object is dropped.
        self.class.as_deref().unwrap_or(&Nothing)
    }
}

struct Nothing;

impl Class for Nothing {
    fn call(
        &self,
        method: u32,
        _: &mut Args<'_>,
        _: &Call<'_>,
        _: &mut Answer,
    ) -> Result<(), Error> {
        Err(no_method(method))
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if let Some(table) = self.table.upgrade() {
            table.forget(self.id);
        }
        if let Some(class) = self.class.take() {
            bury(class);
        }
    }
}

thread_local! {
    /// What waits to be dropped by the call of `bury` that this thread is in.
    static GRAVES: RefCell<Option<Vec<Box<dyn Class>>>> = const { RefCell::new(None) };
}

/// Drops what an object held, and what that kept alive in turn, one after the other: a chain of a million would not fit on
/// the stack. A user's `Drop` may panic.
fn bury(class: Box<dyn Class>) {
    let outermost = GRAVES.with_borrow_mut(|graves| match graves {
        Some(graves) => {
            graves.push(class);
            None
        }
        None => {
            *graves = Some(Vec::new());
            Some(class)
        }
    });
    let mut next = outermost;
    while let Some(class) = next {
        let _ = unwind::catch(|| drop(class));
        next = GRAVES.with_borrow_mut(|graves| {
            let class = graves.as_mut().and_then(Vec::pop);
            if class.is_none() {
                *graves = None;
            }
            class
        });
    }
}

/// All objects by number.
#[derive(Default)]
pub(crate) struct Table {
    objects: Mutex<HashMap<u64, Weak<Object>>>,
    last: AtomicU64,
}

impl Table {
    pub(crate) fn add(self: &Arc<Self>, class: Box<dyn Class>) -> Arc<Object> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let object = Arc::new(Object { id, class: Some(class), table: Arc::downgrade(self) });
        self.objects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, Arc::downgrade(&object));
        object
    }

    /// # Errors
    /// Kind `NotFound` when nobody counts it any more.
    pub(crate) fn find(&self, id: u64) -> Result<Arc<Object>, Error> {
        let object = self
            .objects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .and_then(Weak::upgrade);
        object.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("object {id} of the manager is gone"))
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn forget(&self, id: u64) {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Answer, Args, Call, Class, Error, Object, Table, no_method};

    struct Next(#[expect(dead_code, reason = "held, not looked at")] Option<Arc<Object>>);

    impl Class for Next {
        fn call(
            &self,
            method: u32,
            _: &mut Args<'_>,
            _: &Call<'_>,
            _: &mut Answer,
        ) -> Result<(), Error> {
            Err(no_method(method))
        }
    }

    #[test]
    fn a_long_chain_is_dropped_without_a_deep_stack() {
        let table = Arc::new(Table::default());
        let last = (0..300_000).fold(None, |next, _| Some(table.add(Box::new(Next(next)))));
        assert_eq!(table.len(), 300_000);
        drop(last);
        assert_eq!(table.len(), 0);
    }
}
