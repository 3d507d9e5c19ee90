//! Parts of a `SharedBuffer`, and how a worker finds them.
//!
//! A part is lent for the length of a call: it borrows the buffer where the call is made, and the call returns only when no
//! process can touch the part any more. In the worker, the slot is held until the batch ends, so that not even the death
//! of the owner lets it become another object under the task's hands.
#![expect(unsafe_code, reason = "finds the memory of parts")]

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering::Acquire;

use bytemuck::Pod;

use crate::codec::{Out, SliceCodec, Stop};
use crate::context;
use crate::error::{Error, ErrorKind};
use crate::shm::handle::{Handle, Kind};
use crate::shm::hold::Hold;
use crate::shm::slot::unpack;
use crate::shm::{process, slot};
use crate::task::part::{self, PART_BYTES, PartBytes, Resolve};
use crate::task::{Accepts, LendsRead, LendsWrite, Slice, SliceMut};

/// A part of a [`SharedBuffer`](crate::SharedBuffer), to be read: an argument for a `&[T]`. Derefs to it.
pub struct Part<'a, T> {
    values: &'a [T],
    place: Place,
}

/// A part of a [`SharedBuffer`](crate::SharedBuffer), to be written: an argument for a `&mut [T]`, or for a `&[T]`. Derefs to it.
pub struct PartMut<'a, T> {
    values: &'a mut [T],
    place: Place,
}

/// Where a part lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    tree: u64,
    object: u64,
    at: u64,
    len: u64,
}

impl Place {
    fn new<T>(handle: &Handle, at: usize, len: usize) -> Self {
        let size = size_of::<T>();
        Self {
            tree: handle.tree(),
            object: handle.object(),
            at: (at * size) as u64,
            len: (len * size) as u64,
        }
    }

    fn to_bytes(self) -> [u8; PART_BYTES] {
        let words = [self.tree, self.object, self.at, self.len].map(u64::to_le);
        bytemuck::cast(words)
    }

    fn from_bytes(bytes: &[u8; PART_BYTES]) -> Self {
        let [tree, object, at, len] =
            bytemuck::pod_read_unaligned::<[u64; 4]>(bytes).map(u64::from_le);
        Self { tree, object, at, len }
    }
}

impl<'a, T: Pod> Part<'a, T> {
    pub(crate) fn new(handle: &Handle, values: &'a [T], at: usize) -> Self {
        Self { values, place: Place::new::<T>(handle, at, values.len()) }
    }
}

impl<'a, T: Pod> PartMut<'a, T> {
    pub(crate) fn new(handle: &Handle, values: &'a mut [T], at: usize) -> Self {
        let place = Place::new::<T>(handle, at, values.len());
        Self { values, place }
    }
}

impl<T> PartBytes for Part<'_, T> {
    fn part_bytes(&self) -> [u8; PART_BYTES] {
        self.place.to_bytes()
    }
}

impl<T> PartBytes for PartMut<'_, T> {
    fn part_bytes(&self) -> [u8; PART_BYTES] {
        self.place.to_bytes()
    }
}

macro_rules! accepted {
    ($part:ident, $where:ident, $($param:tt)*) => {
        impl<'a, T: Pod, M: $where, L: SliceCodec<T>> Accepts<$part<'a, T>, M> for $($param)* {
            const LENDS: bool = true;

            fn encode(arg: &$part<'a, T>, out: &mut Out<'_>) -> Result<(), Stop> {
                part::write(arg, out)
            }

            fn size(_: &$part<'a, T>) -> Result<usize, Error> {
                Ok(part::SIZE)
            }
        }
    };
}
accepted!(Part, LendsRead, Slice<T, L>);
accepted!(PartMut, LendsRead, Slice<T, L>);

impl<'a, T: Pod, M: LendsWrite> Accepts<PartMut<'a, T>, M> for SliceMut<T> {
    const LENDS: bool = true;

    fn encode(arg: &PartMut<'a, T>, out: &mut Out<'_>) -> Result<(), Stop> {
        part::write(arg, out)
    }

    fn size(_: &PartMut<'a, T>) -> Result<usize, Error> {
        Ok(part::SIZE)
    }
}

/// Says how parts are found. A worker does so when it begins, an owner when it makes its first buffer.
pub(crate) fn install() {
    part::install(Resolve { read, write });
}

fn read(bytes: &[u8; PART_BYTES]) -> Result<&[u8], Error> {
    let (first, len) = find(Place::from_bytes(bytes))?;
    // SAFETY: the range lies within the block of a buffer that is held; whoever lends it to be read keeps it from being
    // written until the call has ended.
    Ok(unsafe { std::slice::from_raw_parts(first, len) })
}

#[expect(
    clippy::mut_from_ref,
    reason = "the bytes only name the memory, which was lent exclusively"
)]
fn write(bytes: &[u8; PART_BYTES]) -> Result<&mut [u8], Error> {
    let (first, len) = find(Place::from_bytes(bytes))?;
    // SAFETY: as above; parts to be written are disjoint and lent exclusively, and each goes to one call.
    Ok(unsafe { std::slice::from_raw_parts_mut(first, len) })
}

thread_local! {
    /// The buffers whose parts this batch uses.
    static USED: RefCell<Vec<(u64, Hold)>> = const { RefCell::new(Vec::new()) };
}

/// The batch has ended, and with it the use of every part.
pub(crate) fn let_go_of_parts() {
    USED.with_borrow_mut(Vec::clear);
}

fn find(place: Place) -> Result<(*mut u8, usize), Error> {
    let arena = process::own()?.arena;
    if place.tree != arena.head().tree.load(Acquire) {
        return Err(slot::gone());
    }
    let bad = || Error::new(ErrorKind::Decode, "these bytes are no part of a shared buffer");
    let (number, generation) = unpack(place.object).ok_or_else(bad)?;
    // Gone when another destructor of the thread is the caller: nothing was kept for it.
    let known =
        USED.try_with(|used| used.borrow().iter().any(|(object, _)| *object == place.object));
    if !known.unwrap_or(false) {
        let hold = Hold::open(number, generation)?;
        if hold.head().kind.load(Acquire) as u8 != Kind::Buffer as u8 {
            return Err(bad());
        }
        // Elsewhere the caller itself runs the task, and its borrow outlives the call.
        if context::is_worker() {
            USED.with_borrow_mut(|used| used.push((place.object, hold)));
        }
    }
    let (block, room) = arena.block(number as usize);
    let size = (arena.slot(number as usize).size.load(Acquire)).min(room as u64);
    if place.at > size || place.len > size - place.at {
        return Err(bad());
    }
    // SAFETY: the offset was just checked to lie within the block.
    Ok((unsafe { block.add(place.at as usize) }.as_ptr(), place.len as usize))
}

impl<T> Deref for Part<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.values
    }
}

impl<T> Deref for PartMut<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.values
    }
}

impl<T> DerefMut for PartMut<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.values
    }
}

impl<T> fmt::Debug for Part<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part({} values)", self.values.len())
    }
}

impl<T> fmt::Debug for PartMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartMut({} values)", self.values.len())
    }
}
