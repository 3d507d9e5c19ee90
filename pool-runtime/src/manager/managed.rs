//! Objects of the user's own types: what `#[managed]` registers, what the server keeps, and the proxies.
//!
//! The server is this program, so it has the types; it finds them by name, since a client may be another build of it.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::handle::{Handle, Request};
use super::session::Call;
use super::stored::Answer;
use super::table::Class;
use super::wire::{self, Args};
use super::{blob, scope};
use crate::codec::{ALIGN, Codec, In, Out, Stop, align_up};
use crate::error::{Error, ErrorKind};
use crate::shm::pins;
use crate::task::{Accepts, Param, Plain};

/// A type whose methods run in a manager's server. Implemented by [`#[managed]`](crate::managed).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a managed type",
    note = "put `#[managed]` on the `impl` block with its methods"
)]
pub trait Managed: Serialize + DeserializeOwned + Send + 'static {
    /// What a proxy has.
    #[doc(hidden)]
    type Methods: ManagedMethods;
    /// What the server knows.
    #[doc(hidden)]
    const DEF: ManagedDef;
}

/// What a generated `Methods` type is made of.
#[doc(hidden)]
pub trait ManagedMethods {
    /// Takes the handle.
    fn of(handle: ManagedHandle) -> Self;
    /// Gives it.
    fn handle(&self) -> &ManagedHandle;
}

/// A managed type, as it is registered.
#[doc(hidden)]
#[derive(Debug)]
pub struct ManagedDef {
    /// `module::path::Type`.
    pub name: &'static str,
    /// Where its block stands: file, line, column.
    pub place: (&'static str, u32, u32),
    /// Makes an object of its bytes.
    pub open: Open,
    /// What can be called.
    pub methods: &'static [ManagedMethod],
}

type Open = fn(&[u8]) -> Result<Box<dyn Any + Send>, Error>;
type Run = for<'a> fn(&mut (dyn Any + Send), &mut In<'a>, &mut Vec<u8>) -> Result<(), Error>;

/// One method.
#[doc(hidden)]
#[derive(Debug)]
pub struct ManagedMethod {
    /// Its name.
    pub name: &'static str,
    /// Runs it on an object, with the arguments, and appends its result.
    pub call: Run,
}

inventory::collect!(ManagedDef);

/// A handle of an object of a user's type.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct ManagedHandle(pub(crate) Handle);

/// Aligned room for arguments, of which a slice is read where it lies.
#[derive(Default)]
struct Room(Vec<u128>);

impl Room {
    fn holding(bytes: &[u8]) -> Self {
        let mut room = Self(vec![0; bytes.len().div_ceil(ALIGN)]);
        bytemuck::cast_slice_mut(&mut room.0)[..bytes.len()].copy_from_slice(bytes);
        room
    }

    fn bytes(&self, len: usize) -> &[u8] {
        &bytemuck::cast_slice(&self.0)[..len]
    }
}

/// What the server keeps of an object.
pub(crate) struct Own {
    def: &'static ManagedDef,
    value: Mutex<Box<dyn Any + Send>>,
}

impl Own {
    /// # Errors
    /// Kind `NotFound` when the server has no such type, `Duplicate` when it has two, `Decode` when the bytes are of another.
    pub(crate) fn new(args: &mut Args<'_>) -> Result<Self, Error> {
        let name = String::from_utf8_lossy(args.blob()?.bytes);
        let def = find(&name)?;
        Ok(Self { def, value: Mutex::new((def.open)(args.blob()?.bytes)?) })
    }
}

impl Class for Own {
    fn call(
        &self,
        _: u32,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        let name = args.blob()?.bytes;
        let method = self.def.methods.iter().find(|method| method.name.as_bytes() == name);
        let method = method.ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            Error::new(
                ErrorKind::NotFound,
                format!("`{}` has no method `{name}` in the server", self.def.name),
            )
        })?;
        let bytes = args.rest()?;
        let room = Room::holding(bytes);
        let mut input = In::new(room.bytes(bytes.len()));
        let _running = Running::new(call.server.id(), call.object.id);
        // A panic leaves the object as far as the method came, and available: its own business, as in any process.
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        // Only what it returns is for the caller; what the method encodes by itself is its own.
        let (done, names) = scope::encoding(call.server.id(), || {
            pins::aside(|| (method.call)(&mut **value, &mut input, &mut answer.bytes))
        });
        drop(value);
        done?;
        answer.names(names, call.server)
    }
}

thread_local! {
    /// The objects of which this thread runs a method, or waits to: their server and number.
    static RUNNING: RefCell<Vec<(u128, u64)>> = const { RefCell::new(Vec::new()) };
}

/// This thread runs a method of an object until this is dropped.
struct Running;

impl Running {
    fn new(server: u128, id: u64) -> Self {
        RUNNING.with_borrow_mut(|running| running.push((server, id)));
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(Vec::pop);
    }
}

/// # Errors
/// Kind `Deadlock` when a method of the object is what calls it.
fn check_runs_not(handle: &Handle) -> Result<(), Error> {
    let this = (handle.link().server(), handle.id());
    if RUNNING.with_borrow(|running| running.contains(&this)) {
        let text = "a method calls its own object through a proxy, which would wait for that method to end";
        return Err(Error::new(ErrorKind::Deadlock, text));
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static ManagedDef, Error> {
    type Table = HashMap<&'static str, &'static ManagedDef>;
    static TABLE: OnceLock<Result<Table, Error>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut table = Table::new();
        for def in inventory::iter::<ManagedDef> {
            if let Some(other) = table.insert(def.name, def) {
                let place =
                    |def: &ManagedDef| format!("{}:{}:{}", def.place.0, def.place.1, def.place.2);
                let detail = format!(
                    "`{}` names two managed types, at {} and at {}",
                    def.name,
                    place(other),
                    place(def)
                );
                return Err(Error::new(ErrorKind::Duplicate, detail));
            }
        }
        Ok(table)
    });
    let def = table.as_ref().map_err(Clone::clone)?.get(name).copied();
    def.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("the manager's server has no managed type `{name}`"),
        )
    })
}

