//! Shortages: descriptors, threads, processes, memory, `/proc`, the shell, directories, space on a
//! disk. A start fails with its step and error number and leaves nothing behind, processes that ran
//! before run on, and the next start works once there is enough again.

#![allow(unsafe_code)]

mod common;
mod isolated;
mod tools;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use common::{TIMEOUT, eventually, is_alive, kernel_state, open, start, text, wait, wait_for_line};
use isolated::{Place, become_another_user, in_a_copy, mount, mount_over, unmount};
use procmgr::{
    Config, EndedBy, Error, Manager, Process, ReadOptions, ReadState, Request, Signal, StartMethod,
    State, Step, Stream,
};

/// Runs a test with each way of starting.
fn in_every_way(test: impl Fn(StartMethod) + Sync) {
    for (name, method, blocked) in [
        ("automatic", StartMethod::Automatic, false),
        ("automatic, signals blocked", StartMethod::Automatic, true),
        ("std", StartMethod::Std, false),
    ] {
        eprintln!("{name}:");
        let test = &test;
        thread::scope(|scope| {
            scope.spawn(move || {
                if blocked {
                    block_a_signal();
                }
                test(method);
            });
        });
    }
}

fn block_a_signal() {
    // SAFETY: all zeroes is a valid set, which sigemptyset then makes an empty one; a null old set is
    // not written.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGUSR1);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}

fn open_with(method: StartMethod) -> Manager {
    // The new user may have no access to the working directory and the home directory.
    let config = Config::new().start_method(method).directory("/");
    Manager::open(config).expect("a manager")
}

/// A command that shows whether a process is complete. It needs no other program, but the shell needs
/// some descriptors.
const COMPLETE: &str = "ulimit -Sn 100; echo out; echo err >&2; read -r line || echo end; exit 7";

fn assert_complete(process: &Process) {
    assert_eq!(wait(process).state, State::Exited(7), "{}", text(process));
    match process.output(Stream::Stderr) {
        Ok(stderr) => {
            assert_eq!(stderr.text, "err\n");
            assert_eq!(text(process), "out\nend\n");
        }
        Err(_) => assert_eq!(text(process), "out\nerr\nend\n"),
    }
}

/// The descriptors of this program, found without opening one.
fn descriptors() -> BTreeSet<i32> {
    // SAFETY: F_GETFD takes a number, whether it is an open descriptor or not.
    let is_open = |number: &i32| unsafe { libc::fcntl(*number, libc::F_GETFD) } != -1;
    (0..1024).filter(is_open).collect()
}

fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("a process table");
    tasks.count()
}

/// Whether this program has a child, be it a zombie. Everything that runs in a copy is procmgr's.
fn has_children() -> bool {
    // SAFETY: the memory is valid for one siginfo_t, which all zeroes is.
    unsafe {
        let mut info = std::mem::zeroed::<libc::siginfo_t>();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        libc::waitid(libc::P_ALL, 0, &mut info, options) == 0
    }
}

/// Whether a process with this pid exists, zombies included. Needs no `/proc`.
fn exists(pid: u32) -> bool {
    let pid = libc::pid_t::try_from(pid).expect("a pid");
    // SAFETY: kill takes two numbers.
    unsafe { libc::kill(pid, 0) == 0 }
}

/// glibc has a type for this, musl a plain number.
#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

/// Lowers a soft limit until it is dropped.
struct Lowered(Resource, libc::rlimit);

impl Lowered {
    fn to(resource: Resource, soft: usize) -> Self {
        let soft = soft as libc::rlim_t;
        // SAFETY: the memory is valid for one rlimit, which all zeroes is.
        unsafe {
            let mut old = std::mem::zeroed::<libc::rlimit>();
            assert_eq!(libc::getrlimit(resource, &mut old), 0);
            let mut new = old;
            new.rlim_cur = soft.min(old.rlim_max);
            assert_eq!(libc::setrlimit(resource, &new), 0);
            Lowered(resource, old)
        }
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        // SAFETY: the pointer is to a valid rlimit.
        unsafe { libc::setrlimit(self.0, &self.1) };
    }
}

/// Lowers the limit so that this many descriptors can be opened.
fn only_descriptors(free: usize) -> Lowered {
    let open = descriptors();
    let mut numbers = (0..1024).filter(|number| !open.contains(number));
    let limit = numbers.nth(free).expect("there are more");
    Lowered::to(libc::RLIMIT_NOFILE, limit as usize)
}

/// The step and the error number of a start that failed.
fn failure(error: &Error) -> (Step, i32) {
    match (error.step(), error.os_error()) {
        (Some(step), Some(number)) => (step, number),
        _ => panic!("no failed start: {error}"),
    }
}

