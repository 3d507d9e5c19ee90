//! Files and sockets: a number in the bytes, and the descriptor beside them.

use std::os::fd::{AsFd, OwnedFd};

use super::cursor::{In, Out, Stop};
use super::level::{Codec, DESCRIPTOR, Level};
use crate::error::Error;
use crate::luggage;

impl<T: AsFd + From<OwnedFd>> Codec<T> for Level<DESCRIPTOR> {
    const STRIDE: Option<usize> = Some(8);

    fn encode(value: &T, out: &mut Out<'_>) -> Result<(), Stop> {
        let number = luggage::hand_in(value.as_fd()).map_err(Stop::Failed)?;
        out.write(&number.to_le_bytes())
    }

    fn size(_: &T) -> Result<usize, Error> {
        Ok(8)
    }

    fn decode(input: &mut In<'_>) -> Result<T, Error> {
        luggage::take(input.u64()?).map(T::from)
    }
}
