//! No unrelated process is signalled: pids are reused again and again while the ended processes that
//! had them are signalled, stopped, canceled and closed. In a pid namespace, in which the next pid can
//! be chosen.

#![allow(unsafe_code)]

mod common;
mod isolated;
mod tools;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use common::{carriers, eventually, is_alive, kernel_state, open, start, wait, wait_for_value};
use isolated::{Place, in_a_copy};
use procmgr::{Error, Manager, Process, Request, Signal};
use tools::not_tested;

/// The first pid that is reused. Processes that stay have lower ones.
const FIRST: u32 = 1_000;

const ROUNDS: usize = 8;

/// Makes this pid, or the first free one after it, the next that the kernel allocates.
fn set_next_pid(pid: u32) -> io::Result<()> {
    fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string())
}

// Unrelated processes.

/// A child of this program that procmgr has not started, in its own group. Killed when dropped.
struct Sibling(Child);

impl Sibling {
    fn start() -> Self {
        let mut command = Command::new("/bin/sleep");
        let child = command.arg("600").process_group(0).spawn();
        Sibling(child.expect("there is a sleep"))
    }

    fn assert_untouched(&mut self) {
        let pid = self.0.id();
        assert_eq!(self.0.try_wait().expect("it is our child"), None, "{pid}");
        assert_ne!(kernel_state(pid), Some('T'), "{pid}");
    }
}

impl Drop for Sibling {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program whose children report every signal that they get, each in its own session.
struct Helper {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// The variable that tells a copy of this program that it is the helper.
const HELPER: &str = "PROCMGR_TEST_HELPER";

impl Helper {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().expect("the test knows where it is"))
            .args(["--exact", "helper_main", "--nocapture"])
            .env(HELPER, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the helper starts");
        let orders = child.stdin.take().expect("it is a pipe");
        let answers = BufReader::new(child.stdout.take().expect("it is a pipe"));
        Helper {
            child,
            orders,
            answers,
        }
    }

    /// Sends a command. The answer begins with a word that the test runner does not print.
    fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").expect("the helper listens");
        loop {
            let mut line = String::new();
            let length = self.answers.read_line(&mut line).expect("a line");
            assert_ne!(length, 0, "the helper is gone");
            if let Some((_, answer)) = line.split_once("answer: ") {
                return answer.trim().to_owned();
            }
        }
    }

    fn start_unrelated(&mut self) -> u32 {
        self.ask("start").parse().expect("a number")
    }