/// A process that was running before still works: signals, output, end.
fn assert_still_works(process: &Process) {
    assert!(process.status().expect("a status").is_running());
    assert!(text(process).starts_with("ready\n"));
    let mut buffer = [0; 6];
    let options = ReadOptions::default();
    let chunk = process.read(Stream::Stdout, 0, &mut buffer, None, options);
    assert_eq!(chunk.expect("a read").length, 6);
    let before = process.status().expect("a status").output_bytes;
    // If the signal arrives just before the shell's read, the shell sleeps in the read until the next
    // signal.
    let mut looks = 0;
    eventually("it prints more", || {
        if looks % 100 == 0 {
            process.signal(Signal::User2).expect("it runs");
        }
        looks += 1;
        process.status().expect("a status").output_bytes > before
    });
}

/// Answers USR2, and forks nothing.
const ANSWERS: &str = "trap 'echo more' USR2; mkfifo \"$FIFO\" && exec 3<>\"$FIFO\"; echo ready; while :; do read -r line <&3; done";

fn start_answering(manager: &Manager) -> Process {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let request = Request::new(ANSWERS).variable("FIFO", directory.path().join("fifo"));
    let process = manager.start(&request).expect("a start");
    wait_for_line(&process, "ready");
    process
}

// Descriptors.

#[test]
fn no_descriptor_at_any_step_of_a_start() {
    in_a_copy(Place::Here, "no_descriptor_at_any_step_of_a_start", || {
        in_every_way(|method| {
            for separate in [false, true] {
                no_descriptor(method, separate);
            }
        });
    });
}

fn no_descriptor(method: StartMethod, separate: bool) {
    let at_first = descriptors();
    let manager = open_with(method);
    let running = start_answering(&manager);
    let request = Request::new(COMPLETE).separate_streams(separate);
    let mut failures = 0;
    for free in 0.. {
        let (before, threads_before) = (descriptors(), threads());
        let limit = only_descriptors(free);
        let outcome = manager.start(&request);
        assert_still_works(&running);
        match outcome {
            Err(error) => {
                assert_eq!(
                    failure(&error),
                    (Step::Pipe, libc::EMFILE),
                    "{free}: {error}"
                );
                assert_eq!(descriptors(), before, "{free}");
                drop(limit);
                // The kernel lists a thread for a moment after it was joined.
                eventually("the threads are gone", || threads() == threads_before);
                assert_eq!(manager.list(None).expect("a list").total, 1);
                failures += 1;
            }
            Ok(process) => {
                // Still under the limit.
                assert_complete(&process);
                manager.forget(process.id()).expect("it has ended");
                break;
            }
        }
    }
    // At least two for each pipe and two for the threads.
    assert!(failures >= if separate { 6 } else { 4 }, "{failures}");
    assert_complete(&manager.start(&request).expect("a start"));
    running.stop(Duration::ZERO).expect("a stop");
    manager.close().expect("a close");
    drop((manager, running));
    eventually("its descriptors are gone", || descriptors() == at_first);
    assert!(!has_children());
}

#[test]
fn no_descriptor_to_stop_with() {
    in_a_copy(Place::Here, "no_descriptor_to_stop_with", || {
        let manager = open();
        for (name, command) in LEFT_BEHIND {
            for free in 0..6 {
                let process = start(&manager, command);
                let pids = wait_for_pids(&process);
                let limit = only_descriptors(free);
                let signalled = process.signal(Signal::User1);
                let stopped = process.stop(Duration::ZERO);
                drop(limit);
                match stopped {
                    // It never returns success while something is left.
                    Ok(stopped) => {
                        assert_eq!(stopped.left, 0, "{name}, {free}");
                        // One that is exiting counts as ended.
                        eventually(name, || !pids.iter().any(|pid| is_alive(*pid)));
                    }
                    Err(error) => assert_eq!(error.os_error(), Some(libc::EMFILE), "{error}"),
                }
                if let Err(error) = signalled {
                    assert_eq!(
                        error.os_error(),
                        Some(libc::EMFILE),
                        "{name}, {free}: {error}"
                    );
                }
                process.stop(Duration::ZERO).expect("a stop");
                eventually(name, || !pids.iter().any(|pid| is_alive(*pid)));
            }
        }
    });
}

/// Commands that print their pids: in the group, out of it, with a leader that runs or has ended.
const LEFT_BEHIND: [(&str, &str); 4] = [
    (
        "a group",
        "sleep 600 & echo $! $$; echo ready; exec sleep 600",
    ),
    (
        "a group without its leader",
        "sleep 600 >&- 2>&- & echo $!; echo ready",
    ),
    (
        "another session",
        "setsid sh -c 'echo $$; echo ready; exec sleep 600' & exec sleep 600",
    ),
    (
        "another session without its leader",
        "setsid sh -c 'echo $$; echo ready; exec sleep 600 >&- 2>&-' &",
    ),
];

