//! One question to a contender and its answer, each a line of text, so that a contender may be a process of any language.

use std::fmt;
use std::str::FromStr;

/// `KIND key=value ..`. What each kind reads of it stands in `contender::answer`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Job {
    pub kind: String,
    pub workers: usize,
    /// Items.
    pub n: u64,
    /// Items per chunk; 0 is the contender's own choice.
    pub chunk: usize,
    /// Bytes of an item.
    pub bytes: usize,
    /// Time that an item takes, or a pause.
    pub micros: f64,
    /// How often.
    pub reps: usize,
}

/// What was measured, or why nothing was.
pub type Answer = Result<Vec<f64>, String>;

impl Job {
    pub fn new(kind: &str, workers: usize, n: u64) -> Self {
        Self { kind: kind.to_owned(), workers, n, reps: 1, ..Self::default() }
    }

    pub fn chunk(self, chunk: usize) -> Self {
        Self { chunk, ..self }
    }

    pub fn bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    pub fn micros(self, micros: f64) -> Self {
        Self { micros, ..self }
    }

    pub fn reps(self, reps: usize) -> Self {
        Self { reps, ..self }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, workers, n, chunk, bytes, micros, reps } = self;
        write!(f, "{kind} workers={workers} n={n} chunk={chunk} bytes={bytes} ")?;
        write!(f, "micros={micros} reps={reps}")
    }
}

impl FromStr for Job {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let mut job = Self { kind: words.next().unwrap_or_default().to_owned(), ..Self::default() };
        for word in words {
            let (key, value) = word.split_once('=').ok_or("a word without `=`")?;
            let wrong = |_| format!("{word} is not a number");
            let whole = || value.parse::<u64>().map_err(|_| format!("{word} is not a number"));
            match key {
                "workers" => job.workers = whole()? as usize,
                "n" => job.n = whole()?,
                "chunk" => job.chunk = whole()? as usize,
                "bytes" => job.bytes = whole()? as usize,
                "micros" => job.micros = value.parse().map_err(wrong)?,
                "reps" => job.reps = whole()? as usize,
                _ => return Err(format!("{key} is not known")),
            }
        }
        Ok(job)
    }
}

/// A line as an answer.
pub fn parse(line: &str) -> Answer {
    let line = line.trim();
    if let Some(values) = line.strip_prefix("ok") {
        let parse = |word: &str| word.parse().map_err(|_| format!("{word} is not a number"));
        return values.split_whitespace().map(parse).collect();
    }
    Err(line.strip_prefix("skip ").unwrap_or("no answer").to_owned())
}
