//! The end of a process: reported at once, exactly, for good, and with everything that the leader
//! wrote.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use common::{
    TIMEOUT, carriers, eventually, open, start, start_request, text, wait, wait_for_line,
};
use procmgr::{
    Config, EndedBy, Error, Manager, ReadOptions, ReadState, Request, Signal, State, Stream,
};

/// For a survivor: waits until the leader has ended, and 50 ms.
const AFTER_THE_END: &str = "while kill -0 $$ 2>&-; do sleep 0.01; done; sleep 0.05";

#[test]
fn kernel_the_exit_code_is_the_leaders() {
    let manager = open();
    for code in [0, 1, 42, 255] {
        let status = wait(&start(&manager, &format!("exit {code}")));
        assert_eq!(status.state, State::Exited(code));
        assert_eq!(status.exit_code(), Some(code));
        assert_eq!(status.ended_by, EndedBy::Nobody);
    }
}

#[test]
fn kernel_a_signal_from_another_process_is_reported_with_its_number() {
    let manager = open();
    for number in [9, 15, 1] {
        let status = wait(&start(&manager, &format!("kill -{number} $$; sleep 600")));
        let State::Signaled {
            signal,
            core_dumped,
        } = status.state
        else {
            panic!("{status:?}");
        };
        assert_eq!((signal, core_dumped), (number, false));
        assert_eq!(status.exit_code(), None);
        assert_eq!(status.ended_by, EndedBy::Nobody);
    }
}

#[test]
fn kernel_times_and_usage_are_those_of_the_process() {
    let manager = open();
    let before = SystemTime::now();
    let process = start(
        &manager,
        "sleep 0.1; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done",
    );
    let running = process.status().expect("a status");
    assert_eq!(running.ended_at, None);
    let status = wait(&process);
    let after = SystemTime::now();
    let ended_at = status.ended_at.expect("it has ended");
    assert!(before <= status.started_at && status.started_at <= ended_at && ended_at <= after);
    assert!(status.duration >= Duration::from_millis(100), "{status:?}");
    assert!(!status.usage.user.is_zero() || !status.usage.system.is_zero());
    assert!(status.usage.max_rss_kib > 100, "{status:?}");
    // What has ended does not change.
    let later = process.status().expect("a status");
    assert_eq!(
        (later.duration, later.ended_at),
        (status.duration, status.ended_at)
    );
}

/// After one caller has seen the end, no caller sees "running".
#[test]
fn no_caller_sees_running_after_the_end_was_seen() {
    const WATCHERS: usize = 8;
    const BATCH: usize = 20;
    const BATCHES: usize = 50;
    let manager = open();
    for batch in 0..BATCHES {
        let children: Vec<_> = (0..BATCH)
            .map(|number| {
                let code = (batch * BATCH + number) % 200;
                let process = start(&manager, &format!("exit {code}"));
                (process, code as i32, AtomicBool::new(false))
            })
            .collect();
        thread::scope(|scope| {
            for watcher in 0..WATCHERS {
                let (manager, children) = (&manager, &children);
                scope.spawn(move || {
                    for (process, code, seen) in children {
                        loop {
                            // Read before the status: another watcher may have seen the end since.
                            let must_be_over = seen.load(Ordering::SeqCst);
                            let state = match watcher % 4 {
                                0 => Some(wait(process).state),
                                1 => Some(process.status().expect("a status").state),
                                2 => process
                                    .wait_timeout(Duration::ZERO)
                                    .expect("a wait")
                                    .map(|status| status.state),
                                _ => {
                                    let found = manager.get(process.id()).expect("it is kept");
                                    Some(found.status().expect("a status").state)
                                }
                            };
                            match state {
                                None | Some(State::Running) => assert!(!must_be_over),
                                Some(state) => {
                                    seen.store(true, Ordering::SeqCst);
                                    assert_eq!(state, State::Exited(*code));
                                    break;
                                }
                            }
                            thread::yield_now();
                        }
                    }
                });
            }
        });
    }
}

/// A snapshot that is taken as soon as the end is known always has the last line.
#[test]
fn an_end_is_never_known_before_the_last_line() {
    const CHILDREN: usize = 400;
    let manager = open();
    thread::scope(|scope| {
        for spins in [false, true, true, false] {
            let manager = &manager;
            scope.spawn(move || {
                for number in 0..CHILDREN / 4 {
                    let process =
                        start(manager, &format!("printf '%050000d\\nlast {number}\\n' 7"));
                    let status = if spins {
                        // Sooner than a waiter can be woken.
                        loop {
                            let status = process.status().expect("a status");
                            if !status.is_running() {
                                break status;
                            }
                            thread::yield_now();
                        }
                    } else {
                        wait(&process)
                    };
                    let text = text(&process);
                    let last = format!("\nlast {number}\n");
                    assert!(text.ends_with(&last), "{}", &text[text.len() - 80..]);
                    assert_eq!(status.output_bytes, 50_000 + last.len() as u64);
                }
            });
        }
    });
}

/// Bytes that a full lossless output has left in the pipe are there at the end, although a survivor
/// holds the pipe.
#[test]
fn what_was_left_in_the_pipe_is_there_at_the_end() {
    let manager = Manager::open(Config::new().head_bytes(100).tail_bytes(100)).expect("a manager");
    for _ in 0..50 {
        let request = Request::new("sleep 600 & printf '%060000d\\nlast\\n' 7").lossless(true);
        let process = start_request(&manager, &request);
        // Not a blocking wait: nothing may happen between the end and the read.
        let status = loop {
            let status = process.status().expect("a status");
            if !status.is_running() {
                break status;
            }
            thread::yield_now();
        };
        assert!(text(&process).ends_with("0007\nlast\n"));
        assert_eq!(status.output_bytes, 60_006);
        assert!(status.output_open);
        let (mut buffer, mut cursor) = (vec![0; 60_006], 0);
        while cursor < 60_006 {
            let chunk = process
                .read(
                    Stream::Stdout,
                    cursor,
                    &mut buffer,
                    None,
                    ReadOptions::default(),
                )
                .expect("a read");
            assert_eq!((chunk.state, chunk.lost), (ReadState::Data, 0));
            cursor = chunk.cursor;
        }
        process.stop(Duration::ZERO).expect("a stop");
    }
}

