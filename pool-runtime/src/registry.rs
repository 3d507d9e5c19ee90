//! The tasks of this program: what the linker gathered before `main`, looked up by identity or by name.
//!
//! Between `task` and `worker`. Every process of a tree runs the same executable, so an identity made from the marker's
//! `TypeId` means the same task in each; the name is for people.

use std::any::TypeId;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;
use std::time::Duration;

use crate::batch::Batch;
use crate::error::{Error, ErrorKind};

/// One task as the macros register it.
#[derive(Clone, Copy, Debug)]
pub struct TaskDef {
    /// What people call it: `module::path::function`, or what `name = ".."` says.
    pub name: &'static str,
    /// Whether the name was given by `name = ".."`, and so must be the only one of its kind.
    pub named: bool,
    /// Where it stands: file, line, column.
    pub place: (&'static str, u32, u32),
    /// The type of its marker, which no other task has.
    pub marker: TypeId,
    /// Runs some items in a worker.
    pub run: fn(&mut Batch<'_>),
    /// When the encoded result is an `Err`, what it says; `None` for any other value. For initializers.
    pub failed: fn(&[u8]) -> Option<String>,
    /// What the attribute says, if it says anything.
    pub retries: Option<u32>,
    /// What the attribute says, if it says anything.
    pub timeout: Option<Duration>,
    /// `Some(n)`: each result is exactly `n` bytes, and results lie side by side without lengths.
    pub result_stride: Option<usize>,
    /// Whether decoding a result runs no code of the user's: plain numbers, or a vector of them.
    pub plain_result: bool,
    /// Whether a parameter is a `&mut [T]`, so that a retry would see what the dead attempt left.
    pub writes_in_place: bool,
}

inventory::collect!(TaskDef);

/// What a task is called between the processes of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TaskId(pub(crate) u64);

impl TaskDef {
    pub(crate) fn id(&self) -> TaskId {
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        self.marker.hash(&mut hasher);
        TaskId(hasher.finish())
    }
}

/// FNV-1a: the same in every process, as the standard library's hasher need not be.
/// <http://www.isthe.com/chongo/tech/comp/fnv/>
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The task of that identity.
///
/// # Errors
/// Kind `UnknownTask` when this executable has none, and `Duplicate` as for [`check`].
pub(crate) fn find(id: TaskId) -> Result<&'static TaskDef, Error> {
    table()?.get(&id).copied().ok_or_else(|| {
        Error::new(
            ErrorKind::UnknownTask,
            format!(
                "this executable registers {} tasks and not the one that was asked for; is its crate linked? \
                 A dependency that is never named is left out: write `use the_crate as _;`",
                table().map_or(0, HashMap::len)
            ),
        )
    })
}

/// Looks through all tasks once for two of one name.
///
/// # Errors
/// Kind `Duplicate`, with both places.
pub(crate) fn check() -> Result<(), Error> {
    table().map(drop)
}

type Table = HashMap<TaskId, &'static TaskDef>;

fn table() -> Result<&'static Table, Error> {
    static TABLE: OnceLock<Result<Table, Error>> = OnceLock::new();
    TABLE.get_or_init(build).as_ref().map_err(Clone::clone)
}

fn build() -> Result<Table, Error> {
    let mut names: HashMap<&str, &TaskDef> = HashMap::new();
    let mut table = Table::new();
    for task in inventory::iter::<TaskDef> {
        table.insert(task.id(), task);
        if task.named
            && let Some(other) = names.insert(task.name, task)
        {
            return Err(duplicate(other, task));
        }
    }
    Ok(table)
}

fn duplicate(a: &TaskDef, b: &TaskDef) -> Error {
    let place = |task: &TaskDef| format!("{}:{}:{}", task.place.0, task.place.1, task.place.2);
    let (mut first, mut second) = (place(a), place(b));
    if second < first {
        std::mem::swap(&mut first, &mut second);
    }
    Error::new(
        ErrorKind::Duplicate,
        format!(
            "`{}` names two tasks, at {first} and at {second}; give one of them another name",
            a.name
        ),
    )
}