    /// Ends an unrelated process, which must not have got a signal.
    fn end_unrelated(&mut self, pid: u32) {
        assert_eq!(self.ask(&format!("end {pid}")), "untouched", "{pid}");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The helper. Does nothing outside of the copy that is the helper.
#[test]
fn helper_main() {
    if std::env::var_os(HELPER).is_none() {
        return;
    }
    for order in io::stdin().lines() {
        let order = order.expect("a line");
        let answer = match order.split_once(' ') {
            None => fork_unrelated().to_string(),
            Some((_, pid)) => end_unrelated(pid.parse().expect("a number")),
        };
        println!("answer: {answer}");
    }
}

fn fork_unrelated() -> libc::pid_t {
    // SAFETY: the child of the fork makes system calls only, all of them async-signal-safe, with valid
    // memory.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&mut all);
        // Blocked before the fork, so that no signal is missed.
        let mut old = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
        let child = libc::fork();
        assert_ne!(child, -1);
        if child == 0 {
            libc::setsid();
            let signal = libc::sigwaitinfo(&all, std::ptr::null_mut());
            libc::_exit(signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &old, std::ptr::null_mut());
        child
    }
}

fn end_unrelated(pid: libc::pid_t) -> String {
    let mut status = 0;
    // SAFETY: these take numbers, and a pointer to a valid one. No other code waits for our children.
    unsafe {
        let seen = libc::waitpid(pid, &mut status, libc::WNOHANG | libc::WUNTRACED);
        if seen != 0 {
            return format!("waitpid {seen}, status {status:#x}");
        }
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, &mut status, 0);
    }
    "untouched".into()
}

// The ended processes that had the pids before.

/// Ways to end: without and with a key, by itself, by a signal, and leaving a process behind that ends
/// soon, in the group and without the output.
const ENDS: [&str; 4] = [
    ":",
    "exit 3",
    "kill -KILL $$",
    "sleep 0.02 >&- 2>&- & exit 0",
];

/// Leaves a process behind for so long that procmgr keeps the pidfd.
const LASTING: &str = "sleep 1.2 >&- 2>&- & exit 0";

struct EndedProcess {
    process: Process,
    key: Vec<u8>,
}

fn start_keyed(manager: &Manager, command: &str, number: usize) -> EndedProcess {
    let key = number.to_string().into_bytes();
    let request = Request::new(command).key(key.clone());
    let process = manager.start(&request).expect("a start");
    EndedProcess { process, key }
}

/// Calls every method of a process that has ended or is ending.
fn exercise(manager: &Manager, old: &EndedProcess, number: usize) {
    let process = &old.process;
    match number % 4 {
        0 => {
            for signal in [Signal::User1, Signal::Stop, Signal::Kill] {
                is_over_or_done(process.signal(signal));
            }
        }
        1 => {
            let stopped = process.stop(Duration::ZERO).expect("a stop");
            assert_eq!(stopped.left, 0);
        }
        2 => {
            let stopped = process.stop(Duration::from_millis(20)).expect("a stop");
            assert_eq!(stopped.left, 0);
        }
        _ => {
            let canceled = manager.cancel(&old.key, Some(Duration::ZERO));
            canceled.expect("a cancel");
            // Each takes a thread, and a thread takes a pid.
            if old.key.ends_with(b"1") {
                let stopped = process.stop_in_background(Duration::ZERO);
                stopped.expect("there are threads");
            }
        }
    }
}

fn is_over_or_done(outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        assert!(matches!(error, Error::NotRunning { .. }), "{error:?}");
    }
}

