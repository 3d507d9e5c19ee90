//! Files and sockets: the descriptor travels beside the bytes, which hold its number among the value's descriptors.

use std::os::fd::{AsFd, OwnedFd};

use super::cursor::{In, Out, Stop};
use super::level::{Codec, DESCRIPTOR, Level};
use crate::error::Error;
use crate::luggage;

impl<T: AsFd + From<OwnedFd> + Into<OwnedFd>> Codec<T> for Level<DESCRIPTOR> {
    const STRIDE: Option<usize> = None;

    fn encode(value: &T, out: &mut Out<'_>) -> Result<(), Stop> {
        let number = luggage::hand_in(value.as_fd()).map_err(Stop::Failed)?;
        out.write(&u64::from(number).to_le_bytes())
    }

    fn size(_: &T) -> Result<usize, Error> {
        Ok(size_of::<u64>())
    }

    fn decode(input: &mut In<'_>) -> Result<T, Error> {
        // A number that is none is no descriptor's either.
        luggage::take(input.u64()?.try_into().unwrap_or(u32::MAX)).map(T::from)
    }
}
