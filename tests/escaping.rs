//! Commands that leave their process group are found and ended.

#![allow(unsafe_code)]

mod tools;

use std::fs;
use std::time::{Duration, Instant};

use procmgr::{
    Config, EndedBy, ID_VARIABLE, Manager, Process, Request, Signal, StartMethod, State,
};

const METHODS: [StartMethod; 2] = [StartMethod::Automatic, StartMethod::Std];

/// Commands that leave a `sleep` behind, and continue or end themselves.
const ESCAPES: &[(&str, &str)] = &[
    ("setsid", "setsid sleep 300 & echo ready; sleep 300"),
    (
        "nohup",
        "nohup sleep 300 >/dev/null 2>&1 & echo ready; sleep 300",
    ),
    (
        "double fork",
        "(setsid sh -c 'sleep 300 & sleep 300' &) ; echo ready; sleep 300",
    ),
    (
        "ended leader",
        "setsid sleep 300 >/dev/null 2>&1 & echo ready",
    ),
    (
        "ended leader in its group",
        "sleep 300 >/dev/null 2>&1 & echo ready",
    ),
    (
        "without environment, in its group",
        "env -i sleep 300 >/dev/null 2>&1 & echo ready",
    ),
    (
        "forks a session every millisecond",
        "echo ready; while :; do setsid sleep 300 & sleep 0.001; done",
    ),
    (
        "each session forks the next one after a millisecond",
        "export NEXT='setsid sh -c \"sleep 0.001; eval \\\"\\$NEXT\\\"\" >/dev/null 2>&1 &'; eval \"$NEXT\"; echo ready",
    ),
];

/// What an end may take beyond the grace period.
const A_SECOND: Duration = Duration::from_secs(1);

/// Repeats it, twice at most, if it took too long: other load on the machine makes it slower.
fn within(limit: Duration, name: &str, mut end: impl FnMut() -> Duration) {
    // On an emulated processor, times are not checked.
    if std::env::var_os("PROCMGR_TEST_EMULATED").is_some() {
        end();
        return;
    }
    let times: Vec<_> = (0..3)
        .map(|_| end())
        .take_while(|took| *took > limit)
        .collect();
    assert!(
        times.len() < 3,
        "{name}: {times:?}, and not within {limit:?}"
    );
}

fn start(manager: &Manager, command: &str) -> Process {
    let process = manager.start(&Request::new(command)).expect("it starts");
    let mut buffer = [0; 64];
    let timeout = Some(Duration::from_secs(20));
    let chunk = process
        .read(
            procmgr::Stream::Stdout,
            0,
            &mut buffer,
            timeout,
            Default::default(),
        )
        .expect("it can be read");
    assert!(buffer[..chunk.length].starts_with(b"ready"));
    process
}

/// Processes that carry this id.
fn carriers(id: &str) -> Vec<String> {
    let mark = format!("{ID_VARIABLE}={id}");
    let entries = fs::read_dir("/proc").expect("there is a process table");
    entries
        .flatten()
        .filter(|entry| {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark.as_bytes())
        })
        .map(|entry| fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default())
        .collect()
}

#[test]
fn kernel_stop_ends_processes_that_left_the_group() {
    for method in METHODS {
        let manager = Manager::open(Config::new().start_method(method)).expect("it opens");
        let grace = Duration::from_millis(300);
        for (name, command) in ESCAPES {
            within(grace + A_SECOND, name, || {
                let process = start(&manager, command);
                let begun = Instant::now();
                let stopped = process.stop(grace).expect("it stops");
                let took = begun.elapsed();
                assert_eq!(stopped.left, 0, "{name}");
                assert_eq!(carriers(&process.id().to_string()), [""; 0], "{name}");
                assert!(
                    process.signal(Signal::Kill).is_err(),
                    "{name}: nothing is left"
                );
                took
            });
        }
    }
}

#[test]
fn kernel_close_ends_processes_that_left_the_group() {
    for method in METHODS {
        for grace in [Duration::ZERO, Duration::from_millis(300)] {
            let config = Config::new().start_method(method).close_grace(grace);
            let open = || Manager::open(config.clone()).expect("it opens");
            // One by one, and all together.
            let each = ESCAPES.iter().map(std::slice::from_ref);
            for escapes in each.chain([ESCAPES]) {
                within(grace + A_SECOND, escapes[0].0, || {
                    let manager = open();
                    let processes: Vec<_> = escapes
                        .iter()
                        .map(|(_, command)| start(&manager, command))
                        .collect();
                    let begun = Instant::now();
                    manager.close().expect("nothing is left");
                    let took = begun.elapsed();
                    for (process, (name, _)) in processes.iter().zip(escapes) {
                        assert_eq!(carriers(&process.id().to_string()), [""; 0], "{name}");
                    }
                    took
                });
            }
        }
    }
}

#[test]
fn kernel_what_is_left_in_the_group_without_a_cookie_is_still_signalled() {
    let manager = Manager::open(Config::new()).expect("it opens");
    let process = start(&manager, "env -i sleep 300 & echo ready");
    assert_eq!(process.wait().expect("it ends").state, State::Exited(0));
    let status = process.status().expect("it is known");
    assert!(status.output_open);
    process.signal(Signal::Kill).expect("something is left");
    // The pipe closes when it is dead.
    let mut rest = Vec::new();
    let follow = process.follow(procmgr::Stream::Stdout);
    std::io::Read::read_to_end(&mut follow.through_survivors(), &mut rest).expect("it ends");
    assert_eq!(rest, b"ready\n");
}

#[test]
fn kernel_the_cookie_of_another_manager_is_left_alone() {
    let ours = Manager::open(Config::new()).expect("it opens");
    let theirs = Manager::open(Config::new()).expect("it opens");
    let process = start(&theirs, "setsid sleep 300 & echo ready; sleep 300");
    start(&ours, "echo ready; sleep 300");
    ours.close().expect("nothing of ours is left");
    // Others on this system may have orphans, so that their number is not known.
    ours.sweep_orphans().expect("it looks");
    assert!(process.status().expect("it is known").is_running());
    assert_eq!(carriers(&process.id().to_string()).len(), 3);
    theirs.close().expect("nothing is left");
}

#[test]
fn kernel_ended_by_is_right_for_the_leader_of_escapees() {
    let manager = Manager::open(Config::new()).expect("it opens");
    // It says that it is ready when it is out of the group.
    let command = "setsid sh -c 'echo ready; exec sleep 300' & sleep 300";
    let process = start(&manager, command);
    let stopped = process.stop(Duration::from_secs(20)).expect("it stops");
    assert_eq!(stopped.status.ended_by, EndedBy::Stop);
    assert_eq!(stopped.beyond_group, 1);
}

#[test]
fn kernel_a_child_inherits_only_what_it_is_given() {
    let manager = Manager::open(Config::new()).expect("it opens");
    let run = |command: &str| {
        let process = manager.start(&Request::new(command)).expect("it starts");
        process.wait().expect("it ends");
        process
            .output(procmgr::Stream::Stdout)
            .expect("it has output")
            .text
    };
    let status = run("cat /proc/self/status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1))
            .map(str::to_owned)
    };
    assert_eq!(field("SigBlk:").as_deref(), Some("0000000000000000"));
    assert_eq!(field("SigIgn:").as_deref(), Some("0000000000000000"));
    assert_eq!(run("ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ");
}
