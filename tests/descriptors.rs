//! Starts leave nothing behind: descriptors, threads and zombies of this program are counted before and
//! after thousands of starts, good and bad. One test, so that nothing else in the program changes the
//! numbers.

use std::fs;
use std::time::Duration;

use procmgr::{Config, Error, Manager, Request, State, Step};

mod common;
use common::{TIMEOUT, eventually, open, start, wait, zombies};

const STARTS: usize = 2_000;

fn entries(directory: &str) -> usize {
    fs::read_dir(directory)
        .expect("a directory of the kernel's")
        .count()
}

fn descriptors() -> usize {
    entries("/proc/self/fd")
}

/// What this program holds: descriptors, threads, zombies.
fn held() -> (usize, usize, usize) {
    (descriptors(), entries("/proc/self/task"), zombies().len())
}

/// A thread is listed by the kernel for a short time after its end.
fn assert_back_at(before: (usize, usize, usize), after: &str) {
    let mut now = held();
    let began = std::time::Instant::now();
    while now != before && began.elapsed() < TIMEOUT {
        std::thread::yield_now();
        now = held();
    }
    assert_eq!(now, before, "(descriptors, threads, zombies) after {after}");
}

#[test]
fn starts_leave_nothing_behind() {
    // What the standard library and the allocator open once.
    drop(open());
    let before = held();

    thousands_in_a_row(before.0);
    assert_back_at(before, "starts in a row");

    failed_starts(before.0);
    assert_back_at(before, "failed starts");

    unread_and_unwaited();
    assert_back_at(before, "processes without a waiter");

    survivors(before.0);
    assert_back_at(before, "survivors");
}

fn thousands_in_a_row(before: usize) {
    let manager = open();
    let opened = descriptors();
    for _ in 0..STARTS {
        assert_eq!(wait(&start(&manager, ":")).state, State::Exited(0));
    }
    // They go when a process is done, and not when its record is dropped or the manager closed.
    assert!(opened >= before);
    eventually("the descriptors of ended processes are gone", || {
        descriptors() == opened
    });
    assert!(zombies().is_empty());
    // The oldest are dropped.
    eventually("the records are as many as are kept", || {
        manager.list(Some(0)).expect("a list").total == 1_024
    });
    manager.close().expect("a close");
}

fn failed_starts(before: usize) {
    let manager = open();
    let opened = descriptors();
    assert!(opened >= before);
    let cases = [
        (
            Request::new(":").directory("/no/such/directory"),
            Step::Directory,
        ),
        (Request::new(":").directory("/dev/null"), Step::Directory),
        (Request::program("/no/such/program"), Step::Execute),
        (Request::program("no-such-program-anywhere"), Step::Execute),
        (
            Request::program("/dev/null").separate_streams(true),
            Step::Execute,
        ),
    ];
    for _ in 0..100 {
        for (request, step) in &cases {
            let error = manager.start(request).expect_err("it cannot be started");
            assert_eq!(error.step(), Some(*step), "{error}");
        }
        let error = manager.start(&Request::new("")).expect_err("it is empty");
        assert!(matches!(error, Error::Invalid { .. }));
    }
    assert_eq!(descriptors(), opened);
    assert!(zombies().is_empty());
    assert_eq!(manager.list(None).expect("a list").total, 0);
    // And they took no slot.
    drop(manager);
    let manager = Manager::open(Config::new().max_processes(1)).expect("a manager");
    assert!(manager.start(&cases[0].0).is_err());
    assert_eq!(wait(&start(&manager, ":")).state, State::Exited(0));
}

fn unread_and_unwaited() {
    let manager = open();
    for number in 0..20 {
        drop(start(&manager, &format!("echo {number}; exit {number}")));
    }
    // They are reaped without a waiter.
    eventually("all have ended", || {
        let listing = manager.list(None).expect("a list");
        listing.processes.iter().all(|status| !status.is_running())
    });
    assert!(zombies().is_empty());
}

fn survivors(before: usize) {
    let manager = open();
    let opened = descriptors();
    // What they hold goes with the last holder of the pipe, whether that ends by itself or is ended.
    for command in ["sleep 0.1 & exit 6", "sleep 600 & exit 6"] {
        for _ in 0..5 {
            let process = start(&manager, command);
            assert_eq!(wait(&process).state, State::Exited(6));
            if command.contains("600") {
                assert!(process.status().expect("a status").output_open);
                assert!(descriptors() > before);
                let stopped = process.stop(Duration::ZERO).expect("a stop");
                assert_eq!(stopped.left, 0);
            }
        }
        let what = format!("the descriptors of `{command}` are gone while it is remembered");
        eventually(&what, || descriptors() == opened);
    }
}
