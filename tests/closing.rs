//! Closing: nothing is started any more, nothing is left behind, no caller stays blocked.

#![allow(unsafe_code)]

mod common;
mod isolated;
mod tools;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::{
    FOREVER, TIMEOUT, carriers, eventually, is_alive, kernel_state, open, start, text, wait,
    wait_for_line, wait_for_value, zombies,
};
use isolated::{Place, in_a_copy};
use parking_lot::Mutex;
use procmgr::{
    Config, EndedBy, Error, Id, Manager, ReadOptions, ReadState, Request, Signal, State, Stream,
};

fn killed_by(signal: i32) -> State {
    State::Signaled {
        signal,
        core_dumped: false,
    }
}

/// Everything that procmgr has started in this manager.
fn ids(manager: &Manager) -> Vec<Id> {
    let listing = manager.list(None).expect("a list");
    listing.processes.iter().map(|status| status.id).collect()
}

fn nothing_left(manager: &Manager) {
    for id in ids(manager) {
        assert_eq!(carriers(id), []);
        let process = manager.get(id).expect("it is kept");
        assert!(!process.status().expect("a status").is_running());
    }
}

#[test]
fn fifty_of_all_kinds_are_gone_at_once() {
    const KINDS: [&str; 10] = [
        "echo ready; exec sleep 600",
        "trap '' TERM INT HUP; echo ready; while :; do sleep 0.1; done",
        "sleep 600 & sleep 600 & echo ready; wait",
        "setsid sh -c 'echo ready; exec sleep 600' & wait",
        "setsid sh -c 'trap \"\" TERM; echo ready; sleep 600 >/dev/null 2>&1; :' & exit 0",
        "(sleep 600 & sleep 600 & echo ready)",
        "echo ready; exec sleep 600 >&- 2>&-",
        "echo ready; exec yes",
        "echo ready; while :; do sleep 0.01 & sleep 0.01; done",
        "nohup sh -c 'echo ready; exec sleep 600' & kill -STOP $$",
    ];
    let manager = open();
    let processes: Vec<_> = (0..50)
        .map(|number| start(&manager, KINDS[number % KINDS.len()]))
        .collect();
    for (number, process) in processes.iter().enumerate() {
        // The output of `yes` pushes the line out of the kept bytes.
        if number % KINDS.len() == 7 {
            eventually("it prints", || {
                process.status().expect("a status").output_bytes > 1_000
            });
        } else {
            wait_for_line(process, "ready");
        }
        if [4, 5].contains(&(number % KINDS.len())) {
            wait(process);
        }
    }
    let began = Instant::now();
    manager.close().expect("a close");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    nothing_left(&manager);
    for (number, process) in processes.iter().enumerate() {
        let status = process.status().expect("a status");
        match number % KINDS.len() {
            4 | 5 => assert_eq!(status.ended_by, EndedBy::Nobody),
            _ => assert_eq!(
                (status.state, status.ended_by),
                (killed_by(9), EndedBy::Close)
            ),
        }
        eventually("the output is closed", || {
            !process.status().expect("a status").output_open
        });
    }
}

#[test]
fn kernel_close_finds_processes_that_left_the_session() {
    let manager = open();
    let process = start(
        &manager,
        "setsid sh -c 'echo escaped $$; exec sleep 600 >/dev/null 2>&1' & echo ok",
    );
    let escaped: u32 = wait_for_value(&process, "escaped");
    wait(&process);
    assert!(is_alive(escaped));
    manager.close().expect("a close");
    assert!(!is_alive(escaped));
    nothing_left(&manager);
}

#[test]
fn kernel_dropping_the_manager_closes_it() {
    let manager = open();
    let process = start(&manager, "sleep 600 & echo ready; wait");
    wait_for_line(&process, "ready");
    let other_handle = manager.clone();
    drop(manager);
    assert!(process.status().expect("a status").is_running());
    drop(other_handle);
    assert_eq!(process.status().expect("a status").ended_by, EndedBy::Close);
    assert_eq!(carriers(process.id()), []);
    assert_eq!(text(&process), "ready\n");
}

