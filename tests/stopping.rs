//! Signals and stopping: TERM, the grace period, KILL, for all members of a process and all that it
//! left behind, and for no unrelated process.

#![allow(unsafe_code)]

mod common;
mod isolated;
mod tools;

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use common::{
    FOREVER, TIMEOUT, carriers, eventually, is_alive, kernel_state, open, start, start_request,
    text, wait, wait_for_line, wait_for_value,
};
use isolated::{Place, in_a_copy};
use procmgr::{EndedBy, Error, Request, Signal, State};
use tools::{not_tested, tests_all, tool};

/// A grace period that a test does not wait for.
const LONG: Duration = Duration::from_secs(60);

/// A grace period that a test waits for.
const SHORT: Duration = Duration::from_millis(200);

fn killed_by(signal: i32) -> State {
    State::Signaled {
        signal,
        core_dumped: false,
    }
}

#[test]
fn kernel_a_stop_that_needs_no_kill_is_fast() {
    let manager = open();
    let process = start(&manager, "sleep 600 & echo ready; sleep 600");
    wait_for_line(&process, "ready");
    let began = Instant::now();
    let stopped = process.stop(LONG).expect("a stop");
    assert!(began.elapsed() < LONG / 10);
    assert_eq!(stopped.status.state, killed_by(15));
    assert_eq!(stopped.status.ended_by, EndedBy::Stop);
    // They were all in the group.
    assert_eq!((stopped.beyond_group, stopped.left), (0, 0));
    assert_eq!(carriers(process.id()), []);
}

#[test]
fn kernel_a_stop_without_grace_kills_at_once() {
    let manager = open();
    let process = start(
        &manager,
        "trap 'echo caught' TERM; echo ready; while :; do sleep 0.02; done",
    );
    wait_for_line(&process, "ready");
    let stopped = process.stop(Duration::ZERO).expect("a stop");
    assert_eq!(stopped.status.state, killed_by(9));
    assert_eq!(stopped.status.ended_by, EndedBy::Stop);
    assert_eq!(text(&process), "ready\n");
}

#[test]
fn kernel_a_process_may_clean_up_when_it_is_stopped() {
    let manager = open();
    let process = start(
        &manager,
        "trap 'echo cleaning; sleep 0.1; echo clean; exit 3' TERM; echo ready; while :; do sleep 0.02; done",
    );
    wait_for_line(&process, "ready");
    let status = process.stop(LONG).expect("a stop").status;
    assert_eq!(
        (status.state, status.ended_by),
        (State::Exited(3), EndedBy::Stop)
    );
    // In between, the shell may print a message about the end of its sleep.
    let text = text(&process);
    assert!(text.ends_with("cleaning\nclean\n"), "{text}");
}

/// The children ignore it too, because that is inherited.
#[test]
fn kernel_a_process_that_ignores_term_is_killed_after_the_grace_period() {
    let manager = open();
    let process = start(
        &manager,
        "trap '' TERM; sleep 600 & sleep 600 & (sleep 600; :) & echo ready; wait",
    );
    wait_for_line(&process, "ready");
    let began = Instant::now();
    let stopped = process.stop(SHORT).expect("a stop");
    let took = began.elapsed();
    assert!(took >= SHORT && took < TIMEOUT, "{took:?}");
    assert_eq!(stopped.status.state, killed_by(9));
    assert_eq!(stopped.status.ended_by, EndedBy::Stop);
    assert_eq!(stopped.left, 0);
    assert_eq!(carriers(process.id()), []);
}

#[test]
fn kernel_a_child_that_ignores_term_does_not_outlive_its_leader() {
    let manager = open();
    let process = start(
        &manager,
        "(trap '' TERM; echo ready; exec sleep 600) & wait",
    );
    wait_for_line(&process, "ready");
    let stopped = process.stop(SHORT).expect("a stop");
    assert_eq!(stopped.status.state, killed_by(15));
    assert_eq!(stopped.left, 0);
    assert_eq!(carriers(process.id()), []);
}

/// Another session, another group, another parent, and no descriptor of the pipe.
#[test]
fn kernel_stop_finds_processes_that_left_the_session() {
    let manager = open();
    let process = start(
        &manager,
        "setsid sh -c 'trap \"\" TERM HUP; echo escaped $$; exec sleep 600 >/dev/null 2>&1' & sleep 600",
    );
    let escaped: u32 = wait_for_value(&process, "escaped");
    assert_ne!(escaped, process.pid());
    let stopped = process.stop(SHORT).expect("a stop");
    assert_eq!(stopped.status.ended_by, EndedBy::Stop);
    assert!(stopped.beyond_group >= 1);
    assert_eq!(stopped.left, 0);
    assert!(!is_alive(escaped));
    assert_eq!(carriers(process.id()), []);
}

