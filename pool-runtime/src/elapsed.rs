//! What `#[elapsed]` puts into a function.

use std::time::Instant;

/// Prints how long it lived when it is dropped.
#[derive(Debug)]
pub struct Elapsed {
    name: &'static str,
    start: Instant,
}

impl Elapsed {
    /// Starts the clock.
    #[must_use]
    pub fn start(name: &'static str) -> Self {
        Self { name, start: Instant::now() }
    }
}

impl Drop for Elapsed {
    fn drop(&mut self) {
        // In one piece: workers write to the same place at the same time.
        let line = format!("{}: {:.3} s\n", self.name, self.start.elapsed().as_secs_f64());
        eprint!("{line}");
    }
}