/// The pids that were printed before the line "ready".
fn wait_for_pids(process: &Process) -> Vec<u32> {
    let lines = wait_for_line(process, "ready");
    let words = lines.split_whitespace();
    let pids: Vec<u32> = words.filter_map(|word| word.parse().ok()).collect();
    assert!(!pids.is_empty());
    pids
}

#[test]
fn no_descriptor_to_close_with() {
    in_a_copy(Place::Here, "no_descriptor_to_close_with", || {
        for free in 0..6 {
            let manager = open();
            let processes: Vec<_> = LEFT_BEHIND
                .iter()
                .map(|(_, command)| start(&manager, command))
                .collect();
            let pids: Vec<_> = processes.iter().flat_map(wait_for_pids).collect();
            let limit = only_descriptors(free);
            let closed = manager.close();
            // The leaders are ended in any case.
            for process in &processes {
                assert!(!process.status().expect("a status").is_running());
            }
            drop(limit);
            match closed {
                Ok(()) => eventually("they are gone", || !pids.iter().any(|pid| is_alive(*pid))),
                Err(error) => assert_eq!(error.os_error(), Some(libc::EMFILE), "{error}"),
            }
            manager.close().expect("closing again tries again");
            eventually("they are gone", || !pids.iter().any(|pid| is_alive(*pid)));
        }
        assert!(!has_children());
    });
}

/// A start that gets no descriptor for something optional must not make later starts do without it.
#[test]
fn a_first_start_without_a_descriptor_of_its_leader_is_not_remembered() {
    let name = "a_first_start_without_a_descriptor_of_its_leader_is_not_remembered";
    in_a_copy(Place::Here, name, || {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("true");
        fs::copy("/bin/true", &program).expect("a copy");
        let lease = Lease::take(&program);
        let manager = open();
        thread::scope(|scope| {
            let starter = scope.spawn(|| manager.start(&Request::program(&program)));
            // The start has everything that it needs, and blocks in its exec.
            eventually("it executes", || lease.is_wanted());
            let limit = Lowered::to(libc::RLIMIT_NOFILE, 3);
            lease.release();
            let process = starter.join().expect("the thread did not panic");
            let process = process.expect("a start");
            assert_eq!(wait(&process).state, State::Exited(0));
            drop(limit);
        });
        // Only a pidfd of its leader reaches it.
        if kernel_release() < (6, 9) {
            return;
        }
        let command = "env -i sleep 600 >&- 2>&- & echo $!; echo ready";
        let process = start(&manager, command);
        let pids = wait_for_pids(&process);
        wait(&process);
        process.stop(Duration::ZERO).expect("a stop");
        eventually("it is gone", || !is_alive(pids[0]));
    });
}

/// Blocks every open and exec of a file until it is released (a lease).
struct Lease(fs::File);

impl Lease {
    fn take(path: &Path) -> Self {
        let file = fs::File::open(path).expect("it is there");
        // SAFETY: these take numbers.
        unsafe {
            // The kernel sends this signal when a process opens the file.
            libc::signal(libc::SIGIO, libc::SIG_IGN);
            let taken = libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK);
            assert_eq!(taken, 0, "{}", std::io::Error::last_os_error());
        }
        Lease(file)
    }

    fn is_wanted(&self) -> bool {
        // SAFETY: takes numbers.
        unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_GETLEASE) != libc::F_WRLCK }
    }

    fn release(&self) {
        // SAFETY: takes numbers.
        let released = unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
        assert_eq!(released, 0);
    }
}

/// A host that closes descriptors of the library: here the pollers. No thread loops, waiters are woken
/// by the end, and everything can be ended.
#[test]
fn pollers_that_the_host_has_closed() {
    in_a_copy(Place::Here, "pollers_that_the_host_has_closed", || {
        let manager = open();
        let printing = start(&manager, "while :; do sleep 0.02; echo line; done");
        wait_for_line(&printing, "line");
        let silent = start(&manager, "exec sleep 600");
        replace_pollers();
        // Their waits fail, and the threads end.
        let late: Vec<_> = (0..5).map(|_| start(&manager, COMPLETE)).collect();
        late.iter().for_each(assert_complete);
        let assert_at_rest = || {
            let began = (cpu_time(), Instant::now());
            // The time that a program that does nothing takes.
            let other = Command::new("/bin/sleep").arg("0.3").status();
            assert!(other.expect("it is there").success());
            let (used, passed) = (cpu_time() - began.0, began.1.elapsed());
            assert!(used < passed / 4, "{used:?} of {passed:?}");
        };
        assert_at_rest();
        for process in [printing, silent] {
            process.stop(Duration::ZERO).expect("a stop");
        }
        assert_at_rest();
        manager.close().expect("a close");
        assert!(!has_children());
    });
}

