//! What parent and child say to each other over their socket: few messages, none of them on the path of a task.

use std::fs::File;
use std::io::{IoSlice, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::{Error, ErrorKind};
use crate::sys::memory;
use crate::sys::socket::Socket;
use crate::task::Call;

/// The first message of a parent, sent before the child starts, so that the child need not wait for it; to a worker as soon as its
/// end will be noticed.
/// With it come the descriptors of the arena and of whatever the role needs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The id that the child's environment names: a child that finds another one is not ours.
    pub(crate) id: u128,
    pub(crate) role: Role,
    pub(crate) surroundings: Surroundings,
}

/// What the child is for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    Worker(WorkerHello),
    Process(ProcessHello),
    Manager(ManagerHello),
}

/// What a manager's server is told. Descriptors: the listening socket of this machine, then those of others.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ManagerHello {
    /// What it says it is.
    pub(crate) server: u128,
    /// The name of its socket on this machine.
    pub(crate) local: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl std::fmt::Debug for ManagerHello {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagerHello").field("server", &self.server).finish_non_exhaustive()
    }
}

/// What a worker is told. Descriptors: control segment, input segment, its result segment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WorkerHello {
    /// Its number in the pool, from 0.
    pub(crate) index: usize,
    pub(crate) input_len: usize,
    pub(crate) results_len: usize,
    pub(crate) initializer: Option<EncodedCall>,
    pub(crate) finalizer: Option<EncodedCall>,
    /// Items before it leaves, to be replaced.
    pub(crate) max_tasks: Option<u64>,
    /// Bytes of private memory. A worker that keeps half of them after an item leaves, to be replaced.
    pub(crate) memory_limit: Option<usize>,
}

/// What a process is told. Its arguments are the second message, for they may be large, and take descriptors along.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProcessHello {
    /// `TaskId`.
    pub(crate) task: u64,
    /// What the names of its own children begin with.
    pub(crate) prefix: String,
}

/// A call with its arguments, as bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EncodedCall {
    /// `TaskId`.
    pub(crate) task: u64,
    pub(crate) arguments: Vec<u8>,
}

impl EncodedCall {
    /// # Errors
    /// What an argument said when it was encoded.
    pub(crate) fn of<R>(call: &Call<R>) -> Result<Self, Error> {
        if !call.luggage()?.is_empty() {
            let text = "an initializer or finalizer takes no files, sockets and connections along";
            return Err(Error::new(ErrorKind::Encode, text));
        }
        Ok(Self { task: call.task()?.id().0, arguments: call.bytes()?.to_vec() })
    }
}

/// How a child's surroundings differ from its parent's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Surroundings {
    pub(crate) directory: Option<PathBuf>,
    pub(crate) nice: Option<i32>,
    pub(crate) cpus: Option<Vec<usize>>,
    /// How many workers its own default pool has.
    pub(crate) default_workers: usize,
    /// What `current_process().name()` says.
    pub(crate) name: String,
    pub(crate) parent_name: String,
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromWorker {
    /// It cannot begin: its surroundings or its initializer failed. It leaves.
    Failed(Error),
    /// It is about to decode a descriptor of this job.
    Wants { job: u64, number: u64 },
    /// It has encoded a descriptor into a result of this job. The descriptor comes with the message, which is sent before the
    /// result is posted.
    Sends { job: u64, number: u64 },
    /// A result of this job names these shared objects, by slot and generation, which it holds until it is answered. Sent before the
    /// result counts as finished.
    Holds { job: u64, slots: Vec<(u32, u32)> },
}

/// The answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// To `Wants`: the descriptor comes with it.
    Here,
    /// To `Wants`.
    Missing(Error),
    /// To so many `Holds`: they are held here too.
    Held(u32),
}

/// Longer messages travel in a file of their own: a socket's buffer is small.
const INLINE: usize = 32 << 10;
const HERE: u8 = 0;
const IN_FILE: u8 = 1;

