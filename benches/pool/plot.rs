//! The main figures as a picture: a panel for each, a bar for each contender, on a scale of powers of ten.

use std::fmt::Write;

use crate::plan::Better;
use crate::run::{LIMIT, OURS, RAYON, Row};
use crate::table::number;

const PANELS: &[(&str, &str, usize, &str)] = &[
    ("W2", "", 2, "no-op map of a million, items/s"),
    ("W2c", "", 2, "chunk size 1, items/s"),
    ("W3", "median", 2, "apply round trip, µs (shorter is better)"),
    ("W4", "", 2, "smallest task of which half is useful, µs (shorter is better)"),
    ("W5i", "warm", 2, "8 MiB inputs, owned, GB/s"),
    ("W5o", "warm", 2, "8 MiB results, GB/s"),
    ("W1", "", 4, "pool of 4 up, used and down, ms (shorter is better)"),
    ("sweep 1024", "", 2, "mpi4py's bench futures, 1 KiB, tasks/s"),
];

const WIDTH: f64 = 420.0;
const NAMES: f64 = 150.0;
const BAR: f64 = 16.0;
const HEAD: f64 = 30.0;

pub fn svg(rows: &[Row]) -> String {
    let panels: Vec<(&str, Vec<&Row>)> = PANELS
        .iter()
        .map(|&(key, figure, workers, title)| {
            let of = |row: &&Row| row.key == key && row.figure == figure && row.workers == workers;
            (title, rows.iter().filter(of).collect::<Vec<_>>())
        })
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    let mut tops = [8.0, 8.0];
    let mut body = String::new();
    for (at, (title, rows)) in panels.iter().enumerate() {
        let left = 8.0 + (at % 2) as f64 * (WIDTH + 16.0);
        let top = &mut tops[at % 2];
        panel(&mut body, title, rows, left, *top);
        *top += HEAD + rows.len() as f64 * (BAR + 4.0) + 14.0;
    }
    let (width, height) = (2.0 * WIDTH + 32.0, tops[0].max(tops[1]));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

fn panel(body: &mut String, title: &str, rows: &[&Row], left: f64, top: f64) {
    let values = || rows.iter().map(|row| row.median().max(1e-9).log10());
    // From the power of ten below the smallest; a bar is never without length.
    let from = values().fold(f64::MAX, f64::min).floor() - 0.15;
    let to = values().fold(f64::MIN, f64::max);
    let scale = (WIDTH - NAMES - 60.0) / (to - from).max(0.1);
    let mut rows = rows.to_vec();
    rows.sort_by(|a, b| match a.better {
        Better::Higher => b.median().total_cmp(&a.median()),
        Better::Lower => a.median().total_cmp(&b.median()),
    });
    let _ = writeln!(
        body,
        "<text x=\"{left}\" y=\"{:.1}\" font-weight=\"bold\">{title}</text>",
        top + 14.0
    );
    for power in from.ceil() as i32..=to.floor() as i32 {
        let x = left + NAMES + (f64::from(power) - from) * scale;
        let (y, end) = (top + HEAD - 8.0, top + HEAD + rows.len() as f64 * (BAR + 4.0));
        let _ = writeln!(body, "<path d=\"M{x:.1} {y:.1}V{end:.1}\" stroke=\"#ddd\"/>");
    }
    for (at, row) in rows.iter().enumerate() {
        let y = top + HEAD + at as f64 * (BAR + 4.0);
        let length = (row.median().max(1e-9).log10() - from) * scale;
        let colour = match row.contender {
            OURS => "#c2410c",
            RAYON | LIMIT => "#9ca3af",
            _ => "#60a5fa",
        };
        let (x, text) = (left + NAMES, y + BAR - 4.0);
        let _ = writeln!(
            body,
            "<text x=\"{:.1}\" y=\"{text:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{text:.1}\">{}</text>",
            x - 6.0,
            row.contender,
            x + length + 4.0,
            number(row.median()),
        );
    }
}
