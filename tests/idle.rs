//! Idle children cost the host nothing: no thread of it is woken. One test, so that the threads of this
//! program are those of the library and the test's own.

use std::collections::HashMap;
use std::fs;
use std::thread;
use std::time::Duration;

use procmgr::{Process, State};

mod common;
use common::{FOREVER, eventually, open, start, wait_for_line};

const CHILDREN: usize = 100;

/// How long nothing may happen.
const WINDOW: Duration = Duration::from_secs(3);

/// For each thread but the caller's, its name and how often it has left the processor, by itself or not.
fn switches() -> HashMap<String, (String, u64)> {
    // The first line of a status is the name.
    let own = fs::read_link("/proc/thread-self").expect("a thread of ours");
    let own = own.file_name().expect("a number").to_owned();
    let tasks = fs::read_dir("/proc/self/task").expect("threads");
    tasks
        .filter_map(|task| {
            let task = task.ok()?;
            let number = task.file_name();
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let name = status.lines().next()?.to_owned();
            let counts = status
                .lines()
                .filter(|line| line.contains("ctxt_switches:"));
            let count = counts
                .filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok())
                .sum();
            (number != own).then(|| (number.to_string_lossy().into_owned(), (name, count)))
        })
        .collect()
}

/// CPU time that this program has used, in clock ticks.
fn ticks() -> u64 {
    let line = fs::read_to_string("/proc/self/stat").expect("a line");
    let (_, fields) = line.rsplit_once(") ").expect("a name in parentheses");
    let fields: Vec<_> = fields.split_whitespace().collect();
    [fields[11], fields[12]]
        .map(|field| field.parse::<u64>().expect("a number"))
        .iter()
        .sum()
}

fn is_running(process: &Process) -> bool {
    process.status().expect("a status").state == State::Running
}

#[test]
fn idle_children_wake_no_thread() {
    let manager = open();
    // Each says when it is about to sleep.
    let mut processes: Vec<_> = (0..CHILDREN)
        .map(|_| start(&manager, &format!("echo up; exec {FOREVER}")))
        .collect();
    for process in &processes {
        wait_for_line(process, "up");
    }
    // One that closed its output is running for all that, and no end of file is found again and again.
    let closed = start(&manager, &format!("exec >&- 2>&-; exec {FOREVER}"));
    eventually("its output is closed", || {
        !closed.status().expect("a status").output_open
    });
    processes.push(closed);

    // Wait until two counts in a row are equal.
    let mut before = switches();
    eventually("the threads have come to rest", || {
        thread::sleep(Duration::from_millis(50));
        let last = std::mem::replace(&mut before, switches());
        last == before
    });
    assert!(before.len() > 2 * CHILDREN, "{} threads", before.len());

    let used = ticks();
    // Not for something to come: for nothing to come.
    thread::sleep(WINDOW);
    // First, because counting takes CPU time itself.
    let used = ticks() - used;
    let after = switches();
    let woken: Vec<_> = after
        .iter()
        .filter(|(number, now)| before.get(*number) != Some(*now))
        .collect();
    // The test runner's own thread may wake up; a hundred processes would show.
    let ours: u64 = woken
        .iter()
        .map(|(number, (_, now))| now - before.get(*number).map_or(0, |(_, then)| *then))
        .sum();
    assert!(ours <= 3, "{ours} switches: {woken:?}");
    assert!(used <= 2, "{used} ticks");
    assert!(processes.iter().all(is_running));
    manager.close().expect("a close");
}
