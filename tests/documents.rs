//! The documents: each program in them is a file of the repository, which is compiled and run here, and
//! their commands are run as they are printed.

mod tools;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
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

/// `docs/gotchas.md` names modules, types and functions. A name that is changed in the sources is
/// changed there too.
#[test]
fn what_the_gotchas_name_exists() {
    let text = fs::read_to_string(root().join("docs/gotchas.md")).expect("the document is there");
    let mut sources = String::new();
    read_sources(&root().join("src"), &mut sources);
    let mut found = 0;
    for name in text.split('`').skip(1).step_by(2) {
        if name.ends_with(".rs") || (name.ends_with('/') && !name.starts_with('/')) {
            assert!(root().join("src").join(name).exists(), "no {name} in src");
            found += 1;
        } else if let Some((of, name)) = name.split_once("::") {
            let is_there = sources.contains(of) && sources.contains(name);
            assert!(is_there, "no {of}::{name} in src");
            found += 1;
        }
    }
    assert!(found >= 30, "{found} names found");
}

fn read_sources(directory: &Path, sources: &mut String) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else {
            *sources += &fs::read_to_string(&path).expect("text");
        }
    }
}

/// What stands for cargo in the commands of the documents: it would build again what is built, or run
/// this test again. It checks that what is named exists, and runs an example of this build.
const CARGO: &str = r#"#!/bin/sh
case "$*" in
    "build --release") test -f target/release/libprocmgr.a ;;
    "test --workspace") ;;
    "test --test "*) test -f "$ROOT/tests/$3.rs" ;;
    "bench -p procmgr-"*) grep -q "^name = \"$3\"$" "$ROOT/benches/${3#procmgr-}/Cargo.toml" ;;
    "run --release --example "*)
        program=$EXAMPLES/$4
        shift 5
        exec "$program" "$@"
        ;;
    *)
        echo "cargo $*: not known to tests/documents.rs" >&2
        exit 1
        ;;
esac
"#;

/// The commands of a document, in their order.
fn commands(document: &str) -> String {
    let text = fs::read_to_string(root().join(document)).expect("the document is there");
    let blocks = text.split("```console\n").skip(1);
    blocks
        .map(|block| block.split_once("```").expect("the block ends").0)
        .collect()
}

/// Runs the commands of a document in one shell, in a directory that looks like the repository after a
/// build, and gives what they print.
fn run_commands(document: &str) -> String {
    let place = tempfile::tempdir().expect("a temporary directory");
    let inside = |name: &str| place.path().join(name);
    for name in ["include", "examples", "install.sh"] {
        symlink(root().join(name), inside(name)).expect("a link");
    }
    fs::create_dir(inside("target")).expect("a directory");
    symlink(library_dir(), inside("target/release")).expect("a link");
    fs::create_dir(inside("bin")).expect("a directory");
    let cargo = inside("bin/cargo");
    fs::write(&cargo, CARGO).expect("a file");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("permissions");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(inside("bin")).chain(std::env::split_paths(&path));

    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-euxc", &commands(document)])
        .current_dir(place.path())
        .env("PATH", std::env::join_paths(path).expect("a path"))
        .env("ROOT", root())
        .env("EXAMPLES", examples())
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("DESTDIR");
    String::from_utf8_lossy(&run(shell).stdout).into_owned()
}

#[test]
fn the_commands_of_the_readme_run() {
    if tool("cc").is_none() {
        return;
    }
    let printed = run_commands("README.md");
    assert_eq!(printed, format!("line 1\nline 2\nline 3\n{PRINTED}"));
}

#[test]
fn the_commands_for_hosts_run() {
    let tools = ["cc", "pkg-config", "python3"];
    if tools.iter().any(|name| tool(name).is_none()) {
        return;
    }
    let printed = run_commands("docs/hosts.md");
    // In C with the library of the repository, shared and static, and in Python.
    let (installed, programs) = printed.split_once('\n').expect("a line of install.sh");
    assert!(installed.starts_with("procmgr "), "{printed}");
    assert_eq!(programs, PRINTED.repeat(4));
}

/// The examples of this build.
fn examples() -> PathBuf {
    library_dir().with_file_name("examples")
}

#[test]
fn the_program_in_rust_runs() {
    let program = examples().join("follow");
    assert!(program.is_file(), "`cargo test` builds the examples first");
    check(Command::new(program));
}

fn check(command: Command) {
    let output = run(command);
    assert_eq!(String::from_utf8_lossy(&output.stdout), PRINTED);
}
