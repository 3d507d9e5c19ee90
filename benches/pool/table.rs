//! Tables, as they can be put into a document.

use crate::plan::Workload;
use crate::run::{LIMIT, OURS, RAYON, Row};

/// One table for each figure of a workload.
pub fn print(workload: &Workload, rows: &[Row]) {
    for figure in &workload.figures {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.figure == figure.name).collect();
        if rows.is_empty() {
            continue;
        }
        let part =
            if figure.name.is_empty() { String::new() } else { format!(", {}", figure.name) };
        let sense = match figure.better {
            crate::plan::Better::Higher => "higher is better",
            crate::plan::Better::Lower => "lower is better",
        };
        let Workload { key, title, job, .. } = workload;
        println!(
            "\n**{key}: {title}{part}** ({} workers, {}, {sense})\n",
            job.workers, figure.unit
        );
        println!("| | median | range | by rayon | by the best pool |\n|---|---|---|---|---|");
        lines(rows);
    }
}

fn lines(mut rows: Vec<&Row>) {
    rows.sort_by(|a, b| match a.better {
        crate::plan::Better::Higher => b.median().total_cmp(&a.median()),
        crate::plan::Better::Lower => a.median().total_cmp(&b.median()),
    });
    let rayon = rows.iter().find(|row| row.contender == RAYON);
    let best = best_peer(&rows);
    for row in &rows {
        let by = |other: Option<&&Row>| {
            other.map_or("–".to_owned(), |other| number(row.against(other)))
        };
        let (least, most) =
            row.values.iter().fold((f64::MAX, f64::MIN), |(least, most), &value| {
                (least.min(value), most.max(value))
            });
        println!(
            "| {} | {} | {} – {} | {} | {} |",
            row.contender,
            number(row.median()),
            number(least),
            number(most),
            by(rayon),
            by(best.as_ref()),
        );
    }
}

/// The best pool of processes but this one.
pub fn best_peer<'a>(rows: &[&'a Row]) -> Option<&'a Row> {
    rows.iter()
        .filter(|row| ![OURS, RAYON, LIMIT].contains(&row.contender))
        .copied()
        .reduce(|best, row| if row.against(best) > 1.0 { row } else { best })
}

/// Three digits that matter.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => "–".to_owned(),
        0.0 => "0".to_owned(),
        size if size >= 1e4 => format!("{value:.2e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.01 => format!("{value:.3}"),
        _ => format!("{value:.2e}"),
    }
}
