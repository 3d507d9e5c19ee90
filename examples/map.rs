//! Thirty tasks of three seconds in ten processes: nine seconds. The workers run a method, bound to its object.
//!
//! `cargo run --release --example map`

use std::thread::sleep;
use std::time::Duration;

use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct MyProcessPool1 {
    processes: usize,
}

#[pool_task]
impl MyProcessPool1 {
    #[pool_task]
    fn process(&self, i: usize) {
        println!("<{i}>");
        sleep(Duration::from_secs(3));
        println!("</{i}>");
    }

    fn start(&self) -> Result<(), Error> {
        let process_pool = Pool::new(self.processes)?;
        par_map!(self.process, 0..self.processes * 3; pool = process_pool)?;
        process_pool.close();
        process_pool.join()
    }
}

#[elapsed]
fn main() -> Result<(), Error> {
    MyProcessPool1 { processes: 10 }.start()
}