/// During an exec a process shows no environment for a moment, and so no cookie. This one does nothing
/// but exec.
#[test]
fn kernel_stop_finds_a_process_during_its_exec() {
    let manager = open();
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("again");
    fs::write(&script, "exec /bin/sh \"$0\"\n").expect("it is ours");
    let command = format!(
        "setsid sh -c 'echo escaped $$; exec sh \"{}\" >/dev/null 2>&1' & echo ok",
        script.display()
    );
    for _ in 0..40 {
        let process = start(&manager, &command);
        let escaped: u32 = wait_for_value(&process, "escaped");
        wait(&process);
        let stopped = process.stop(Duration::ZERO).expect("a stop");
        assert!(!is_alive(escaped), "{stopped:?}");
        assert_eq!((stopped.beyond_group, stopped.left), (1, 0));
    }
}

#[test]
fn kernel_each_signal_reaches_the_whole_group() {
    let manager = open();
    let loop_with_traps = |name: &str| {
        let traps: String = ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2"]
            .map(|signal| format!("trap 'echo {name} {signal}' {signal}; "))
            .concat();
        format!("{traps} echo {name} ready; while :; do sleep 0.02; done")
    };
    // A shell's background jobs ignore INT and QUIT, and cannot be made to do otherwise.
    let command = format!("sh -c \"$CHILD\" & {}", loop_with_traps("leader"));
    let request = Request::new(command).variable("CHILD", loop_with_traps("child"));
    let process = start_request(&manager, &request);
    wait_for_line(&process, "leader ready");
    wait_for_line(&process, "child ready");
    for (signal, name) in [
        (Signal::Hangup, "HUP"),
        (Signal::Interrupt, "INT"),
        (Signal::Quit, "QUIT"),
        (Signal::Terminate, "TERM"),
        (Signal::User1, "USR1"),
        (Signal::User2, "USR2"),
    ] {
        process.signal(signal).expect("it runs");
        wait_for_line(&process, &format!("leader {name}"));
        if !matches!(signal, Signal::Interrupt | Signal::Quit) {
            wait_for_line(&process, &format!("child {name}"));
        }
        assert!(process.status().expect("a status").is_running());
    }
    process.signal(Signal::Kill).expect("it runs");
    let status = wait(&process);
    assert_eq!(
        (status.state, status.ended_by),
        (killed_by(9), EndedBy::Signal)
    );
}

#[test]
fn kernel_a_process_may_be_paused_and_resumed() {
    let manager = open();
    // Not a shell: it might be in a vfork, where it is in another state when both are paused.
    let process = start_request(&manager, &Request::program("/bin/sleep").argument("600"));
    for _ in 0..3 {
        process.signal(Signal::Stop).expect("it runs");
        eventually("it is paused", || kernel_state(process.pid()) == Some('T'));
        process.signal(Signal::Continue).expect("it runs");
        eventually("it goes on", || kernel_state(process.pid()) != Some('T'));
    }
    assert!(process.status().expect("a status").is_running());
}

#[test]
fn kernel_the_end_says_that_a_signal_asked_for_it() {
    let manager = open();
    for signal in [Signal::Terminate, Signal::User1] {
        let process = start(&manager, FOREVER);
        process.signal(signal).expect("it runs");
        let status = wait(&process);
        assert_eq!(status.state, killed_by(signal.number()));
        assert_eq!(status.ended_by, EndedBy::Signal);
    }
    // Asked to end, and has exited in its own way.
    let process = start(
        &manager,
        "trap 'exit 8' INT; echo ready; while :; do sleep 0.02; done",
    );
    wait_for_line(&process, "ready");
    process.signal(Signal::Interrupt).expect("it runs");
    let status = wait(&process);
    assert_eq!(
        (status.state, status.ended_by),
        (State::Exited(8), EndedBy::Signal)
    );
    // Not asked to end, and ended for a reason of its own.
    let process = start(
        &manager,
        "trap 'echo caught; exit 9' USR2; echo ready; while :; do sleep 0.02; done",
    );
    wait_for_line(&process, "ready");
    process.signal(Signal::User2).expect("it runs");
    let status = wait(&process);
    assert_eq!(
        (status.state, status.ended_by),
        (State::Exited(9), EndedBy::Nobody)
    );
}

