//! The SHA-256 of every file below a directory, as `sha256sum` prints it, sorted by path.
//!
//! `cargo run --release --example hash_tree -- DIR`

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use pool_runtime::prelude::*;
use sha2::{Digest, Sha256};

// A path need not be UTF-8, and an `io::Error` cannot travel: hence `OsString`, and a failure as its text.
#[pool_task]
fn digest(path: OsString) -> Result<[u8; 32], String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    io::copy(&mut file, &mut hasher).map_err(|error| error.to_string())?;
    Ok(hasher.finalize().into())
}

fn files_below(directory: &Path, files: &mut Vec<OsString>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        if kind.is_dir() {
            files_below(&path, files)?;
        } else if kind.is_file() {
            files.push(path.into_os_string());
        }
    }
    Ok(())
}

/// One line; a name with a line break or a backslash is escaped, and its line says so by a backslash in front.
fn print(out: &mut impl Write, digest: [u8; 32], name: &[u8]) -> io::Result<()> {
    let escaped = |byte: &u8| matches!(byte, b'\\' | b'\n' | b'\r');
    out.write_all(if name.iter().any(escaped) { b"\\" } else { b"" })?;
    digest.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
    out.write_all(b"  ")?;
    for byte in name {
        match byte {
            b'\\' => out.write_all(b"\\\\")?,
            b'\n' => out.write_all(b"\\n")?,
            b'\r' => out.write_all(b"\\r")?,
            other => out.write_all(&[*other])?,
        }
    }
    out.write_all(b"\n")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (directory, mut files) = (std::env::args_os().nth(1).ok_or("which directory?")?, vec![]);
    files_below(Path::new(&directory), &mut files)?;
    files.sort();
    let digests = par_map!(digest, &files; progress = "hashing")?;
    let mut out = BufWriter::new(io::stdout().lock());
    for (file, digest) in files.iter().zip(digests) {
        match digest {
            Ok(digest) => print(&mut out, digest, file.as_bytes())?,
            Err(error) => eprintln!("hash_tree: {}: {error}", file.display()),
        }
    }
    Ok(out.flush()?)
}
