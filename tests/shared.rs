//! Values, arrays, atomics and buffers, shared by processes. The rows of CPython's `_TestValue`, `_TestArray`,
//! `_TestSharedCTypes` and `_TestHeap` are named where they are tested.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};

use pool_runtime::bytemuck;
use pool_runtime::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[bytemuck(crate = "pool_runtime::bytemuck")]
#[repr(C)]
struct Point {
    x: f64,
    y: f64,
}

/// A structure with a `bool` and a `char`, without padding.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    bytemuck::NoUninit,
    bytemuck::CheckedBitPattern,
    bytemuck::Zeroable,
)]
#[repr(C)]
struct Marked {
    letter: char,
    count: u16,
    bold: bool,
    italic: bool,
}

fn pool() -> Pool {
    Pool::new(2).expect("a pool")
}

#[pool_task]
fn double(
    i: Value<i32>,
    d: Value<f64>,
    q: Value<i64>,
    p: Value<Point>,
    a: Array<f64>,
    s: Array<u8>,
) -> Result<(), Error> {
    *i.lock()? *= 2;
    d.set(d.get()? * 2.0)?;
    *q.lock()? *= 2;
    let mut point = p.lock()?;
    (point.x, point.y) = (point.x * 2.0, point.y * 2.0);
    a.lock()?.iter_mut().for_each(|value| *value *= 2.0);
    let text = s.to_vec()?.repeat(2);
    s.lock()?.copy_from_slice(&text[..s.len()]);
    Ok(())
}

// test_sharedctypes, test_synchronize, test_value
#[test]
fn a_child_doubles_every_kind_of_value() {
    let (i, d, q) = (
        Value::new(7).expect("a value"),
        Value::new(1.0 / 3.0).expect("a value"),
        Value::new(1_i64 << 33).expect("a value"),
    );
    let p = Value::new(Point { x: 3.0, y: 2.0 }).expect("a value");
    let a = Array::from_slice(&(0..10).map(f64::from).collect::<Vec<_>>()).expect("an array");
    let s = Array::from_slice(b"hello12345").expect("an array");
    let call = task!(double(i.clone(), d.clone(), q.clone(), p.clone(), a.clone(), s.clone()));
    Process::spawn(call).expect("a process").join().expect("ends").expect("doubles");
    assert_eq!((i.get().expect("a value"), q.get().expect("a value")), (14, 1 << 34));
    assert_eq!(d.get().expect("a value"), 2.0 / 3.0);
    assert_eq!(p.get().expect("a value"), Point { x: 6.0, y: 4.0 });
    assert_eq!(a.get(9).expect("a value"), 18.0);
    assert_eq!(&*s.lock().expect("the lock"), b"hello12345");
}

#[pool_task]
fn flip(flag: Value<bool>, letter: Value<char>, marked: Value<Marked>) -> Result<(), Error> {
    flag.set(!flag.get()?)?;
    letter.set('ß')?;
    marked.lock()?.bold = true;
    Ok(())
}

#[test]
fn bool_and_char_and_structures_of_them_are_values_too() {
    let (flag, letter) = (Value::new(false).expect("a value"), Value::new('s').expect("a value"));
    let marked =
        Value::new(Marked { letter: 'x', count: 3, bold: false, italic: true }).expect("a value");
    par_apply!(flip(flag.clone(), letter.clone(), marked.clone()); pool = pool())
        .expect("runs")
        .expect("flips");
    assert_eq!((flag.get().expect("a value"), letter.get().expect("a value")), (true, 'ß'));
    assert_eq!(
        marked.get().expect("a value"),
        Marked { letter: 'x', count: 3, bold: true, italic: true }
    );
}

// test_getobj_getlock, test_getobj_getlock_obj
#[test]
fn a_given_lock_guards_all_that_it_was_given_to() {
    let lock = Lock::new().expect("a lock");
    let value = Value::with_lock(1, &lock).expect("a value");
    let array = Array::with_lock(&[1.0, 2.0], &lock).expect("an array");
    let own = Value::new(1).expect("a value");
    let guard = lock.lock().expect("free");
    assert!(value.try_lock().expect("no error").is_none());
    assert!(array.try_lock().expect("no error").is_none());
    assert!(own.try_lock().expect("no error").is_some());
    drop(guard);
    let guard = value.lock().expect("free");
    assert!(lock.try_lock().expect("no error").is_none());
    drop(guard);
    // The lock lives as long as what it guards.
    drop(lock);
    assert_eq!(array.to_vec().expect("values"), [1.0, 2.0]);
}

