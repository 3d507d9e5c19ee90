//! Memory that processes share: anonymous files, and their mappings.
#![expect(unsafe_code, reason = "maps memory")]

use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::standard;
use crate::error::{Error, ErrorKind};

const PAGE: usize = 4096;

/// Makes a file without a name, of `len` bytes, none of which has memory behind it yet. Its size can never change.
///
/// # Errors
/// Kind `Io` when descriptors or memory have run out.
pub(crate) fn create(name: &str, len: usize) -> Result<OwnedFd, Error> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // NOEXEC_SEAL is refused by kernels before 6.3.
    let file = rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| rustix::fs::memfd_create(name, flags))
        .and_then(standard::above)
        .map_err(|error| Error::os("memfd_create", error))?;
    set_len(file.as_fd(), len)?;
    // A peer that could shrink the file would turn our next access into SIGBUS.
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)
        .map_err(|error| Error::os("sealing shared memory", error))?;
    Ok(file)
}

/// Gives a file its size. A size that the process may not make is an error here; the kernel would end the process for it, by
/// SIGXFSZ.
///
/// # Errors
/// Kind `Io`.
pub(crate) fn set_len(file: BorrowedFd<'_>, len: usize) -> Result<(), Error> {
    let most = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if most.is_some_and(|most| most < len as u64) {
        let text =
            format!("{len} bytes of shared memory: the limit of file sizes (`ulimit -f`) is lower");
        return Err(Error::new(ErrorKind::Io, text));
    }
    rustix::fs::ftruncate(file, len as u64)
        .map_err(|error| Error::os("ftruncate of shared memory", error))
}

/// The length of a file that [`create`] made, here or in another process.
///
/// # Errors
/// Kind `Decode` for any other file.
pub(crate) fn len(file: BorrowedFd<'_>) -> Result<usize, Error> {
    let sealed = rustix::fs::fcntl_get_seals(file)
        .is_ok_and(|seals| seals.contains(SealFlags::SHRINK | SealFlags::GROW));
    let status = rustix::fs::fstat(file).map_err(|error| Error::os("fstat", error))?;
    match usize::try_from(status.st_size) {
        Ok(len) if sealed => Ok(len),
        _ => Err(Error::new(ErrorKind::Decode, "a file that is no shared memory of ours")),
    }
}

/// From now on nobody can make a writable mapping; those that are there stay. Nor can memory be given back.
///
/// # Errors
/// Kind `Io` on kernels before 5.1.
pub(crate) fn forbid_new_writers(file: BorrowedFd<'_>) -> Result<(), Error> {
    rustix::fs::fcntl_add_seals(file, SealFlags::FUTURE_WRITE)
        .map_err(|error| Error::os("sealing shared memory", error))
}

/// From so many bytes on, it is looked first whether there is so much: the kernel does not refuse what is not there, but fills
/// what is, and then kills processes, this one or others. To look costs next to nothing beside filling so many.
const LARGE: usize = 64 << 20;

/// Asks for memory behind a part of the file now, so that running out is an error and not SIGBUS later.
///
/// # Errors
/// Kind `Io` when there is not enough.
pub(crate) fn allocate(file: BorrowedFd<'_>, at: usize, len: usize) -> Result<(), Error> {
    look_for(len)?;
    let flags = FallocateFlags::KEEP_SIZE;
    rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, flags, at as u64, len as u64))
        .map_err(|error| Error::os(&format!("allocating {len} bytes of shared memory"), error))
}

/// Refuses what is large and more than there is.
fn look_for(len: usize) -> Result<(), Error> {
    if len < LARGE {
        return Ok(());
    }
    match available() {
        Some(most) if len > most => {
            let text = format!("{len} bytes of shared memory: only {most} are available now");
            Err(Error::new(ErrorKind::Io, text))
        }
        _ => Ok(()),
    }
}

