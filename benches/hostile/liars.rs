//! Those who know the key, and say what no client says.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use pool_runtime::prelude::*;

use crate::War;
use crate::strangers::huge_header;
use crate::target::{Noise, PATIENCE, Target};

pub fn attack(target: &Target, war: &War, mut noise: Noise) {
    war.wage(&war.liars, || {
        // At a door where many stand it may be sent away; and not every lie has an answer.
        let _ = one(target, &mut noise);
        true
    });
}

fn one(target: &Target, noise: &mut Noise) -> Result<(), Error> {
    let connect = || target.place.client(crate::target::KEY);
    if noise.below(4) == 0 {
        let connection = connect()?;
        connection.send_bytes(noise.bytes(300))?;
        return if noise.below(2) == 0 { raw(&connection, noise) } else { Ok(()) };
    }
    let session: Vec<u8> = (0..16).map(|_| noise.next() as u8).collect();
    let control = connect()?;
    control.send_bytes(opening(0, &session))?;
    control.recv_bytes_timeout(PATIENCE)?;
    let calls = connect()?;
    calls.send_bytes(opening(1, &session))?;
    let talked = talk(&calls, noise);
    match noise.below(4) {
        // Calls go on, or wait, while the session ends.
        0 => drop(control),
        1 => raw(&calls, noise)?,
        // Another one of that number: neither goes on.
        2 => connect()?.send_bytes(opening(0, &session))?,
        _ => {}
    }
    talked
}

fn opening(kind: u8, session: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0][..], session].concat()
}

/// Half a message, or the beginning of one without an end.
fn raw(connection: &ByteConnection, noise: &mut Noise) -> Result<(), Error> {
    let descriptor = connection.as_fd().try_clone_to_owned();
    let Ok(mut file) = descriptor.map(File::from) else { return Ok(()) };
    // It is full, or closed at the other side: that is no matter here.
    let _ = file.write_all(&huge_header(noise)).and_then(|()| file.write_all(&noise.bytes(3000)));
    Ok(())
}

/// Requests of all kinds, to objects that there are and others.
fn talk(calls: &ByteConnection, noise: &mut Noise) -> Result<(), Error> {
    let mut known = vec![0];
    for _ in 0..noise.below(60) {
        let object = known[noise.below(known.len() as u64) as usize];
        calls.send_bytes(request(object, noise))?;
        // Nobody waits for an answer every time; and one that waits in the server never answers.
        if noise.below(8) > 0 {
            let answer = calls.recv_bytes_timeout(PATIENCE)?;
            known.extend(made(&answer).filter(|_| object == 0));
        }
    }
    Ok(())
}

/// The object that an answer gives, if it is of that form.
fn made(answer: &[u8]) -> Option<u64> {
    let number = answer.get(5..13)?.try_into().ok()?;
    (answer[..5] == [0, 1, 0, 0, 0]).then(|| u64::from_le_bytes(number))
}

fn request(object: u64, noise: &mut Noise) -> Vec<u8> {
    // Most of what the desk is asked makes an object of some class.
    let method = match (object, noise.below(4)) {
        (0, 1..) => 0,
        (0, 0) => noise.below(8) as u32,
        (_, 0) => 100 + noise.below(3) as u32,
        _ => noise.below(24) as u32,
    };
    let mut request = [&object.to_le_bytes()[..], &method.to_le_bytes()].concat();
    if (object, method) == (0, 0) {
        request.extend((noise.below(12) as u32).to_le_bytes());
    }
    for _ in 0..noise.below(6) {
        request.extend(match noise.below(6) {
            0 => vec![0; 4],
            1 => u64::MAX.to_le_bytes().to_vec(),
            2 => u32::MAX.to_le_bytes().to_vec(),
            3 => noise.bytes(60),
            _ => noise.below(8).to_le_bytes().to_vec(),
        });
    }
    request
}
