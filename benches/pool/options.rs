//! The command line.

use std::path::PathBuf;

pub const USAGE: &str = "\
cargo bench --bench pool -- [WORKLOAD ..] [OPTIONS]

WORKLOAD       W1 to W7, idle, sweep, published, growth; all of them by default
--quick        two workers, three repeats, small sizes (the default; about three minutes)
--full         2, 4 and 10 workers, five repeats, the sizes of the definitions (about half an hour)
--repeats N    how often each contender is measured
--only NAME    this contender and the limits alone; may be given several times
--json FILE    all samples
--svg FILE     a plot of the main ones";

#[derive(Debug)]
pub struct Options {
    pub names: Vec<String>,
    pub only: Vec<String>,
    pub full: bool,
    pub repeats: usize,
    pub json: Option<PathBuf>,
    pub svg: Option<PathBuf>,
}

impl Options {
    /// # Errors
    /// What cannot be understood.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options =
            Self { names: vec![], only: vec![], full: false, repeats: 0, json: None, svg: None };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
            match &*argument {
                // What cargo itself adds.
                "--bench" | "--test" => {}
                "--quick" => options.full = false,
                "--full" => options.full = true,
                "--repeats" => {
                    options.repeats = value()?.parse().map_err(|_| "--repeats wants a number")?;
                }
                "--only" => options.only.push(value()?),
                "--json" => options.json = Some(value()?.into()),
                "--svg" => options.svg = Some(value()?.into()),
                name if !name.starts_with('-') => options.names.push(name.to_owned()),
                _ => return Err(format!("{argument} is not known\n\n{USAGE}")),
            }
        }
        if options.repeats == 0 {
            options.repeats = if options.full { 5 } else { 3 };
        }
        Ok(options)
    }

    /// Whether this workload is to be run.
    pub fn wants(&self, id: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| name.eq_ignore_ascii_case(id))
    }
}
