//! A listener whose client is a Python program: messages of bytes, both ways, with a key that both know.
//!
//! `cargo run --release --example python_peer`

use std::process::Command;

use pool_runtime::prelude::*;

const KEY: &[u8] = b"secret password";

const CLIENT: &str = r#"
import sys
from multiprocessing.connection import Client

with Client(('127.0.0.1', int(sys.argv[1])), authkey=b'secret password') as connection:
    for word in ('hello', 'from', 'Python'):
        connection.send_bytes(word.encode())
        print('Python received', connection.recv_bytes().decode())
    connection.send_bytes(b'')
"#;

fn main() -> Result<(), Error> {
    let listener = Listener::bind("127.0.0.1:0", KEY)?;
    let port = listener.address().port().to_string();
    let client = Command::new("python3").args(["-c", CLIENT, &port]).spawn();
    let Ok(mut client) = client else {
        println!("this example needs python3");
        return Ok(());
    };
    let connection = listener.accept()?;
    loop {
        let word = connection.recv_bytes()?;
        if word.is_empty() {
            break;
        }
        println!("Rust received {}", String::from_utf8_lossy(&word));
        connection.send_bytes(word.to_ascii_uppercase())?;
    }
    let status = client.wait().map_err(|error| Error::new(ErrorKind::Io, error.to_string()))?;
    println!("Python left with {status}");
    Ok(())
}