/// Sends one message.
///
/// # Errors
/// Kind `Disconnected` when the other side is gone, `Encode` and `Io` for what they say.
pub(crate) fn send(
    socket: &Socket,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Error> {
    Packed::new(message)?.send(socket, descriptors)
}

/// A message that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    /// Where the message is when it is too long for `bytes`.
    file: Option<File>,
}

impl Packed {
    /// # Errors
    /// Kind `Encode`, or `Io` when memory has run out.
    pub(crate) fn new(message: &impl Serialize) -> Result<Self, Error> {
        let mut bytes = vec![HERE];
        codec::message::encode(message, &mut bytes)?;
        if bytes.len() <= INLINE {
            return Ok(Self { bytes, file: None });
        }
        let mut file = File::from(memory::create("pool-message", bytes.len())?);
        file.write_all(&bytes).map_err(|error| Error::os("writing a message", error))?;
        Ok(Self { bytes: vec![IN_FILE], file: Some(file) })
    }

    /// # Errors
    /// As for [`send`].
    pub(crate) fn send(
        &self,
        socket: &Socket,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Error> {
        socket.send(&self.bytes, &self.along(descriptors))
    }

    /// As [`send`](Self::send); `false` when there is no room now.
    ///
    /// # Errors
    /// As for [`send`].
    pub(crate) fn try_send(
        &self,
        socket: &Socket,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<bool, Error> {
        socket.try_send_parts(&[IoSlice::new(&self.bytes)], &self.along(descriptors))
    }

    fn along<'a>(&'a self, descriptors: &[BorrowedFd<'a>]) -> Vec<BorrowedFd<'a>> {
        descriptors.iter().copied().chain(self.file.iter().map(AsFd::as_fd)).collect()
    }
}

/// All of a file of ours, unless it is longer than `longest`. Another kind of file might never end, or keep us waiting.
fn contents(file: OwnedFd, longest: usize) -> Result<Vec<u8>, Error> {
    let len = memory::len(file.as_fd())?;
    if len > longest {
        return Err(Error::new(ErrorKind::Decode, format!("a message of {len} bytes is too long")));
    }
    let (mut file, mut bytes) = (File::from(file), Vec::new());
    file.rewind()
        .and_then(|()| file.take(len as u64).read_to_end(&mut bytes))
        .map_err(|error| Error::os("reading a message", error))?;
    Ok(bytes)
}

/// Waits for one message, of a parent, who is believed.
///
/// # Errors
/// Kind `Disconnected` when the other side is gone, `Decode` when it does not speak like us.
pub(crate) fn receive<T: DeserializeOwned>(socket: &Socket) -> Result<(T, Vec<OwnedFd>), Error> {
    let mut room = vec![0; INLINE];
    let (len, descriptors) = socket.receive(&mut room)?;
    decode(&room[..len], descriptors, usize::MAX)
}

/// The longest message of a child.
const FROM_CHILD: usize = 16 << 20;

/// Takes a child's message; `None` when there is none. One whose descriptors were lost, for this process may open no more, comes
/// without them.
///
/// # Errors
/// As for [`receive`].
pub(crate) fn try_receive<T: DeserializeOwned>(
    socket: &Socket,
) -> Result<Option<(T, Vec<OwnedFd>)>, Error> {
    let mut room = vec![0; INLINE];
    let Some((len, descriptors)) = socket.try_receive(&mut room)? else { return Ok(None) };
    decode(&room[..len], descriptors, FROM_CHILD).map(Some)
}

fn decode<T: DeserializeOwned>(
    bytes: &[u8],
    mut descriptors: Vec<OwnedFd>,
    longest: usize,
) -> Result<(T, Vec<OwnedFd>), Error> {
    let bad = || Error::new(ErrorKind::Decode, "a message of an unknown form");
    match bytes.split_first() {
        Some((&HERE, bytes)) => Ok((codec::message::decode(bytes)?, descriptors)),
        Some((&IN_FILE, [])) => {
            let bytes = contents(descriptors.pop().ok_or_else(bad)?, longest)?;
            Ok((codec::message::decode(bytes.get(1..).ok_or_else(bad)?)?, descriptors))
        }
        _ => Err(bad()),
    }
}
