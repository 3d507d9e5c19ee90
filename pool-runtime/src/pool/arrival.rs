//! The result of a call that goes on without its caller. Bytes that take a `Deserialize` to read are kept as they came: that
//! is code of the user's, and runs where the result is asked for, not on the thread that all such calls share.

use super::Received;
use crate::async_result::Completion;
use crate::codec::Codec;
use crate::collect::Gather;
use crate::error::{Error, ErrorKind};
use crate::job::{Finish, Sink};
use crate::payload::Payload;
use crate::task::Task;

/// The sink of one call, and where its result goes.
pub(super) struct Arrival<T: Task> {
    outcome: Option<Outcome<T::Output>>,
    at_once: bool,
    completion: Completion<T::Output>,
}

enum Outcome<R> {
    Known(Result<R, Error>),
    Bytes(Vec<u8>),
}

impl<T: Task> Arrival<T> {
    pub(super) fn new(completion: Completion<T::Output>) -> Self {
        Self { outcome: None, at_once: false, completion }
    }
}

/// Of the levels only that of serde is neither plain nor of a fixed size.
fn takes_a_deserialize<T: Task>() -> bool {
    !<T::Level as Codec<T::Output>>::PLAIN && <T::Level as Codec<T::Output>>::STRIDE.is_none()
}

fn decode<T: Task>(payload: &Payload<'_>) -> Result<T::Output, Error> {
    let mut scratch = Vec::new();
    let result = <T::Level as Gather<T::Output>>::one(payload, &mut 0, &mut scratch);
    result.map_err(|error| error.with_task(T::DEF.name))
}

impl<T: Task> Sink for Arrival<T> {
    fn results(&mut self, _: u64, _: usize, payload: &Payload<'_>) {
        self.outcome = Some(if takes_a_deserialize::<T>() && !self.at_once {
            let mut bytes = Vec::new();
            payload.copy_to(&mut bytes);
            Outcome::Bytes(bytes)
        } else {
            Outcome::Known(decode::<T>(payload))
        });
    }

    fn failed(&mut self, _: u64, error: Error) {
        self.outcome = Some(Outcome::Known(Err(error)));
    }
}

impl<T: Task<Output: Send>> Finish for Arrival<T> {
    fn is_settled(&self) -> bool {
        self.outcome.is_some()
    }

    fn calls_back(&self) -> bool {
        self.completion.callbacks.any()
    }

    fn read_at_once(&mut self) {
        self.at_once = true;
    }

    fn finish(self: Box<Self>, result: Result<(), Error>, along: Received) {
        match self.outcome {
            Some(Outcome::Known(result)) => self.completion.complete(result),
            Some(Outcome::Bytes(bytes)) => self.completion.complete_later(Box::new(move || {
                along.unpack(|| decode::<T>(&Payload::from(&*bytes)))
            })),
            None => self.completion.complete(result.and_then(|()| {
                let text = "the call ended without a result";
                Err(Error::new(ErrorKind::Cancelled, text).with_task(T::DEF.name))
            })),
        }
    }
}
