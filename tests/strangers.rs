//! No stranger is ever signalled: process numbers are used again and again while those who had them before are signalled,
//! stopped, cancelled and closed. In process numbers of our own, where the kernel can be asked to begin anew.

#![allow(unsafe_code)]

mod alone;
mod common;
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

use alone::{Place, in_a_copy};
use common::{carriers, eventually, is_alive, kernel_state, open, start, wait, wait_for_value};
use procmgr::{Error, Manager, Process, Request, Signal};
use tools::not_tested;

/// The first number that is used again and again. All that stays has a lower one.
const FIRST: u32 = 1_000;

const ROUNDS: usize = 8;

/// Asks the kernel to give this number away next, or the first free one after it.
fn set_next_pid(pid: u32) -> io::Result<()> {
    fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string())
}

// Strangers.

/// A child of this program, as hosts have others than procmgr's: in a group of its own. Ended when dropped.
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

/// A program whose children know of every signal that they get, each in a session of its own.
struct Helper {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Tells a copy of this program that it is the helper.
const HELPER: &str = "PROCMGR_TEST_HELPER";

impl Helper {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().expect("the test knows where it is"))
            .args(["--exact", "be_the_helper", "--nocapture"])
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

    /// Gives an order. The answer begins with a word that the test runner does not print.
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

    fn start_stranger(&mut self) -> u32 {
        self.ask("start").parse().expect("a number")
    }

