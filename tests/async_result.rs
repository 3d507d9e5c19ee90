//! Results that are there later: waited for, awaited, called back, cancelled.

mod common;

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use common::{DEADLINE, pool, watchdog};
use pool_runtime::prelude::*;

const LONG: Duration = Duration::from_secs(20);

#[pool_task]
fn square(x: u64) -> u64 {
    x * x
}

#[pool_task]
fn text(x: u64) -> String {
    "x".repeat(x as usize)
}

#[pool_task]
fn fails(x: u64) -> u64 {
    assert!(x > 100, "{x} is too small");
    x
}

/// The smallest executor: a thread that is unparked.
fn block_on<F: IntoFuture>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future.into_future());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

#[test]
fn awaited() -> Result<(), Error> {
    let pool = pool();
    assert_eq!(block_on(par_map_async!(square, 0..3; pool = pool)?)?, [0, 1, 4]);
    let both = async {
        let first = par_apply_async!(square(2); pool = pool)?;
        let second = par_apply_async!(square(3); pool = pool)?;
        Ok::<_, Error>(first.await? + second.await?)
    };
    assert_eq!(block_on(both)?, 13);
    assert_eq!(
        block_on(par_apply_async!(fails(1); pool = pool)?).unwrap_err().kind(),
        ErrorKind::Panicked
    );
    Ok(())
}