/// Replaces the epoll descriptors of this program.
fn replace_pollers() {
    let null = fs::File::open("/dev/null").expect("it is there");
    let is_poller = |number: &i32| {
        let target = fs::read_link(format!("/proc/self/fd/{number}"));
        target.is_ok_and(|target| target.as_os_str() == "anon_inode:[eventpoll]")
    };
    let pollers: Vec<_> = descriptors().into_iter().filter(is_poller).collect();
    assert!(!pollers.is_empty());
    for number in pollers {
        // SAFETY: takes numbers. That the owner of the descriptor does not expect it is what is tested.
        assert_eq!(unsafe { libc::dup2(null.as_raw_fd(), number) }, number);
    }
}

/// The processor time of this program.
fn cpu_time() -> Duration {
    // SAFETY: the memory is valid for one timespec, which all zeroes is.
    let time = unsafe {
        let mut time = std::mem::zeroed::<libc::timespec>();
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time);
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

// Threads and processes.

#[test]
fn no_thread_and_no_process_for_a_start() {
    in_a_copy(Place::Here, "no_thread_and_no_process_for_a_start", || {
        if !become_another_user() {
            return;
        }
        in_every_way(|method| {
            let outer = open_with(method);
            let running = start_answering(&outer);
            // This manager has its own threads already; those of another manager cannot be used.
            let mut steps = Vec::new();
            for more in 0.. {
                let manager = open_with(method);
                let (threads_before, before) = (threads(), descriptors());
                // The running one counts too.
                let limit = Lowered::to(libc::RLIMIT_NPROC, threads_before + 1 + more);
                let outcome = manager.start(&Request::new(COMPLETE));
                assert_still_works(&running);
                drop(limit);
                match outcome {
                    Err(error) => {
                        let (step, number) = failure(&error);
                        assert_eq!(number, libc::EAGAIN, "{error}");
                        steps.push(step);
                        assert_eq!(descriptors(), before);
                        assert_eq!(manager.list(None).expect("a list").total, 0);
                        // The same request, now that there is enough.
                        assert_complete(&manager.start(&Request::new(COMPLETE)).expect("a start"));
                        manager.close().expect("a close");
                        eventually("its threads are gone", || threads() < threads_before);
                    }
                    Ok(process) => {
                        assert_complete(&process);
                        manager.close().expect("a close");
                        eventually("its threads are gone", || threads() < threads_before);
                        break;
                    }
                }
            }
            assert_eq!(steps, [Step::Thread, Step::Thread, Step::Process]);
            running.stop(Duration::ZERO).expect("a stop");
            outer.close().expect("a close");
            assert!(!has_children());
        });
    });
}

#[test]
fn without_a_thread_what_was_promised_still_holds() {
    let name = "without_a_thread_what_was_promised_still_holds";
    in_a_copy(Place::Here, name, || {
        if !become_another_user() {
            return;
        }
        let config = Config::new().directory("/");
        let config = config.stop_grace(Duration::from_millis(100));
        let manager = Manager::open(config).expect("a manager");
        let request = Request::new("trap '' TERM; echo ready; exec sleep 600");
        let keyed = manager.start(&request.clone().key("key")).expect("a start");
        let stopped = start(&manager, "echo ready; exec sleep 600");
        for process in [&keyed, &stopped] {
            wait_for_line(process, "ready");
        }
        let limited = request.time_limit(Duration::from_millis(500));
        let limited = manager.start(&limited).expect("a start");
        let limit = Lowered::to(libc::RLIMIT_NPROC, 1);
        // Calls that need a thread fail.
        for outcome in [
            Manager::open(Config::new()).map(drop),
            manager.cancel(b"key", None).map(drop),
            stopped.stop_in_background(Duration::ZERO),
        ] {
            let error = outcome.expect_err("there is no thread");
            assert!(matches!(error, Error::Io { .. }), "{error:?}");
            assert_eq!(error.os_error(), Some(libc::EAGAIN));
        }
        // No thread can wait for the grace period, but the limit holds.
        let status = wait(&limited);
        assert_eq!(status.ended_by, EndedBy::Limit);
        let stopped = stopped.stop(TIMEOUT).expect("a stop");
        assert_eq!(stopped.status.ended_by, EndedBy::Stop);
        drop(limit);
        manager.cancel(b"key", Some(TIMEOUT)).expect("a cancel");
        assert_eq!(wait(&keyed).ended_by, EndedBy::Cancel);
        manager.close().expect("a close");
        assert!(!has_children());
    });
}

// Memory.

/// How much address space this program has.
fn address_space() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").expect("a process table");
    let pages = pages.split(' ').next().and_then(|pages| pages.parse().ok());
    pages.map_or(0, |pages: usize| pages * 4096)
}