/// A proxy of an object of a user's own type, in the server of a [`Manager`](crate::Manager). It has the `pub` methods of the
/// type's [`#[managed]`](crate::managed) block, each of which gives a `Result`.
///
/// Calls on one object run one after the other, in the server: a method that calls its own object through a proxy, in its own
/// thread, gets an error of kind `Deadlock`. Objects that call each other in a circle wait for each other without end.
pub struct Proxy<T: Managed> {
    methods: T::Methods,
}

impl<T: Managed> Deref for Proxy<T> {
    type Target = T::Methods;

    fn deref(&self) -> &T::Methods {
        &self.methods
    }
}

/// Makes the proxy. `Proxy` has no functions of its own, which would hide methods of the user's.
pub(crate) fn proxy<T: Managed>(handle: Handle) -> Proxy<T> {
    Proxy { methods: T::Methods::of(ManagedHandle(handle)) }
}

impl<T: Managed> Clone for Proxy<T> {
    fn clone(&self) -> Self {
        proxy(self.methods.handle().0.clone())
    }
}

impl<T: Managed> fmt::Debug for Proxy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}, {:?})", T::DEF.name, self.methods.handle().0)
    }
}

impl<T: Managed> Serialize for Proxy<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.methods.handle().0.serialize(serializer)
    }
}

impl<'de, T: Managed> Deserialize<'de> for Proxy<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Handle::deserialize(deserializer).map(proxy)
    }
}

/// The arguments that make an object.
pub(crate) fn creation<T: Managed>(value: &T, request: &mut Request<'_>) -> Result<(), Error> {
    blob::put_plain(request.bytes, T::DEF.name.as_bytes());
    request.value(value)
}

/// Says at the type what it lacks.
#[doc(hidden)]
pub fn managed_type<T: Managed>() {}

/// For [`ManagedDef::open`].
///
/// # Errors
/// Kind `Decode`.
#[doc(hidden)]
pub fn managed_open<T: Managed>(bytes: &[u8]) -> Result<Box<dyn Any + Send>, Error> {
    Ok(Box::new(wire::decode::<T>(bytes)?))
}

/// The object as what it is.
///
/// # Errors
/// None, since the table gave both its type and its methods.
#[doc(hidden)]
pub fn managed_this<T: 'static>(this: &mut (dyn Any + Send)) -> Result<&mut T, Error> {
    this.downcast_mut()
        .ok_or_else(|| Error::new(ErrorKind::Decode, "the object is of another type"))
}

/// Reads one argument.
///
/// # Errors
/// Kind `Decode`.
#[doc(hidden)]
pub fn managed_take<'a, K: Param>(input: &mut In<'a>) -> Result<K::Held<'a>, Error> {
    input.align(ALIGN)?;
    K::read(input)
}

/// Writes one argument.
///
/// # Errors
/// As for [`Accepts::encode`].
#[doc(hidden)]
pub fn managed_put<K: Accepts<A, Plain>, A>(arg: &A, out: &mut Out<'_>) -> Result<(), Stop> {
    out.align(ALIGN)?;
    K::encode(arg, out)
}

/// Appends a result.
///
/// # Errors
/// Kind `Encode`.
#[doc(hidden)]
pub fn managed_reply<T, L: Codec<T>>(value: &T, reply: &mut Vec<u8>) -> Result<(), Error> {
    pins::result(|| write(reply, L::size(value)?, |out| L::encode(value, out)))
}

/// Appends at most `size` bytes that `encode` writes.
fn write(
    bytes: &mut Vec<u8>,
    size: usize,
    encode: impl FnOnce(&mut Out<'_>) -> Result<(), Stop>,
) -> Result<(), Error> {
    let at = bytes.len();
    bytes.resize(at + size, 0);
    let mut out = Out::new(&mut bytes[at..]);
    encode(&mut out).map_err(|stop| match stop {
        Stop::Failed(error) => error,
        Stop::Full => Error::new(ErrorKind::Encode, "a value was larger than it had said"),
    })?;
    let len = out.position();
    bytes.truncate(at + len);
    Ok(())
}

/// Calls a method.
///
/// # Errors
/// Kind `Panicked` when it did, `Deadlock` when a method of the same object calls it, `Disconnected` when the server is gone,
/// `NotFound` when its program has no such method, `Encode`, `Decode`.
#[doc(hidden)]
pub fn managed_call<R, const N: usize>(
    handle: &ManagedHandle,
    method: &str,
    sizes: impl FnOnce() -> [Result<usize, Error>; N],
    encode: impl FnOnce(&mut Out<'_>) -> Result<(), Stop>,
    decode: fn(&mut In<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    check_runs_not(&handle.0)?;
    // Measured as they are encoded: for the server.
    let (sizes, _names) = scope::encoding(handle.0.link().server(), sizes);
    let mut size = 0;
    for one in sizes {
        size += align_up(one?) + ALIGN;
    }
    let arguments = |request: &mut Request<'_>| {
        blob::put_plain(request.bytes, method.as_bytes());
        // The caller holds the handles among them until the call is over.
        request.passing(|bytes| write(bytes, size, encode))
    };
    handle.0.call_raw(0, arguments, |bytes| {
        let mut input = In::new(bytes);
        decode(&mut input)
    })
}
