//! Values of every size, both ways.

mod common;

use std::time::Duration;

use common::{memory_kib, watchdog, watchdog_of, workers};
use pool_runtime::prelude::*;
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[pool_task]
fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

#[pool_task]
fn echo_text(text: String) -> String {
    text
}

/// Begins with how many there are.
#[pool_task]
fn make(len: usize) -> Vec<u64> {
    let mut values = vec![7; len];
    values.first_mut().into_iter().for_each(|first| *first = len as u64);
    values
}

#[pool_task]
fn ends(values: &[u64]) -> (usize, Option<u64>, Option<u64>) {
    (values.len(), values.first().copied(), values.last().copied())
}

#[pool_task]
fn look_up(table: &[u64], at: usize) -> u64 {
    table[at]
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Frame {
    name: String,
    pixels: Vec<u8>,
}

#[pool_task]
fn flip(mut frame: Frame) -> Frame {
    frame.pixels.reverse();
    frame
}

/// Plain bytes, and more of them than a worker asks room for at a time.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Tile([u64; 20_000]);

#[pool_task]
fn tile(seed: u64) -> Tile {
    Tile([seed; 20_000])
}

#[test]
fn plain_results_larger_than_a_piece_of_the_ring() {
    let _dog = watchdog();
    let tiles = par_map!(tile, 0..50).expect("values");
    assert!((0..50).zip(&tiles).all(|(seed, tile)| tile.0 == [seed; 20_000]));
}

#[pool_task]
fn same(x: u64) -> u64 {
    x
}

// An array lies in its iterator: to move that about for every few items took seconds.
#[test]
fn an_array_by_value_is_not_moved_about() {
    const LEN: usize = 120_000;
    let _dog = watchdog_of(Duration::from_secs(20));
    let maps = || {
        for _ in 0..20 {
            assert_eq!(par_map!(same, [1_u64; LEN]).expect("values").len(), LEN);
        }
    };
    // Where nothing is optimised, some copies of it lie on the stack.
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(maps);
    thread.expect("a thread").join().expect("no panic");
}

const SIZES: [usize; 16] = [
    0,
    1,
    7,
    8,
    9,
    63,
    4095,
    4096,
    4097,
    65_536,
    (1 << 20) - 1,
    (1 << 20) + 1,
    5 << 20,
    (16 << 20) + 3,
    33 << 20,
    64 << 20,
];

fn bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes.chunks_mut(256).enumerate().for_each(|(at, chunk)| chunk.fill(at as u8));
    bytes
}

#[test]
fn bytes_of_every_size() {
    let (_dog, pool) = (watchdog(), workers(2));
    for len in SIZES {
        let value = bytes(len);
        assert!(par_apply!(echo(value.clone()); pool = pool).unwrap() == value, "{len} bytes");
    }
}

#[test]
fn text_and_structs_of_every_size() {
    let (_dog, pool) = (watchdog(), workers(2));
    for len in SIZES.into_iter().filter(|&len| len <= 5 << 20) {
        let text = "ä".repeat(len / 2);
        assert!(par_apply!(echo_text(text.clone()); pool = pool).unwrap() == text, "{len} bytes");
        let mut frame = Frame { name: "x".repeat(len % 100), pixels: bytes(len) };
        let flipped = par_apply!(flip(frame.clone()); pool = pool).unwrap();
        frame.pixels.reverse();
        assert!(flipped == frame, "{len} bytes");
    }
}

#[test]
fn sizes_mixed_in_one_map() {
    let (_dog, pool) = (watchdog(), workers(2));
    let items: Vec<Vec<u8>> =
        SIZES.iter().chain(SIZES.iter().rev()).map(|&len| bytes(len.min(5 << 20))).collect();
    assert!(par_map!(echo, &items; pool = pool).unwrap() == items);
    assert!(par_map!(echo, &items; pool = pool, chunk_size = 5).unwrap() == items);
    let streamed: Result<Vec<_>, Error> =
        par_imap!(echo, items.clone(); pool = pool).unwrap().collect();
    assert!(streamed.unwrap() == items);
}

#[test]
fn results_far_larger_than_their_arguments() {
    let (_dog, pool) = (watchdog(), workers(2));
    let lens = [0_usize, 1, 1000, 1 << 20, 8 << 20, 3];
    for (len, values) in lens.into_iter().zip(par_map!(make, lens; pool = pool).unwrap()) {
        assert_eq!((values.len(), values.first().copied()), (len, (len > 0).then_some(len as u64)));
    }
}

#[test]
fn a_large_given_argument_travels_once() {
    let (_dog, pool) = (watchdog(), workers(2));
    let table = vec![3_u64; 4 << 20];
    let all = par_map!(look_up(&table, _), 0..1000; pool = pool);
    assert_eq!(all.unwrap(), vec![3; 1000]);
}

/// The largest that travels at once: 10 GiB are in use for the argument, 15 for the result.
#[test]
fn five_gibibytes_each_way() {
    const LEN: usize = 5 << 27;
    let _dog = watchdog_of(std::time::Duration::from_secs(600));
    let available = memory_kib("MemAvailable");
    if available < 16 << 20 {
        println!("skipped: 16 GiB of memory must be available, and there are {available} KiB");
        return;
    }
    let pool = workers(1);
    let mut values = vec![1_u64; LEN];
    values[LEN - 1] = 2;
    assert_eq!(par_apply!(ends(&values); pool = pool).unwrap(), (LEN, Some(1), Some(2)));
    drop(values);
    let values = par_apply!(make(LEN); pool = pool).unwrap();
    assert_eq!((values.len(), values[0], values[LEN - 1]), (LEN, LEN as u64, 7));
}

/// One message of so many pieces, each of a letter of its own; neither side ever has more than one of them at hand.
#[derive(Debug, PartialEq)]
struct Pieces(usize);

const PIECE: usize = 1 << 20;

fn letter(number: usize) -> u8 {
    b'a' + (number % 26) as u8
}

impl Serialize for Pieces {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pieces = serializer.serialize_seq(Some(self.0))?;
        for number in 0..self.0 {
            let piece = String::from_utf8(vec![letter(number); PIECE]).expect("letters");
            pieces.serialize_element(&piece)?;
        }
        pieces.end()
    }
}

impl<'de> Deserialize<'de> for Pieces {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Count)
    }
}

struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = Pieces;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("pieces")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pieces: A) -> Result<Pieces, A::Error> {
        let mut count = 0;
        while let Some(piece) = pieces.next_element::<String>()? {
            let whole =
                piece.len() == PIECE && piece.bytes().step_by(4099).all(|b| b == letter(count));
            assert!(whole, "piece {count} is another one");
            count += 1;
        }
        Ok(Pieces(count))
    }
}

/// Beyond what 31 bits count, where there is memory for one copy; that is seconds of page faults.
#[test]
fn a_message_of_gibibytes_through_a_pipe() {
    let _dog = watchdog();
    let count = match (cfg!(debug_assertions), memory_kib("MemAvailable") >> 20) {
        (false, 6..) => (2 << 10) + 1,
        (false, 3..) => 1 << 10,
        _ => 64,
    };
    let (here, there) = pipe().unwrap();
    here.send(Pieces(count)).unwrap();
    assert_eq!(there.recv().unwrap(), Pieces(count));
}