#[test]
fn kernel_nothing_can_be_signalled_when_nothing_is_left() {
    let manager = open();
    let process = start(&manager, "exit 0");
    wait(&process);
    for signal in Signal::ALL {
        match process.signal(signal) {
            Err(Error::NotRunning { id }) => assert_eq!(id, process.id()),
            other => panic!("{signal}: {other:?}"),
        }
    }
    // A stop succeeds, because the process has ended.
    let stopped = process.stop(LONG).expect("a stop");
    assert_eq!((stopped.beyond_group, stopped.left), (0, 0));
    assert_eq!(stopped.status.ended_by, EndedBy::Nobody);
}

/// Signals against exits: sent or "not running", never another error, and never sent after "not
/// running".
#[test]
fn signals_may_race_with_the_exit() {
    const CHILDREN: usize = 60;
    let manager = open();
    for number in 0..CHILDREN {
        let process = start(&manager, "exit 0");
        let signal = [Signal::Kill, Signal::Continue][number % 2];
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut over = false;
                    // Twice: what has ended once stays ended.
                    for _ in 0..2 {
                        loop {
                            match process.signal(signal) {
                                Ok(()) => assert!(!over),
                                Err(Error::NotRunning { .. }) => break over = true,
                                Err(other) => panic!("{other}"),
                            }
                        }
                    }
                });
            }
        });
        let status = wait(&process);
        match (signal, status.state) {
            (Signal::Kill, State::Signaled { signal: 9, .. }) => {
                assert_eq!(status.ended_by, EndedBy::Signal);
            }
            // The signal may have come while it was exiting.
            (Signal::Kill, State::Exited(0)) => {}
            (Signal::Continue, State::Exited(0)) => assert_eq!(status.ended_by, EndedBy::Nobody),
            other => panic!("{other:?}"),
        }
    }
}

/// A pid that was reaped may be reused: here by a child of the host.
#[test]
fn kernel_no_unrelated_process_is_signalled_by_a_reused_pid() {
    let manager = open();
    let process = start(&manager, "exit 0");
    wait(&process);
    let Some(mut unrelated) = start_with_pid(process.pid()) else {
        // The test runner hides what a successful test prints, but not this.
        let note = "note: no pid can be chosen here: signals to reused ones are NOT tested\n";
        let _ = std::io::stderr().write_all(note.as_bytes());
        return;
    };
    let sent = process.signal(Signal::Kill);
    assert!(matches!(sent, Err(Error::NotRunning { .. })), "{sent:?}");
    process.stop(Duration::ZERO).expect("a stop");
    process.stop(SHORT).expect("a stop");
    manager.close().expect("a close");
    let state = unrelated.0.try_wait().expect("it is our child");
    assert_eq!(state, None);
}

/// A child of the host that procmgr has not started. Killed when dropped.
struct UnrelatedProcess(Child);

impl Drop for UnrelatedProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a group leader with this pid, which must be free. `None` if the next pid cannot be chosen, or
/// the kernel chooses another one.
fn start_with_pid(pid: u32) -> Option<UnrelatedProcess> {
    // Other processes may be faster.
    for _ in 0..200 {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
        let child = Command::new("/bin/sleep")
            .arg("600")
            .process_group(0)
            .spawn();
        let unrelated = UnrelatedProcess(child.expect("there is a sleep"));
        if unrelated.0.id() == pid {
            return Some(unrelated);
        }
    }
    None
}

#[test]
fn kernel_two_stops_at_once_agree() {
    let manager = open();
    let process = start(
        &manager,
        "trap '' TERM; echo ready; while :; do sleep 0.02; done",
    );
    wait_for_line(&process, "ready");
    thread::scope(|scope| {
        let patient = scope.spawn(|| process.stop(LONG).expect("a stop"));
        let hasty = scope.spawn(|| process.stop(SHORT).expect("a stop"));
        for stopper in [patient, hasty] {
            let stopped = stopper.join().expect("the thread did not panic");
            assert_eq!(stopped.status.state, killed_by(9));
            assert_eq!(stopped.status.ended_by, EndedBy::Stop);
            assert_eq!(stopped.left, 0);
        }
    });
}

/// Many programs exit at once at a second TERM, without cleaning up.
#[test]
fn each_process_is_sent_term_once() {
    let manager = open();
    let counts =
        "n=0; trap 'n=$((n+1)); echo term $n' TERM; echo ready; while :; do sleep 0.02; done";
    let command = format!("setsid sh -c \"{}\" & {counts}", counts.replace('$', "\\$"));
    let process = start_request(
        &manager,
        &Request::new(command).time_limit(Duration::from_secs(2)),
    );
    eventually("both are ready", || text(&process) == "ready\nready\n");
    process.stop_in_background(LONG).expect("a thread");
    eventually("both were asked", || {
        text(&process).matches("term 1").count() == 2
    });
    for grace in [LONG, LONG * 2] {
        process.stop_in_background(grace).expect("a thread");
    }
    // The time limit stops it too, and its grace period ends first.
    let stopper = process.clone();
    let stop = thread::spawn(move || stopper.stop(Duration::from_secs(1)).map(drop));
    stop.join().expect("no panic").expect("a stop");
    assert_eq!(
        text(&process).matches("term").count(),
        2,
        "{}",
        text(&process)
    );
    assert_eq!(wait(&process).ended_by, EndedBy::Stop);
}

