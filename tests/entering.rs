//! A worker never reaches `main`, in whatever kind of executable: binaries, examples, tests, benchmarks, doc-tests; debug, release
//! and fat LTO; and when the file it was started from is gone.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::{DEADLINE, is_alive, run, text, watchdog_of};

/// The crate `tests/programs`, copied beside the build and made to name the runtime by its path.
fn programs() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
        for folder in ["", "src", "examples", "tests", "benches"] {
            std::fs::create_dir_all(copy.join(folder)).unwrap();
            for entry in std::fs::read_dir(root.join("tests/programs").join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let runtime = root.join("pool-runtime").display().to_string();
                    let place = copy.join(folder).join(path.file_name().unwrap());
                    write_if_new(&place, &text.replace("POOL_RUNTIME", &runtime));
                }
            }
        }
        let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap();
        if !copy.join("Cargo.lock").exists() {
            std::fs::write(copy.join("Cargo.lock"), lock).unwrap();
        }
        copy
    })
}

/// Leaves a file alone that is right, so that nothing is built again.
fn write_if_new(path: &Path, text: &str) {
    if std::fs::read_to_string(path).ok().as_deref() != Some(text) {
        std::fs::write(path, text).unwrap();
    }
}

#[track_caller]
fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).arg("--offline").current_dir(programs());
    command.env("CARGO_TARGET_DIR", programs().join("target"));
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTDOCFLAGS", "NEXTEST"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    let all = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {all}");
    all
}

/// Builds are slow where nothing is built yet.
fn dog() -> common::Watchdog {
    watchdog_of(DEADLINE * 40)
}

#[track_caller]
fn fine(path: &Path, arguments: &[&str]) -> String {
    let out = common::run_well(Command::new(path).args(arguments));
    assert!(out.contains("fine"), "{out}");
    assert!(out.matches("main was reached").count() <= 1, "{out}");
    out
}

fn built(profile: &str, name: &str) -> PathBuf {
    programs().join("target").join(profile).join(name)
}

/// One after the other: cargo would make them wait for each other anyway, under several watchdogs.
#[test]
fn every_kind_of_executable() {
    let _dog = dog();
    cargo(&["build", "--bins", "--examples"]);
    fine(&built("debug", "programs"), &[]);
    fine(&built("debug", "examples/example"), &[]);
    never_more_than_its_workers();
    a_file_that_goes_away();
    a_name_given_twice();
    a_task_that_is_not_linked();
    let tests = cargo(&["test"]);
    for name in ["in_a_unit_test", "in_an_integration_test", "src/lib.rs - (line 3)"] {
        assert!(tests.contains(name), "{name}: {tests}");
    }
    assert!(cargo(&["bench", "--profile", "dev"]).contains("fine"));
    if Command::new(env!("CARGO")).args(["nextest", "--version"]).output().unwrap().status.success()
    {
        assert!(cargo(&["nextest", "run"]).contains("3 passed"));
    } else {
        println!("skipped: there is no cargo-nextest here");
    }
    a_panic_that_aborts();
    cargo(&["build", "--release", "--bins"]);
    fine(&built("release", "programs"), &[]);
    cargo(&["build", "--profile", "fat", "--bins"]);
    fine(&built("fat", "programs"), &[]);
}

fn a_panic_that_aborts() {
    cargo(&["build", "--profile", "abort", "--example", "aborts"]);
    let output = Command::new(built("abort", "examples/aborts")).output().unwrap();
    assert!(text(&output.stdout).contains("fine"), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("one is too much"), "{}", text(&output.stderr));
}

fn never_more_than_its_workers() {
    let out = fine(&built("debug", "programs"), &["family"]);
    // Itself and its three workers; those of `check` are gone.
    assert!(out.contains("family 4\n"), "{out}");
}

fn a_file_that_goes_away() {
    let copy = built("debug", "programs-replaced");
    std::fs::copy(built("debug", "programs"), &copy).unwrap();
    fine(&copy, &["replaced"]);
    let _ = std::fs::remove_file(copy);
}

fn a_name_given_twice() {
    let out = common::run_well(&mut Command::new(built("debug", "examples/duplicate")));
    assert!(out.starts_with("Duplicate: "), "{out}");
    assert!(out.contains("the.same") && out.matches("duplicate.rs:").count() == 2, "{out}");
    assert_eq!(out.matches("Duplicate").count(), 3, "{out}");
}

fn a_task_that_is_not_linked() {
    let mut command = Command::new(built("debug", "examples/unlinked"));
    let out = common::run_well(command.arg(built("debug", "examples/example")));
    assert!(out.starts_with("UnknownTask: ") && out.contains("use the_crate as _;"), "{out}");
    assert!(out.contains("unlinked::unheard_of"), "{out}");
}

/// A marked process that nobody started must not run the program.
#[test]
fn a_stray_marker_reaches_no_main() {
    let _dog = dog();
    let mut command = common::program("a_stray_marker_reaches_no_main");
    command.env("POOL_RUNTIME_CHILD", format!("{}:0", std::process::id()));
    let output = run(&mut command);
    assert!(!output.status.success());
    assert_eq!(text(&output.stdout), "", "it ran");
    assert!(is_alive(std::process::id()));
}
