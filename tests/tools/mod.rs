//! For tests that need an external tool: finding it, finding the libraries that cargo built, running a
//! program.
//!
//! A missing tool is reported and the test continues without it. With `PROCMGR_TEST_ALL=1` a missing
//! tool is a failure, and the programs are run again under instruments that make them many times
//! slower: [`instrument`].

#![allow(dead_code)]

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a program may run, unless a test says otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// The path of the tool, or `None` after reporting that it is missing.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| is_executable(file));
    if found.is_none() {
        not_tested(&format!("{name} is not installed: what needs it is"));
    }
    found
}

/// Like [`tool`] for one that runs the same programs again, and slowly: valgrind, a sanitizer, a race
/// detector. `None` without a report unless `PROCMGR_TEST_ALL=1`.
pub(crate) fn instrument(name: &str) -> Option<PathBuf> {
    tests_all().then(|| tool(name)).flatten()
}

/// Whether every test must run.
pub(crate) fn tests_all() -> bool {
    std::env::var_os("PROCMGR_TEST_ALL").is_some_and(|all| all == "1")
}

/// Reports what is not tested, and why. A failure if every test must run.
pub(crate) fn not_tested(what: &str) {
    assert!(
        !tests_all(),
        "{what} NOT tested, and PROCMGR_TEST_ALL asks for it"
    );
    // The test runner hides what a successful test prints, but not this.
    let _ = writeln!(std::io::stderr(), "note: {what} NOT tested");
}

fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// The directory of `libprocmgr.so` and `libprocmgr.a` of this build.
pub(crate) fn library_dir() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows where it is");
    let directory = test.parent().expect("it is in a directory").to_owned();
    for name in ["libprocmgr.so", "libprocmgr.a"] {
        assert!(
            directory.join(name).is_file(),
            "no {name} in {directory:?}; `cargo test` puts it there"
        );
    }
    directory
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program to its end, which must be a success. Fails with everything that it printed.
pub(crate) fn run(command: Command) -> Output {
    let shown = format!("{command:?}");
    let output = run_to_end(command, TIMEOUT);
    assert!(
        output.status.success(),
        "{}",
        describe(&shown, output.status, &output)
    );
    output
}

/// Runs a program to its end. One that takes longer than the limit is killed with its process group,
/// and fails the test with everything that it printed.
pub(crate) fn run_to_end(mut command: Command, limit: Duration) -> Output {
    let shown = format!("{command:?}");
    // Files and no pipes: no thread has to read them, and a process that keeps them open delays
    // nothing.
    let mut stdout = tempfile::tempfile().expect("a temporary file");
    let mut stderr = tempfile::tempfile().expect("a temporary file");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().expect("a descriptor"))
        .stderr(stderr.try_clone().expect("a descriptor"))
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    let end = Instant::now() + limit;
    let (status, in_time) = loop {
        if let Some(status) = child.try_wait().expect("our own child") {
            break (status, true);
        }
        if Instant::now() > end {
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            break (child.wait().expect("our own child"), false);
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let output = Output {
        status,
        stdout: contents(&mut stdout),
        stderr: contents(&mut stderr),
    };
    assert!(
        in_time,
        "not done after {limit:?}\n{}",
        describe(&shown, status, &output)
    );
    output
}

fn contents(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().expect("a file can be rewound");
    file.read_to_end(&mut bytes).expect("it can be read");
    bytes
}

fn describe(shown: &str, status: ExitStatus, output: &Output) -> String {
    format!(
        "{shown}\n{status}\n--- stdout\n{}\n--- stderr\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
