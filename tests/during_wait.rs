//! A process while a caller waits for its end: its output is read and its streams are closed as without
//! a waiting caller.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use common::{
    FOREVER, Signs, TIMEOUT, eventually, in_time, open, start, start_request, text, wait,
    while_asleep,
};
use procmgr::{EndedBy, Process, ReadOptions, ReadState, Request, Signal, State, Status, Stream};

/// Waits for the end on another thread, and runs `meanwhile` once that thread sleeps.
fn while_a_caller_waits(process: &Process, meanwhile: impl FnOnce()) -> Status {
    while_asleep(|| wait(process), meanwhile)
}

fn stop(process: &Process) {
    process.stop(Duration::ZERO).expect("a stop");
}

/// More than a pipe holds: a command that prints it continues only if it is read.
const MUCH: &str = "head -c 200000 /dev/zero";

/// The pipe that a process writes to.
fn pipe_of(process: &Process, number: i32) -> PathBuf {
    fs::read_link(format!("/proc/{}/fd/{number}", process.pid())).expect("it runs")
}

/// Whether this program has a descriptor of the pipe.
fn is_held(pipe: &Path) -> bool {
    let descriptors = fs::read_dir("/proc/self/fd").expect("descriptors");
    let links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.into_iter().any(|link| link == pipe)
}

#[test]
fn output_that_comes_during_a_wait_is_read() {
    let manager = open();
    let signs = Signs::new();
    let process = start(
        &manager,
        &format!("{MUCH}; {}; {FOREVER}", signs.given("printed")),
    );
    let status = while_a_caller_waits(&process, || {
        signs.wait_for("printed");
        stop(&process);
    });
    assert_eq!(
        (status.ended_by, status.output_bytes),
        (EndedBy::Stop, 200_000)
    );
}

#[test]
fn output_that_comes_after_a_wait_has_timed_out_is_read() {
    let manager = open();
    for before in ["", "echo early;"] {
        for separate in [false, true] {
            let signs = Signs::new();
            let (awaited, given) = (signs.awaited("go"), signs.given("printed"));
            let command = format!("{before} {awaited}; {MUCH}; {given}; echo; echo late");
            let request = Request::new(command).separate_streams(separate);
            let process = start_request(&manager, &request);
            let waited = process.wait_timeout(Duration::from_millis(20));
            assert!(waited.expect("a wait").is_none());
            signs.give("go");
            signs.wait_for("printed");
            eventually("it is there", || text(&process).ends_with("late\n"));
            stop(&process);
        }
    }
}

#[test]
fn an_output_that_ends_before_its_process_is_closed_at_once() {
    let manager = open();
    let signs = Signs::new();
    let awaited = signs.awaited("go");
    let process = start(&manager, &format!("{awaited}; exec >&- 2>&-; {FOREVER}"));
    let pipe = pipe_of(&process, 1);
    while_a_caller_waits(&process, || {
        assert!(is_held(&pipe));
        signs.give("go");
        eventually("it is closed", || !is_held(&pipe));
        let status = process.status().expect("a status");
        assert!(status.is_running());
        eventually("it is said", || {
            !process.status().expect("a status").output_open
        });
        stop(&process);
    });
}

/// The other one stays open, and is read too.
#[test]
fn the_end_of_one_stream_of_two_is_seen() {
    let manager = open();
    let signs = Signs::new();
    let (go, more) = (signs.awaited("go"), signs.awaited("more"));
    let printed = signs.given("printed");
    let request = Request::new(format!(
        "{go}; exec 2>&-; {more}; {MUCH}; {printed}; {FOREVER}"
    ));
    let process = start_request(&manager, &request.separate_streams(true));
    let (stdout, stderr) = (pipe_of(&process, 1), pipe_of(&process, 2));
    while_a_caller_waits(&process, || {
        signs.give("go");
        eventually("it is closed", || !is_held(&stderr));
        assert!(is_held(&stdout));
        signs.give("more");
        signs.wait_for("printed");
        stop(&process);
    });
}

/// A lossless output that is not read blocks the child, and a follower resumes it while another caller
/// waits for the end.
#[test]
fn a_full_lossless_output_goes_on_with_its_follower() {
    const BYTES: u64 = 2 << 20;
    let manager = open();
    let request = Request::new(format!("exec head -c {BYTES} /dev/zero")).lossless(true);
    let process = start_request(&manager, &request);
    let status = while_a_caller_waits(&process, || {
        let call = format!("/proc/{}/syscall", process.pid());
        let write = format!("{} ", libc::SYS_write);
        eventually("it is full", || {
            fs::read_to_string(&call).is_ok_and(|call| call.starts_with(&write))
        });
        let mut buffer = vec![0; 64 << 10];
        let mut cursor = 0;
        loop {
            let (options, timeout) = (ReadOptions::default(), Some(TIMEOUT));
            let chunk = process.read(Stream::Stdout, cursor, &mut buffer, timeout, options);
            let chunk = chunk.expect("a read");
            assert_eq!(chunk.lost, 0);
            cursor = chunk.cursor;
            match chunk.state {
                ReadState::Data => {}
                ReadState::Eof => break,
                other => panic!("{other:?} after {cursor} bytes"),
            }
        }
        assert_eq!(cursor, BYTES);
    });
    assert_eq!(status.state, State::Exited(0));
}

/// Members of the group that run on without the output have a second to exit before the pidfd is kept.
/// A caller that waits for the end does not wait for that.
#[test]
fn survivors_in_the_group_delay_no_waiter() {
    let manager = open();
    let waits = (0..5).map(|_| {
        let process = start(
            &manager,
            &format!("{FOREVER} >/dev/null 2>&1 & sleep 0.05; exit 3"),
        );
        let began = Instant::now();
        assert_eq!(wait(&process).state, State::Exited(3));
        let waited = began.elapsed();
        process.signal(Signal::Kill).expect("something is left");
        waited
    });
    // One of them, on a busy machine.
    assert!(waits.min() < Some(Duration::from_millis(900)));
}

/// Waits of all lengths, by several callers, and followers that start at any moment: nothing is lost,
/// and no call hangs.
#[test]
fn waiting_and_following_come_and_go() {
    const CHILDREN: u64 = 60;
    let expected: String = (1..=300).map(|number| format!("{number}\n")).collect();
    let manager = open();
    in_time("all of it is over", move || {
        for child in 0..CHILDREN {
            let command = "seq 1 100; sleep 0.002; seq 101 200; sleep 0.002; seq 201 300";
            let process = start(&manager, command);
            let here = Barrier::new(4);
            thread::scope(|scope| {
                for waiter in 0..3 {
                    let (process, here) = (&process, &here);
                    let timeout = Duration::from_micros((child * 37 + waiter * 411) % 1500);
                    scope.spawn(move || {
                        here.wait();
                        while process.wait_timeout(timeout).expect("a wait").is_none() {
                            thread::yield_now();
                        }
                    });
                }
                here.wait();
                if child % 2 == 0 {
                    // Somewhere in the middle.
                    eventually("it has begun", || !text(&process).is_empty());
                    let mut follow = process.follow(Stream::Stdout);
                    let mut followed = String::new();
                    std::io::Read::read_to_string(&mut follow, &mut followed).expect("text");
                    assert_eq!(followed, expected, "child {child}");
                }
            });
            assert_eq!(wait(&process).state, State::Exited(0));
            assert_eq!(text(&process), expected, "child {child}");
        }
    });
}