#[pool_task]
fn prefix_sums(array: Array<i32>) -> Result<(), Error> {
    let mut values = array.lock()?;
    for at in 1..values.len() {
        values[at] += values[at - 1];
    }
    Ok(())
}

// test_array
#[test]
fn what_a_child_does_to_an_array_is_seen_here() {
    let mut expected = vec![680, 626, 934, 821, 150, 233, 548, 982, 714, 831];
    let array = Array::from_slice(&expected).expect("an array");
    array.lock().expect("the lock")[4..8].copy_from_slice(&[1, 2, 3, 4]);
    expected[4..8].copy_from_slice(&[1, 2, 3, 4]);
    (1..expected.len()).for_each(|at| expected[at] += expected[at - 1]);
    Process::spawn(task!(prefix_sums(array.clone())))
        .expect("a process")
        .join()
        .expect("ends")
        .expect("sums");
    assert_eq!(array.to_vec().expect("values"), expected);
    assert_eq!(array.get(10).expect_err("out of range").kind(), ErrorKind::InvalidInput);
    assert_eq!(array.set(10, 1).expect_err("out of range").kind(), ErrorKind::InvalidInput);
}

// test_array_from_size
#[test]
fn a_zeroed_array_is_zero_also_in_memory_that_was_used() {
    for size in [10, 1000, 100_000] {
        for _ in 0..3 {
            let array = Array::<i32>::zeroed(size).expect("an array");
            assert!(array.lock().expect("the lock").iter().all(|&value| value == 0));
            array.lock().expect("the lock").fill(-1);
        }
    }
    assert!(Array::<u8>::zeroed(0).expect("an array").is_empty());
    assert_eq!(
        Array::<u64>::zeroed(usize::MAX).expect_err("too many").kind(),
        ErrorKind::InvalidInput
    );
}

// test_copy
#[test]
fn a_copy_is_another_object() {
    let (value, array) =
        (Value::new(2).expect("a value"), Array::from_slice(&[1, 2]).expect("an array"));
    let (other, others) = (value.copied().expect("a copy"), array.copied().expect("a copy"));
    value.set(3).expect("sets");
    array.set(0, 9).expect("sets");
    assert_eq!((other.get().expect("a value"), others.to_vec().expect("values")), (2, vec![1, 2]));
}

#[pool_task]
fn count(total: RawValue<AtomicU64>, histogram: RawArray<AtomicU32>, item: u64) {
    total.fetch_add(item, SeqCst);
    histogram[(item % 10) as usize].fetch_add(1, SeqCst);
}

#[test]
fn atomics_count_without_a_lock() {
    let (total, histogram) = (
        RawValue::<AtomicU64>::new(0).expect("a value"),
        RawArray::<AtomicU32>::zeroed(10).expect("an array"),
    );
    par_map!(count(total.clone(), histogram.clone(), _), 0..10_000_u64; pool = pool())
        .expect("counts");
    assert_eq!(total.load(SeqCst), 10_000 * 9_999 / 2);
    assert!(histogram.iter().all(|count| count.load(SeqCst) == 1000));
    let signed = RawArray::<AtomicI64>::from_slice(&[-1, 2]).expect("an array");
    assert_eq!(signed.iter().map(|value| value.load(SeqCst)).collect::<Vec<_>>(), [-1, 2]);
}

// test_heap
#[test]
fn objects_of_all_sizes_come_and_go_without_touching_each_other() {
    let mut arrays: Vec<(u8, Array<u8>)> = Vec::new();
    let mut state = 12345_u64;
    for round in 0..5000_u32 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let size = 1 << (state >> 60) | (state >> 40 & 0xff) as usize;
        let mark = round as u8;
        arrays.push((mark, Array::from_slice(&vec![mark; size]).expect("an array")));
        if arrays.len() > 100 {
            let (mark, array) = arrays.swap_remove(state as usize % arrays.len());
            assert!(array.lock().expect("the lock").iter().all(|&byte| byte == mark));
        }
    }
    for (mark, array) in arrays {
        assert!(array.lock().expect("the lock").iter().all(|&byte| byte == mark));
    }
}

