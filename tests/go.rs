//! The Go package and its example server: formatted, tested, and with `PROCMGR_TEST_ALL=1` vetted and
//! tested again with the race detector, against the static library of this build.

mod tools;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use tools::{library_dir, root, run_to_end, tests_all, tool};

/// The first run compiles Go's own packages, twice.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The libraries that a program with the static library needs: `rustc --print native-static-libs`.
const SYSTEM_LIBRARIES: &str = "-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc";

/// A command in the package's directory, without network.
fn in_package(program: &PathBuf) -> Command {
    let library = library_dir().join("libprocmgr.a");
    let mut command = Command::new(program);
    command
        .current_dir(root().join("bindings/go"))
        .env("CGO_ENABLED", "1")
        .env("CGO_CFLAGS", format!("-g -O2 -DPROCMGR_BUILD={}", build()))
        .env(
            "CGO_LDFLAGS",
            format!("{} {SYSTEM_LIBRARIES}", library.display()),
        )
        .env("GOFLAGS", "-mod=mod -tags=procmgr_source")
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        // Memory that C must not touch is checked for, and memory that was freed does not keep its
        // contents.
        .env("GODEBUG", "cgocheck=1,clobberfree=1");
    command
}

/// A number that changes with the library and its header: Go's cache knows nothing of either.
fn build() -> u128 {
    [
        library_dir().join("libprocmgr.a"),
        root().join("include/procmgr.h"),
    ]
    .iter()
    .map(|file| {
        let changed = file.metadata().and_then(|about| about.modified());
        let since = changed
            .expect("the file has a time")
            .duration_since(SystemTime::UNIX_EPOCH);
        since.expect("it is past 1970").as_nanos()
    })
    .sum()
}

fn run(program: &PathBuf, arguments: &[&str]) -> String {
    let mut command = in_package(program);
    command.args(arguments);
    let output = run_to_end(command, TIMEOUT);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{} {arguments:?}: {}\n{printed}\n{}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}

#[test]
fn is_formatted() {
    if let Some(gofmt) = tool("gofmt") {
        assert_eq!(run(&gofmt, &["-l", "."]), "", "gofmt has changes for these");
    }
}

#[test]
fn passes_its_tests() {
    // cgo compiles with gcc.
    let (Some(go), Some(_)) = (tool("go"), tool("gcc")) else {
        return;
    };
    if tests_all() {
        run(&go, &["vet", "./..."]);
        // The program of docs/hosts.md; tests/documents.rs checks what it prints.
        assert_eq!(
            run(&go, &["run", "./examples/follow"]),
            "hello\nexit code 3\n"
        );
    }
    // Never a cached result: the library has changed.
    run(&go, &["test", "-count=1", "./..."]);
    if tests_all() {
        run(&go, &["test", "-count=1", "-race", "./..."]);
    }
}
