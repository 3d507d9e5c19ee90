//! Those who do not know the key.

use std::collections::VecDeque;
use std::io;

use pool_runtime::prelude::*;

use crate::War;
use crate::target::{Noise, Place, Stream, Target};

/// So many stay connected and say nothing.
const SILENT: usize = 60;

pub fn attack(target: &Target, war: &War, mut noise: Noise) {
    let mut silent = VecDeque::new();
    war.wage(&war.strangers, || {
        if noise.below(200) == 0 {
            guess(&target.place, &mut noise);
            return true;
        }
        let Ok(mut stream) = target.place.dial() else { return false };
        // It may be sent away at any moment, which is as good an end as any.
        if one(&mut *stream, &mut noise).is_ok_and(|stays| stays) {
            silent.push_back(stream);
        }
        if silent.len() > SILENT {
            silent.pop_front();
        }
        true
    });
}

/// One attack; says whether the connection is to be kept.
fn one(stream: &mut dyn Stream, noise: &mut Noise) -> io::Result<bool> {
    match noise.below(8) {
        0 => stream.write_all(&noise.bytes(300))?,
        1 => truncated(stream, noise)?,
        2 => stream.write_all(&frame(&noise.bytes(200)))?,
        3 => half_a_handshake(stream, noise)?,
        4 => a_wrong_answer(stream, noise)?,
        5 => huge(stream, noise)?,
        6 => return Ok(noise.below(2) == 0 && challenge(stream).is_ok()),
        _ => return Ok(noise.below(8) == 0),
    }
    Ok(false)
}

/// A message as it is on the wire.
pub fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as i32).to_be_bytes(), message].concat()
}

/// The header of a message that is longer than any.
pub fn huge_header(noise: &mut Noise) -> Vec<u8> {
    match noise.below(4) {
        0 => i32::MAX.to_be_bytes().to_vec(),
        1 => i32::MIN.to_be_bytes().to_vec(),
        2 => [&(-1_i32).to_be_bytes()[..], &u64::MAX.to_be_bytes()].concat(),
        _ => {
            [&(-1_i32).to_be_bytes()[..], &(noise.next() >> noise.below(40)).to_be_bytes()].concat()
        }
    }
}

fn truncated(stream: &mut dyn Stream, noise: &mut Noise) -> io::Result<()> {
    let whole = frame(&noise.bytes(200));
    stream.write_all(&whole[..noise.below(whole.len() as u64) as usize])
}

fn huge(stream: &mut dyn Stream, noise: &mut Noise) -> io::Result<()> {
    stream.write_all(&huge_header(noise))?;
    (0..noise.below(4)).try_for_each(|_| stream.write_all(&[7; 4096]))
}

/// What the server asks.
fn challenge(stream: &mut dyn Stream) -> io::Result<Vec<u8>> {
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    let mut asked = vec![0; (u32::from_be_bytes(header) as usize).min(4096)];
    stream.read_exact(&mut asked)?;
    Ok(asked)
}

fn half_a_handshake(stream: &mut dyn Stream, noise: &mut Noise) -> io::Result<()> {
    challenge(stream)?;
    let answer = frame(&[b"{sha256}".to_vec(), vec![7; 32]].concat());
    stream.write_all(&answer[..noise.below(answer.len() as u64) as usize])
}

fn a_wrong_answer(stream: &mut dyn Stream, noise: &mut Noise) -> io::Result<()> {
    let asked = challenge(stream)?;
    let answer = match noise.below(3) {
        // What was asked, sent back.
        0 => asked,
        1 => [b"{md5}".to_vec(), vec![noise.next() as u8; 16]].concat(),
        _ => [b"{sha256}".to_vec(), vec![noise.next() as u8; 32]].concat(),
    };
    stream.write_all(&frame(&answer))?;
    // Whatever it says to that, it is no welcome.
    if let Ok(said) = challenge(stream) {
        assert!(!said.starts_with(b"#WELCOME#"), "a stranger was let in");
    }
    Ok(())
}

/// As a client of this crate, with another key.
fn guess(place: &Place, noise: &mut Noise) {
    let error = place.client(&noise.bytes(40)).expect_err("it is not the key").kind();
    // Where many stand at the door, the first is sent away.
    let known =
        [ErrorKind::Authentication, ErrorKind::Disconnected, ErrorKind::TimedOut, ErrorKind::Io];
    assert!(known.contains(&error), "{error:?}");
}