#[test]
fn a_closed_manager_refuses_starts_and_shows_what_was() {
    let manager = open();
    let ended = start(&manager, "echo before; exit 2");
    wait(&ended);
    let running = start(&manager, "echo during; exec sleep 600");
    wait_for_line(&running, "during");
    manager.close().expect("a close");

    let marker = tempfile::tempdir().expect("a directory");
    let command = format!("echo ran > {}/ran", marker.path().display());
    let late = manager.start(&Request::new(command));
    assert!(matches!(late, Err(Error::Closed)), "{late:?}");
    assert!(matches!(manager.scope("an owner"), Err(Error::Closed)));
    assert_eq!(fs::read_dir(marker.path()).expect("it is there").count(), 0);

    assert_eq!(ids(&manager), [running.id(), ended.id()]);
    let ended = manager.get(ended.id()).expect("it is kept");
    let status = ended.status().expect("a status");
    assert_eq!(
        (status.state, status.ended_by),
        (State::Exited(2), EndedBy::Nobody)
    );
    assert_eq!(text(&ended), "before\n");
    let status = running.status().expect("a status");
    assert_eq!(
        (status.state, status.ended_by),
        (killed_by(9), EndedBy::Close)
    );
    assert_eq!(text(&running), "during\n");
    let signalled = running.signal(Signal::Terminate);
    assert!(matches!(signalled, Err(Error::NotRunning { .. })));
}

#[test]
fn closing_again_changes_nothing_and_many_may_close() {
    let manager = open();
    let process = start(&manager, "sleep 600 & echo ready; wait");
    wait_for_line(&process, "ready");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                manager.close().expect("a close");
                // For each caller, everything has ended.
                assert!(!process.status().expect("a status").is_running());
                assert_eq!(carriers(process.id()), []);
            });
        }
    });
    manager.close().expect("a close");
    assert_eq!(process.status().expect("a status").ended_by, EndedBy::Close);
}

#[test]
fn kernel_a_close_grace_lets_processes_clean_up() {
    let manager = Manager::open(Config::new().close_grace(TIMEOUT)).expect("a manager");
    let polite = start(
        &manager,
        "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.02; done",
    );
    let plain = start(&manager, FOREVER);
    wait_for_line(&polite, "ready");
    let began = Instant::now();
    manager.close().expect("a close");
    assert!(began.elapsed() < TIMEOUT / 2);
    let status = polite.status().expect("a status");
    assert_eq!(
        (status.state, status.ended_by),
        (State::Exited(7), EndedBy::Close)
    );
    assert!(text(&polite).ends_with("bye\n"));
    let status = plain.status().expect("a status");
    assert_eq!(
        (status.state, status.ended_by),
        (killed_by(15), EndedBy::Close)
    );
}

#[test]
fn kernel_a_close_grace_ends() {
    let grace = Duration::from_millis(200);
    let manager = Manager::open(Config::new().close_grace(grace)).expect("a manager");
    let stubborn = start(
        &manager,
        "trap '' TERM; echo ready; while :; do sleep 0.02; done",
    );
    wait_for_line(&stubborn, "ready");
    let began = Instant::now();
    manager.close().expect("a close");
    assert!(began.elapsed() >= grace);
    let status = stubborn.status().expect("a status");
    assert_eq!(
        (status.state, status.ended_by),
        (killed_by(9), EndedBy::Close)
    );
    nothing_left(&manager);
}

