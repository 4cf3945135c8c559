//! The library works alike in every host: each program of `ffi-tests/c/hosts` is a host with signals,
//! descriptors, threads or children of its own, and checks start, output, status, signals, stop and
//! close. All of them take a minute and a half, so a plain run takes some; `PROCMGR_TEST_ALL=1` takes
//! all.

mod tools;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{PoisonError, RwLock};

use tools::{library_dir, root, run, tests_all, tool};

/// What the static library needs.
const SYSTEM_LIBRARIES: [&str; 5] = ["-lpthread", "-lm", "-ldl", "-lrt", "-lutil"];

macro_rules! hosts {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run_host(stringify!($name));
        })*

        const HOSTS: &[&str] = &[$(stringify!($name)),*];
    };
}

hosts! {
    atfork
    big
    blocked
    cancelled
    closed
    copies
    descriptor_limits
    headless
    killed
    leaky
    many_descriptors
    reaping
    sigchld
    sigpipe
    storm
    subreaper
    terminal
}

/// Those of a plain run: without a fork, with nothing inherited, without the host's terminal, signals
/// or cancellation.
const QUICK: &[&str] = &[
    "atfork",
    "cancelled",
    "headless",
    "leaky",
    "storm",
    "terminal",
];

/// Held for writing by the host that compares times, because other hosts would disturb it.
static MACHINE: RwLock<()> = RwLock::new(());

fn run_host(name: &str) {
    if !QUICK.contains(&name) && !tests_all() {
        return;
    }
    let Some(gcc) = tool("gcc") else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join(name);
    let mut command = Command::new(gcc);
    command
        .args([
            "-std=c11",
            "-g",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
        ])
        .arg("-I")
        .arg(root().join("include"))
        .arg(root().join(format!("ffi-tests/c/hosts/{name}.c")))
        .arg(library_dir().join("libprocmgr.a"))
        .args(SYSTEM_LIBRARIES)
        .arg("-o")
        .arg(&program);
    run(command);
    let host = Command::new(&program);
    let output = if name == "big" {
        let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        run(host)
    } else {
        let _with_others = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        run(host)
    };
    // Numbers, and what could not be tested.
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_host_is_run() {
    let sources = std::fs::read_dir(root().join("ffi-tests/c/hosts")).expect("they are there");
    let programs: BTreeSet<String> = sources
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "c"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    let run: BTreeSet<String> = HOSTS.iter().map(|name| name.to_string()).collect();
    assert_eq!(programs, run);
}
