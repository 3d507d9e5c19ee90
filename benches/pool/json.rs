//! All samples, for whoever wants to look closer.

use serde_json::{Value, json};

use crate::run::Row;

pub fn text(rows: &[Row]) -> String {
    let row = |row: &Row| {
        json!({
            "workload": row.key,
            "workers": row.workers,
            "figure": row.figure,
            "unit": row.unit,
            "contender": row.contender,
            "values": row.values,
        })
    };
    let all: Value = rows.iter().map(row).collect();
    format!("{all:#}\n")
}
