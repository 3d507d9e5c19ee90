//! The smallest task at which half of the workers' time is useful work (Task Bench's METG, at 50 %), for independent tasks.

use crate::shared::contender::cores;
use crate::shared::job::{Answer, Job};

/// Shorter tasks than this are a few instructions.
const FLOOR: f64 = 0.0076;
const LONGEST: f64 = 4096.0;
/// About so much work in one map.
const SECONDS: f64 = 0.05;

/// Efficiencies from long tasks to short ones until one is below a half; then between the last two, halving twice. The answer is
/// the granularity: the length of a task of which half the time is lost takes two of them.
pub fn find(job: &Job, mut ask: impl FnMut(&Job) -> Answer) -> Answer {
    let mut efficiency = |micros: f64| -> Result<f64, String> {
        let fitting = SECONDS * 1e6 * cores(job.workers) / micros;
        let n = fitting.clamp(100.0, job.n as f64) as u64;
        let job = Job { kind: "grain".to_owned(), n, micros, reps: 3, ..job.clone() };
        let mut found = ask(&job)?;
        found.sort_by(f64::total_cmp);
        Ok(found.get(found.len() / 2).copied().unwrap_or(0.0))
    };
    let (mut long, mut short) = ((LONGEST, 1.0), (LONGEST, 1.0));
    while short.1 >= 0.5 {
        if short.0 <= FLOOR {
            return Ok(vec![FLOOR]);
        }
        long = short;
        short.0 = (long.0 / 4.0).max(FLOOR);
        short.1 = efficiency(short.0)?;
    }
    for _ in 0..2 {
        let micros = (long.0 * short.0).sqrt();
        let between = (micros, efficiency(micros)?);
        if between.1 >= 0.5 { long = between } else { short = between }
    }
    let share = ((0.5 - short.1) / (long.1 - short.1)).clamp(0.0, 1.0);
    Ok(vec![(short.0.ln() + share * (long.0 / short.0).ln()).exp()])
}
