//! The pool against its peers: `cargo bench --bench pool`. See `options.rs` for what can be asked for.

mod bare;
mod growth;
mod json;
mod lines;
mod marks;
mod metg;
mod options;
mod ours;
mod plan;
mod plot;
mod run;
mod shared;
mod table;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(bare::NOTHING) => return ExitCode::SUCCESS,
        Some(bare::ECHO) => {
            bare::echo();
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    match Options::parse(std::env::args().skip(1)).and_then(|options| measure(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), String> {
    let mut rows = Vec::new();
    let plan = plan::plan(options);
    if !plan.is_empty() {
        let mut contenders = run::contenders(options);
        println!(
            "Ratios above 1 are better, below 1 worse. Each table is one run, contenders in turn."
        );
        for workload in &plan {
            let found = run::run(workload, &mut contenders, options.repeats);
            table::print(workload, &found);
            rows.extend(found);
        }
    }
    if options.wants("growth") {
        rows.extend(growth::run(options));
    }
    marks::print(&rows);
    if let Some(path) = &options.json {
        write(path, &json::text(&rows))?;
    }
    if let Some(path) = &options.svg {
        write(path, &plot::svg(&rows))?;
    }
    Ok(())
}

fn write(path: &std::path::Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