/// The id of a process can be chosen, so two managers can have the same.
#[test]
fn kernel_a_stop_does_not_reach_the_same_id_in_another_manager() {
    let id = procmgr::Id::from_str("11111111-2222-4333-8444-555555555555").expect("an id");
    let managers = [open(), open()];
    let processes = managers.each_ref().map(|manager| {
        let process = start_request(
            manager,
            &Request::new("sleep 600 & echo ready; wait").id(id),
        );
        wait_for_line(&process, "ready");
        process
    });
    processes[0].stop(Duration::ZERO).expect("a stop");
    assert!(processes[1].status().expect("a status").is_running());
    processes[1].stop(Duration::ZERO).expect("a stop");
}

/// A leader that has moved to another group of its session is still the leader.
#[test]
fn a_leader_in_another_group_is_signalled() {
    let Some(perl) = tool("perl") else {
        return;
    };
    let manager = open();
    // SAFETY: getpgrp takes nothing.
    let group = unsafe { libc::getpgrp() };
    let script = format!("setpgrp(0, {group}) or die $!; $| = 1; print \"moved\\n\"; sleep 600");
    let start = || {
        let process = start_request(
            &manager,
            &Request::program(&perl).arguments(["-e", &script]),
        );
        wait_for_line(&process, "moved");
        process
    };
    let process = start();
    process.signal(Signal::Terminate).expect("it runs");
    assert_eq!(wait(&process).state, killed_by(15));
    let stopped = start().stop(LONG).expect("a stop");
    assert_eq!(stopped.status.state, killed_by(15));

    // It is sent TERM once too.
    let script = format!("$SIG{{TERM}} = sub {{ print \"term\\n\" }}; {script} while 1");
    let request = Request::program(&perl).arguments(["-e", &script]);
    let process = start_request(&manager, &request);
    wait_for_line(&process, "moved");
    process.stop(Duration::from_secs(1)).expect("a stop");
    assert_eq!(text(&process), "moved\nterm\n");
}

/// A process that is exiting holds its port until it has freed its memory.
#[test]
fn a_port_is_free_after_a_stop_and_a_close() {
    let Some(python) = tool("python3") else {
        return;
    };
    let script = "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); \
                  x = b'x' * 300_000_000; print('port', s.getsockname()[1], flush=True); time.sleep(600)";
    for round in 0..if tests_all() { 20 } else { 4 } {
        let manager = open();
        let command = format!("{} -c \"{script}\" & wait", python.display());
        let process = start(&manager, &command);
        let port: u16 = wait_for_value(&process, "port");
        match round % 2 {
            0 => drop(process.stop(LONG).expect("a stop")),
            _ => manager.close().expect("a close"),
        }
        std::net::TcpListener::bind(("127.0.0.1", port)).expect("it is free");
    }
}

/// A member of the leader's own group may belong to another user, as with `sudo`.
#[test]
fn what_may_not_be_signalled_is_reported() {
    let test = "what_may_not_be_signalled_is_reported";
    in_a_copy(Place::Here, test, || {
        let manager = open();
        let process = start(&manager, "sleep 600 & echo left $!");
        let left: u32 = wait_for_value(&process, "left");
        wait(&process);
        // SAFETY: both take numbers.
        let changed = unsafe { libc::setresuid(65534, 65534, 0) };
        if changed != 0 {
            return not_tested("another user cannot be had here: processes of others are");
        }
        let began = Instant::now();
        let stopped = process.stop(Duration::ZERO).expect("a stop");
        assert_eq!(stopped.left, 1);
        let refused =
            |result: Result<(), Error>| result.expect_err("it is another user's").os_error();
        assert_eq!(
            refused(process.signal(Signal::Terminate)),
            Some(libc::EPERM)
        );
        assert!(refused(manager.close()).is_some());
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "it is not waited for"
        );
        assert!(is_alive(left));
        // SAFETY: both take numbers.
        unsafe { libc::seteuid(0) };
        manager.close().expect("now it may");
        assert!(!is_alive(left));
    });
}
