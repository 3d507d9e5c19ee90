//! Named segments, and CPython as the other side: the rows of `_TestSharedMemory` and `TestSharedMemoryNames`.

use std::process::{Command, Stdio};

use pool_runtime::prelude::*;

/// Runs a Python program, and gives what it printed; `None` where there is no Python.
fn python(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("python3");
    let output =
        command.arg("-c").arg(program).args(arguments).stderr(Stdio::piped()).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("text"))
}

fn is_there(name: &str) -> bool {
    std::path::Path::new("/dev/shm").join(name).exists()
}

/// A name that no other run of these tests has.
fn name(of: &str) -> String {
    format!("pool_test_{of}_{}", std::process::id())
}

// test_shared_memory_basics
#[test]
fn a_segment_is_opened_by_its_name() {
    let name = name("basics");
    let memory = SharedMemory::create(&name, 512).expect("a segment");
    assert_eq!((memory.name(), memory.len()), (&*name, 512));
    memory.write(0, &[42]).expect("within");
    let again = SharedMemory::open(&name).expect("it is there");
    let mut byte = [0];
    again.read(0, &mut byte).expect("within");
    assert_eq!((byte, again.len()), ([42], 512));
    again.write(511, &[22]).expect("within");
    memory.read(511, &mut byte).expect("within");
    assert_eq!(byte, [22]);
    assert_eq!(memory.read(512, &mut byte).expect_err("outside").kind(), ErrorKind::InvalidInput);
    assert_eq!(
        memory.write(usize::MAX, &byte).expect_err("outside").kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        SharedMemory::create(&name, 512).expect_err("it is there").kind(),
        ErrorKind::Duplicate
    );
    memory.unlink().expect("it is there");
    assert_eq!(memory.unlink().expect_err("it is gone").kind(), ErrorKind::NotFound);
    assert_eq!(SharedMemory::open(&name).expect_err("it is gone").kind(), ErrorKind::NotFound);
    // Who has it open keeps it.
    again.read(0, &mut byte).expect("within");
    assert_eq!(byte, [42]);
}

// test_invalid_shared_memory_creation, test_invalid_shared_memory_cration, test_too_long_name_resource
#[test]
fn what_cannot_be_a_segment_is_refused() {
    for bad in ["", "/", "..", "a/b", "nul\0byte", &"x".repeat(256)] {
        assert_eq!(
            SharedMemory::create(bad, 10).expect_err("a bad name").kind(),
            ErrorKind::InvalidInput,
            "{bad:?}"
        );
    }
    assert_eq!(
        SharedMemory::create(&name("empty"), 0).expect_err("no bytes").kind(),
        ErrorKind::InvalidInput
    );
    assert!(!is_there(&name("empty")));
}

// test_shared_memory_recreate
#[test]
fn random_names_are_pythons_and_differ() {
    let (one, two) = (
        SharedMemory::create_unnamed(1).expect("a segment"),
        SharedMemory::create_unnamed(1).expect("a segment"),
    );
    assert!(one.name().starts_with("psm_") && one.name() != two.name());
    one.unlink().expect("it is there");
    two.unlink().expect("it is there");
}

// test_that_shared_memory_name_with_colons_has_no_resource_tracker_errors
#[test]
fn names_with_colons_and_line_breaks() {
    let name = format!("{}:a:b\nc", name("odd"));
    let memory = SharedMemory::create(&name, 8).expect("a segment");
    assert_eq!(SharedMemory::open(&name).expect("it is there").len(), 8);
    memory.unlink().expect("it is there");
    assert!(!is_there(&name));
}

#[pool_task]
fn write_to(memory: SharedMemory, named: String) -> Result<(), Error> {
    memory.write(0, b"by handle")?;
    SharedMemory::open(&named)?.write(100, b"by name")
}

// test_shared_memory_across_processes, test_shared_memory_pickle_unpickle
#[test]
fn a_child_writes_by_name_and_by_handle() {
    let memory = SharedMemory::create_unnamed(200).expect("a segment");
    let call = task!(write_to(memory.clone(), memory.name().to_owned()));
    Process::spawn(call).expect("a process").join().expect("ends").expect("writes");
    let (mut first, mut second) = ([0; 9], [0; 7]);
    memory.read(0, &mut first).expect("within");
    memory.read(100, &mut second).expect("within");
    assert_eq!((&first, &second), (b"by handle", b"by name"));
    memory.unlink().expect("it is there");
}

// test_shared_memory_pickle_unpickle_dead_object
#[test]
fn bytes_of_a_segment_that_is_gone() {
    let name = name("dead");
    let memory = SharedMemory::create(&name, 10).expect("a segment");
    let bytes = serde_json::to_string(&memory).expect("bytes");
    assert_eq!(serde_json::from_str::<SharedMemory>(&bytes).expect("it is there").len(), 10);
    memory.unlink().expect("it is there");
    assert!(serde_json::from_str::<SharedMemory>(&bytes).is_err());
    // Nor does another of the same name do.
    let other = SharedMemory::create(&name, 10).expect("a segment");
    assert!(serde_json::from_str::<SharedMemory>(&bytes).is_err());
    other.unlink().expect("it is there");
}

#[test]
fn python_opens_what_was_made_here() {
    let memory = SharedMemory::create_unnamed(4096).expect("a segment");
    memory.write(10, b"from rust").expect("within");
    let program = "
import sys
from multiprocessing import resource_tracker, shared_memory
memory = shared_memory.SharedMemory(sys.argv[1])
resource_tracker.unregister(memory._name, 'shared_memory')
assert bytes(memory.buf[10:19]) == b'from rust', bytes(memory.buf[10:19])
memory.buf[100:111] = b'from python'
print(memory.size, memory.name)
memory.close()
";
    if let Some(said) = python(program, &[memory.name()]) {
        assert_eq!(said.trim(), format!("4096 {}", memory.name()));
        let mut bytes = [0; 11];
        memory.read(100, &mut bytes).expect("within");
        assert_eq!(&bytes, b"from python");
    }
    memory.unlink().expect("it is there");
}

// test_shared_memory_untracking
#[test]
fn what_python_made_is_opened_here_and_stays_pythons() {
    let program = "
import sys
from multiprocessing import resource_tracker, shared_memory
memory = shared_memory.SharedMemory(create=True, size=3000)
resource_tracker.unregister(memory._name, 'shared_memory')
memory.buf[5:16] = b'from python'
print(memory.name, memory.size)
memory.close()
";
    let Some(said) = python(program, &[]) else { return };
    let (name, size) = said.trim().split_once(' ').expect("two words");
    let memory = SharedMemory::open(name).expect("it is there");
    assert_eq!(memory.len().to_string(), size);
    let mut bytes = [0; 11];
    memory.read(5, &mut bytes).expect("within");
    assert_eq!(&bytes, b"from python");
    memory.write(5, b"FROM").expect("within");
    drop(memory);
    assert!(is_there(name), "opening it and letting it go leaves it where it is");
    let check = "
import sys
from multiprocessing import shared_memory
memory = shared_memory.SharedMemory(sys.argv[1])
print(bytes(memory.buf[5:16]))
memory.close()
memory.unlink()
";
    assert_eq!(python(check, &[name]).expect("Python").trim(), "b'FROM python'");
    assert!(!is_there(name));
}

#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let memory = SharedMemory::create_unnamed(1).expect("a segment");
    let mode = std::fs::metadata(format!("/dev/shm/{}", memory.name()))
        .expect("a file")
        .permissions()
        .mode();
    memory.unlink().expect("it is there");
    assert_eq!(mode & 0o777, 0o600);
}
