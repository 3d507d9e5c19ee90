//! Where a message begins and ends: its length in four bytes, signed and big endian, or -1 and then eight bytes; then the
//! message. Sockets are not known here.

use crate::error::{Error, ErrorKind};

/// Up to this length the header and the message are written at once: apart, Nagle's algorithm could hold the second back.
pub(crate) const TOGETHER: usize = 16 << 10;

/// The header of a message.
pub(crate) fn header(len: usize) -> Vec<u8> {
    match i32::try_from(len) {
        Ok(len) => len.to_be_bytes().to_vec(),
        Err(_) => [&(-1_i32).to_be_bytes()[..], &(len as u64).to_be_bytes()[..]].concat(),
    }
}

/// Puts one message together from whatever pieces it comes in. What has come so far stays between calls.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    head: [u8; 12],
    head_len: usize,
    /// The length of the body, once it is known.
    want: Option<usize>,
    body: Vec<u8>,
}

/// Room is made for at most so many bytes ahead of what has come: a length is a claim, not a fact.
const AHEAD: usize = 64 << 10;

impl Frame {
    /// Reads until the message is whole; `None` when `read` had nothing more. `read` gives how many bytes it has put at the
    /// beginning of its room, `None` when nothing is there.
    ///
    /// # Errors
    /// Kind `Decode` for a length that is none, or is more than `limit`; what `read` fails with.
    pub(crate) fn advance(
        &mut self,
        limit: usize,
        mut read: impl FnMut(&mut [u8]) -> Result<Option<usize>, Error>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let want = loop {
            if let Some(want) = self.length()? {
                break want;
            }
            let end = if self.head_len < 4 { 4 } else { 12 };
            match read(&mut self.head[self.head_len..end])? {
                Some(len) => self.head_len += len,
                None => return Ok(None),
            }
        };
        if want > limit {
            return Err(Error::new(
                ErrorKind::Decode,
                format!("a message of {want} bytes is longer than {limit}"),
            ));
        }
        while self.body.len() < want {
            let have = self.body.len();
            self.body.resize(want.min(have.max(AHEAD).saturating_mul(2)), 0);
            let got = read(&mut self.body[have..]);
            self.body.truncate(have + got.as_ref().map_or(0, |len| len.unwrap_or(0)));
            if got?.is_none() {
                return Ok(None);
            }
        }
        let body = std::mem::take(&mut self.body);
        *self = Self::default();
        Ok(Some(body))
    }

    fn length(&mut self) -> Result<Option<usize>, Error> {
        if self.want.is_none() && self.head_len >= 4 {
            let [a, b, c, d, long @ ..] = self.head;
            let len = match i32::from_be_bytes([a, b, c, d]) {
                -1 if self.head_len < 12 => return Ok(None),
                -1 => usize::try_from(u64::from_be_bytes(long))
                    .ok()
                    .filter(|&len| isize::try_from(len).is_ok()),
                len => usize::try_from(len).ok(),
            };
            self.want =
                Some(len.ok_or_else(|| Error::new(ErrorKind::Decode, "bad message length"))?);
        }
        Ok(self.want)
    }
}

#[cfg(test)]
mod tests {
    use super::{Frame, header};
    use crate::error::{Error, ErrorKind};

    /// Feeds `bytes` in pieces of `step`, and gives the messages that come out, and how it ended.
    fn take(bytes: &[u8], step: usize, limit: usize) -> (Vec<Vec<u8>>, Option<ErrorKind>) {
        let (mut at, mut frame, mut messages) = (0, Frame::default(), Vec::new());
        loop {
            let mut read = |room: &mut [u8]| -> Result<Option<usize>, Error> {
                let len = room.len().min(step).min(bytes.len() - at);
                room[..len].copy_from_slice(&bytes[at..at + len]);
                at += len;
                Ok((len > 0).then_some(len))
            };
            match frame.advance(limit, &mut read) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, None),
                Err(error) => return (messages, Some(error.kind())),
            }
        }
    }

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut() {
        let messages: [&[u8]; 4] = [b"", b"a", &[7; 300], b""];
        let wire: Vec<u8> = messages
            .iter()
            .flat_map(|message| [&header(message.len()), *message].concat())
            .collect();
        for step in [1, 2, 3, 5, 64, 10_000] {
            assert_eq!(take(&wire, step, 1 << 20), (messages.map(<[u8]>::to_vec).to_vec(), None));
        }
    }

    #[test]
    fn the_long_form_is_read_too() {
        let wire = [&(-1_i32).to_be_bytes()[..], &3_u64.to_be_bytes()[..], b"abc"].concat();
        assert_eq!(take(&wire, 1, 16), (vec![b"abc".to_vec()], None));
    }

    #[test]
    fn lengths_are_not_believed() {
        for bad in [&[0xFF, 0xFF, 0xFF, 0xFE][..], &[0x80, 0, 0, 0], &[0xFF; 12]] {
            assert_eq!(take(bad, 4, usize::MAX), (vec![], Some(ErrorKind::Decode)));
        }
        assert_eq!(take(&17_i32.to_be_bytes(), 4, 16), (vec![], Some(ErrorKind::Decode)));
        // A claim of two gigabytes takes no room before they come.
        let mut frame = Frame::default();
        let mut rest = &i32::MAX.to_be_bytes()[..];
        let read = |room: &mut [u8]| {
            std::io::Read::read(&mut rest, room)
                .map(|n| (n > 0).then_some(n))
                .map_err(|e| Error::os("", e))
        };
        assert!(frame.advance(usize::MAX, read).is_ok_and(|message| message.is_none()));
        assert!(frame.body.capacity() <= 1 << 20);
    }
}
