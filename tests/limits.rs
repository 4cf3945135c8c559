//! Limits: the time of one process, the number of live and of ended processes, and how long ended ones
//! are kept.

#![allow(unsafe_code)]

mod common;
mod isolated;
mod tools;

use std::fs;
use std::time::{Duration, Instant};

use common::{
    FOREVER, TIMEOUT, carriers, eventually, is_alive, open, start, start_request, text, wait,
    wait_for_line, wait_for_value,
};
use isolated::{Place, in_a_copy};
use procmgr::{Config, EndedBy, Error, Manager, Request, Signal, State, Step, Stream};

/// A limit that gives a shell the time to set its traps, also on a busy machine or an emulated processor.
fn after_traps() -> Duration {
    let is_emulated = std::env::var_os("PROCMGR_TEST_EMULATED").is_some();
    Duration::from_secs(if is_emulated { 20 } else { 1 })
}

fn open_with(config: Config) -> Manager {
    Manager::open(config).expect("a manager")
}

fn killed_by(signal: i32) -> State {
    State::Signaled {
        signal,
        core_dumped: false,
    }
}

#[test]
fn kernel_a_time_limit_ends_the_process_and_says_so() {
    let manager = open();
    let limit = Duration::from_millis(200);
    let process = start_request(&manager, &Request::new(FOREVER).time_limit(limit));
    // A wait that times out is different from a limit that is reached.
    let waited = process.wait_timeout(Duration::ZERO).expect("a wait");
    assert!(waited.is_none());
    let status = wait(&process);
    assert_eq!(
        (status.state, status.ended_by),
        (killed_by(15), EndedBy::Limit)
    );
    assert!(status.duration >= limit && status.duration < TIMEOUT);
}

#[test]
fn a_process_that_ignores_term_is_killed_after_the_stop_grace() {
    let (limit, grace) = (after_traps(), Duration::from_secs(1));
    let manager = open_with(Config::new().stop_grace(grace));
    let command = "trap 'echo caught' TERM; echo ready; while :; do sleep 0.02; done";
    let process = start_request(&manager, &Request::new(command).time_limit(limit));
    let status = wait(&process);
    assert_eq!(
        (status.state, status.ended_by),
        (killed_by(9), EndedBy::Limit)
    );
    assert!(status.duration >= limit + grace, "{status:?}");
    assert!(text(&process).contains("caught"));
}

#[test]
fn a_time_limit_reaches_grandchildren_and_escapees() {
    let manager = open_with(Config::new().stop_grace(Duration::from_millis(100)));
    let command = "sh -c 'sleep 600 & echo grandchild $!; sleep 600; :' & \
        setsid sh -c 'trap \"\" TERM HUP; echo escaped $$; exec sleep 600 >/dev/null 2>&1' & \
        wait";
    let request = Request::new(command).time_limit(after_traps());
    let process = start_request(&manager, &request);
    let grandchild: u32 = wait_for_value(&process, "grandchild");
    let escaped: u32 = wait_for_value(&process, "escaped");
    assert_eq!(wait(&process).ended_by, EndedBy::Limit);
    eventually("they are gone", || {
        !is_alive(grandchild) && !is_alive(escaped)
    });
    eventually("nothing is left", || carriers(process.id()).is_empty());
}

/// The limit holds for a process without output too.
#[test]
fn kernel_a_time_limit_holds_without_output() {
    let manager = open();
    let request = Request::new("exec sleep 600 >&- 2>&-").time_limit(Duration::from_millis(200));
    let process = start_request(&manager, &request);
    eventually("the output is closed", || {
        !process.status().expect("a status").output_open
    });
    assert_eq!(wait(&process).ended_by, EndedBy::Limit);
}

/// Reading continues during the grace period, so the last output of the child is captured.
#[test]
fn output_continues_during_the_grace_period() {
    let manager = open_with(Config::new().stop_grace(TIMEOUT));
    let command = "trap 'head -c 300000 /dev/zero; echo; echo done; exit 4' TERM; \
        while :; do sleep 0.02; done";
    let request = Request::new(command).time_limit(after_traps());
    let process = start_request(&manager, &request);
    let status = wait(&process);
    assert_eq!(
        (status.state, status.ended_by),
        (State::Exited(4), EndedBy::Limit)
    );
    assert!(text(&process).ends_with("\ndone\n"));
}

