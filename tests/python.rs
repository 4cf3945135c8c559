//! The C interface through Python's ctypes: `ffi-tests/python`.

mod tools;

use std::process::Command;

use tools::{library_dir, root, run, tool};

#[test]
fn through_ctypes() {
    let Some(python) = tool("python3") else {
        return;
    };
    let mut command = Command::new(python);
    command
        // Leaves no cache in the repository.
        .arg("-B")
        .arg(root().join("ffi-tests/python/test_procmgr.py"))
        .arg(library_dir().join("libprocmgr.so"));
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("\nOK\n"), "{said}");
}