/// Only large allocations and stacks fail here: a failed small allocation aborts any Rust program.
#[test]
fn no_memory_for_a_start() {
    in_a_copy(Place::Here, "no_memory_for_a_start", || {
        let seen = Mutex::new(BTreeSet::new());
        in_every_way(|method| {
            let outer = open_with(method);
            let running = start_answering(&outer);
            for pages in 0.. {
                let manager = open_with(method);
                let before = descriptors();
                let limit = Lowered::to(libc::RLIMIT_AS, address_space() + (pages << 12));
                let outcome = manager.start(&Request::new(COMPLETE));
                assert_still_works(&running);
                drop(limit);
                assert_eq!(
                    outcome.is_err(),
                    manager.list(None).expect("a list").total == 0
                );
                let done = match outcome {
                    Err(error) => {
                        let failure = failure(&error);
                        assert!(
                            [(Step::Thread, libc::EAGAIN), (Step::Process, libc::ENOMEM)]
                                .contains(&failure),
                            "{error}"
                        );
                        seen.lock()
                            .expect("no thread panicked")
                            .insert(failure.0.name());
                        assert_eq!(descriptors(), before);
                        assert_complete(&manager.start(&Request::new(COMPLETE)).expect("a start"));
                        false
                    }
                    Ok(process) => {
                        // The limit is the child's too, whose shell may need more than this program.
                        let is_enough = !matches!(wait(&process).state, State::Signaled { .. });
                        if is_enough {
                            assert_complete(&process);
                        }
                        is_enough
                    }
                };
                manager.close().expect("a close");
                if done {
                    break;
                }
            }
            running.stop(Duration::ZERO).expect("a stop");
            outer.close().expect("a close");
            assert!(!has_children());
        });
        // Later threads reuse the stacks of earlier ones.
        let seen = seen.into_inner().expect("no thread panicked");
        assert_eq!(seen, BTreeSet::from(["process", "thread"]));
    });
}

#[test]
fn an_output_that_cannot_grow_keeps_less_and_counts_on() {
    let name = "an_output_that_cannot_grow_keeps_less_and_counts_on";
    in_a_copy(Place::Here, name, || {
        let config = Config::new().head_bytes(1 << 10).tail_bytes(64 << 20);
        let manager = Manager::open(config.max_line_bytes(0)).expect("a manager");
        const ROUNDS: u64 = 60;
        const BYTES: u64 = 700_003;
        let process = start(
            &manager,
            "echo ready; while :; do kill -STOP $$; head -c 700000 /dev/zero; printf end; done",
        );
        let mut kept = 0;
        for round in 0..ROUNDS {
            let limit = continue_without_memory(&process, 6 + round * BYTES);
            eventually("all has come", || {
                process.status().expect("a status").output_bytes == 6 + (round + 1) * BYTES
            });
            // A snapshot allocates memory itself.
            drop(limit);
            let output = process.output(Stream::Stdout).expect("a snapshot");
            assert!(output.text.starts_with("ready\n"));
            assert!(output.text.ends_with("\0end"), "round {round}");
            // The memory that was there is still used completely.
            assert!(
                output.text.len() >= kept,
                "round {round}: {}",
                output.text.len()
            );
            kept = output.text.len();
        }
        assert!(kept < 40_000_000, "it has grown");
        process.stop(Duration::ZERO).expect("a stop");
        // The next one has enough memory.
        let process = start(&manager, "head -c 50000000 /dev/zero");
        assert_eq!(wait(&process).output_bytes, 50_000_000);
        let output = process.output(Stream::Stdout).expect("a snapshot");
        assert!(output.truncation.is_none());
    });
}

#[test]
fn a_lossless_output_that_cannot_grow_loses_nothing() {
    let name = "a_lossless_output_that_cannot_grow_loses_nothing";
    in_a_copy(Place::Here, name, || {
        const BYTES: u64 = 40 << 20;
        let config = Config::new().head_bytes(1 << 10).tail_bytes(64 << 20);
        let manager = Manager::open(config).expect("a manager");
        let command = format!("echo ready; kill -STOP $$; head -c {BYTES} /dev/zero; echo end");
        let process = manager
            .start(&Request::new(command).lossless(true))
            .expect("a start");
        let limit = continue_without_memory(&process, 6);
        let (mut cursor, mut lost) = (0, 0);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let options = ReadOptions::default();
            let chunk = process
                .read(Stream::Stdout, cursor, &mut buffer, Some(TIMEOUT), options)
                .expect("a read");
            cursor = chunk.cursor;
            lost += chunk.lost;
            match chunk.state {
                ReadState::Data => {}
                ReadState::Eof => break,
                other => panic!("{other:?} at {cursor}"),
            }
        }
        assert_eq!((cursor, lost), (BYTES + 10, 0));
        drop(limit);
        assert_eq!(wait(&process).state, State::Exited(0));
    });
}

