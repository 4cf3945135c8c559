//! For tests of processes: starting them, waiting for what they do, and their state in the kernel.
//!
//! Every wait here is for an event or a condition, and fails after [`TIMEOUT`].

// Each test binary uses some of this.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use procmgr::{Config, Id, Manager, Process, ReadOptions, ReadState, Request, Status, Stream};

/// How long something quick may take on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// Longer than any test: for commands that would never end by themselves.
pub(crate) const FOREVER: &str = "sleep 600";

pub(crate) fn open() -> Manager {
    Manager::open(Config::new()).expect("a manager with all defaults")
}

pub(crate) fn start(manager: &Manager, command: &str) -> Process {
    start_request(manager, &Request::new(command))
}

pub(crate) fn start_request(manager: &Manager, request: &Request) -> Process {
    manager.start(request).expect("a start")
}

/// Waits for the end.
pub(crate) fn wait(process: &Process) -> Status {
    let status = process.wait_timeout(TIMEOUT).expect("a wait");
    status.unwrap_or_else(|| panic!("still running: {:?}", process.status()))
}

/// The snapshot's text.
pub(crate) fn text(process: &Process) -> String {
    process.output(Stream::Stdout).expect("a snapshot").text
}

/// Waits until the output has this line, newline included. Returns the lines that were read until then.
pub(crate) fn wait_for_line(process: &Process, line: &str) -> String {
    let mut found = read_lines_until(process, |other| other == line);
    found.push(line.to_owned());
    found.join("\n")
}

/// Waits until the output has a line `WORD VALUE`, and returns the value.
pub(crate) fn wait_for_value<T: std::str::FromStr>(process: &Process, word: &str) -> T {
    let mut value = None;
    read_lines_until(process, |line| {
        value = line
            .strip_prefix(word)
            .and_then(|rest| rest.trim().parse().ok());
        value.is_some()
    });
    value.expect("the loop ended with a value")
}

/// Reads from the beginning, whatever the process does, to the first line that `is_last`, and returns
/// those before it.
fn read_lines_until(process: &Process, mut is_last: impl FnMut(&str) -> bool) -> Vec<String> {
    let began = Instant::now();
    let (mut bytes, mut cursor, mut buffer) = (Vec::new(), 0, vec![0; 64 << 10]);
    let mut lines = Vec::new();
    loop {
        let left = TIMEOUT.saturating_sub(began.elapsed());
        let options = ReadOptions::default();
        let chunk = process
            .read(Stream::Stdout, cursor, &mut buffer, Some(left), options)
            .expect("a read");
        bytes.extend_from_slice(&buffer[..chunk.length]);
        cursor = chunk.cursor;
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
            bytes.drain(..=end);
            if is_last(&line) {
                return lines;
            }
            lines.push(line);
        }
        if chunk.state != ReadState::Data {
            panic!(
                "{:?} before the line came, after {lines:?}, {:?}",
                chunk.state,
                process.status()
            );
        }
    }
}

/// Waits until the condition holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < TIMEOUT, "it never came: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `work` on a thread, and fails if it is not done in time, instead of hanging with it.
pub(crate) fn in_time<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let worker = thread::spawn(work);
    eventually(what, || worker.is_finished());
    worker.join().expect("the thread did not panic")
}

/// The kernel's letter for the state of a process (`R`, `S`, `T` stopped, `Z` zombie, …); `None` if
/// there is none.
pub(crate) fn kernel_state(pid: u32) -> Option<char> {
    stat_fields(pid)?.first()?.chars().next()
}

/// Whether it exists and has not exited.
pub(crate) fn is_alive(pid: u32) -> bool {
    kernel_state(pid).is_some_and(|state| !"ZX".contains(state))
}

/// The zombies among the children of this test program.
pub(crate) fn zombies() -> Vec<u32> {
    let ours = std::process::id().to_string();
    let is_ours = |pid: &u32| {
        stat_fields(*pid).is_some_and(|fields| fields[0] == "Z" && fields.get(1) == Some(&ours))
    };
    all_pids().filter(is_ours).collect()
}

/// The processes, without zombies, that carry the cookie of this one: its members and those that it
/// left behind.
pub(crate) fn carriers(id: Id) -> Vec<u32> {
    let cookie = format!("{}={id}", procmgr::ID_VARIABLE).into_bytes();
    let carries = |pid: &u32| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == cookie)
        })
    };
    all_pids().filter(carries).collect()
}

fn all_pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("a process table");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The fields after the name in the stat file of a process: state, parent, group, session, …
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may contain parentheses.
    let (_, fields) = line.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(String::from).collect())
}

/// Files by which a test and a command synchronize, without the library.
pub(crate) struct Signs(tempfile::TempDir);

impl Signs {
    pub(crate) fn new() -> Self {
        Signs(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A command that waits for a sign.
    pub(crate) fn awaited(&self, name: &str) -> String {
        format!(
            "while [ ! -e {} ]; do sleep 0.01; done",
            self.path(name).display()
        )
    }

    /// A command that makes a sign.
    pub(crate) fn given(&self, name: &str) -> String {
        format!(": > {}", self.path(name).display())
    }

    pub(crate) fn give(&self, name: &str) {
        fs::write(self.path(name), "").expect("room");
    }

    pub(crate) fn wait_for(&self, name: &str) {
        eventually(name, || self.path(name).exists());
    }
}

/// The directory of the calling thread in `/proc`.
pub(crate) fn thread_path() -> PathBuf {
    Path::new("/proc").join(fs::read_link("/proc/thread-self").expect("a thread"))
}

/// Waits until the thread sleeps. It must have only one place where it sleeps.
pub(crate) fn asleep(thread: &Path) {
    eventually("the thread sleeps", || {
        let stat = fs::read_to_string(thread.join("stat")).expect("the thread lives");
        stat.contains(") S ")
    });
}

/// Runs `meanwhile` once another thread sleeps in `call`, which must have only one place where it
/// sleeps.
pub(crate) fn while_asleep<T: Send>(
    call: impl FnOnce() -> T + Send,
    meanwhile: impl FnOnce(),
) -> T {
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let caller = scope.spawn(move || {
            sender.send(thread_path()).expect("it is awaited");
            call()
        });
        asleep(&receiver.recv().expect("it is sent"));
        meanwhile();
        caller.join().expect("the thread did not panic")
    })
}
