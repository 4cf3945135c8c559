//! Listing and finding processes, and their status.

mod common;

use std::ffi::OsStr;
use std::path::Path;

use common::{FOREVER, eventually, open, start, start_request, wait};
use procmgr::{EndedBy, Error, Id, Manager, Request, State};

fn listed(manager: &Manager, limit: Option<usize>) -> (Vec<Id>, usize) {
    let listing = manager.list(limit).expect("a list");
    let ids = listing.processes.iter().map(|status| status.id).collect();
    (ids, listing.total)
}

#[test]
fn running_ones_come_first_and_the_newest_of_each_before_the_others() {
    let manager = open();
    assert_eq!(listed(&manager, None), (Vec::new(), 0));
    let first = start(&manager, "exit 1");
    let second = start(&manager, FOREVER);
    let third = start(&manager, "exit 3");
    let fourth = start(&manager, FOREVER);
    let fifth = start(&manager, "exit 5");
    // The order of the ends is not what counts.
    wait(&third);
    wait(&fifth);
    wait(&first);
    let order = [&fourth, &second, &fifth, &third, &first].map(|process| process.id());
    assert_eq!(listed(&manager, None), (order.to_vec(), 5));
    for limit in 0..=7 {
        let expected = order[..limit.min(5)].to_vec();
        assert_eq!(listed(&manager, Some(limit)), (expected, 5));
    }
    second.stop(std::time::Duration::ZERO).expect("a stop");
    let order = [&fourth, &fifth, &third, &second, &first].map(|process| process.id());
    assert_eq!(listed(&manager, None), (order.to_vec(), 5));
}

#[test]
fn a_process_is_found_by_its_id() {
    let manager = open();
    let process = start(&manager, FOREVER);
    let found = manager.get(process.id()).expect("it is there");
    assert_eq!((found.id(), found.pid()), (process.id(), process.pid()));
    assert!(!found.is_attached());
    let parsed: Id = process.id().to_string().parse().expect("an id");
    assert_eq!(manager.get(parsed).expect("it is there").id(), process.id());

    let other = open();
    let error = other.get(process.id()).expect_err("another manager's");
    assert!(matches!(error, Error::NotFound { .. }));
    assert!(error.to_string().contains(&process.id().to_string()));
    assert!("no id".parse::<Id>().is_err());
}

#[test]
fn ids_are_version_four() {
    let manager = open();
    let (one, other) = (start(&manager, ":"), start(&manager, ":"));
    assert_ne!(one.id(), other.id());
    let text = one.id().to_string();
    assert_eq!((text.len(), &text[14..15]), (36, "4"));
}

#[test]
fn a_status_reports_what_was_started() {
    let manager = open();
    let directory = tempfile::tempdir().expect("a directory");
    let request = Request::new("echo four; exec sleep 600")
        .directory(directory.path())
        .owner("an owner")
        .background(true);
    let process = start_request(&manager, &request);
    eventually("it has printed", || {
        process.status().expect("a status").output_bytes == 5
    });
    let status = process.status().expect("a status");
    assert_eq!(status.id, process.id());
    assert_eq!(status.pid, process.pid());
    assert_eq!(
        (status.state, status.ended_by),
        (State::Running, EndedBy::Nobody)
    );
    assert!(status.is_running() && status.output_open && status.is_background());
    assert_eq!((status.exit_code(), status.ended_at), (None, None));
    assert_eq!(status.command(), OsStr::new("echo four; exec sleep 600"));
    assert_eq!(status.directory(), directory.path());
    assert_eq!(status.owner(), Some(OsStr::new("an owner")));
    assert!(status.usage.user.is_zero() && status.usage.max_rss_kib == 0);

    let request = Request::program("/bin/echo")
        .arguments(["a b", "c"])
        .directory("/");
    let process = start_request(&manager, &request);
    let status = wait(&process);
    assert_eq!(common::text(&process), "a b c\n");
    assert_eq!(status.command(), OsStr::new("/bin/echo a b c"));
    assert_eq!(status.directory(), Path::new("/"));
    assert_eq!((status.owner(), status.is_background()), (None, false));
    assert_eq!(status.output_bytes, 6);
}

/// A list has the status of each process.
#[test]
fn a_list_and_its_processes_agree() {
    let manager = open();
    for code in 0..5 {
        wait(&start(&manager, &format!("echo {code}; exit {code}")));
    }
    for status in manager.list(None).expect("a list").processes {
        let process = manager.get(status.id).expect("it is kept");
        let alone = process.status().expect("a status");
        assert_eq!(status.state, alone.state);
        assert_eq!(status.duration, alone.duration);
        assert_eq!(status.pid, alone.pid);
        let text = common::text(&process);
        assert_eq!(
            Some(text.trim()),
            status.exit_code().map(|code| code.to_string()).as_deref()
        );
    }
}