/// Bytes of memory and swap that can be had now; `None` where nobody says.
/// <https://man7.org/linux/man-pages/man5/proc_meminfo.5.html>
fn available() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let bytes = |name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<usize>().ok()?.checked_mul(1 << 10)
    };
    let memory = bytes("MemAvailable:")?.min(total());
    Some(memory.saturating_add(bytes("SwapFree:").unwrap_or(0)))
}

/// How many bytes of addresses the process may have in all, if that is limited.
pub(crate) fn address_space() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current?;
    usize::try_from(limit).ok()
}

/// How many of them are left to it. <https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html>
fn addresses_left() -> Option<usize> {
    let limit = address_space()?;
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_ascii_whitespace().next().and_then(|pages| pages.parse().ok());
    let used = pages.unwrap_or(0_usize).saturating_mul(rustix::param::page_size());
    Some(limit.saturating_sub(used))
}

/// A file and its mapping, as large as can be. Where the address space is limited that is at most one of so many parts of what
/// is left of it: others come after this one, and the largest that fits would leave them nothing.
///
/// # Errors
/// Kind `Io` when not even the smallest fits.
pub(crate) fn create_mapped(
    name: &str,
    sizes: RangeInclusive<usize>,
    parts: usize,
    access: Access,
) -> Result<(OwnedFd, Map), Error> {
    let (least, most) = sizes.into_inner();
    let part = addresses_left().map_or(most, |bytes| bytes / parts / PAGE * PAGE);
    let mut len = part.min(most).max(least);
    loop {
        let file = create(name, len)?;
        match Map::new(file.as_fd(), len, access) {
            Ok(map) => return Ok((file, map)),
            Err(error) if len == least => return Err(error),
            Err(_) => len = (len / 4 / PAGE * PAGE).max(least),
        }
    }
}

/// Gives the memory behind a part of the file back, mapped here or not; it reads as zeros afterwards.
pub(crate) fn punch(file: BorrowedFd<'_>, at: usize, len: usize) {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if len > 0 {
        let _ = rustix::fs::fallocate(file, flags, at as u64, len as u64);
    }
}

/// A mapping of the beginning of a file. It is unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Map {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a `Map` is an address range; whatever is done with it goes through raw pointers, whose users answer for races.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

