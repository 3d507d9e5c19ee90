//! As `map`, but each item is a tuple, which becomes the arguments: thirty tasks of three seconds, nine seconds in all.
//!
//! `cargo run --release --example starmap`

use std::thread::sleep;
use std::time::Duration;

use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct MyProcessPool2 {
    processes: usize,
}

#[pool_task]
impl MyProcessPool2 {
    #[pool_task]
    fn process(&self, i: usize, j: usize) {
        println!("<{i},{j}>");
        sleep(Duration::from_secs(3));
        println!("</{i},{j}>");
    }

    fn start(&self) -> Result<(), Error> {
        let n = self.processes * 3;
        let process_pool = Pool::new(self.processes)?;
        par_starmap!(self.process, (0..n).zip((0..n).map(|i| i.pow(2))); pool = process_pool)?;
        process_pool.close();
        process_pool.join()
    }
}

#[elapsed]
fn main() -> Result<(), Error> {
    MyProcessPool2 { processes: 10 }.start()
}
