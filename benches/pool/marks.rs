//! What the library has set itself to reach, and whether it did in this run.

use crate::run::{LIMIT, OURS, PYTHON, RAYON, Row};
use crate::table::number;

enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

use Wanted::{AtLeast, AtMost};

struct Mark {
    what: &'static str,
    key: &'static str,
    workers: usize,
    figure: &'static str,
    /// The figure is divided by this contender's.
    by: Option<&'static str>,
    wanted: Wanted,
}

const fn mark(
    what: &'static str,
    (key, workers, figure): (&'static str, usize, &'static str),
    by: Option<&'static str>,
    wanted: Wanted,
) -> Mark {
    Mark { what, key, workers, figure, by, wanted }
}

const MARKS: &[Mark] = &[
    mark(
        "pool of 4 up, used and down, by four bare spawns",
        ("W1", 4, ""),
        Some(LIMIT),
        AtMost(1.5),
    ),
    mark("no-op map of a million, by rayon", ("W2", 2, ""), Some(RAYON), AtLeast(0.5)),
    mark("chunk size 1, by rayon", ("W2c", 2, ""), Some(RAYON), AtLeast(0.3)),
    mark("chunk size 1, by multiprocessing.Pool", ("W2c", 2, ""), Some(PYTHON), AtLeast(100.0)),
    mark("apply while spinning, µs", ("W3", 2, "median"), None, AtMost(3.0)),
    mark(
        "apply when asleep, by a socket's round trip",
        ("W3s", 2, "median"),
        Some(LIMIT),
        AtMost(1.0),
    ),
    mark("METG(50 %) at chunk size 1, µs", ("W4", 2, ""), None, AtMost(0.5)),
    mark("8 MiB inputs, borrowed, by memcpy", ("W5b", 2, "warm"), Some(LIMIT), AtLeast(0.6)),
    mark("8 MiB inputs, borrowed, first pass, GB/s", ("W5b", 2, "first pass"), None, AtLeast(5.0)),
    mark("8 MiB results, by rayon", ("W5o", 2, "warm"), Some(RAYON), AtLeast(0.8)),
    mark("uneven load, by the ideal", ("W6", 2, ""), None, AtMost(1.04)),
    mark(
        "30 sleeps with the start, by the ideal",
        ("W7", 10, "with the start"),
        None,
        AtMost(1.01),
    ),
    mark("CPU time of an idle pool, ms per second", ("idle", 4, ""), None, AtMost(0.0)),
];

/// The table of those marks of which there are figures.
pub fn print(rows: &[Row]) {
    let measured: Vec<(&Mark, f64)> =
        MARKS.iter().filter_map(|mark| Some((mark, mark.measured(rows)?))).collect();
    if measured.is_empty() {
        return;
    }
    println!("\n**Marks**\n\n| | mark | measured | |\n|---|---|---|---|");
    for (mark, value) in measured {
        let (sign, limit, met) = match mark.wanted {
            AtLeast(limit) => ("≥", limit, value >= limit),
            AtMost(limit) => ("≤", limit, value <= limit),
        };
        let met = if met { "met" } else { "**missed**" };
        println!("| {} | {sign} {limit} | {} | {met} |", mark.what, number(value));
    }
}

impl Mark {
    fn measured(&self, rows: &[Row]) -> Option<f64> {
        let of = |contender| {
            let this = |row: &&Row| {
                (&*row.key, row.workers, row.figure, row.contender)
                    == (self.key, self.workers, self.figure, contender)
            };
            rows.iter().find(this).map(Row::median)
        };
        let ours = of(OURS)?;
        Some(match self.by {
            Some(other) => ours / of(other)?,
            None => ours,
        })
    }
}
