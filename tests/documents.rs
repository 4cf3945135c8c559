//! The documents say what is true: each program in them is a file of the repository, compiled and run here.

mod tools;

use std::fs;
use std::process::Command;

use tools::{library_dir, root, run, tool};

const DOCUMENTS: [&str; 2] = ["README.md", "docs/hosts.md"];

/// What each of the programs prints, run without arguments.
const PRINTED: &str = "hello\nexit code 3\n";

#[test]
fn programs_in_the_documents_are_files() {
    let mut found = 0;
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).expect("the document is there");
        for part in text.split("<!-- file: ").skip(1) {
            let (path, rest) = part.split_once(" -->\n```").expect("a fence follows");
            let (_, rest) = rest.split_once('\n').expect("the fence names the language");
            let (shown, _) = rest.split_once("```\n").expect("the fence ends");
            let file = fs::read_to_string(root().join(path)).expect("the file is there");
            assert_eq!(shown, file, "{path} in {document}");
            found += 1;
        }
    }
    assert!(found >= 4, "{found} programs found");
}

#[test]
fn the_program_in_rust_runs() {
    let examples = library_dir().with_file_name("examples");
    let program = examples.join("follow");
    assert!(program.is_file(), "`cargo test` builds the examples first");
    check(Command::new(program));
}

#[test]
fn the_program_in_c_runs() {
    let Some(compiler) = tool("cc") else { return };
    let place = tempfile::tempdir().expect("a temporary directory");
    let program = place.path().join("run");
    let mut command = Command::new(compiler);
    // The command of the document, with the library of this build.
    command
        .current_dir(root())
        .args(["-Iinclude", "examples/c/run.c"])
        .arg(library_dir().join("libprocmgr.a"))
        .arg("-o")
        .arg(&program);
    run(command);
    check(Command::new(program));
}

#[test]
fn the_program_in_python_runs() {
    let Some(python) = tool("python3") else {
        return;
    };
    let mut command = Command::new(python);
    command
        .arg(root().join("examples/python/follow.py"))
        .env("PROCMGR_LIBRARY", library_dir().join("libprocmgr.so"));
    check(command);
}

fn check(command: Command) {
    let output = run(command);
    assert_eq!(String::from_utf8_lossy(&output.stdout), PRINTED);
}
