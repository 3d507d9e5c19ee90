use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Counter(u64);

fn main() -> Result<(), Error> {
    let m = Manager::start()?;
    m.create(Counter(1))?;
    Ok(())
}
