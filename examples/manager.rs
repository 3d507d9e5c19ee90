//! A dict and a list in a server's process, filled by several workers: the manager of Python's tutorial.
//!
//! `cargo run --release --example manager`

use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[pool_task]
fn visit(pages: Dict<String, u64>, order: List<u64>, visitor: u64) -> Result<(), Error> {
    // Read, changed and written in one step, however many workers do it.
    pages.modify("home".to_owned(), task!(bump(_, 1)))?;
    pages.insert(format!("visitor {visitor}"), visitor * visitor)?;
    order.push(visitor)
}

#[pool_task]
fn bump(old: Option<u64>, by: u64) -> u64 {
    old.unwrap_or(0) + by
}

/// A type of one's own: its methods run in the server.
#[derive(Default, Serialize, Deserialize)]
struct Statistics {
    values: Vec<f64>,
}

#[managed]
impl Statistics {
    pub fn add(&mut self, value: f64) {
        self.values.push(value);
    }

    pub fn mean(&self) -> Option<f64> {
        let count = self.values.len();
        (count > 0).then(|| self.values.iter().sum::<f64>() / count as f64)
    }
}

#[pool_task]
fn measure(statistics: Proxy<Statistics>, value: f64) -> Result<(), Error> {
    statistics.add(value)
}

fn main() -> Result<(), Error> {
    let m = Manager::start()?;
    let (pages, order) = (m.dict::<String, u64>()?, m.list::<u64>()?);
    par_map!(visit(pages.clone(), order.clone(), _), 0..10)?
        .into_iter()
        .collect::<Result<(), _>>()?;
    order.reverse()?;
    println!("home was visited {} times", pages.get("home")?.unwrap_or(0));
    println!("visitor 7 left {:?}", pages.get("visitor 7")?);
    println!("{} visitors, each once", order.len()?);

    let statistics = m.create(Statistics::default())?;
    par_map!(measure(statistics.clone(), _), [1.0, 2.0, 4.5])?
        .into_iter()
        .collect::<Result<(), _>>()?;
    println!("the mean is {:?}", statistics.mean()?);
    Ok(())
}
