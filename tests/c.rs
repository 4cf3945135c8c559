//! The C interface: the programs of `ffi-tests/c`, built with gcc and clang against the static library,
//! run as they are, under valgrind, and with sanitizers; the header alone in each language; the
//! exported names.
//!
//! valgrind and the sanitizers take most of a minute, and so only part in a run with `PROCMGR_TEST_ALL=1`.

mod tools;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tools::{instrument, library_dir, root, run, tests_all, tool};

/// What every C file must be built with.
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// The libraries that the static library needs; `tests/install.rs` checks that `procmgr.pc` lists the
/// same.
const SYSTEM_LIBRARIES: [&str; 5] = ["-lpthread", "-lm", "-ldl", "-lrt", "-lutil"];

/// A program of `ffi-tests/c`, and how often it does what it does many times.
struct Subject {
    name: &'static str,
    rounds: Option<&'static str>,
    /// The same in a plain run, which is to stay below a minute.
    rounds_when_quick: Option<&'static str>,
    /// The same under valgrind, where everything takes fifty times as long, and with sanitizers.
    rounds_when_slow: Option<&'static str>,
    sanitizers: &'static str,
    /// More for valgrind.
    valgrind: &'static [&'static str],
    /// Loads the shared library itself.
    loads: bool,
}

const SUBJECT: Subject = Subject {
    name: "",
    rounds: None,
    rounds_when_quick: None,
    rounds_when_slow: None,
    sanitizers: "-fsanitize=address,undefined",
    // The child of a start that fails is a fork there, and its end would report everything of the host
    // as leaked.
    valgrind: &["--child-silent-after-fork=yes"],
    loads: false,
};

macro_rules! subjects {
    ($($name:ident { $($field:ident: $value:expr),* })*) => {
        /// Each program, built with gcc: as it is, and under valgrind.
        mod gcc {
            use super::*;

            $(#[test]
            fn $name() {
                Subject { name: stringify!($name), $($field: $value,)* ..SUBJECT }.with_gcc();
            })*
        }

        /// Each program, built with clang: with sanitizers.
        mod clang {
            use super::*;

            $(#[test]
            fn $name() {
                Subject { name: stringify!($name), $($field: $value,)* ..SUBJECT }.with_clang();
            })*
        }

        const SUBJECTS: &[&str] = &[$(stringify!($name)),*];
    };
}

subjects! {
    buffers {}
    bytes {}
    descriptors {}
    dl { loads: true }
    events { rounds_when_slow: Some("4") }
    forks {
        rounds_when_slow: Some("3"),
        // The address sanitizer's memory is not usable in a copy that was made while another thread
        // allocated.
        sanitizers: "-fsanitize=undefined",
        // The errors of a copy are known by its exit status alone.
        valgrind: &["--exit-on-first-error=yes"]
    }
    functions {}
    handles {}
    keys { rounds_when_slow: Some("3") }
    null {}
    random { rounds: Some("3"), rounds_when_quick: Some("1"), rounds_when_slow: Some("1") }
    reuse { rounds_when_slow: Some("4") }
    structs {}
    threads { rounds_when_quick: Some("1"), rounds_when_slow: Some("1") }
}

impl Subject {
    fn with_gcc(&self) {
        let Some(gcc) = tool("gcc") else { return };
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join(self.name);
        self.build(&gcc, &[], &program);
        let quick = self.rounds_when_quick.filter(|_| !tests_all());
        self.run(Command::new(&program), quick.or(self.rounds));

        // valgrind does not support pidfd_open; the programs read this variable and leave out what
        // needs it.
        if self.name == "descriptors" {
            return;
        }
        let Some(valgrind) = instrument("valgrind") else {
            return;
        };
        let suppressions = root().join("ffi-tests/c/valgrind.supp");
        let mut command = Command::new(valgrind);
        command
            .args(["--quiet", "--fair-sched=try", "--error-exitcode=99"])
            .arg("--leak-check=full")
            // Memory that is reachable at the end is no leak: the table of parked threads is never
            // freed.
            .arg("--show-leak-kinds=definite,indirect,possible")
            .arg("--errors-for-leak-kinds=definite,indirect,possible")
            .arg(format!("--suppressions={}", suppressions.display()))
            .args(self.valgrind)
            .arg(&program)
            .env("PROCMGR_UNDER_VALGRIND", "1");
        self.run(command, self.rounds_when_slow);
    }

    fn with_clang(&self) {
        let Some(clang) = instrument("clang") else {
            return;
        };
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join(self.name);
        let sanitize = [self.sanitizers, "-fno-sanitize-recover=all"];
        self.build(&clang, &sanitize, &program);
        let mut command = Command::new(&program);
        // valgrind checks for leaks.
        command.env("ASAN_OPTIONS", "detect_leaks=0");
        self.run(command, self.rounds_when_slow);
    }

    fn build(&self, compiler: &Path, more: &[&str], program: &Path) {
        let source = root().join(format!("ffi-tests/c/{}.c", self.name));
        let mut command = compile(compiler, "-std=c11");
        command.arg("-g").args(more).arg(source);
        if !self.loads {
            command.arg(library_dir().join("libprocmgr.a"));
        }
        command.args(SYSTEM_LIBRARIES).arg("-o").arg(program);
        run(command);
    }

