//! A contender in a process of its own, which answers line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::shared::job::{self, Answer, Job};

pub struct Lines {
    child: Child,
    questions: ChildStdin,
    answers: Receiver<String>,
    /// Why it is asked nothing more.
    lost: Option<String>,
}

/// Some peers can wait for themselves for ever.
const LONGEST: Duration = Duration::from_secs(120);

impl Lines {
    pub fn start(command: &mut Command) -> std::io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(questions), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        };
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, questions, answers, lost: None })
    }

    pub fn ask(&mut self, job: &Job) -> Answer {
        if let Some(reason) = &self.lost {
            return Err(reason.clone());
        }
        let answer = writeln!(self.questions, "{job}")
            .and_then(|()| self.questions.flush())
            .map_err(|error| error.to_string())
            .and_then(|()| self.answers.recv_timeout(LONGEST).map_err(|error| error.to_string()));
        match answer {
            Ok(line) => job::parse(&line),
            Err(reason) => {
                let _ = self.child.kill();
                let reason = format!("lost at `{job}`: {reason}");
                self.lost = Some(reason.clone());
                Err(reason)
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds the package of peers beside this one, and says where its program is.
///
/// # Errors
/// Why there are no peers.
pub fn build_peers() -> Result<PathBuf, String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/Cargo.toml");
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    // `target/release/deps/..`
    let target = exe.ancestors().nth(3).ok_or("the target directory is unknown")?.join("peers");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    eprintln!("building the peers ({})", manifest.display());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target)
        .stdout(Stdio::null())
        .status()
        .map_err(|error| error.to_string())?;
    if status.success() { Ok(target.join("release/peers")) } else { Err(status.to_string()) }
}

pub fn driver() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/driver.py")
}