#[test]
fn the_value_is_given_once_and_an_error_as_often_as_asked() -> Result<(), Error> {
    let pool = pool();
    let value = par_apply_async!(text(3); pool = pool)?;
    value.wait();
    assert_eq!(value.get_timeout(LONG)?, "xxx");
    assert!(value.is_ready() && value.is_successful());
    assert_eq!(value.get_timeout(LONG).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(value.get().unwrap_err().kind(), ErrorKind::InvalidInput);

    let error = par_map_async!(fails, 0..3; pool = pool)?;
    assert!(error.wait_timeout(LONG) && error.is_ready() && !error.is_successful());
    assert_eq!(error.get_timeout(LONG).unwrap_err().kind(), ErrorKind::Panicked);
    assert!(error.get().unwrap_err().panic_message().unwrap().ends_with("is too small"));
    Ok(())
}

#[test]
fn exactly_one_callback_and_before_the_result_is_seen() -> Result<(), Error> {
    let pool = pool();
    let (done, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = |counter: &Arc<AtomicUsize>| {
        let counter = Arc::clone(counter);
        move || counter.fetch_add(1, Ordering::SeqCst)
    };
    let (d, f) = (count(&done), count(&failed));
    let texts = par_map_async!(text, 1..3; pool = pool, callback = move |texts| {
        assert_eq!(texts, ["x", "xx"]);
        d();
    }, error_callback = move |_| { f(); })?;
    assert_eq!(texts.get()?, ["x", "xx"]);
    assert_eq!((done.load(Ordering::SeqCst), failed.load(Ordering::SeqCst)), (1, 0));

    let (d, f) = (count(&done), count(&failed));
    let error = par_apply_async!(fails(1); pool = pool, callback = move |_| { d(); }, error_callback = move |error| {
        assert_eq!(error.kind(), ErrorKind::Panicked);
        f();
    })?;
    assert!(error.get().is_err());
    assert_eq!((done.load(Ordering::SeqCst), failed.load(Ordering::SeqCst)), (1, 1));
    Ok(())
}

#[test]
fn a_callback_that_panics_harms_nobody() -> Result<(), Error> {
    let pool = pool();
    let value = par_apply_async!(square(3); pool = pool, callback = |_| panic!("on purpose"))?;
    assert_eq!(value.get()?, 9);
    assert_eq!(par_apply!(square(2); pool = pool)?, 4);
    Ok(())
}

#[test]
fn an_input_that_panics_is_the_error_of_its_item() -> Result<(), Error> {
    let pool = pool();
    let items = (0..10).map(|x| if x == 3 { panic!("no more") } else { x });
    let error = par_map_async!(square, items; pool = pool)?.get().unwrap_err();
    assert_eq!((error.kind(), error.panic_message()), (ErrorKind::Panicked, Some("no more")));
    Ok(())
}

#[test]
fn results_are_kept_though_nobody_waits() -> Result<(), Error> {
    let pool = pool();
    let (tell, told) = mpsc::channel();
    drop(par_map_async!(square, 0..3; pool = pool, callback = move |all| tell.send(all).unwrap())?);
    assert_eq!(told.recv_timeout(LONG), Ok(vec![0, 1, 4]));
    Ok(())
}

#[test]
fn waiting_for_one_of_several() -> Result<(), Error> {
    let pool = pool();
    let calls =
        [par_apply_async!(square(1); pool = pool)?, par_apply_async!(square(2); pool = pool)?];
    assert!(calls[wait_any(&calls)?].is_ready());
    let text = par_apply_async!(text(2); pool = pool)?;
    let mixed: [&dyn pool_runtime::Waitable; 3] = [&calls[0], &text, &calls[0]];
    assert!(wait_any(&mixed)? < 3);
    assert_eq!(as_completed([&calls[0], &calls[1], &calls[0]]).count(), 2);
    assert_eq!(as_completed(mixed).count(), 2);
    let mut squares: Vec<u64> =
        as_completed(calls).map(|call| call.get()).collect::<Result<_, _>>()?;
    squares.sort_unstable();
    assert_eq!(squares, [1, 4]);
    assert_eq!(wait_any::<AsyncResult<u64>>(&[]).unwrap_err().kind(), ErrorKind::InvalidInput);
    Ok(())
}

#[test]
fn items_of_an_asynchronous_map_need_not_be_send() -> Result<(), Error> {
    #[pool_task]
    fn length(x: &[u8]) -> usize {
        x.len()
    }
    struct Here(std::rc::Rc<Vec<u8>>);
    impl AsRef<[u8]> for Here {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let pool = pool();
    let items = (0..200_u32).map(|n| Here(std::rc::Rc::new(vec![1; n as usize * 1000])));
    let lengths = par_map_async!(length, items; pool = pool)?.get()?;
    assert!(lengths.iter().enumerate().all(|(n, len)| *len == n * 1000));
    Ok(())
}

/// Reading it takes a call of the same pool.
#[derive(Debug, PartialEq, serde::Serialize)]
struct Squared(u64);

impl<'de> serde::Deserialize<'de> for Squared {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let x = u64::deserialize(from)?;
        let squared = par_apply_async!(square(x)).and_then(AsyncResult::get);
        squared.map(Self).map_err(serde::de::Error::custom)
    }
}

#[pool_task]
fn to_be_squared(x: u64) -> Squared {
    Squared(x)
}

#[test]
fn reading_a_result_may_wait_for_other_calls() {
    let _dog = watchdog();
    let calls: Vec<_> =
        (0..20).map(|x| par_apply_async!(to_be_squared(x)).expect("a call")).collect();
    // It is there before anybody has read it.
    assert!(calls[0].wait_timeout(DEADLINE) && calls[0].is_successful());
    for (x, call) in (0..).zip(calls) {
        assert_eq!(call.get().expect("a value"), Squared(x * x));
    }
    let (give, take) = mpsc::channel();
    let callback = move |squared: Squared| give.send(squared);
    let called = par_apply_async!(to_be_squared(9); callback = callback).expect("a call");
    assert!(called.wait_timeout(DEADLINE));
    assert_eq!(take.recv().expect("a call of the callback"), Squared(81));
}

#[pool_task]
fn counted(x: u64) -> Value<u64> {
    Value::new(x).expect("a value")
}

/// Two lines of a conversation, and the end where it goes on.
#[pool_task]
fn far_end(x: u64) -> Connection<u64> {
    let (here, there) = pipe().expect("a pipe");
    here.send(x).expect("somebody who listens");
    there
}

#[test]
fn what_results_take_along_is_there_when_they_are_read() {
    let _dog = watchdog();
    let (mine, here) = (Pool::new(2).expect("a pool"), Pool::builder().in_process());
    for pool in [mine, here.build().expect("a pool")] {
        for _ in 0..5 {
            let values: Vec<_> = (0..100)
                .map(|x| par_apply_async!(counted(x); pool = &pool).expect("a call"))
                .collect();
            let ends: Vec<_> = (0..20)
                .map(|x| par_apply_async!(far_end(x); pool = &pool).expect("a call"))
                .collect();
            // Both jobs and workers are done with them before they are read.
            par_map!(square, 0..1000; pool = &pool).expect("values");
            for (x, value) in (0..).zip(values) {
                assert_eq!(*value.get().expect("a value").lock().expect("its lock"), x);
            }
            for (x, end) in (0..).zip(ends) {
                assert_eq!(end.get().expect("an end").recv().expect("a message"), x);
            }
        }
    }
}
