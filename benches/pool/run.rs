//! Asks each contender in turn: workload, repeat, contender. So what disturbs the machine for a while disturbs all alike, and each
//! ratio is of figures from one run.

use std::process::Command;

use crate::bare;
use crate::lines::{self, Lines};
use crate::metg;
use crate::options::Options;
use crate::ours::Ours;
use crate::plan::{Better, Figure, Workload};
use crate::shared::contender::answer;
use crate::shared::job::{Answer, Job};

pub const OURS: &str = "this library";
pub const RAYON: &str = "rayon (threads)";
pub const LIMIT: &str = "the machine";
pub const PYTHON: &str = "multiprocessing.Pool";

pub struct Contender {
    pub name: &'static str,
    /// It gets fewer items where that matters.
    slow: bool,
    way: Way,
}

enum Way {
    Here(fn(&Job) -> Answer),
    Process(Lines),
}

impl Contender {
    fn ask(&mut self, job: &Job) -> Answer {
        match &mut self.way {
            Way::Here(answer) => answer(job),
            Way::Process(lines) => lines.ask(job),
        }
    }
}

/// One contender's samples of one figure.
#[derive(Clone, Debug)]
pub struct Row {
    pub key: String,
    pub workers: usize,
    pub figure: &'static str,
    pub unit: &'static str,
    pub better: Better,
    pub contender: &'static str,
    pub values: Vec<f64>,
}

impl Row {
    pub fn median(&self) -> f64 {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// How many times better than `other`.
    pub fn against(&self, other: &Self) -> f64 {
        match self.better {
            Better::Higher => self.median() / other.median(),
            Better::Lower => other.median() / self.median(),
        }
    }
}

/// Those that can be had here; of the others, why not.
pub fn contenders(options: &Options) -> Vec<Contender> {
    let here = |name, answer| Contender { name, slow: false, way: Way::Here(answer) };
    let mut found = vec![here(OURS, answer::<Ours>), here(LIMIT, bare::answer)];
    let wanted = |name: &str| {
        options.only.is_empty() || options.only.iter().any(|only| name.starts_with(&**only))
    };
    let mut add = |name, slow, command: &mut Command| match Lines::start(command) {
        Ok(lines) => found.push(Contender { name, slow, way: Way::Process(lines) }),
        Err(error) => eprintln!("{name} is left out: {error}"),
    };
    let rust = [
        (RAYON, "rayon", false),
        ("procspawn", "procspawn", true),
        ("ipc-channel", "ipc-channel", true),
    ];
    let rust: Vec<_> = rust.into_iter().filter(|(name, ..)| wanted(name)).collect();
    if !rust.is_empty() {
        match lines::build_peers() {
            Ok(program) => rust
                .into_iter()
                .for_each(|(name, which, slow)| add(name, slow, Command::new(&program).arg(which))),
            Err(reason) => eprintln!("the Rust peers are left out: {reason}"),
        }
    }
    let python = [
        (PYTHON, "multiprocessing", None),
        ("ProcessPoolExecutor", "executor", None),
        ("mpire", "mpire", Some("mpire")),
        ("loky", "loky", Some("loky")),
        ("joblib", "joblib", Some("joblib")),
    ];
    for (name, which, module) in python.into_iter().filter(|(name, ..)| wanted(name)) {
        if module.is_none_or(importable) {
            add(name, true, Command::new("python3").arg(lines::driver()).arg(which));
        } else {
            eprintln!("{name} is left out: it cannot be imported");
        }
    }
    found
}

fn importable(module: &str) -> bool {
    let mut python = Command::new("python3");
    let output = python.args(["-c", &format!("import {module}")]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Runs one workload and gives its rows, figure by figure.
pub fn run(workload: &Workload, contenders: &mut [Contender], repeats: usize) -> Vec<Row> {
    let mut answers: Vec<Vec<(Job, Vec<f64>)>> = vec![Vec::new(); contenders.len()];
    let mut silent: Vec<Option<String>> = vec![None; contenders.len()];
    for _ in 0..repeats.min(workload.most) {
        for (at, contender) in contenders.iter_mut().enumerate() {
            if silent[at].is_some() {
                continue;
            }
            let mut job = workload.job.clone();
            if contender.slow && workload.slow_n > 0 {
                job.n = workload.slow_n;
            }
            let answer = match &*job.kind {
                "metg" => metg::find(&job, |job| contender.ask(job)),
                _ => contender.ask(&job),
            };
            match answer {
                Ok(values) => answers[at].push((job, values)),
                Err(reason) => silent[at] = Some(reason),
            }
        }
    }
    for (contender, reason) in contenders.iter().zip(silent) {
        if let Some(reason) = reason.filter(|_| contender.name != LIMIT) {
            eprintln!("{}: {} gives no figure: {reason}", workload.key, contender.name);
        }
    }
    let row = |figure: &Figure, at: usize| Row {
        key: workload.key.clone(),
        workers: workload.job.workers,
        figure: figure.name,
        unit: figure.unit,
        better: figure.better,
        contender: contenders[at].name,
        values: answers[at].iter().flat_map(|(job, values)| (figure.of)(job, values)).collect(),
    };
    let pairs = workload
        .figures
        .iter()
        .flat_map(|figure| (0..contenders.len()).map(move |at| (figure, at)));
    pairs.map(|(figure, at)| row(figure, at)).filter(|row| !row.values.is_empty()).collect()
}