#[test]
fn no_unrelated_process_is_signalled_while_pids_are_reused() {
    let name = "no_unrelated_process_is_signalled_while_pids_are_reused";
    in_a_copy(Place::OwnTable, name, || {
        if let Err(error) = set_next_pid(FIRST) {
            return not_tested(&format!("pids cannot be chosen here ({error}): reuse is"));
        }
        let manager = open();
        // The latest ones, and those that leave a process behind.
        let ended = Mutex::new(Vec::new());
        let is_over = AtomicBool::new(false);
        // The number of passes over all of them that each thread must make, and has made.
        let wanted = AtomicUsize::new(0);
        let passes: [AtomicUsize; 4] = Default::default();
        thread::scope(|scope| {
            let _guard = SetOnDrop(&is_over);
            for (number, passes) in passes.iter().enumerate() {
                let (manager, ended, is_over, wanted) = (&manager, &ended, &is_over, &wanted);
                scope.spawn(move || {
                    let _guard = SetOnDrop(is_over);
                    while !is_over.load(Ordering::SeqCst) {
                        if passes.load(Ordering::SeqCst) == wanted.load(Ordering::SeqCst) {
                            thread::park_timeout(Duration::from_millis(1));
                            continue;
                        }
                        for old in copy(ended) {
                            exercise(manager, &old, number);
                        }
                        passes.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            let mut helper = Helper::start();
            let (mut siblings_reused, mut unrelated_reused) = (0, 0);
            for round in 0..ROUNDS {
                set_next_pid(FIRST).expect("as before");
                let closing = open();
                // Their pids are free.
                let old = new_processes(&manager, &closing, round, &ended, &wanted);
                set_next_pid(FIRST).expect("as before");
                let mut siblings: Vec<_> = (0..10).map(|_| Sibling::start()).collect();
                let unrelated: Vec<_> = (0..20).map(|_| helper.start_unrelated()).collect();
                siblings_reused += siblings
                    .iter()
                    .filter(|one| old.contains(&one.0.id()))
                    .count();
                unrelated_reused += unrelated.iter().filter(|pid| old.contains(pid)).count();

                closing.close().expect("a close");
                all_are_exercised(&wanted, &passes, &is_over);
                // From now on all pids belong to unrelated processes.
                wanted.fetch_add(1, Ordering::SeqCst);
                all_are_exercised(&wanted, &passes, &is_over);
                for sibling in &mut siblings {
                    sibling.assert_untouched();
                }
                for pid in unrelated {
                    helper.end_unrelated(pid);
                }
            }
            println!(
                "{siblings_reused} numbers used again by siblings, {unrelated_reused} by others"
            );
            assert!(siblings_reused >= ROUNDS && unrelated_reused >= ROUNDS);
            // Once more, all at the end.
            let siblings: Vec<_> = (0..10).map(|_| Sibling::start()).collect();
            is_over.store(true, Ordering::SeqCst);
            manager.close().expect("a close");
            for mut sibling in siblings {
                sibling.assert_untouched();
            }
        });
    });
}

fn all_are_exercised(wanted: &AtomicUsize, passes: &[AtomicUsize], is_over: &AtomicBool) {
    let wanted = wanted.load(Ordering::SeqCst);
    for passes in passes {
        eventually("all calls are made", || {
            passes.load(Ordering::SeqCst) == wanted || is_over.load(Ordering::SeqCst)
        });
    }
}

/// Starts processes that end at once, in a manager that stays open and in one that will be closed, and
/// returns their pids when they have ended.
fn new_processes(
    manager: &Manager,
    closing: &Manager,
    round: usize,
    ended: &Mutex<Vec<EndedProcess>>,
    wanted: &AtomicUsize,
) -> BTreeSet<u32> {
    let mut fresh: Vec<_> = (0..20)
        .map(|number| start_keyed(manager, ENDS[number % ENDS.len()], round * 100 + number))
        .collect();
    let lasting = start_keyed(manager, LASTING, round * 100 + 99);
    let others: Vec<_> = (0..8)
        .map(|number| start(closing, ENDS[number % ENDS.len()]))
        .collect();
    let processes: Vec<_> = fresh.iter().map(|old| old.process.clone()).collect();
    {
        let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|old| old.key.ends_with(b"99"));
        ended.append(&mut fresh);
        ended.push(lasting);
    }
    // The calls begin while they end.
    wanted.fetch_add(1, Ordering::SeqCst);
    let processes = processes.iter().chain(&others);
    processes
        .map(|process| {
            wait(process);
            process.pid()
        })
        .collect()
}

fn copy(ended: &Mutex<Vec<EndedProcess>>) -> Vec<EndedProcess> {
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
    ended
        .iter()
        .map(|old| EndedProcess {
            process: old.process.clone(),
            key: old.key.clone(),
        })
        .collect()
}

/// Ends the other threads when one has failed.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// In a pid namespace whose `/proc` shows the outer one, a pid in `/proc` is that of an unrelated
/// process.
#[test]
fn kernel_a_process_table_of_other_numbers_is_not_used() {
    let name = "kernel_a_process_table_of_other_numbers_is_not_used";
    in_a_copy(Place::OwnPids, name, || {
        let manager = open();
        let command = "setsid sh -c 'echo inside $$; exec sleep 600 >&- 2>&-' & exit 0";
        let process = start(&manager, command);
        let inside: u32 = wait_for_value(&process, "inside");
        wait(&process);
        let mut outside = 0;
        eventually("it is seen outside, and nothing else is", || {
            let found = carriers(process.id());
            outside = found.first().copied().unwrap_or(0);
            found.len() == 1
        });
        assert_ne!(inside, outside);
        if let Err(error) = set_next_pid(outside) {
            return not_tested(&format!("pids cannot be chosen here ({error}): reuse is"));
        }
        let mut unrelated = Sibling::start();
        assert_eq!(unrelated.0.id(), outside);

        let attempts: [&dyn Fn() -> Result<(), Error>; 5] = [
            &|| process.signal(Signal::Kill),
            &|| process.stop(Duration::ZERO).map(drop),
            &|| process.stop(Duration::from_millis(20)).map(drop),
            &|| manager.sweep_orphans().map(drop),
            &|| manager.close(),
        ];
        for attempt in attempts {
            let outcome = attempt();
            // A signal may take a moment to arrive; but a call that has sent one would have succeeded.
            unrelated.assert_untouched();
            let error = outcome.expect_err("a scan is not possible");
            assert!(matches!(error, Error::Io { .. }), "{error:?}");
        }
        assert!(is_alive(outside), "it was signalled");
    });
}
