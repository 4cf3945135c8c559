//! Installing for C programs: the files that `install.sh` installs, and programs built with the options
//! of pkg-config, shared and static.

mod tools;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use tools::{library_dir, root, run, run_to_end, tool};

fn install(prefix: &Path) {
    let mut command = Command::new(root().join("install.sh"));
    command
        .arg(prefix)
        .arg("--from")
        .arg(library_dir())
        .env_remove("DESTDIR");
    run(command);
}

fn soname() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match version.split('.').collect::<Vec<_>>()[..] {
        ["0", minor, _] => format!("libprocmgr.so.0.{minor}"),
        [major, ..] => format!("libprocmgr.so.{major}"),
        [] => unreachable!("a version has a number"),
    }
}

/// The words that pkg-config answers.
fn pkg_config(tool: &Path, prefix: &Path, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new(tool);
    command
        .args(arguments)
        .arg("procmgr")
        .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
    let answer = String::from_utf8(run(command).stdout).expect("it is text");
    answer.split_whitespace().map(str::to_owned).collect()
}

fn files(directory: &Path, inside: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let path = inside.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            files(&entry.path(), &path, found);
        } else {
            found.insert(path);
        }
    }
}

#[test]
fn the_files_are_where_they_belong() {
    let directory = tempfile::tempdir().expect("a directory");
    let prefix = directory.path().join("a/new/prefix");
    install(&prefix);
    // Again, over what is there.
    install(&prefix);
    let mut found = BTreeSet::new();
    files(&prefix, Path::new(""), &mut found);
    let version = env!("CARGO_PKG_VERSION");
    let expected: BTreeSet<PathBuf> = [
        "include/procmgr.h".to_owned(),
        "lib/libprocmgr.a".to_owned(),
        "lib/libprocmgr.so".to_owned(),
        format!("lib/{}", soname()),
        format!("lib/libprocmgr.so.{version}"),
        "lib/pkgconfig/procmgr.pc".to_owned(),
    ]
    .into_iter()
    .map(PathBuf::from)
    .collect();
    assert_eq!(found, expected);
    let target = |name: &str| std::fs::read_link(prefix.join("lib").join(name)).expect("a link");
    assert_eq!(target("libprocmgr.so"), Path::new(&soname()));
    assert_eq!(
        target(&soname()),
        Path::new(&format!("libprocmgr.so.{version}"))
    );

    // The library agrees about its name, and stays in memory: its threads may outlive a dlclose.
    let Some(readelf) = tool("readelf") else {
        return;
    };
    let mut command = Command::new(readelf);
    command.arg("-dW").arg(prefix.join("lib/libprocmgr.so"));
    let dynamic = String::from_utf8(run(command).stdout).expect("it is text");
    assert!(
        dynamic.contains(&format!("Library soname: [{}]", soname())),
        "{dynamic}"
    );
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}

#[test]
fn what_it_cannot_do_is_said() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = root().join("install.sh");
    let limit = tools::TIMEOUT;
    for (arguments, said) in [
        (vec![], "usage:"),
        (vec!["--from"], "needs a directory"),
        (vec!["--what", "/x"], "--what"),
        (vec!["/x", "/y"], "more than one PREFIX"),
        (
            vec!["/nowhere", "--from", "/nowhere"],
            "no libprocmgr.so in /nowhere",
        ),
    ] {
        let mut command = Command::new(&script);
        command.args(&arguments).current_dir(directory.path());
        let output = run_to_end(command, limit);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    assert_eq!(
        std::fs::read_dir(directory.path())
            .expect("a directory")
            .count(),
        0
    );
}

#[test]
fn programs_are_built_with_what_pkg_config_says() {
    let (Some(gcc), Some(tool)) = (tool("gcc"), tool("pkg-config")) else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let prefix = directory.path().join("prefix");
    install(&prefix);
    assert_eq!(
        pkg_config(&tool, &prefix, &["--modversion"]),
        [env!("CARGO_PKG_VERSION")]
    );
    let shared = pkg_config(&tool, &prefix, &["--cflags", "--libs"]);
    let all = pkg_config(&tool, &prefix, &["--static", "--cflags", "--libs"]);
    // The static library alone, with the system's as they are; it stands between its neighbours.
    let mut mixed = all.clone();
    let at = mixed
        .iter()
        .position(|word| word == "-lprocmgr")
        .expect("it names the library");
    mixed.splice(
        at..=at,
        ["-Wl,-Bstatic", "-lprocmgr", "-Wl,-Bdynamic"].map(str::to_owned),
    );

    for (kind, before, words, at_run_time) in [
        ("shared", None, &shared, true),
        ("mixed", None, &mixed, false),
        ("static", Some("-static"), &all, false),
    ] {
        let program = directory.path().join(kind);
        let mut command = Command::new(&gcc);
        command
            .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
            .args(before)
            .arg(root().join("examples/c/run.c"))
            .args(words)
            .arg("-o")
            .arg(&program);
        run(command);
        let mut command = Command::new(&program);
        command.env_remove("LD_LIBRARY_PATH");
        if at_run_time {
            command.env("LD_LIBRARY_PATH", prefix.join("lib"));
        }
        command.arg("echo from a command; exit 5");
        let output = run(command);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "from a command\nexit code 5\n",
            "{kind}"
        );
    }
}
