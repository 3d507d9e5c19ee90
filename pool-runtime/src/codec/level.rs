//! How a type travels, decided once at the definition of a task, where the type is concrete.
//!
//! `Probe::<T>::IS_POD` names the inherent constant when `T: Pod`, and else the one of `Fallback`: an inherent constant whose
//! bounds do not hold is passed over. So stable Rust can choose among implementations. What is chosen is a number, which
//! makes a type again, `Level<N>`, and that type is the codec: nothing is decided at run time.
//!
//! A kind of value with a way of its own (a file descriptor, say) is one more number here, one more constant in `Probe`, and
//! one more `impl Codec<T> for Level<N>`.

use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};

use bytemuck::{CheckedBitPattern, NoUninit, Pod};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cursor::{ALIGN, In, Out, Stop};
use crate::error::Error;

/// Through serde, as bincode lays it out.
pub(crate) const SERDE: u8 = 0;
/// The value's own bytes.
pub(crate) const POD: u8 = 1;
/// A count, and the bytes of the elements.
pub(crate) const VEC: u8 = 2;
/// The value's own bytes, which not every pattern of bytes is: `bool`, `char`, `NonZero`.
pub(crate) const CHECKED: u8 = 3;
/// A file or socket: its descriptor goes beside the bytes.
pub(crate) const DESCRIPTOR: u8 = 4;
/// Only of a slice's elements: plain bytes that may lie where no such value may, since the type is aligned to more than `ALIGN`.
pub(crate) const WIDE: u8 = 5;
/// Not at all. The definition does not compile, for a reason that [`Sendable`] gives.
pub(crate) const NONE: u8 = u8::MAX;

/// One way of turning values into bytes.
#[derive(Debug)]
pub struct Level<const N: u8>;

/// Both directions of one way, for one type.
pub trait Codec<T>: Sized + 'static {
    /// `Some(n)`: every value takes exactly `n` bytes.
    const STRIDE: Option<usize>;
    /// Whether decoding runs no code of the user's.
    const PLAIN: bool = false;

    /// Writes `value`.
    ///
    /// # Errors
    /// `Stop::Full` when there is no room, `Stop::Failed` when the value says no.
    fn encode(value: &T, out: &mut Out<'_>) -> Result<(), Stop>;

    /// How many bytes `encode` writes, or a little more.
    ///
    /// # Errors
    /// Kind `Encode` when the value says no.
    fn size(value: &T) -> Result<usize, Error>;

    /// Reads a value.
    ///
    /// # Errors
    /// Kind `Decode` for bytes that `encode` does not write.
    fn decode(input: &mut In<'_>) -> Result<T, Error>;
}

/// Asks what traits `T` has.
#[derive(Debug)]
pub struct Probe<T: ?Sized>(PhantomData<T>);

/// The answers when `Probe` has none of its own.
pub trait Fallback {
    /// Whether it is plain bytes.
    const IS_POD: bool = false;
    /// Whether it is a vector of plain bytes.
    const IS_VEC: bool = false;
    /// Whether it is plain bytes of which some are not valid.
    const IS_CHECKED: bool = false;
    /// Whether serde knows it.
    const IS_SERDE: bool = false;
    /// Whether it is a file or a socket.
    const IS_DESCRIPTOR: bool = false;
}

impl<T: ?Sized> Fallback for Probe<T> {}

impl<T: Pod> Probe<T> {
    /// Whether it is plain bytes.
    pub const IS_POD: bool = true;
}

impl<T> Probe<T> {
    /// The level of a slice of `T`, when that of `T` is `level`.
    #[must_use]
    pub const fn in_slice(level: u8) -> u8 {
        if level == POD && align_of::<T>() > ALIGN { WIDE } else { level }
    }
}

impl<T: Pod> Probe<Vec<T>> {
    /// Whether it is a vector of plain bytes.
    pub const IS_VEC: bool = true;
}

impl<T: NoUninit + CheckedBitPattern> Probe<T> {
    /// Whether it is plain bytes of which some are not valid.
    pub const IS_CHECKED: bool = true;
}

impl<T: Serialize + DeserializeOwned> Probe<T> {
    /// Whether serde knows it.
    pub const IS_SERDE: bool = true;
}

impl<T: AsFd + From<OwnedFd>> Probe<T> {
    /// Whether it is a file or a socket.
    pub const IS_DESCRIPTOR: bool = true;
}

/// The level for these answers: what is fastest comes first.
#[must_use]
pub const fn level(pod: bool, vec: bool, checked: bool, serde: bool, descriptor: bool) -> u8 {
    match (pod, vec, checked, serde, descriptor) {
        (true, _, _, _, _) => POD,
        (_, true, _, _, _) => VEC,
        (_, _, true, _, _) => CHECKED,
        (_, _, _, true, _) => SERDE,
        (_, _, _, _, true) => DESCRIPTOR,
        _ => NONE,
    }
}

/// What a level means for the definition of a task.
#[derive(Debug)]
pub struct Verdict<const N: u8>;

/// Types that can travel. Asked once for each type of a signature, so that there is one message and not one per use.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel to another process and back",
    label = "neither `serde::Serialize` with `serde::de::DeserializeOwned`, nor `bytemuck::Pod`",
    note = "derive `serde::Serialize` and `serde::Deserialize` for `{Self}`, or for plain numbers `bytemuck::Pod`"
)]
pub trait Sendable<V> {}

impl<T: ?Sized> Sendable<Verdict<SERDE>> for T {}
impl<T: ?Sized> Sendable<Verdict<POD>> for T {}
impl<T: ?Sized> Sendable<Verdict<VEC>> for T {}
impl<T: ?Sized> Sendable<Verdict<CHECKED>> for T {}
impl<T: ?Sized> Sendable<Verdict<DESCRIPTOR>> for T {}

/// Types of which another process can write a slice in place. Asked as [`Sendable`] is, and for the same reason.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written in place by another process",
    label = "not `bytemuck::Pod`",
    note = "derive `bytemuck::Pod` and `bytemuck::Zeroable` for `{Self}`, or take a `Vec<{Self}>` and return the new one"
)]
pub trait Writable<V> {}

impl<T> Writable<Verdict<POD>> for T {}

/// The number of the level of a concrete type; with `in [T]`, of a slice of it. No type begins with `in`.
#[doc(hidden)]
#[macro_export]
macro_rules! __level {
    (in [$t:ty]) => {
        $crate::__private::Probe::<$t>::in_slice($crate::__level!($t))
    };
    ($t:ty) => {{
        #[allow(
            unused_imports,
            clippy::allow_attributes,
            reason = "whether the fallback is asked depends on the type"
        )]
        use $crate::__private::Fallback as _;
        type __PoolAsked = $crate::__private::Probe<$t>;
        $crate::__private::level(
            __PoolAsked::IS_POD,
            __PoolAsked::IS_VEC,
            __PoolAsked::IS_CHECKED,
            __PoolAsked::IS_SERDE,
            __PoolAsked::IS_DESCRIPTOR,
        )
    }};
}