#[test]
fn kernel_close_wakes_every_blocked_caller() {
    let manager = open();
    let process = start(&manager, "echo ready; exec sleep 600");
    wait_for_line(&process, "ready");
    let (blocked, seen) = mpsc::channel();
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                let (process, blocked) = (&process, blocked.clone());
                scope.spawn(move || {
                    blocked.send(()).expect("the test listens");
                    process.wait().expect("a wait").ended_by
                })
            })
            .collect();
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (process, blocked) = (&process, blocked.clone());
                scope.spawn(move || {
                    blocked.send(()).expect("the test listens");
                    let chunk =
                        process.read(Stream::Stdout, 6, &mut [0; 9], None, ReadOptions::default());
                    chunk.expect("a read").state
                })
            })
            .collect();
        let stopper = scope.spawn(|| {
            // An ended process cannot be asked to end.
            process.stop(TIMEOUT).expect("a stop").status.is_running()
        });
        for _ in 0..8 {
            seen.recv().expect("they send");
        }
        manager.close().expect("a close");
        for waiter in waiters {
            // The stop may be faster.
            let ended_by = waiter.join().expect("the thread did not panic");
            assert!(matches!(ended_by, EndedBy::Close | EndedBy::Stop));
        }
        for reader in readers {
            assert_eq!(
                reader.join().expect("the thread did not panic"),
                ReadState::Eof
            );
        }
        assert!(!stopper.join().expect("the thread did not panic"));
    });
}

/// Readers of survivors' output are woken too: close ends the survivors.
#[test]
fn kernel_close_wakes_the_readers_of_survivors() {
    let manager = open();
    let process = start(&manager, "sleep 600 & echo ok");
    wait(&process);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let chunk = process.read(Stream::Stdout, 3, &mut [0; 9], None, ReadOptions::default());
            chunk.expect("a read").state
        });
        manager.close().expect("a close");
        assert_eq!(
            reader.join().expect("the thread did not panic"),
            ReadState::Eof
        );
    });
}

/// A process that holds the output, has left the group and has dropped the cookie cannot be found.
/// Close must not wait for it.
#[test]
fn kernel_close_does_not_wait_for_an_unreachable_process_with_the_pipe() {
    let manager = open();
    let process = start(
        &manager,
        "setsid env -u PROCMGR_ID sh -c 'echo unreachable $$; exec sleep 600' & echo ok",
    );
    let unreachable: u32 = wait_for_value(&process, "unreachable");
    wait(&process);
    let closed = manager.close();
    let status = process.status().expect("a status");
    let killed = std::process::Command::new("kill")
        .args(["-9", &unreachable.to_string()])
        .status();
    closed.expect("a close");
    assert!(!status.is_running());
    assert!(killed.expect("there is a kill").success(), "it was found");
    eventually("the output is closed", || {
        !process.status().expect("a status").output_open
    });
}

/// A start that loses the race against close never runs its command, at whatever step it is.
#[test]
fn kernel_a_start_that_is_delayed_does_not_run_after_close() {
    let (entered, is_in) = mpsc::channel();
    let (let_go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let config = Config::new().environment_hook(move |_| {
        entered.send(())?;
        gate.lock().recv()?;
        Ok(())
    });
    let manager = Manager::open(config).expect("a manager");
    let directory = tempfile::tempdir().expect("a directory");
    let marker = directory.path().join("ran");
    let command = format!("echo ran > '{}'", marker.display());
    thread::scope(|scope| {
        let starter = scope.spawn(|| manager.start(&Request::new(command)));
        is_in.recv().expect("the hook runs");
        // It does not wait for the host's own code.
        manager.close().expect("a close");
        let_go.send(()).expect("the hook waits");
        let outcome = starter.join().expect("the thread did not panic");
        if let Ok(process) = &outcome {
            // It would have run by now.
            wait(process);
        }
        assert!(!marker.exists(), "the command ran");
        assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    });
    assert_eq!(manager.list(None).expect("a list").total, 0);
}

/// Close against starts, reads and waits: every process has ended when close returns, and no start
/// follows.
#[test]
fn close_may_race_with_everything() {
    for round in 0..15 {
        let manager = open();
        let over = AtomicBool::new(false);
        let started = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for worker in 0..4 {
                let (manager, over, started) = (&manager, &over, &started);
                scope.spawn(move || {
                    loop {
                        let was_over = over.load(Ordering::SeqCst);
                        let process = match manager.start(&Request::new("echo ok; exec sleep 600"))
                        {
                            Ok(process) => process,
                            Err(Error::Closed) => break,
                            Err(other) => panic!("{other}"),
                        };
                        assert!(!was_over);
                        started.lock().push(process.clone());
                        match worker {
                            0 => drop(process),
                            1 => {
                                let options = ReadOptions::default();
                                let chunk =
                                    process.read(Stream::Stdout, 0, &mut [0; 3], None, options);
                                chunk.expect("a read");
                            }
                            2 => {
                                assert_eq!(process.wait().expect("a wait").ended_by, EndedBy::Close)
                            }
                            _ => drop(manager.list(None).expect("a list")),
                        }
                    }
                });
            }
            eventually("some run", || {
                manager.list(None).expect("a list").total > round
            });
            manager.close().expect("a close");
            over.store(true, Ordering::SeqCst);
            for status in manager.list(None).expect("a list").processes {
                assert!(!status.is_running());
            }
        });
        let started = started.into_inner();
        assert!(!started.is_empty());
        for process in started {
            assert_eq!(process.status().expect("a status").ended_by, EndedBy::Close);
            assert_ne!(kernel_state(process.pid()), Some('Z'));
        }
    }
}

