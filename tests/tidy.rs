//! What the compiler does not check: sizes of files, where `unsafe` may be, and what a library must not do.

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a directory of the repository, with their text.
fn files(directory: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a file");
                found.push((path.strip_prefix(root()).expect("below").to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "{directory}");
    found.sort();
    found
}

fn library() -> Vec<(PathBuf, String)> {
    let mut all = files("pool-runtime/src");
    all.extend(files("pool-macros/src"));
    all
}

/// Fails with every line of `complaints`.
#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The files of ARCHITECTURE.md's first invariant.
const UNSAFE: [&str; 12] = [
    "board/mod.rs",
    "board/input.rs",
    "board/outbox.rs",
    "codec/bulk.rs",
    "shared/array.rs",
    "shared/buffer.rs",
    "shared/named.rs",
    "shared/part.rs",
    "shared/raw.rs",
    "shared/value.rs",
    "payload.rs",
    "placed.rs",
];
const UNSAFE_ENTRIES: [&str; 2] = ["child.rs", "worker.rs"];

#[test]
fn unsafe_code_is_where_the_architecture_says() {
    let allowed = |path: &Path| {
        let path = path.strip_prefix("pool-runtime/src").unwrap_or(path);
        path.starts_with("sys")
            || path.starts_with("shm")
            || UNSAFE.iter().chain(&UNSAFE_ENTRIES).any(|file| path == Path::new(file))
    };
    let opens = |text: &str| text.contains("expect(unsafe_code, reason");
    none(
        library()
            .into_iter()
            .filter(|(path, text)| {
                let test = path.ends_with("tests.rs") || path.ends_with("model.rs");
                opens(text) && !allowed(path) && !test
            })
            .map(|(path, _)| {
                format!("{}: unsafe code where ARCHITECTURE.md has none", path.display())
            })
            .collect(),
    );
}

/// To be split. A name leaves this list when its file does; none is added.
const TOO_LONG: [&str; 5] = [
    "tests/connection.rs",
    "tests/contract.rs",
    "tests/grammar.rs",
    "tests/manager.rs",
    "tests/process.rs",
];

#[test]
fn no_file_is_too_long() {
    let mut all = library();
    all.extend(files("tests"));
    all.extend(files("examples"));
    none(
        all.into_iter()
            .filter(|(path, _)| !TOO_LONG.iter().any(|file| path.ends_with(file)))
            .map(|(path, text)| (path, text.lines().count()))
            .filter(|&(_, lines)| lines > 400)
            .map(|(path, lines)| format!("{}: {lines} lines, and 400 are the most", path.display()))
            .collect(),
    );
}

#[test]
fn the_library_prints_nothing_and_leaves_nothing_undone() {
    let words =
        ["println!(", "print!(", "dbg!(", "todo!(", "unimplemented!(", "TODO", "FIXME", "XXX"];
    let mut complaints = Vec::new();
    let is_test = |path: &Path| path.ends_with("tests.rs") || path.ends_with("model.rs");
    for (path, text) in library().into_iter().filter(|(path, _)| !is_test(path)) {
        for (number, line) in text.lines().enumerate() {
            let code = line.trim_start();
            let comment = code.starts_with("//!") || code.starts_with("///");
            let to_stderr = code.replace("eprintln!(", "").replace("eprint!(", "");
            if !comment && words.iter().any(|word| to_stderr.contains(word)) {
                complaints.push(format!("{}:{}: {code}", path.display(), number + 1));
            }
        }
    }
    none(complaints);
}

#[test]
fn every_file_says_what_it_is() {
    let mut all = library();
    all.extend(files("examples"));
    none(
        all.into_iter()
            .filter(|(_, text)| !text.starts_with("//!"))
            .map(|(path, _)| format!("{}: does not begin with `//!`", path.display()))
            .collect(),
    );
}

#[test]
fn examples_are_short_and_say_how_to_run_them() {
    let mut complaints = Vec::new();
    for (path, text) in files("examples") {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if !text.contains(&format!("cargo run --release --example {name}")) {
            complaints.push(format!("{}: does not say how to run it", path.display()));
        }
        if text.lines().count() > 130 {
            complaints.push(format!("{}: longer than 130 lines", path.display()));
        }
    }
    none(complaints);
}

#[test]
fn no_test_is_ignored() {
    let ignore = concat!("#[ign", "ore");
    none(
        files("tests")
            .into_iter()
            .filter(|(_, text)| text.contains(ignore))
            .map(|(path, _)| format!("{}: has an ignored test", path.display()))
            .collect(),
    );
}

/// The tables beside CPython's tests, with their text.
fn conformance() -> Vec<(String, String)> {
    let within = std::fs::read_dir(root().join("tests/conformance")).expect("a directory");
    let names = within.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| format!("tests/conformance/{}", name.to_string_lossy()));
    let read = |name: &str| std::fs::read_to_string(root().join(name)).expect("a file");
    let all = names.chain(["tests/CONFORMANCE.md".to_owned()]);
    all.map(|name| (name.clone(), read(&name))).collect()
}