#[test]
fn kernel_a_server_in_the_background_does_not_delay_the_end() {
    let manager = open();
    let process = start(&manager, "sleep 600 & echo ok");
    let status = wait(&process);
    assert_eq!(
        (status.state, status.ended_by),
        (State::Exited(0), EndedBy::Nobody)
    );
    assert!(status.output_open);
    assert_eq!(text(&process), "ok\n");
    assert!(status.duration < Duration::from_secs(3), "{status:?}");
    // One that reads to the end of the process has it, one that reads to the end of the stream must wait.
    let mut buffer = [0; 10];
    let mut read = |until_process_end| {
        let mut options = ReadOptions::default();
        options.until_process_end = until_process_end;
        let timeout = (!until_process_end).then_some(Duration::from_millis(1));
        process
            .read(Stream::Stdout, 3, &mut buffer, timeout, options)
            .expect("a read")
            .state
    };
    assert_eq!(read(true), ReadState::ProcessEnded);
    assert_eq!(read(false), ReadState::TimedOut);
}

#[test]
fn kernel_what_survivors_print_is_captured() {
    let manager = open();
    let command = format!("({AFTER_THE_END}; echo late; exec sleep 600) & echo ok");
    let process = start(&manager, &command);
    assert!(wait(&process).output_open);
    assert_eq!(wait_for_line(&process, "late"), "ok\nlate");
    let status = process.status().expect("a status");
    assert_eq!((status.state, status.output_open), (State::Exited(0), true));
    assert_eq!(status.output_bytes, 8);
}

#[test]
fn kernel_the_last_survivor_closes_the_output() {
    let manager = open();
    let command = format!("({AFTER_THE_END}; echo late) & echo ok");
    let process = start(&manager, &command);
    wait(&process);
    eventually("the output is closed", || {
        !process.status().expect("a status").output_open
    });
    assert_eq!(text(&process), "ok\nlate\n");
}

#[test]
fn kernel_a_signal_reaches_survivors_and_changes_no_end() {
    let manager = open();
    let process = start(
        &manager,
        "(trap 'echo caught; exit' USR1; echo ready; while :; do sleep 0.02; done) & echo ok",
    );
    wait(&process);
    wait_for_line(&process, "ready");
    process.signal(Signal::User1).expect("a survivor is left");
    wait_for_line(&process, "caught");
    eventually("nothing is left", || {
        matches!(process.signal(Signal::User1), Err(Error::NotRunning { .. }))
    });
    let status = process.status().expect("a status");
    assert_eq!(
        (status.state, status.ended_by),
        (State::Exited(0), EndedBy::Nobody)
    );
}

#[test]
fn kernel_stop_reaches_survivors_and_changes_no_end() {
    let manager = open();
    let process = start(&manager, "sleep 600 & sleep 600 & echo ok");
    wait(&process);
    let stopped = process.stop(TIMEOUT).expect("a stop");
    // They are in the leader's group.
    assert_eq!((stopped.beyond_group, stopped.left), (0, 0));
    assert_eq!(stopped.status.state, State::Exited(0));
    assert_eq!(stopped.status.ended_by, EndedBy::Nobody);
    assert_eq!(carriers(process.id()), []);
    let again = process.stop(TIMEOUT).expect("a stop");
    assert_eq!((again.beyond_group, again.left), (0, 0));
}

#[test]
fn kernel_a_child_that_closes_its_output_is_running() {
    let manager = open();
    let process = start(&manager, "echo bye; exec sleep 600 >&- 2>&-");
    eventually("the output is closed", || {
        !process.status().expect("a status").output_open
    });
    let mut buffer = [0; 10];
    let chunk = process
        .read(Stream::Stdout, 4, &mut buffer, None, ReadOptions::default())
        .expect("a read");
    assert_eq!(chunk.state, ReadState::Eof);
    let waited = process
        .wait_timeout(Duration::from_millis(50))
        .expect("a wait");
    assert!(waited.is_none());
    assert!(process.status().expect("a status").is_running());
    let stopped = process.stop(TIMEOUT).expect("a stop");
    assert_eq!(stopped.status.ended_by, EndedBy::Stop);
}

/// The end wakes blocked readers.
#[test]
fn kernel_an_end_ends_blocked_reads() {
    let manager = open();
    for rest in ["", "sleep 600 &"] {
        let process = Arc::new(start(&manager, &format!("{rest} sleep 0.05; exit 3")));
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let process = Arc::clone(&process);
                thread::spawn(move || {
                    let mut options = ReadOptions::default();
                    options.until_process_end = true;
                    let state = process
                        .read(Stream::Stdout, 0, &mut [0; 10], Some(TIMEOUT), options)
                        .expect("a read")
                        .state;
                    (state, process.status().expect("a status").state)
                })
            })
            .collect();
        for reader in readers {
            let (read, state) = reader.join().expect("the thread did not panic");
            if rest.is_empty() {
                // The end of the stream may be seen before that of the process, or the other way round.
                assert!(matches!(read, ReadState::Eof | ReadState::ProcessEnded));
            } else {
                assert_eq!((read, state), (ReadState::ProcessEnded, State::Exited(3)));
            }
        }
    }
}