#[test]
fn kernel_children_without_a_waiter_leave_no_zombie() {
    let manager = open();
    let pids: Vec<_> = (0..20)
        .map(|number| start(&manager, &format!("echo {number}")).pid())
        .collect();
    eventually("they are reaped", || {
        !zombies().iter().any(|pid| pids.contains(pid)) && !pids.iter().any(|pid| is_alive(*pid))
    });
    assert_eq!(manager.list(None).expect("a list").total, 20);
}

/// A leader that KILL does not end: its tracer does not wait for it, which holds its end back. A process in
/// uninterruptible sleep does the same.
#[test]
fn a_close_wakes_callers_that_wait_for_a_process_that_it_cannot_end() {
    let test = "a_close_wakes_callers_that_wait_for_a_process_that_it_cannot_end";
    in_a_copy(Place::Here, test, || {
        let manager = open();
        let process = start(&manager, "exec sleep 600");
        let pid = i32::try_from(process.pid()).expect("a pid");
        // SAFETY: the child of the fork makes system calls only.
        let tracer = unsafe { libc::fork() };
        if tracer == 0 {
            // SAFETY: PTRACE_SEIZE takes numbers.
            unsafe {
                let seized = libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0);
                if seized != 0 {
                    libc::_exit(1);
                }
                loop {
                    libc::pause();
                }
            }
        }
        eventually("it is traced", || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
            status.contains(&format!("TracerPid:\t{tracer}\n"))
        });
        let waits: Vec<_> = [None, Some(TIMEOUT * 10)]
            .into_iter()
            .map(|timeout| {
                let process = process.clone();
                thread::spawn(move || match timeout {
                    None => process.wait().map(Some),
                    Some(timeout) => process.wait_timeout(timeout),
                })
            })
            .collect();
        let began = Instant::now();
        assert!(manager.close().is_err());
        for wait in waits {
            let waited = wait.join().expect("no panic");
            assert!(matches!(waited, Err(Error::Closed)), "{waited:?}");
        }
        let closed = began.elapsed();
        // On an emulated processor, times are not checked.
        let is_emulated = std::env::var_os("PROCMGR_TEST_EMULATED").is_some();
        assert!(
            closed < Duration::from_secs(20) || is_emulated,
            "{closed:?}"
        );
        // The last handle does not wait again.
        assert!(manager.close_once().is_err());
        drop(manager);
        assert!(began.elapsed() < closed + Duration::from_secs(5));
        // SAFETY: both take numbers; the status may be null.
        unsafe {
            libc::kill(tracer, libc::SIGKILL);
            libc::waitpid(tracer, std::ptr::null_mut(), 0);
        }
        // A wait fails until then, because the close has given the process up.
        let status = || process.status().expect("a status");
        eventually("it is reaped", || !status().is_running());
        assert_eq!(status().state, killed_by(9));
    });
}
