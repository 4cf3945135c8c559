//! Bad input: each is an error of its type whose text names the cause, and nothing is left behind: no
//! process, no record, no effect of the command.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use procmgr::{Config, Error, Id, Manager, ReadOptions, Request, Signal, Step, Stream};
use procmgr::{MAX_ARGUMENT_BYTES, MAX_KEPT_BYTES};

mod common;
use common::{FOREVER, eventually, open, start, start_request, text, wait};

/// The error of a start that must fail and leave nothing.
fn refused_by(manager: &Manager, request: &Request) -> Error {
    let before = manager.list(None).expect("a list").total;
    let error = manager
        .start(request)
        .expect_err("the request is not acceptable");
    assert_eq!(manager.list(None).expect("a list").total, before, "{error}");
    error
}

/// The same for an invalid request. The error must have these words.
fn assert_invalid(request: Request, what: &str, offender: &str) {
    let manager = open();
    let error = refused_by(&manager, &request);
    assert!(
        matches!(&error, Error::Invalid { what: found, .. } if *found == what),
        "{error:?}"
    );
    assert!(error.to_string().contains(offender), "{error}");
    assert_eq!(error.os_error(), None);
    // The next one works.
    assert_eq!(
        wait(&start(&manager, "exit 3")).exit_code(),
        Some(3),
        "{what}"
    );
}