    fn run(&self, mut command: Command, rounds: Option<&str>) -> Output {
        if self.loads {
            command.arg(library_dir().join("libprocmgr.so"));
        }
        command.args(rounds);
        run(command)
    }
}

fn compile(compiler: &Path, standard: &str) -> Command {
    let mut command = Command::new(compiler);
    command
        .arg(standard)
        .args(WARNINGS)
        .arg("-I")
        .arg(root().join("include"));
    command
}

#[test]
fn every_program_is_run() {
    let sources = std::fs::read_dir(root().join("ffi-tests/c")).expect("the programs are there");
    let programs: BTreeSet<String> = sources
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "c"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    let run: BTreeSet<String> = SUBJECTS.iter().map(|name| name.to_string()).collect();
    assert_eq!(programs, run);
}

#[test]
fn the_header_stands_alone_in_every_language() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("alone.c");
    let text = "#include <procmgr.h>\n#include <procmgr.h>\nint main(void) { return mgr_version_number() == 0; }\n";
    std::fs::write(&source, text).expect("a file can be written");
    for (name, language, standards) in [
        ("gcc", "c", ["-std=c99", "-std=c11", "-std=c17"].as_slice()),
        ("clang", "c", &["-std=c99", "-std=c11", "-std=c17"]),
        ("g++", "c++", &["-std=c++17"]),
        ("clang++", "c++", &["-std=c++17"]),
    ] {
        let Some(compiler) = tool(name) else { continue };
        for standard in standards {
            let mut command = compile(&compiler, standard);
            command
                .args(["-Wconversion", "-Wshadow", "-Wundef", "-fsyntax-only"])
                .args(["-x", language])
                .arg(&source);
            run(command);
        }
    }
    // C++ finds what C has made.
    let Some(compiler) = tool("g++") else { return };
    let program = directory.path().join("alone");
    let mut command = compile(&compiler, "-std=c++17");
    command
        .args(["-x", "c++"])
        .arg(&source)
        .args(["-x", "none"])
        .arg(library_dir().join("libprocmgr.a"))
        .args(SYSTEM_LIBRARIES)
        .arg("-o")
        .arg(&program);
    run(command);
    run(Command::new(program));
}

#[test]
fn what_is_exported_is_what_is_declared() {
    let Some(nm) = tool("nm") else { return };
    let mut command = Command::new(nm);
    command
        .args(["--dynamic", "--defined-only", "--format=posix"])
        .arg(library_dir().join("libprocmgr.so"));
    let output = run(command);
    let symbols = String::from_utf8(output.stdout).expect("symbols are text");
    let exported: BTreeSet<&str> = symbols
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();

    let header = header();
    let declared = functions(&header);
    assert!(declared.contains("mgr_open") && declared.contains("mgr_version"));
    assert_eq!(exported, declared);
}

#[test]
fn every_function_is_called() {
    let header = header();
    let source = |name| {
        let path = root().join("ffi-tests/c").join(name);
        std::fs::read_to_string(path).expect("the program is there")
    };
    for names in [
        ["check.h", "functions.c", "keys.c"].as_slice(),
        &["check.h", "forks.c"],
        &["check.h", "random.c"],
    ] {
        let programs: String = names.iter().map(source).collect();
        for function in functions(&header) {
            let called = programs.contains(&format!("{function}("));
            assert!(called, "{names:?} do not call {function}");
        }
    }
}

/// The functions that a header without comments declares: what stands before a parenthesis.
fn functions(code: &str) -> BTreeSet<&str> {
    code.match_indices('(')
        .filter_map(|(at, _)| {
            let name = code[..at]
                .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
                .next()?;
            name.starts_with("mgr_").then_some(name)
        })
        .collect()
}

/// The header without its comments.
fn header() -> String {
    let header =
        std::fs::read_to_string(root().join("include/procmgr.h")).expect("the header is there");
    let mut code = String::new();
    let mut rest = header.as_str();
    while let Some(at) = rest.find("/*") {
        code += &rest[..at];
        rest = &rest[at + rest[at..].find("*/").expect("a comment ends") + 2..];
    }
    code + rest
}

#[test]
fn the_example_follows_a_command() {
    let Some(gcc) = tool("gcc") else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let program: PathBuf = directory.path().join("run");
    let mut command = compile(&gcc, "-std=c11");
    command
        .arg(root().join("examples/c/run.c"))
        .arg(library_dir().join("libprocmgr.a"))
        .args(SYSTEM_LIBRARIES)
        .arg("-o")
        .arg(&program);
    run(command);
    assert_eq!(
        run(Command::new(&program)).stdout,
        b"hello\nexit code 3\n".as_slice()
    );
    let mut command = Command::new(&program);
    // What is left behind delays neither the output nor the example.
    command.arg("echo a; echo b >&2; sleep 300 & printf c; exit 250");
    assert_eq!(run(command).stdout, b"a\nb\ncexit code 250\n".as_slice());
    let mut command = Command::new(&program);
    command.arg("kill -9 $$");
    assert_eq!(run(command).stdout, b"exit code -1\n".as_slice());
}