/// The text of what a table calls `sync`, `sync.rs` or, in the library, `net/handshake.rs` and `sys::cpus::tests`.
fn text_of(name: &str) -> Option<String> {
    let path = name.trim_end_matches(".rs").replace("::", "/");
    let path = path.trim_end_matches("/tests");
    let mut found = String::new();
    for start in ["tests", "pool-runtime/src", "pool-runtime/tests"] {
        for end in [".rs", "/mod.rs", "/tests.rs"] {
            let file = root().join(format!("{start}/{path}{end}"));
            found += &std::fs::read_to_string(file).unwrap_or_default();
        }
    }
    (!found.is_empty()).then_some(found)
}

fn has_test(file: &str, test: &str) -> bool {
    let text = text_of(file).unwrap_or_default();
    let before = text.split_once(&format!("fn {test}(")).map_or("", |(before, _)| before);
    before.rsplit("\n\n").next().is_some_and(|near| near.contains("#[test]"))
}

/// What a cell names, with the file that it is in: `file::test`, file.rs `test`, more tests of the same file behind a comma, and
/// whole files where the last cell of a row begins.
fn named(cell: &str, last: bool) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    let (mut between, mut file) = ("", None::<String>);
    for (place, part) in cell.split('`').enumerate() {
        if place % 2 == 0 {
            between = part;
            continue;
        }
        let word = between.trim_end().rsplit(' ').next().unwrap_or_default();
        let is_name = part.bytes().all(|x| matches!(x, b'a'..=b'z' | b'0'..=b'9' | b'_' | b':'));
        let goes_on = matches!(between, ", " | " ");
        file = if part.ends_with(".rs") {
            Some(part.to_owned())
        } else if !is_name {
            None
        } else if let Some((file, test)) = part.rsplit_once("::") {
            found.push((file.to_owned(), test));
            Some(file.to_owned())
        } else if word.ends_with(".rs") {
            found.push((word.to_owned(), part));
            Some(word.to_owned())
        } else if let (true, Some(file)) = (goes_on, file) {
            found.push((file.clone(), part));
            Some(file)
        } else if last && place == 1 && between.trim().is_empty() {
            found.push((String::new(), part));
            Some(String::new())
        } else {
            None
        };
    }
    found
}

#[test]
fn every_test_that_the_conformance_tables_name_exists() {
    let mut complaints = Vec::new();
    for (table, text) in conformance() {
        let mut count = 0;
        for line in text.lines() {
            let cells: Vec<&str> = line.trim_end_matches([' ', '|']).split(" | ").collect();
            for (place, cell) in cells.iter().enumerate() {
                let last = line.starts_with('|') && place + 1 == cells.len();
                for (file, name) in named(cell, last) {
                    count += 1;
                    if file != "file" && !has_test(&file, name) && text_of(name).is_none() {
                        complaints.push(format!("{table}: there is no test `{name}` in `{file}`"));
                    }
                }
            }
        }
        assert!(count > 20, "{table} names {count}");
    }
    none(complaints);
}

#[test]
fn the_readme_names_what_there_is() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a file");
    for (path, _) in files("examples") {
        let link = format!("({})", path.display());
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(readme.contains(&link) || readme.contains(&format!("--example {name} ")), "{name}");
    }
    let gate = std::fs::read_to_string(root().join(".ci/run")).expect("a file");
    let tests = "cargo test --workspace --locked";
    assert!(readme.contains(tests) && gate.contains(tests));
}
