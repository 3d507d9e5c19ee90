//! The one item of a call that goes on without its caller: encoded when the call is made, so that its arguments may be borrowed.

use super::bound::stopped;
use super::fill::Fill;
use crate::codec::{Out, Stop};
use crate::error::Error;
use crate::job::{Filled, ItemWriter, Source};
use crate::luggage::{self, Kept};
use crate::shm::pins::{self, Pins};
use crate::unwind;

/// An item as its bytes, and what they name.
#[derive(Debug)]
pub(crate) struct Ready(Option<Result<Written, Error>>);

#[derive(Debug)]
struct Written {
    bytes: Vec<u8>,
    luggage: Vec<Kept>,
    pins: Pins,
}

impl Ready {
    /// Encodes it; what it failed with is told as the item's failure.
    pub(crate) fn new<P, H: Fill<P, A, M>, M, A>(item: &A) -> Self {
        let write = || write::<P, H, M, A>(item);
        Self(Some(unwind::catch(write).map_err(Error::panicked).flatten()))
    }
}

fn write<P, H: Fill<P, A, M>, M, A>(item: &A) -> Result<Written, Error> {
    // What is measured is encoded too, and then thrown away.
    let ((size, _), _) = pins::collect(|| luggage::pack(Vec::new(), || H::size(item)));
    let mut bytes = vec![0; size?];
    let mut out = Out::new(&mut bytes);
    let ((encoded, luggage), pins) = pins::collect(|| luggage::keep(|| H::encode(item, &mut out)));
    encoded.map_err(stopped)?;
    let len = out.position();
    bytes.truncate(len);
    Ok(Written { bytes, luggage, pins })
}

impl Source for Ready {
    fn fill(&mut self, items: &mut ItemWriter<'_>, max: usize) -> Filled {
        if max == 0 {
            return Filled::More;
        }
        match self.0.take() {
            None => Filled::End,
            Some(Err(error)) => Filled::Failed(error),
            Some(Ok(written)) => match items.put(|out| out.write(&written.bytes)) {
                Ok(()) => {
                    pins::hand_on(written.pins);
                    luggage::hand_on(written.luggage);
                    Filled::End
                }
                Err(Stop::Failed(error)) => Filled::Failed(error),
                Err(Stop::Full) => {
                    let size = written.bytes.len();
                    self.0 = Some(Ok(written));
                    if items.count() > 0 { Filled::Full } else { Filled::TooBig(size) }
                }
            },
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.0.is_some());
        (left, Some(left))
    }

    fn is_ready(&self) -> bool {
        true
    }
}