/// Continues a process that has stopped itself after so many bytes, with little memory left.
fn continue_without_memory(process: &Process, after: u64) -> Lowered {
    eventually("it waits", || {
        process.status().expect("a status").output_bytes == after
            && kernel_state(process.pid()) == Some('T')
    });
    let limit = Lowered::to(libc::RLIMIT_AS, address_space() + (1 << 20));
    process.signal(Signal::Continue).expect("it runs");
    limit
}

// `/proc`.

#[test]
fn kernel_without_a_process_table() {
    // In a pid namespace whose first process reaps zombies at once, so that a free pid means that its
    // process has ended.
    in_a_copy(Place::OwnPids, "kernel_without_a_process_table", || {
        mount(c"none", c"/proc", c"tmpfs", c"").expect("a mount");
        assert!(fs::read_dir("/proc").expect("it is empty").next().is_none());
        in_every_way(|method| {
            // A group whose leader is reaped can be signalled through the leader's pidfd.
            let has_pidfd = method == StartMethod::Automatic || opens_pidfds();
            let signals_groups = has_pidfd && kernel_release() >= (6, 9);
            let manager = open_with(method);
            assert_complete(&manager.start(&Request::new(COMPLETE)).expect("a start"));
            let request = Request::new(COMPLETE).separate_streams(true);
            assert_complete(&manager.start(&request).expect("a start"));
            let error = manager
                .start(&Request::program("/no/such/program"))
                .expect_err("there is none");
            assert_eq!(failure(&error), (Step::Execute, libc::ENOENT));

            let process = start_answering(&manager);
            assert_still_works(&process);
            process.signal(Signal::Kill).expect("it runs");
            assert_eq!(wait(&process).ended_by, EndedBy::Signal);
            // Nothing of it is left, but no scan can prove that.
            let error = process.signal(Signal::Kill).expect_err("it has ended");
            assert!(matches!(error, Error::Io { .. }), "{error:?}");

            assert_scan_failed(manager.sweep_orphans().map(drop));
            for (name, command) in LEFT_BEHIND {
                let process = start(&manager, command);
                let pids = wait_for_pids(&process);
                for grace in [Duration::from_millis(100), Duration::ZERO] {
                    assert_scan_failed(process.stop(grace).map(drop));
                }
                assert!(!process.status().expect("a status").is_running());
                if name == "a group" || (name.contains("group") && signals_groups) {
                    eventually(name, || !pids.iter().any(|pid| exists(*pid)));
                } else {
                    end_hidden(&pids);
                }
            }
            if signals_groups {
                // A survivor in the group gets signals.
                let process = start(&manager, LEFT_BEHIND[1].1);
                let pids = wait_for_pids(&process);
                wait(&process);
                process.signal(Signal::Terminate).expect("it is there");
                eventually("it is gone", || !exists(pids[0]));
            }

            let processes = LEFT_BEHIND.map(|(_, command)| start(&manager, command));
            let pids: Vec<_> = processes.iter().map(wait_for_pids).collect();
            assert_scan_failed(manager.close());
            for process in &processes {
                assert!(!process.status().expect("a status").is_running());
            }
            let ended = if signals_groups { 2 } else { 1 };
            eventually("the groups are gone", || {
                !pids[..ended].iter().flatten().any(|pid| exists(*pid))
            });
            for pids in &pids[ended..] {
                end_hidden(pids);
            }
            assert_scan_failed(manager.close());
            assert!(!has_children());
        });
    });
}

/// Whether no filter refuses to open a pidfd.
fn opens_pidfds() -> bool {
    // SAFETY: the system call takes numbers; the descriptor is closed by its number, which is new.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0);
        fd >= 0 && libc::close(fd as i32) == 0
    }
}

/// The first two numbers of the kernel's release.
fn kernel_release() -> (u32, u32) {
    // SAFETY: uname fills a struct for which there is room, with texts that end with a NUL.
    let release = unsafe {
        let mut names = std::mem::zeroed::<libc::utsname>();
        assert_eq!(libc::uname(&mut names), 0);
        std::ffi::CStr::from_ptr(names.release.as_ptr())
            .to_string_lossy()
            .into_owned()
    };
    let mut numbers = release
        .split(['.', '-'])
        .map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next())
}