    /// Ends a stranger that nothing has happened to.
    fn end_stranger(&mut self, pid: u32) {
        assert_eq!(self.ask(&format!("end {pid}")), "untouched", "{pid}");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does nothing but in the copy that is the helper.
#[test]
fn be_the_helper() {
    if std::env::var_os(HELPER).is_none() {
        return;
    }
    for order in io::stdin().lines() {
        let order = order.expect("a line");
        let answer = match order.split_once(' ') {
            None => fork_stranger().to_string(),
            Some((_, pid)) => end_stranger(pid.parse().expect("a number")),
        };
        println!("answer: {answer}");
    }
}

fn fork_stranger() -> libc::pid_t {
    // SAFETY: the child of the fork makes system calls only, all of them async-signal-safe, with valid memory.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&mut all);
        // Before the fork: nothing comes unnoticed.
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

fn end_stranger(pid: libc::pid_t) -> String {
    let mut status = 0;
    // SAFETY: these take numbers, and a pointer to a valid one. Nobody else waits for our children.
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

// Those who had the numbers before.

/// Ways to be over: without and with a key, by itself, by a signal, and leaving something behind that is over soon, in the
/// group and without the output.
const ENDS: [&str; 4] = [
    ":",
    "exit 3",
    "kill -KILL $$",
    "sleep 0.02 >&- 2>&- & exit 0",
];

/// Leaves something behind for so long that procmgr keeps what it knows of the group.
const LASTING: &str = "sleep 1.2 >&- 2>&- & exit 0";

struct Old {
    process: Process,
    key: Vec<u8>,
}

fn start_keyed(manager: &Manager, command: &str, number: usize) -> Old {
    let key = number.to_string().into_bytes();
    let request = Request::new(command).key(key.clone());
    let process = manager.start(&request).expect("a start");
    Old { process, key }
}

/// Does to one who is over, or ends just now, all that can be done.
fn attack(manager: &Manager, old: &Old, number: usize) {
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
            // Each takes a thread, and a thread takes a number.
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
fn no_stranger_is_signalled_while_numbers_are_used_again() {
    let name = "no_stranger_is_signalled_while_numbers_are_used_again";
    in_a_copy(Place::OwnTable, name, || {
        if let Err(error) = set_next_pid(FIRST) {
            return not_tested(&format!("pids cannot be chosen here ({error}): reuse is"));
        }
        let manager = open();
        // The last ones, and those that leave something behind.
        let olds = Mutex::new(Vec::new());
        let is_over = AtomicBool::new(false);
        // How often all of them shall have been attacked by each attacker, and how often they were.
        let wanted = AtomicUsize::new(0);
        let passes: [AtomicUsize; 4] = Default::default();
        thread::scope(|scope| {
            let _guard = SetOnDrop(&is_over);
            for (number, passes) in passes.iter().enumerate() {
                let (manager, olds, is_over, wanted) = (&manager, &olds, &is_over, &wanted);
                scope.spawn(move || {
                    let _guard = SetOnDrop(is_over);
                    while !is_over.load(Ordering::SeqCst) {
                        if passes.load(Ordering::SeqCst) == wanted.load(Ordering::SeqCst) {
                            thread::park_timeout(Duration::from_millis(1));
                            continue;
                        }
                        for old in copy(olds) {
                            attack(manager, &old, number);
                        }
                        passes.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            let mut helper = Helper::start();
            let (mut siblings_reused, mut strangers_reused) = (0, 0);
            for round in 0..ROUNDS {
                set_next_pid(FIRST).expect("as before");
                let closing = open();
                // They have given their numbers back.
                let old = new_olds(&manager, &closing, round, &olds, &wanted);
                set_next_pid(FIRST).expect("as before");
                let mut siblings: Vec<_> = (0..10).map(|_| Sibling::start()).collect();
                let strangers: Vec<_> = (0..20).map(|_| helper.start_stranger()).collect();
                siblings_reused += siblings
                    .iter()
                    .filter(|one| old.contains(&one.0.id()))
                    .count();
                strangers_reused += strangers.iter().filter(|pid| old.contains(pid)).count();

                closing.close().expect("a close");
                all_are_attacked(&wanted, &passes, &is_over);
                // From now on all numbers are the strangers'.
                wanted.fetch_add(1, Ordering::SeqCst);
                all_are_attacked(&wanted, &passes, &is_over);
                for sibling in &mut siblings {
                    sibling.assert_untouched();
                }
                for pid in strangers {
                    helper.end_stranger(pid);
                }
            }
            println!(
                "{siblings_reused} numbers used again by siblings, {strangers_reused} by others"
            );
            assert!(siblings_reused >= ROUNDS && strangers_reused >= ROUNDS);
            // One more time all that have been at last.
            let siblings: Vec<_> = (0..10).map(|_| Sibling::start()).collect();
            is_over.store(true, Ordering::SeqCst);
            manager.close().expect("a close");
            for mut sibling in siblings {
                sibling.assert_untouched();
            }
        });
    });
}

fn all_are_attacked(wanted: &AtomicUsize, passes: &[AtomicUsize], is_over: &AtomicBool) {
    let wanted = wanted.load(Ordering::SeqCst);
    for passes in passes {
        eventually("all are attacked", || {
            passes.load(Ordering::SeqCst) == wanted || is_over.load(Ordering::SeqCst)
        });
    }
}

/// Starts some that are over at once, in a manager that goes on and in one that will be closed, and gives their numbers
/// when they are over.
fn new_olds(
    manager: &Manager,
    closing: &Manager,
    round: usize,
    olds: &Mutex<Vec<Old>>,
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
        let mut olds = olds.lock().unwrap_or_else(PoisonError::into_inner);
        olds.retain(|old| old.key.ends_with(b"99"));
        olds.append(&mut fresh);
        olds.push(lasting);
    }
    // The attacks begin while they end.
    wanted.fetch_add(1, Ordering::SeqCst);
    let processes = processes.iter().chain(&others);
    processes
        .map(|process| {
            wait(process);
            process.pid()
        })
        .collect()
}

fn copy(olds: &Mutex<Vec<Old>>) -> Vec<Old> {
    let olds = olds.lock().unwrap_or_else(PoisonError::into_inner);
    olds.iter()
        .map(|old| Old {
            process: old.process.clone(),
            key: old.key.clone(),
        })
        .collect()
}

/// So that nobody goes on for ever when somebody has failed.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// In a pid namespace that still has the process table of outside, a number that is read there means somebody else here.
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
        let mut stranger = Sibling::start();
        assert_eq!(stranger.0.id(), outside);

        let attempts: [&dyn Fn() -> Result<(), Error>; 5] = [
            &|| process.signal(Signal::Kill),
            &|| process.stop(Duration::ZERO).map(drop),
            &|| process.stop(Duration::from_millis(20)).map(drop),
            &|| manager.sweep_orphans().map(drop),
            &|| manager.close(),
        ];
        for attempt in attempts {
            let outcome = attempt();
            // A signal may take a moment to show; but to have sent one would be a success.
            stranger.assert_untouched();
            let error = outcome.expect_err("nobody can be looked for");
            assert!(matches!(error, Error::Io { .. }), "{error:?}");
        }
        assert!(
            is_alive(outside),
            "what was started goes on, and was said to"
        );
    });
}
