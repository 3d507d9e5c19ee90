//! Calls run from their bytes, with everything bound, and what a worker makes of bytes that were not written for it.

use super::{Bound, Call, Fill, MapItems, One, PartialCall, Plain, S, Task, Z};
use crate::batch::{Batch, Host, ItemBytes, Layout, Room, TO_THE_LAST};
use crate::codec::{In, Out};
use crate::error::{Error, ErrorKind};
use crate::{pool_task, task};
use std::sync::atomic::AtomicU32;

#[pool_task]
fn paste(head: &str, times: u32, tail: &[u64], rest: &[String]) -> Result<String, String> {
    if times == 0 {
        return Err(format!("no {head}"));
    }
    Ok(format!("{}{tail:?}{rest:?}", head.repeat(times as usize)))
}

#[pool_task]
#[expect(clippy::ptr_arg, reason = "a reference that is decoded once per job is the point")]
fn count(words: &Vec<String>, word: String) -> u64 {
    words.iter().filter(|other| **other == word).count() as u64
}

/// Aligned room and what came of it.
#[derive(Default)]
struct Heap {
    room: Vec<u128>,
    progress: AtomicU32,
    written: usize,
    failed: Vec<(u32, Error)>,
}

impl Host for Heap {
    fn room(&mut self, need: usize) -> Result<Room<'_>, Error> {
        self.room.resize(need.div_ceil(16), 0);
        let bytes = bytemuck::cast_slice_mut(&mut self.room);
        Ok(Room { bytes, progress: &self.progress, until: &TO_THE_LAST })
    }

    fn publish(&mut self, _done: u32, len: usize) {
        self.written = len;
    }

    fn fail(&mut self, index: u32, error: Error) {
        self.failed.push((index, error));
    }
}

/// Runs one item of `T`, and gives its result without the frame.
fn run<T: Task>(job: u64, bound: &[u8], mask: u32, item: &[u8]) -> Result<Vec<u8>, Error> {
    let mut aligned = vec![0_u128; (bound.len() + item.len()) / 16 + 2];
    let place = bound.len().next_multiple_of(16);
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut aligned);
    bytes[..bound.len()].copy_from_slice(bound);
    bytes[place..place + item.len()].copy_from_slice(item);
    let mut host = Heap::default();
    let (len, (bound, items)) = (bound.len(), bytes.split_at(place));
    let mut batch = Batch {
        bound: &bound[..len],
        bound_mask: mask,
        job,
        items: ItemBytes { data: &items[..item.len()], layout: Layout::Stride(item.len()) },
        range: 0..1,
        host: &mut host,
    };
    (T::DEF.run)(&mut batch);
    if let Some((_, error)) = host.failed.pop() {
        return Err(error);
    }
    let written: &[u8] = bytemuck::cast_slice(&host.room);
    let mut input = In::new(&written[..host.written]);
    if T::DEF.result_stride.is_some() {
        return Ok(written[..host.written].to_vec());
    }
    let len = input.len()?;
    input.take(len).map(<[u8]>::to_vec)
}

#[test]
fn a_call_runs_from_its_bytes() {
    let words = ["a".to_owned()];
    let call: Call<_> = task!(paste("x", 2, [1, 2], &words));
    let spec = call.spec().unwrap();
    assert_eq!((spec.bound_mask, spec.item_stride), (0b1111, Some(0)));
    let result = run::<paste>(1, &spec.bound, spec.bound_mask, &[]).unwrap();
    assert_eq!(call.decode(&result).unwrap().unwrap(), "xx[1, 2][\"a\"]");
    assert_eq!((call.task().unwrap().failed)(&result), None);
    assert!(call.decode(&result[1..]).is_err());
}

#[test]
fn a_failure_says_so_in_its_own_words() {
    let call = task!(paste("x", 0, [], [String::new()]));
    let result = run::<paste>(1, call.bytes().unwrap(), 0b1111, &[]).unwrap();
    assert_eq!((paste::DEF.failed)(&result).as_deref(), Some("no x"));
}