/// The documented error if a scan is not possible.
fn assert_scan_failed(outcome: Result<(), Error>) {
    let error = outcome.expect_err("it cannot be known");
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert_eq!(error.os_error(), Some(libc::ENOENT), "{error}");
}

/// Ends processes that procmgr could not find, and waits until they are reaped.
fn end_hidden(pids: &[u32]) {
    for pid in pids {
        if exists(*pid) {
            // SAFETY: kill takes two numbers.
            unsafe { libc::kill(*pid as libc::pid_t, libc::SIGKILL) };
        }
    }
    eventually("they are gone", || !pids.iter().any(|pid| exists(*pid)));
}

#[test]
fn with_a_process_table_that_shows_only_our_own() {
    let name = "with_a_process_table_that_shows_only_our_own";
    in_a_copy(Place::OwnMounts, name, || {
        if let Err(error) = mount(c"proc", c"/proc", c"proc", c"hidepid=2") {
            return tools::not_tested(&format!("no /proc with hidepid=2 ({error}): that is"));
        }
        if !become_another_user() {
            return;
        }
        assert!(fs::metadata("/proc/1").is_err(), "others are hidden");
        in_every_way(|method| {
            let manager = open_with(method);
            assert_complete(&manager.start(&Request::new(COMPLETE)).expect("a start"));
            for (name, command) in LEFT_BEHIND {
                let process = start(&manager, command);
                let pids = wait_for_pids(&process);
                let stopped = process.stop(Duration::from_millis(100)).expect("a stop");
                assert_eq!(stopped.left, 0, "{name}");
                eventually(name, || !pids.iter().any(|pid| is_alive(*pid)));
            }
            let processes = LEFT_BEHIND.map(|(_, command)| start(&manager, command));
            let pids: Vec<_> = processes.iter().flat_map(wait_for_pids).collect();
            manager.close().expect("a close");
            eventually("they are gone", || !pids.iter().any(|pid| is_alive(*pid)));
            assert!(!has_children());
        });
    });
}

// The shell.

#[test]
fn without_a_shell() {
    in_a_copy(Place::OwnMounts, "without_a_shell", || {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        for tool in ["true", "echo"] {
            fs::copy(Path::new("/bin").join(tool), at(tool)).expect("a copy");
        }
        fs::write(at("plain"), "").expect("it is ours");
        fs::create_dir(at("empty")).expect("it is ours");
        let real = fs::canonicalize("/bin/sh").expect("there is a shell");
        let bin = real.parent().expect("it is in a directory");
        let c = |path: &Path| CString::new(path.as_os_str().as_bytes()).expect("no NUL");
        let before = descriptors();
        for (over, by, number) in [
            (real.as_path(), at("plain"), libc::EACCES),
            (bin, at("empty"), libc::ENOENT),
        ] {
            mount_over(&c(&by), &c(over)).expect("a mount");
            in_every_way(|method| {
                let manager = open_with(method);
                let error = manager.start(&Request::new("echo no"));
                let error = error.expect_err("there is no shell");
                assert_eq!(failure(&error), (Step::Execute, number), "{error}");
                assert!(error.to_string().contains("/bin/sh"), "{error}");
                assert_eq!(manager.list(None).expect("a list").total, 0);
                assert!(!has_children());
                let program = Request::program(at("echo")).argument("yes");
                let process = manager.start(&program).expect("a start");
                assert_eq!(wait(&process).state, State::Exited(0));
                assert_eq!(text(&process), "yes\n");
                manager.close().expect("a close");
            });
            let over = c(over);
            unmount(&over).expect("it is mounted");
            assert_complete(&open().start(&Request::new(COMPLETE)).expect("a start"));
        }
        eventually("no descriptor is left", || descriptors() == before);
    });
}

// Directories.

