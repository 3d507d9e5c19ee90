//! `SharedMemory`: segments with a name, for other programs; the same as Python's `multiprocessing.shared_memory`.
//!
//! A segment of the name `frames` is the file `/dev/shm/frames`, of mode 0600, as long as was asked for, and nothing in it but
//! the user's bytes. <https://docs.python.org/3/library/multiprocessing.shared_memory.html>
#![expect(unsafe_code, reason = "looks at a mapping as atomic bytes")]

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::shm::OFlags;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{self, Error, ErrorKind};
use crate::sys::memory::{self, Access, Map};
use crate::sys::random;

/// A segment of memory that other programs open by its name. It stays until somebody calls [`unlink`](Self::unlink), also
/// when this program has ended; who has it open keeps it.
///
/// As bytes it is its name: another process opens the same segment, or gets `NotFound` when it is gone.
///
/// ```
/// use pool_runtime::SharedMemory;
///
/// let memory = SharedMemory::create_unnamed(1 << 20)?;
/// memory.write(100, b"hello")?;
/// let again = SharedMemory::open(memory.name())?;
/// let mut bytes = [0; 5];
/// again.read(100, &mut bytes)?;
/// assert_eq!(&bytes, b"hello");
/// memory.unlink()?;
/// # Ok::<(), pool_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedMemory(Arc<Segment>);

struct Segment {
    name: String,
    map: Map,
    /// Its inode: a later segment of the same name has another.
    inode: u64,
}

/// How often a random name is tried.
const TRIES: usize = 100;

impl SharedMemory {
    /// Makes a segment of `len` bytes, all zero.
    ///
    /// # Errors
    /// Kind `Duplicate` when there is one of that name, `InvalidInput` for no bytes or a name that cannot be one, `Io` when
    /// memory has run out.
    pub fn create(name: &str, len: usize) -> Result<Self, Error> {
        let path = path(name)?;
        if len == 0 || i64::try_from(len).is_err() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "shared memory needs at least one byte, and not too many",
            ));
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
        let file = rustix::shm::open(&path, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| refused(name, error))?;
        let made = memory::set_len(file.as_fd(), len)
            // Now, so that running out is an error and not a SIGBUS later.
            .and_then(|()| memory::allocate(file.as_fd(), 0, len))
            .and_then(|()| Self::map(name, &file));
        if made.is_err() {
            let _ = rustix::shm::unlink(&path);
        }
        made
    }

    /// Makes a segment of `len` bytes under a random name, `psm_` and some digits.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn create_unnamed(len: usize) -> Result<Self, Error> {
        for _ in 0..TRIES {
            let name = format!("psm_{:08x}", random::id()? as u32);
            match Self::create(&name, len) {
                Err(error) if error.kind() == ErrorKind::Duplicate => {}
                other => return other,
            }
        }
        Err(Error::new(ErrorKind::Duplicate, "every random name was taken"))
    }

    /// Opens the segment of that name, whole.
    ///
    /// # Errors
    /// Kind `NotFound` when there is none, `InvalidInput` for a name that cannot be one.
    pub fn open(name: &str) -> Result<Self, Error> {
        let file = rustix::shm::open(path(name)?, OFlags::RDWR, Mode::empty())
            .map_err(|error| refused(name, error))?;
        Self::map(name, &file)
    }

    fn map(name: &str, file: &OwnedFd) -> Result<Self, Error> {
        let stat =
            rustix::fs::fstat(file).map_err(|error| Error::os("fstat of shared memory", error))?;
        let len = usize::try_from(stat.st_size).ok().filter(|&len| len > 0);
        let len = len.ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, format!("the shared memory `{name}` is empty"))
        })?;
        let map = Map::new(file.as_fd(), len, Access::Write)?;
        Ok(Self(Arc::new(Segment {
            name: name.trim_start_matches('/').to_owned(),
            map,
            inode: stat.st_ino,
        })))
    }

    /// Takes the name away. Those that have the segment open keep it.
    ///
    /// # Errors
    /// Kind `NotFound` when the name is gone already.
    pub fn unlink(&self) -> Result<(), Error> {
        rustix::shm::unlink(path(self.name())?).map_err(|error| refused(self.name(), error))
    }

    /// The name, by which other programs open it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How many bytes there are.
    #[expect(clippy::len_without_is_empty, reason = "there is at least one byte")]
    pub fn len(&self) -> usize {
        self.0.map.len()
    }

    /// Copies bytes out, from `at` on.
    ///
    /// # Errors
    /// Kind `InvalidInput` when they do not all lie within.
    pub fn read(&self, at: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let from = self.range(at, bytes.len())?;
        bytes.iter_mut().zip(from).for_each(|(byte, from)| *byte = from.load(Relaxed));
        Ok(())
    }

    /// Copies bytes in, from `at` on.
    ///
    /// # Errors
    /// Kind `InvalidInput` when they do not all fit; then nothing is written.
    pub fn write(&self, at: usize, bytes: &[u8]) -> Result<(), Error> {
        let to = self.range(at, bytes.len())?;
        to.iter().zip(bytes).for_each(|(to, byte)| to.store(*byte, Relaxed));
        Ok(())
    }

    fn range(&self, at: usize, len: usize) -> Result<&[AtomicU8], Error> {
        let outside = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("{len} bytes from {at} on are not all within {}", self.len()),
            )
        };
        let first = self.0.map.at(at, len).ok_or_else(outside)?;
        // SAFETY: the range lies within the mapping, which lives as long as `self`; atomic bytes may be written by anybody.
        Ok(unsafe { std::slice::from_raw_parts(first.cast().as_ptr(), len) })
    }

    /// Where it lies in this process, for `unsafe` code. Other programs may read and write it at any time.
    pub fn as_ptr(&self) -> *mut u8 {
        self.0.map.base().as_ptr()
    }
}

/// A name as the system wants it: one slash in front, and no other.
fn path(name: &str) -> Result<String, Error> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let bad = bare.is_empty() || bare == "." || bare == ".." || bare.contains(['/', '\0']);
    if bad || bare.len() > 255 {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("`{}` cannot be a name of shared memory", bare.escape_debug()),
        ));
    }
    Ok(format!("/{bare}"))
}

fn refused(name: &str, error: Errno) -> Error {
    let kind = match error {
        Errno::NOENT => ErrorKind::NotFound,
        Errno::EXIST => ErrorKind::Duplicate,
        Errno::NAMETOOLONG | Errno::INVAL => ErrorKind::InvalidInput,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("shared memory `{}`: {error}", name.escape_debug()))
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedMemory({:?}, {} bytes)", self.name(), self.len())
    }
}

impl Serialize for SharedMemory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.name(), self.0.inode).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedMemory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (name, inode) = <(String, u64)>::deserialize(deserializer)?;
        let same = |memory: &Self| memory.0.inode == inode;
        let gone = || {
            Error::new(
                ErrorKind::NotFound,
                format!("the shared memory `{name}` is another one by now"),
            )
        };
        let opened = Self::open(&name)
            .and_then(|memory| if same(&memory) { Ok(memory) } else { Err(gone()) });
        opened.map_err(error::refuse)
    }
}