#[pool_task]
fn fill(part: &mut [f64], with: f64) -> usize {
    part.fill(with);
    part.len()
}

#[pool_task]
fn sum(part: &[f64]) -> f64 {
    part.iter().sum()
}

#[pool_task]
fn fill_or_die(part: &mut [u64], last: usize) {
    part.fill(1);
    if last == 1 {
        std::process::abort();
    }
}

#[test]
fn parts_of_a_buffer_are_written_and_read_in_place() {
    let pool = pool();
    let mut buffer = SharedBuffer::<f64>::zeroed(100_003).expect("a buffer");
    let lens = par_map!(fill(_, 2.0), buffer.split_mut(8); pool = &pool).expect("fills");
    assert_eq!(lens.iter().sum::<usize>(), 100_003);
    assert!(buffer.iter().all(|&value| value == 2.0));
    buffer[0] = 5.0;
    let sums = par_map!(sum, buffer.split(8); pool = &pool).expect("sums");
    assert_eq!(sums.iter().sum::<f64>(), 200_009.0);
    let sums = par_map!(sum, buffer.chunks_mut(1000); pool = &pool).expect("sums");
    assert_eq!(sums.len(), 101);
    // A lone part, as an argument.
    let whole = buffer.split_mut(1).remove(0);
    assert_eq!(par_apply!(fill(whole, 1.0); pool = &pool).expect("fills"), 100_003);
    assert_eq!(buffer.iter().sum::<f64>(), 100_003.0);
}

#[test]
fn a_whole_buffer_is_an_argument_too() {
    let pool = pool();
    let buffer = SharedBuffer::from_slice(&[1.0, 2.0, 3.0]).expect("a buffer");
    assert_eq!(sum(&buffer), 6.0);
    assert_eq!(par_apply!(sum(&buffer); pool = &pool).expect("sums"), 6.0);
    assert_eq!(par_map!(sum, [&buffer, &buffer]; pool = &pool).expect("sums"), [6.0, 6.0]);
    let sum = par_apply_async!(sum(&buffer); pool = &pool).expect("a result to come");
    assert_eq!(sum.get().expect("sums"), 6.0);
}

#[test]
fn after_a_call_that_failed_nobody_touches_the_parts() {
    let pool = pool();
    let mut buffer = SharedBuffer::<u64>::zeroed(1 << 16).expect("a buffer");
    let items: Vec<_> = buffer
        .split_mut(64)
        .into_iter()
        .enumerate()
        .map(|(at, part)| (part, usize::from(at == 40)))
        .collect();
    let error = par_starmap!(fill_or_die, items; pool = &pool).expect_err("one died");
    assert_eq!(error.kind(), ErrorKind::WorkerDied);
    let before = buffer.to_vec();
    buffer.fill(7);
    pool.close();
    pool.join().expect("joins");
    assert!(buffer.iter().all(|&value| value == 7) && before.iter().all(|&value| value < 2));
}

#[test]
fn a_buffer_of_structures() {
    let mut buffer = SharedBuffer::from_slice(&[Point { x: 1.0, y: 2.0 }; 10]).expect("a buffer");
    assert_eq!(buffer.split(3).iter().map(|part| part.len()).collect::<Vec<_>>(), [4, 3, 3]);
    buffer[9].x = 0.0;
    assert_eq!(buffer.split(10)[9][0], Point { x: 0.0, y: 2.0 });
}

/// A number of bytes of `/proc/meminfo`.
fn machine(name: &str) -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").expect("procfs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

#[test]
fn what_is_more_than_the_memory_is_refused_and_nobody_is_killed() {
    const LARGEST: usize = 64 << 30;
    let (memory, swap) = (machine("MemTotal:"), machine("SwapTotal:"));
    let len = memory + swap + (1 << 30);
    // On larger machines there is memory behind every array that can be.
    if len <= LARGEST {
        let error = Array::<u8>::zeroed(len).expect_err("there is no such memory");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains(&len.to_string()), "{error}");
    }
}
