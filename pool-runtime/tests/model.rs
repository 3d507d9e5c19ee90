//! The algorithms of the board under a scheduler that switches threads at any step, and with deaths at any step.
//!
//! The files of the board are compiled here over atomics of which every operation is such a step.
#![allow(dead_code, unreachable_pub, reason = "the model uses a part of the board")]

mod sys {
    //! What the board knows of the system: here, sleepers that nothing wakes but a wake-up. No limit passes.
    pub(crate) mod futex {
        use std::cell::RefCell;
        use std::collections::VecDeque;
        use std::time::Duration;

        use crate::board::atomic::AtomicU32;

        shuttle::lazy_static! {
            static ref SLEEPERS: shuttle::sync::Mutex<RefCell<VecDeque<(usize, shuttle::thread::Thread)>>> =
                shuttle::sync::Mutex::new(RefCell::new(VecDeque::new()));
        }

        fn place(word: &AtomicU32) -> usize {
            std::ptr::from_ref(word).addr()
        }

        pub(crate) fn wait(word: &AtomicU32, value: u32, _limit: Option<Duration>) {
            let sleepers = SLEEPERS.lock().expect("the lock");
            if word.look() != value {
                return;
            }
            sleepers.borrow_mut().push_back((place(word), shuttle::thread::current()));
            drop(sleepers);
            shuttle::thread::park();
        }

        pub(crate) fn wake(word: &AtomicU32, count: u32) -> usize {
            let sleepers = SLEEPERS.lock().expect("the lock");
            let mut sleepers = sleepers.borrow_mut();
            let mut woken = 0;
            while woken < count as usize
                && let Some(index) = sleepers.iter().position(|(at, _)| *at == place(word))
            {
                sleepers.remove(index).expect("a sleeper").1.unpark();
                woken += 1;
            }
            woken
        }
    }
}

#[path = "model/board.rs"]
mod board;
#[path = "model/claims.rs"]
mod claims;
#[path = "model/sleepers.rs"]
mod sleepers;