/// What may be done through a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Map {
    /// Maps the first `len` bytes.
    ///
    /// # Errors
    /// Kind `Io` when there is no room in the address space.
    pub(crate) fn new(file: BorrowedFd<'_>, len: usize, access: Access) -> Result<Self, Error> {
        let protection = match access {
            Access::Read => ProtFlags::READ,
            Access::Write => ProtFlags::READ | ProtFlags::WRITE,
        };
        // SAFETY: the kernel chooses the place, so no mapping that exists is touched.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                MapFlags::SHARED | MapFlags::NORESERVE,
                file,
                0,
            )
        };
        let base = base
            .map_err(|error| Error::os(&format!("mapping {len} bytes of shared memory"), error))?;
        let base = NonNull::new(base.cast())
            .ok_or_else(|| Error::new(ErrorKind::Io, "mmap gave a null pointer"))?;
        Ok(Self { base, len })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where `len` bytes from `at` on lie, when they lie within.
    pub(crate) fn at(&self, at: usize, len: usize) -> Option<NonNull<u8>> {
        let inside = at <= self.len && len <= self.len - at;
        // SAFETY: the offset was just checked to lie within the mapping.
        inside.then(|| unsafe { self.base.add(at) })
    }

    /// Has memory behind a part of the file and maps it, now and all at once: that costs less than page by page as it is written,
    /// and running out is an error here and not SIGBUS later. The mapping must be writable.
    ///
    /// # Errors
    /// Kind `Io` when there is not enough.
    pub(crate) fn populate(
        &self,
        file: BorrowedFd<'_>,
        at: usize,
        len: usize,
    ) -> Result<(), Error> {
        look_for(len)?;
        let populated = self.at(at, len).is_some_and(|from| {
            // SAFETY: the range lies within this mapping, and the contents stay.
            unsafe { rustix::mm::madvise(from.as_ptr().cast(), len, Advice::LinuxPopulateWrite) }
                .is_ok()
        });
        // Kernels before 5.14 cannot, and this one says why there is not enough.
        if populated { Ok(()) } else { allocate(file, at, len) }
    }

    /// Gives the memory behind a part back; it reads as zeros afterwards. The mapping must be writable.
    pub(crate) fn release(&self, at: usize, len: usize) {
        if let Some(from) = self.at(at, len).filter(|_| len > 0) {
            // SAFETY: the range lies within this mapping. Shared memory has no references to bytes that were given back.
            let _ = unsafe { rustix::mm::madvise(from.as_ptr().cast(), len, Advice::LinuxRemove) };
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping's, and whoever used it has borrowed it no longer than it lives.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Asks for huge pages behind large private memory that is about to be filled: a page fault per 2 MiB and not per 4 KiB.
/// First touch of 4 KiB was measured at 1.4 µs plain and 0.18 µs so.
pub(crate) fn expect_filling(from: *mut u8, len: usize) {
    const HUGE: usize = 2 << 20;
    let from = from as usize;
    let (first, last) = (from.next_multiple_of(HUGE), from.saturating_add(len) / HUGE * HUGE);
    if first < last {
        // SAFETY: the advice changes no contents, and one about memory that is not there is refused.
        let _ =
            unsafe { rustix::mm::madvise(first as *mut _, last - first, Advice::LinuxHugepage) };
    }
}

/// Makes a file of `len` bytes, has `write` fill it, and seals it: nobody can change it any more, this process neither.
///
/// # Errors
/// Kind `Io` when memory has run out, and what `write` gives.
pub(crate) fn sealed<R>(
    name: &str,
    len: usize,
    write: impl FnOnce(&mut [u8]) -> Result<R, Error>,
) -> Result<(OwnedFd, R), Error> {
    let file = create(name, len.max(1))?;
    allocate(file.as_fd(), 0, len.max(1))?;
    let map = Map::new(file.as_fd(), len.max(1), Access::Write)?;
    // SAFETY: the mapping is as long as that, and the file was made here: nobody else has it.
    let written = write(unsafe { std::slice::from_raw_parts_mut(map.base().as_ptr(), len) })?;
    drop(map);
    rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SEAL)
        .map_err(|error| Error::os("sealing shared memory", error))?;
    Ok((file, written))
}

/// The beginning of a file that nobody can change.
#[derive(Debug)]
pub(crate) struct Sealed(Option<Map>);

impl Sealed {
    /// Maps the first `len` bytes.
    ///
    /// # Errors
    /// Kind `Decode` when the file is shorter, or may be changed; `Io` when there is no room in the address space.
    pub(crate) fn open(file: BorrowedFd<'_>, len: usize) -> Result<Self, Error> {
        let bad = |_| Error::new(ErrorKind::Decode, "a message lies in a file of an unknown kind");
        let seals = rustix::fs::fcntl_get_seals(file).map_err(bad)?;
        let size = rustix::fs::fstat(file).map_err(bad)?.st_size;
        if !seals.contains(SealFlags::WRITE | SealFlags::SHRINK) {
            return Err(Error::new(ErrorKind::Decode, "a message lies in a file that may change"));
        }
        if usize::try_from(size).is_ok_and(|size| size < len) {
            return Err(Error::new(ErrorKind::Decode, "a message is longer than its file"));
        }
        Ok(Self(if len == 0 { None } else { Some(Map::new(file, len, Access::Read)?) }))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is as long as that, and the seals forbid anybody to write to the file or to shorten it.
        self.0.as_ref().map_or(&[], |map| unsafe {
            std::slice::from_raw_parts(map.base().as_ptr(), map.len())
        })
    }
}

/// Bytes of memory that this process may use: the machine's, or its cgroup's limit.
pub(crate) fn total() -> usize {
    let machine = rustix::system::sysinfo().totalram as usize;
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    limit.map_or(machine, |limit: usize| limit.min(machine))
}