/// A start that fails at this step, with this error number. The error must have these words.
fn assert_fails(manager: &Manager, request: Request, step: Step, number: i32, offender: &str) {
    let error = refused_by(manager, &request);
    assert_eq!(error.step(), Some(step), "{error:?}");
    assert_eq!(error.os_error(), Some(number), "{error:?}");
    assert!(error.to_string().contains(offender), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}

fn with_nul(before: &str, after: &str) -> OsString {
    OsString::from_vec([before.as_bytes(), b"\0", after.as_bytes()].concat())
}

#[test]
fn an_empty_command_is_refused() {
    assert_invalid(Request::new(""), "command", "empty");
    assert_invalid(Request::program(""), "program", "empty");
}

#[test]
fn a_nul_byte_is_refused_wherever_it_stands() {
    let fine = || Request::new("true");
    assert_invalid(Request::new(with_nul("echo a", "b")), "command", "NUL byte");
    assert_invalid(Request::new(with_nul("echo a", "b")), "command", "at 6");
    assert_invalid(Request::program(with_nul("", "b")), "program", "at 0");
    let arguments = fine().argument("fine").argument(with_nul("a", ""));
    assert_invalid(arguments, "argument", "number 2 has a NUL byte");
    let directory = fine().directory(with_nul("/tmp", ""));
    assert_invalid(directory, "directory", "NUL byte at 4");
    let name = fine().variable(with_nul("NA", "ME"), "x");
    assert_invalid(name, "variable", "NA\\0ME");
    let value = fine().variable("NAME", with_nul("x", "y"));
    assert_invalid(value, "variable", "the value of \"NAME\" has a NUL byte");
    assert_invalid(fine().owner(with_nul("me", "")), "owner", "NUL byte");
}

#[test]
fn the_name_of_a_variable_is_neither_empty_nor_has_an_equals_sign() {
    let fine = || Request::new("true");
    assert_invalid(fine().variable("", "x"), "variable", "name is empty");
    assert_invalid(fine().variable("A=B", "x"), "variable", "\"A=B\"");
    assert_invalid(fine().variable("=", "x"), "variable", "\"=\"");
}

#[test]
fn one_byte_more_than_the_kernel_takes_is_refused_with_its_size() {
    assert_eq!(MAX_ARGUMENT_BYTES, 131_071);
    let size = "131072";
    let long = |bytes: usize| "x".repeat(bytes);
    let too_long = long(MAX_ARGUMENT_BYTES + 1);
    let argument = Request::new("true").argument("x").argument(&too_long);
    assert_invalid(argument.clone(), "argument", "number 2");
    assert_invalid(argument, "argument", size);
    assert_invalid(Request::new(&too_long), "command", size);
    assert_invalid(Request::program(&too_long), "program", size);
    // NAME= counts.
    let value = long(MAX_ARGUMENT_BYTES + 1 - "NAME=".len());
    let variable = Request::new("true").variable("NAME", &value);
    assert_invalid(variable.clone(), "variable", "NAME");
    assert_invalid(variable, "variable", size);
}

#[test]
fn kernel_the_longest_that_the_kernel_takes_is_taken() {
    let manager = open();
    let argument = "x".repeat(MAX_ARGUMENT_BYTES);
    let value = "y".repeat(MAX_ARGUMENT_BYTES - "NAME=".len());
    let request = Request::new("echo ${#1} ${#NAME}")
        .arguments(["sh", &argument])
        .variable("NAME", &value);
    let process = start_request(&manager, &request);
    assert_eq!(wait(&process).exit_code(), Some(0));
    assert_eq!(text(&process), "131071 131066\n");
}

#[test]
fn a_directory_must_be_one() {
    let manager = open();
    let place = tempfile::tempdir().expect("a directory");
    let (missing, file) = (place.path().join("gone"), place.path().join("file"));
    fs::write(&file, "").expect("a file");
    let trace = place.path().join("trace");
    let request =
        |directory| Request::new(format!("echo > {}", trace.display())).directory(directory);
    let shown = missing.display().to_string();
    assert_fails(
        &manager,
        request(&missing),
        Step::Directory,
        libc::ENOENT,
        &shown,
    );
    let shown = file.display().to_string();
    assert_fails(
        &manager,
        request(&file),
        Step::Directory,
        libc::ENOTDIR,
        &shown,
    );
    assert!(!trace.exists());
    assert_eq!(
        wait(&start_request(&manager, &request(&place.path().into()))).exit_code(),
        Some(0)
    );
    assert!(trace.exists());
}

#[test]
fn a_shell_that_is_not_there_is_named() {
    let manager = Manager::open(Config::new().shell("/no/such/shell")).expect("a manager");
    let request = Request::new("true");
    assert_fails(
        &manager,
        request,
        Step::Execute,
        libc::ENOENT,
        "/no/such/shell",
    );
}

#[test]
fn kernel_a_program_that_cannot_be_executed_is_named() {
    let manager = open();
    let place = tempfile::tempdir().expect("a directory");
    let plain = place.path().join("plain");
    fs::write(&plain, "#!/bin/sh\n").expect("a file");
    let orphan = place.path().join("orphan");
    fs::write(&orphan, "#!/no/such/interpreter\n").expect("a file");
    fs::set_permissions(&orphan, fs::Permissions::from_mode(0o755)).expect("permissions");

    let no_such = Request::program("no-such-program-anywhere");
    assert_fails(
        &manager,
        no_such,
        Step::Execute,
        libc::ENOENT,
        "no-such-program-anywhere",
    );
    let shown = plain.display().to_string();
    assert_fails(
        &manager,
        Request::program(&plain),
        Step::Execute,
        libc::EACCES,
        &shown,
    );
    let shown = orphan.display().to_string();
    assert_fails(
        &manager,
        Request::program(&orphan),
        Step::Execute,
        libc::ENOENT,
        &shown,
    );
    let directory = Request::program(place.path());
    let shown = place.path().display().to_string();
    assert_fails(&manager, directory, Step::Execute, libc::EACCES, &shown);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let cases = [
        (
            Config::new().tail_bytes(0),
            "tail_bytes",
            "0 is not between 1",
        ),
        (
            Config::new().tail_bytes(MAX_KEPT_BYTES + 1),
            "tail_bytes",
            "1073741825",
        ),
        (
            Config::new().head_bytes(MAX_KEPT_BYTES + 1),
            "head_bytes",
            "1073741825",
        ),
        (Config::new().max_processes(0), "max_processes", "zero"),
        (Config::new().shell(""), "shell", "empty"),
        (
            Config::new().shell(with_nul("/bin/sh", "")),
            "shell",
            "NUL byte at 7",
        ),
        (Config::new().directory(""), "directory", "empty"),
        (Config::new().variable("A=B", ""), "variable", "\"A=B\""),
        (
            Config::new().owner_variable(""),
            "variable",
            "name is empty",
        ),
    ];
    for (config, expected, offender) in cases {
        let error = Manager::open(config).expect_err(expected);
        assert!(
            matches!(&error, Error::Invalid { what, .. } if *what == expected),
            "{error:?}"
        );
        assert!(error.to_string().contains(offender), "{error}");
    }
    let smallest = Manager::open(Config::new().head_bytes(0).tail_bytes(1)).expect("a manager");
    let process = start(&smallest, "printf abc");
    assert_eq!(wait(&process).output_bytes, 3);
    assert!(text(&process).ends_with("c"));
}

#[test]
fn a_time_limit_of_nothing_is_refused() {
    let request = Request::new("true").time_limit(Duration::ZERO);
    assert_invalid(request, "time limit", "zero");
}

#[test]
fn one_process_more_than_the_limit_is_refused_until_one_has_ended() {
    let manager = Manager::open(Config::new().max_processes(2)).expect("a manager");
    let processes = [start(&manager, FOREVER), start(&manager, FOREVER)];
    let error = refused_by(&manager, &Request::new("true"));
    assert!(
        matches!(
            &error,
            Error::Limit {
                what: "max_processes",
                limit: 2
            }
        ),
        "{error:?}"
    );
    let shown = error.to_string();
    assert!(
        shown.contains("max_processes") && shown.contains('2'),
        "{shown}"
    );
    let stopped = processes[0].stop(Duration::ZERO).expect("a stop");
    assert_eq!(stopped.left, 0);
    eventually("its place is free", || {
        matches!(
            manager.start(&Request::new("true").directory("/no/such/directory")),
            Err(Error::Spawn { .. })
        )
    });
    // A start that fails takes no slot.
    for _ in 0..3 {
        assert!(matches!(
            manager.start(&Request::new("true").directory("/no/such/directory")),
            Err(Error::Spawn { .. })
        ));
    }
    start(&manager, FOREVER);
}

#[test]
fn an_unknown_id_is_not_found_and_named() {
    let manager = open();
    let unknown = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let id: Id = unknown.parse().expect("an id");
    for error in [manager.get(id).map(drop), manager.forget(id)] {
        let error = error.expect_err("no process has this id");
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
        assert!(error.to_string().contains(unknown), "{error}");
    }
}

#[test]
fn a_text_that_is_no_uuid_is_no_id() {
    let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let braces = format!("{{{id}}}");
    let urn = format!("urn:uuid:{id}");
    let plain = id.replace('-', "");
    let letter = id.replace('6', "g");
    for text in ["", "x", &id[1..], &braces, &urn, &plain, &letter] {
        let error = text.parse::<Id>().expect_err(text);
        assert!(error.to_string().contains("UUID"), "{error}");
    }
}

#[test]
fn a_signal_to_a_process_that_has_ended_is_an_error_of_its_own() {
    let manager = open();
    let process = start(&manager, "exit 5");
    wait(&process);
    for signal in Signal::ALL {
        let error = process.signal(signal).expect_err("nothing is left of it");
        assert!(
            matches!(error, Error::NotRunning { id } if id == process.id()),
            "{error:?}"
        );
        assert!(error.to_string().contains(&process.id().to_string()));
    }
    // Stopping it is no error.
    let stopped = process.stop(Duration::ZERO).expect("a stop");
    assert_eq!(stopped.status.exit_code(), Some(5));
    assert_eq!((stopped.beyond_group, stopped.left), (0, 0));
}

#[test]
fn a_process_of_another_owner_is_not_found() {
    let manager = open();
    let process = start_request(&manager, &Request::new(FOREVER).owner("mine"));
    let other = manager.scope("yours").expect("a scope");
    for error in [
        other.get(process.id()).map(drop),
        other.forget(process.id()),
    ] {
        assert!(matches!(error, Err(Error::NotFound { .. })), "{error:?}");
    }
    assert_eq!(other.list(None).expect("a list").total, 0);
    let error = refused_by(&other, &Request::new("true").owner("mine"));
    assert!(
        matches!(error, Error::Invalid { what: "owner", .. }),
        "{error:?}"
    );
    let shown = error.to_string();
    assert!(shown.contains("mine") && shown.contains("yours"), "{shown}");
    let error = manager.scope("").expect_err("an owner has a name");
    assert!(
        matches!(error, Error::Invalid { what: "owner", .. }),
        "{error:?}"
    );
}

#[test]
fn nothing_starts_after_close() {
    let place = tempfile::tempdir().expect("a directory");
    let trace = place.path().join("trace");
    let manager = open();
    let scope = manager.scope("me").expect("a scope");
    manager.close().expect("nothing to end");
    let request = Request::new(format!("echo > {}", trace.display()));
    for view in [&manager, &scope] {
        for request in [request.clone(), request.clone().key("key")] {
            let error = refused_by(view, &request);
            assert!(matches!(error, Error::Closed), "{error:?}");
            assert!(error.to_string().contains("closed"), "{error}");
        }
    }
    assert!(matches!(manager.scope("you"), Err(Error::Closed)));
    assert!(matches!(manager.events(), Err(Error::Closed)));
    manager.close().expect("closing again changes nothing");
    assert!(!trace.exists());
}

#[test]
fn a_read_that_makes_no_sense_is_refused() {
    let manager = open();
    let process = start(&manager, "echo merged");
    let options = ReadOptions::default();
    let now = Some(Duration::ZERO);
    let error = process
        .read(Stream::Stderr, 0, &mut [0; 8], now, options)
        .expect_err("there is no such stream");
    assert!(
        matches!(error, Error::Invalid { what: "stream", .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("standard error is not separate"),
        "{error}"
    );
    let error = process.output(Stream::Stderr).expect_err("the same");
    assert!(
        matches!(error, Error::Invalid { what: "stream", .. }),
        "{error:?}"
    );

    let mut whole = options;
    whole.whole_characters = true;
    let error = process
        .read(Stream::Stdout, 0, &mut [0; 3], now, whole)
        .expect_err("too small for a character of four bytes");
    assert!(
        matches!(error, Error::Invalid { what: "buffer", .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("3 bytes"), "{error}");
}