#[test]
fn a_directory_that_disappears() {
    in_a_copy(Place::Here, "a_directory_that_disappears", || {
        in_every_way(|method| {
            let place = tempfile::tempdir().expect("a directory");
            let at = |name: &str| place.path().join(name);
            let make = |name: &str| fs::create_dir_all(at(name)).expect("it is ours");
            for name in ["requested", "configured", "home"] {
                make(name);
            }
            let home = at("home").canonicalize().expect("it is there");
            // SAFETY: only this thread of the copy looks at the environment.
            unsafe { std::env::set_var("HOME", &home) };
            let config = Config::new().start_method(method);
            let manager = Manager::open(config.directory(at("configured"))).expect("a manager");
            let requested = Request::new("pwd -P").directory(at("requested"));
            let running = manager.start(&requested.clone()).expect("a start");
            assert_eq!(wait(&running).state, State::Exited(0));
            let stays = Request::new("echo ready; exec sleep 600").directory(at("requested"));
            let stays = manager.start(&stays).expect("a start");
            wait_for_line(&stays, "ready");

            fs::remove_dir(at("requested")).expect("it is empty");
            let error = manager.start(&requested).expect_err("it is gone");
            assert_eq!(failure(&error), (Step::Directory, libc::ENOENT));
            assert!(error.to_string().contains("requested"), "{error}");
            assert!(stays.status().expect("a status").is_running());
            make("requested");
            assert_eq!(
                wait(&manager.start(&requested).expect("a start")).state,
                State::Exited(0)
            );

            let plain = Request::new("pwd -P");
            let runs_in = |directory: &Path| {
                let process = manager.start(&plain).expect("a start");
                assert_eq!(wait(&process).state, State::Exited(0));
                assert_eq!(text(&process), format!("{}\n", directory.display()));
                assert_eq!(process.status().expect("a status").directory(), directory);
            };
            runs_in(&at("configured").canonicalize().expect("it is there"));
            fs::remove_dir(at("configured")).expect("it is empty");
            runs_in(&home);
            make("configured");
            runs_in(&at("configured").canonicalize().expect("it is there"));
            manager.close().expect("a close");
        });
    });
}

#[test]
fn the_hosts_own_directory_disappears() {
    in_a_copy(Place::Here, "the_hosts_own_directory_disappears", || {
        let place = tempfile::tempdir().expect("a directory");
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).expect("it is ours");
        // A user without a name has no home directory but `$HOME`.
        if !become_another_user() {
            return;
        }
        for home in [None, Some("/no/such/home")] {
            // SAFETY: only this thread of the copy looks at the environment.
            unsafe {
                match home {
                    None => std::env::remove_var("HOME"),
                    Some(home) => std::env::set_var("HOME", home),
                }
            }
            in_every_way(|method| {
                std::env::set_current_dir("/").expect("there is a root");
                let config = Config::new().start_method(method);
                let manager = Manager::open(config).expect("a manager");
                let process = start(&manager, "pwd -P");
                assert_eq!(wait(&process).state, State::Exited(0));
                assert_eq!(text(&process), "/\n");
                assert_eq!(
                    process.status().expect("a status").directory(),
                    Path::new("/")
                );

                let own = place.path().join("own");
                fs::create_dir(&own).expect("it is ours");
                std::env::set_current_dir(&own).expect("it is there");
                fs::remove_dir(&own).expect("it is empty");
                let process = start(&manager, "echo ran; exit 3");
                let status = wait(&process);
                assert_eq!(status.state, State::Exited(3));
                assert!(text(&process).ends_with("ran\n"), "{}", text(&process));
                // It has no path any more.
                assert_eq!(status.directory(), Path::new(""));
                // A directory below it does not exist.
                let below = Request::new(":").directory("below");
                let error = manager.start(&below).expect_err("it is gone");
                assert_eq!(failure(&error), (Step::Directory, libc::ENOENT));
                let elsewhere = Request::new("pwd -P").directory("/");
                let process = manager.start(&elsewhere).expect("a start");
                assert_eq!(wait(&process).state, State::Exited(0));
                assert_eq!(text(&process), "/\n");
                manager.close().expect("a close");
                assert!(!has_children());
            });
        }
    });
}

// Space on a disk.

#[test]
fn a_full_disk() {
    in_a_copy(Place::OwnMounts, "a_full_disk", || {
        let place = tempfile::tempdir().expect("a directory");
        let target = CString::new(place.path().as_os_str().as_bytes()).expect("no NUL");
        mount(c"none", &target, c"tmpfs", c"size=64k").expect("a mount");
        let full = fs::write(place.path().join("full"), vec![0; 1 << 20]);
        assert_eq!(
            full.expect_err("it is too small").raw_os_error(),
            Some(libc::ENOSPC)
        );
        in_every_way(|method| {
            let manager = open_with(method);
            let command = "echo begin; head -c 100 /dev/zero > file; echo code $?; \
                head -c 100000 /dev/zero | tr '\\0' x; echo; echo end; exit 4";
            let request = Request::new(command).directory(place.path());
            let process = manager.start(&request).expect("a start");
            let status = wait(&process);
            assert_eq!(status.state, State::Exited(4));
            let shown = text(&process);
            let shown = shown.replace('x', "");
            assert!(shown.starts_with("begin\n"), "{shown}");
            assert!(shown.contains("No space left on device"), "{shown}");
            assert!(shown.contains("code 1\n"), "{shown}");
            assert!(shown.ends_with("\nend\n"), "{shown}");
            assert!(status.output_bytes > 100_000);
            assert_complete(&manager.start(&Request::new(COMPLETE)).expect("a start"));
            manager.close().expect("a close");
            assert!(!has_children());
        });
        unmount(&target).expect("it is mounted");
    });
}