#[test]
fn the_hole_of_a_partial_call_may_be_anywhere() {
    let first: PartialCall<String, _> = task!(paste(_, 1, [1], ["b".to_owned()]));
    let middle: PartialCall<Vec<u64>, _> = task!(paste("x", 1, _, ["b".to_owned()]));
    let last: PartialCall<Vec<String>, _> = task!(paste("x", 1, [1], _));
    let calls = [
        first.fill(&"x".to_owned()).unwrap(),
        middle.clone().fill(&vec![1]).unwrap(),
        last.fill(&vec!["b".to_owned()]).unwrap(),
    ];
    for (job, call) in (1..).zip(&calls) {
        let spec = call.spec().unwrap();
        let result = run::<paste>(job, &spec.bound, spec.bound_mask, &[]).unwrap();
        assert_eq!(call.decode(&result).unwrap().unwrap(), "x[1][\"b\"]");
    }
    assert_eq!(middle.open().task().unwrap().name, paste::DEF.name);
}

#[test]
fn what_is_bound_is_decoded_once_per_job_and_kept_for_no_other() {
    let item = |word: &str| {
        let mut bytes = vec![0; 64];
        let mut out = Out::new(&mut bytes);
        type Params = <count as Task>::Params;
        <One<S<Z>> as Fill<Params, String, MapItems>>::encode(&word.to_owned(), &mut out).unwrap();
        out.written().to_vec()
    };
    let bound = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        Bound::<count>::new().arg::<Z, Plain, _>(words).bytes
    };
    let number =
        |bytes: Result<Vec<u8>, Error>| u64::from_le_bytes(bytes.unwrap().try_into().unwrap());
    let (one, two) = (bound(&["a"]), bound(&["a", "a"]));
    assert_eq!(number(run::<count>(7, &one, 1, &item("a"))), 1);
    // The same job cannot have other arguments: that they are not read again shows here.
    assert_eq!(number(run::<count>(7, &two, 1, &item("a"))), 1);
    assert_eq!(number(run::<count>(8, &two, 1, &item("a"))), 2);
    assert_eq!(number(run::<count>(7, &one, 1, &item("b"))), 0);
}

#[test]
fn bytes_that_were_not_written_for_it_are_an_error() {
    let call = task!(paste("x", 2, [1, 2], [String::new()]));
    let bytes = call.bytes().unwrap();
    for cut in 0..bytes.len() {
        let error = run::<paste>(cut as u64 + 100, &bytes[..cut], 0b1111, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
    }
    for mask in 0..0b1111 {
        assert_eq!(
            run::<paste>(1000 + u64::from(mask), bytes, mask, &[]).unwrap_err().kind(),
            ErrorKind::Decode
        );
    }
    assert_eq!(run::<paste>(99, bytes, 0b1111, &[1]).unwrap_err().kind(), ErrorKind::Decode);
}

#[test]
fn an_argument_that_cannot_be_encoded_shows_where_the_call_is_used() {
    let bad = std::path::PathBuf::from(bad_text());
    #[pool_task]
    fn open(path: std::path::PathBuf) -> bool {
        path.exists()
    }
    let call = task!(open(bad));
    let error = call.clone().spec().unwrap_err();
    assert_eq!(
        (error.kind(), error.task()),
        (ErrorKind::Encode, Some("pool_runtime::task::tests::open"))
    );
    assert_eq!(call.task().unwrap_err().kind(), ErrorKind::Encode);
}

#[pool_task]
fn double(x: u64) -> u64 {
    x * 2
}

#[test]
fn items_that_are_not_there_fail_and_nobody_waits_for_them() {
    let (data, mut host) = ([1_u128, 2], Heap::default());
    let mut batch = Batch {
        bound: &[],
        bound_mask: 0,
        job: 1,
        items: ItemBytes { data: bytemuck::cast_slice(&data), layout: Layout::Stride(8) },
        range: 3..6,
        host: &mut host,
    };
    (double::DEF.run)(&mut batch);
    // Item 3 is there, a half of a number of 16 bytes.
    assert_eq!(host.failed.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [4, 5]);
    assert!(host.failed.iter().all(|(_, error)| error.kind() == ErrorKind::Decode));
}

/// A path that is no UTF-8, which serde refuses.
fn bad_text() -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(vec![0xFF])
}