/// One thread handles all limits and sleeps until the earliest one. An earlier limit must wake it.
#[test]
fn a_shorter_limit_that_comes_later_is_kept() {
    let manager = open();
    let start = |limit| {
        let request = Request::new(FOREVER).time_limit(Duration::from_millis(limit));
        start_request(&manager, &request)
    };
    // The last of them expires before the earlier ones, and the next one after some of them.
    let processes = [600_000, 600_001, 300_000, 300, 50, 150].map(start);
    for process in processes[3..].iter().rev() {
        assert_eq!(wait(process).ended_by, EndedBy::Limit);
    }
    for process in &processes[..3] {
        assert!(process.status().expect("a status").is_running());
    }
}

#[test]
fn a_limit_that_was_not_reached_changes_nothing() {
    let manager = open();
    let request = Request::new("echo ok").time_limit(Duration::from_secs(600));
    let process = start_request(&manager, &request);
    let status = wait(&process);
    assert_eq!(
        (status.state, status.ended_by),
        (State::Exited(0), EndedBy::Nobody)
    );
    // The reader does not wait for it.
    eventually("the output is closed", || {
        !process.status().expect("a status").output_open
    });
}

fn is_refused(manager: &Manager) -> bool {
    match manager.start(&Request::new(":")) {
        Ok(_) => false,
        Err(Error::Limit { what, limit }) => {
            assert_eq!((what, limit), ("max_processes", 2));
            true
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn one_more_than_max_processes_is_refused() {
    let manager = open_with(Config::new().max_processes(2));
    let first = start(&manager, FOREVER);
    // One whose leader has ended, and that holds its output, still lives.
    let second = start(&manager, "sleep 600 & echo ok");
    wait(&second);
    assert!(is_refused(&manager));
    let error = manager.start(&Request::new(":")).expect_err("it is full");
    assert!(error.to_string().contains("max_processes of 2"), "{error}");
    assert_eq!(manager.list(None).expect("a list").total, 2);
    // It goes on working, and starts one more after each end.
    second.stop(Duration::ZERO).expect("a stop");
    eventually("there is room", || !is_refused(&manager));
    assert!(first.status().expect("a status").is_running());
}

#[test]
fn a_failed_start_takes_no_room() {
    let manager = open_with(Config::new().max_processes(1));
    for _ in 0..3 {
        let nowhere = Request::new(":").directory("/does/not/exist");
        let error = manager.start(&nowhere).expect_err("no such directory");
        assert_eq!(
            (error.step(), error.os_error()),
            (Some(Step::Directory), Some(2))
        );
    }
    assert_eq!(manager.list(None).expect("a list").total, 0);
    wait(&start(&manager, ":"));
}

#[test]
fn ended_processes_are_kept_for_a_time() {
    let keep = Duration::from_millis(300);
    let manager = open_with(Config::new().keep_ended(keep));
    let running = start(&manager, FOREVER);
    let survived = start(&manager, "sleep 600 & echo ok");
    wait(&survived);
    let before = Instant::now();
    let ended = start(&manager, "echo kept");
    let status = wait(&ended);
    let is_gone = |id| matches!(manager.get(id), Err(Error::NotFound { .. }));
    eventually("it is dropped", || {
        // The status first: the process may be dropped between the two calls.
        let (gone, age) = (is_gone(status.id), before.elapsed());
        assert!(!gone || age >= keep, "{age:?}");
        gone
    });
    // A handle keeps what it has.
    assert_eq!(text(&ended), "kept\n");
    // Processes that run or whose output is held are not dropped.
    assert!(!is_gone(running.id()) && !is_gone(survived.id()));
    assert_eq!(manager.list(None).expect("a list").total, 2);
}

/// They are dropped by time and not by a call: the memory of the output is freed without any call.
#[test]
fn ended_processes_are_dropped_without_a_call() {
    let resident_kib = || -> u64 {
        let status = fs::read_to_string("/proc/self/status").expect("it is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        number.expect("a number of kB")
    };
    const KEPT: usize = 64 << 20;
    let config = Config::new()
        .head_bytes(KEPT)
        .keep_ended(Duration::from_millis(100));
    let manager = open_with(config);
    let process = start(&manager, &format!("head -c {KEPT} /dev/zero"));
    assert_eq!(wait(&process).output_bytes, KEPT as u64);
    let full = resident_kib();
    drop(process);
    eventually("the memory is given back", || {
        resident_kib() + (KEPT as u64 >> 11) < full
    });
}

#[test]
fn so_many_ended_processes_are_kept() {
    let manager = open_with(Config::new().max_ended(3));
    let running = start(&manager, FOREVER);
    let ids: Vec<_> = (0..8)
        .map(|number| {
            let process = start(&manager, &format!("echo {number}"));
            wait(&process);
            // From the fourth on, each new one evicts one, so each is awaited.
            eventually("there are few enough", || {
                manager.list(None).expect("a list").total <= 4
            });
            process.id()
        })
        .collect();
    let kept: Vec<_> = manager
        .list(None)
        .expect("a list")
        .processes
        .iter()
        .map(|status| status.id)
        .collect();
    assert_eq!(kept, [running.id(), ids[7], ids[6], ids[5]]);
    assert_eq!(text(&manager.get(ids[5]).expect("it is kept")), "5\n");
}

#[test]
fn keeping_none_drops_no_running_one() {
    let manager = open_with(Config::new().max_ended(0));
    let process = start(&manager, "echo ready; exec sleep 600");
    wait_for_line(&process, "ready");
    let ended = start(&manager, "echo gone");
    wait(&ended);
    eventually("it is dropped", || manager.get(ended.id()).is_err());
    let found = manager.get(process.id()).expect("it runs");
    assert_eq!(
        found.output(Stream::Stdout).expect("a snapshot").text,
        "ready\n"
    );
    found.signal(Signal::Kill).expect("it runs");
    assert_eq!(wait(&process).ended_by, EndedBy::Signal);
}

/// The slot of a process whose leader and output have ended is free before its end is published, and
/// the output is closed. In a program without other starts: the child of another start may hold the
/// pipe until its exec.
#[test]
fn after_a_wait_the_slot_is_free_and_the_output_is_closed() {
    let name = "after_a_wait_the_slot_is_free_and_the_output_is_closed";
    in_a_copy(Place::Here, name, || {
        let manager = open_with(Config::new().max_processes(1));
        for round in 0..500 {
            let request = Request::new("echo line").separate_streams(round % 2 == 1);
            let process = start_request(&manager, &request);
            let status = wait(&process);
            assert!(!status.output_open, "round {round}");
            assert_eq!(text(&process), "line\n");
        }
    });
}

/// What a command has left behind does not outlive the time limit, whether the record is kept or not.
#[test]
fn kernel_a_time_limit_ends_what_an_ended_leader_has_left() {
    let commands = [
        "sleep 600 & echo left $!",
        "sleep 600 >/dev/null 2>&1 & echo left $!",
        "setsid sleep 600 >/dev/null 2>&1 & echo left $!",
    ];
    for is_kept in [true, false] {
        let manager = open_with(Config::new().stop_grace(TIMEOUT));
        let started = commands.map(|command| {
            let request = Request::new(command).time_limit(after_traps());
            let process = start_request(&manager, &request);
            let left: u32 = wait_for_value(&process, "left");
            assert_eq!(wait(&process).state, State::Exited(0));
            (process, left)
        });
        if !is_kept {
            let ids = started.iter().map(|(process, _)| process.id());
            ids.for_each(|id| manager.forget(id).expect("it has ended"));
        }
        eventually("they are gone", || {
            started.iter().all(|(_, left)| !is_alive(*left))
        });
        for (process, _) in started {
            let status = process.status().expect("a status");
            assert_eq!(
                (status.state, status.ended_by),
                (State::Exited(0), EndedBy::Nobody)
            );
        }
    }
}

/// The id of a process that was dropped can be used again. The new process has no limit.
#[test]
fn a_late_limit_does_not_end_a_process_that_has_the_id_now() {
    let manager = open();
    let left_by = |request: Request| -> u32 {
        let process = start_request(&manager, &request.time_limit(after_traps()));
        let left = wait_for_value(&process, "left");
        wait(&process);
        manager.forget(process.id()).expect("it has ended");
        left
    };
    let command = "setsid sleep 600 >/dev/null 2>&1 & echo left $!";
    let id = "11111111-2222-4333-8444-666666666666"
        .parse()
        .expect("an id");
    left_by(Request::new(command).id(id));
    let process = start_request(&manager, &Request::new(FOREVER).id(id));
    // The limits are handled together or one after the other.
    let left = left_by(Request::new(command));
    eventually("the limits were reached", || !is_alive(left));
    assert!(process.status().expect("a status").is_running());
}
