//! Results that are there later: waiting, callbacks, cancelling, and as futures.

mod common;

use std::future::IntoFuture;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{
    DEADLINE, Scratch, eventually, is_program, program, run, wait_for, watchdog, workers,
};
use pool_runtime::prelude::*;

const SOON: Duration = Duration::from_millis(20);

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn odd_panics(x: u64) -> u64 {
    assert!(x.is_multiple_of(2), "{x} is odd");
    x
}

#[pool_task]
fn wait_then(gate: PathBuf, x: u64) -> u64 {
    wait_for(&gate);
    x
}

#[test]
fn it_is_not_ready_until_the_work_has_ended() {
    let (_dog, pool, scratch) = (watchdog(), workers(1), Scratch::new());
    let result = par_apply_async!(wait_then(scratch.at("gate"), 5); pool = pool).unwrap();
    assert!(!result.is_ready() && !result.is_successful() && !result.wait_timeout(SOON));
    assert_eq!(result.get_timeout(SOON).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(format!("{result:?}"), "AsyncResult { ready: false, .. }");
    scratch.open("gate");
    result.wait();
    assert_eq!(format!("{result:?}"), "AsyncResult { ready: true, .. }");
    assert!(result.is_ready() && result.is_successful() && result.wait_timeout(Duration::ZERO));
    assert_eq!(result.get_timeout(Duration::ZERO).unwrap(), 5);
    assert!(result.get().is_err(), "the value is given once");
}

#[test]
fn a_failure_is_told_as_often_as_it_is_asked_for() {
    let (_dog, pool) = (watchdog(), workers(1));
    let result = par_apply_async!(odd_panics(1); pool = pool).unwrap();
    result.wait();
    assert!(result.is_ready() && !result.is_successful());
    for _ in 0..2 {
        assert_eq!(result.get_timeout(DEADLINE).unwrap_err().kind(), ErrorKind::Panicked);
    }
    assert_eq!(result.get().unwrap_err().panic_message(), Some("1 is odd"));
}

#[test]
fn terminate_after_a_timeout() {
    let (_dog, pool, scratch) = (watchdog(), workers(1), Scratch::new());
    let result = par_apply_async!(wait_then(scratch.at("never"), 5); pool = pool).unwrap();
    assert_eq!(result.get_timeout(SOON).unwrap_err().kind(), ErrorKind::TimedOut);
    pool.terminate();
    pool.join().unwrap();
    assert_eq!(result.get().unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn cancel_stops_what_runs_and_what_waits() {
    let (_dog, pool, scratch) = (watchdog(), workers(1), Scratch::new());
    let running = par_apply_async!(wait_then(scratch.at("never"), 1); pool = pool).unwrap();
    eventually("a busy worker", || pool.stats().workers_busy == 1);
    let waiting = par_apply_async!(wait_then(scratch.at("never"), 2); pool = pool).unwrap();
    let map = par_map_async!(wait_then(scratch.at("never"), _), 0..100; pool = pool).unwrap();
    let wanted = par_apply_async!(square(3); pool = pool).unwrap();
    for result in [running, waiting] {
        result.cancel();
        result.cancel();
        assert_eq!(result.get().unwrap_err().kind(), ErrorKind::Cancelled);
    }
    map.cancel();
    assert_eq!(map.get().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(wanted.get().unwrap(), 9);
}

#[test]
fn cancel_wakes_who_waits() {
    let (_dog, pool, scratch) = (watchdog(), workers(1), Scratch::new());
    let result = par_apply_async!(wait_then(scratch.at("never"), 1); pool = pool).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| result.wait());
        result.cancel();
        waiting.join().unwrap();
    });
    assert_eq!(result.get().unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn a_cancelled_call_calls_its_error_callback() {
    let (_dog, pool, scratch) = (watchdog(), workers(1), Scratch::new());
    let (give, take) = mpsc::channel();
    let result = par_apply_async!(
        wait_then(scratch.at("never"), 1); pool = pool,
        error_callback = move |error| give.send(error.kind()).unwrap()
    );
    result.unwrap().cancel();
    assert_eq!(take.recv_timeout(DEADLINE).unwrap(), ErrorKind::Cancelled);
}

#[test]
fn cancel_after_the_end_changes_nothing() {
    let (_dog, pool) = (watchdog(), workers(1));
    let result = par_apply_async!(square(3); pool = pool).unwrap();
    result.wait();
    result.cancel();
    assert_eq!(result.get().unwrap(), 9);
}

#[test]
fn cancelled_work_among_much_other_work() {
    let (_dog, pool) = (watchdog(), workers(2));
    let calls: Vec<_> =
        (0..200).map(|x| par_apply_async!(square(x); pool = pool).unwrap()).collect();
    calls.iter().skip(1).step_by(3).for_each(AsyncResult::cancel);
    pool.close();
    pool.join().unwrap();
    for (x, call) in (0..).zip(calls) {
        match call.get() {
            Ok(square) => assert_eq!(square, x * x),
            Err(error) => assert_eq!((x % 3, error.kind()), (1, ErrorKind::Cancelled)),
        }
    }
}

#[test]
fn exactly_one_callback_is_called_once_and_before_get_returns() {
    let (_dog, pool) = (watchdog(), workers(2));
    let (done, failed) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let count = |counter: &Arc<AtomicU32>| {
        let counter = Arc::clone(counter);
        move || {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    };
    let counts = || (done.load(Ordering::SeqCst), failed.load(Ordering::SeqCst));
    for round in 1..=100 {
        let (yes, no) = (count(&done), count(&failed));
        let good = par_map_async!(
            square, 0..3; pool = pool,
            callback = move |all| { assert_eq!(all, [0, 1, 4]); yes() },
            error_callback = move |_| no()
        );
        assert_eq!(good.unwrap().get().unwrap(), [0, 1, 4]);
        assert_eq!(counts(), (round, round - 1));
        let (yes, no) = (count(&done), count(&failed));
        let bad = par_apply_async!(
            odd_panics(1); pool = pool, callback = move |_| yes(),
            error_callback = move |error| { assert_eq!(error.kind(), ErrorKind::Panicked); no() }
        );
        bad.unwrap().get().unwrap_err();
        assert_eq!(counts(), (round, round));
    }
}

#[test]
fn callbacks_are_called_though_nobody_keeps_the_result() {
    let (_dog, pool) = (watchdog(), workers(2));
    let (give, take) = mpsc::channel();
    for x in 0..10 {
        let give = give.clone();
        let callback = move |square| give.send(square).unwrap();
        drop(par_apply_async!(square(x); pool = pool, callback = callback).unwrap());
    }
    let sum: u64 = (0..10).map(|_| take.recv_timeout(DEADLINE).unwrap()).sum();
    assert_eq!(sum, 285);
}

#[test]
fn a_callback_that_panics_harms_nobody() {
    if is_program() {
        let pool = workers(2);
        let bad = par_apply_async!(square(3); pool = pool, callback = |_| panic!("in a callback"));
        assert_eq!(bad.unwrap().get().unwrap(), 9);
        let bad =
            par_apply_async!(odd_panics(1); pool = pool, error_callback = |_| panic!("in another"));
        bad.unwrap().get().unwrap_err();
        let good =
            par_apply_async!(square(4); pool = pool, callback = |x| println!("called with {x}"));
        assert_eq!(good.unwrap().get().unwrap(), 16);
        return;
    }
    let _dog = watchdog();
    let output = run(&mut program("a_callback_that_panics_harms_nobody"));
    let (out, err) = (common::text(&output.stdout), common::text(&output.stderr));
    assert!(output.status.success() && out.contains("called with 16"), "{out}{err}");
    assert!(err.contains("in a callback") && err.contains("in another"), "{err}");
}

#[test]
fn a_callback_may_submit() {
    let _dog = watchdog();
    let pool = Arc::new(workers(2));
    let (give, take) = mpsc::channel();
    let again = Arc::clone(&pool);
    let callback = move |nine: u64| {
        let waited = par_map!(square, 0..3; pool = again).unwrap();
        let more =
            par_apply_async!(square(nine); pool = again, callback = move |x| give.send(x).unwrap());
        drop((waited, more.unwrap()));
    };
    let result = par_apply_async!(square(3); pool = pool, callback = callback).unwrap();
    assert_eq!(take.recv_timeout(DEADLINE).unwrap(), 81);
    assert_eq!(result.get().unwrap(), 9);
}

#[test]
fn a_callback_may_terminate_and_join() {
    let (_dog, scratch) = (watchdog(), Scratch::new());
    let pool = Arc::new(workers(2));
    let never = par_apply_async!(wait_then(scratch.at("never"), 1); pool = pool).unwrap();
    let ending = Arc::clone(&pool);
    let callback = move |_| {
        ending.terminate();
        ending.join().unwrap();
    };
    let result = par_apply_async!(square(3); pool = pool, callback = callback).unwrap();
    assert_eq!(never.get().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(result.get().unwrap(), 9, "what had ended stays");
}

#[test]
fn a_callback_may_close_and_join() {
    let _dog = watchdog();
    for map in [false, true] {
        let pool = Arc::new(workers(2));
        let ending = Arc::clone(&pool);
        let others: Vec<_> =
            (0..20).map(|x| par_apply_async!(square(x); pool = pool).unwrap()).collect();
        let end = move || {
            ending.close();
            ending.join().unwrap();
        };
        if map {
            par_map_async!(square, 0..3; pool = pool, callback = move |_| end())
                .unwrap()
                .get()
                .unwrap();
        } else {
            par_apply_async!(square(3); pool = pool, callback = move |_| end())
                .unwrap()
                .get()
                .unwrap();
        }
        assert!((0..).zip(others).all(|(x, other)| other.get().unwrap() == x * x));
    }
}

#[test]
fn a_callback_may_drop_the_last_handle_of_its_pool() {
    let _dog = watchdog();
    let pool = Arc::new(workers(2));
    let last = Arc::clone(&pool);
    let (go, wait) = mpsc::channel::<()>();
    let callback = move |_| {
        wait.recv_timeout(DEADLINE).unwrap();
        drop(last);
    };
    let result = par_apply_async!(square(3); pool = pool, callback = callback).unwrap();
    drop(pool);
    go.send(()).unwrap();
    assert_eq!(result.get().unwrap(), 9);
}

#[test]
fn wait_any_gives_the_one_that_is_ready() {
    let (_dog, pool, scratch) = (watchdog(), workers(3), Scratch::new());
    let call =
        |gate: &str, x| par_apply_async!(wait_then(scratch.at(gate), x); pool = pool).unwrap();
    let calls = [call("a", 0), call("b", 1), call("c", 2)];
    scratch.open("b");
    assert_eq!(wait_any(&calls).unwrap(), 1);
    assert_eq!(wait_any(&calls).unwrap(), 1, "it stays ready");
    assert!(!calls[0].is_ready() && !calls[2].is_ready());
    scratch.open("a");
    assert_eq!(wait_any(&[&calls[0], &calls[2]]).unwrap(), 0);
    calls[2].cancel();
    assert_eq!(wait_any(&calls[2..]).unwrap(), 0);
    assert_eq!(wait_any::<&AsyncResult<u64>>(&[]).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn as_completed_gives_each_once_in_the_order_of_completion() {
    let (_dog, pool, scratch) = (watchdog(), workers(3), Scratch::new());
    let call =
        |gate: &str, x| par_apply_async!(wait_then(scratch.at(gate), x); pool = pool).unwrap();
    let (a, b, failed) =
        (call("a", 0), call("b", 1), par_apply_async!(odd_panics(1); pool = pool).unwrap());
    // Duplicates are one.
    let mut completed = as_completed([&a, &b, &a, &failed, &b, &a]);
    assert_eq!(completed.len(), 3);
    assert!(!completed.next().unwrap().is_successful(), "a failure is an end too");
    scratch.open("b");
    assert_eq!(completed.next().unwrap().get_timeout(DEADLINE).unwrap(), 1);
    scratch.open("a");
    assert_eq!(completed.next().unwrap().get_timeout(DEADLINE).unwrap(), 0);
    assert!(completed.next().is_none());
    assert_eq!(as_completed(Vec::<AsyncResult<u64>>::new()).count(), 0);
}

#[test]
fn as_completed_over_many() {
    let (_dog, pool) = (watchdog(), workers(2));
    let calls: Vec<_> =
        (0..300).map(|x| par_apply_async!(square(x); pool = pool).unwrap()).collect();
    let mut all: Vec<u64> = as_completed(calls).map(|call| call.get().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..300).map(|x| x * x).collect::<Vec<_>>());
}

#[test]
fn they_are_futures_under_tokio() {
    let (_dog, pool) = (watchdog(), workers(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let squares: Vec<_> = (0..50)
            .map(|x| tokio::spawn(par_apply_async!(square(x); pool = pool).unwrap().into_future()))
            .collect();
        for (x, square) in (0..).zip(squares) {
            assert_eq!(square.await.unwrap().unwrap(), x * x);
        }
        assert_eq!(par_map_async!(square, 0..3; pool = pool).unwrap().await.unwrap(), [0, 1, 4]);
        let error = par_apply_async!(odd_panics(1); pool = pool).unwrap().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked);
        let scratch = Scratch::new();
        let slow = par_apply_async!(wait_then(scratch.at("never"), 1); pool = pool).unwrap();
        assert!(tokio::time::timeout(SOON, slow).await.is_err());
        // A future that is dropped leaves its work to itself.
        pool.terminate();
    });
}

/// The smallest executor there is.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut future, mut context) = (pin!(future.into_future()), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(DEADLINE),
        }
    }
}

#[test]
fn they_are_futures_under_any_executor() {
    let (_dog, pool, scratch) = (watchdog(), workers(2), Scratch::new());
    for x in 0..200 {
        assert_eq!(block_on(par_apply_async!(square(x); pool = pool).unwrap()).unwrap(), x * x);
    }
    let late = par_apply_async!(wait_then(scratch.at("gate"), 5); pool = pool).unwrap();
    let opener = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| block_on(late));
        scratch.open("gate");
        waiting.join().unwrap()
    });
    assert_eq!(opener.unwrap(), 5);
}
