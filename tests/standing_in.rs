//! Callers that wait for the end do the work of the process's threads meanwhile, and nobody can tell.

#![allow(unsafe_code)]

mod common;

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{FOREVER, PATIENCE, eventually, in_time, open, start, start_request, text, wait};
use procmgr::{
    Config, EndedBy, Error, Event, Manager, Process, ReadOptions, ReadState, Request, Signal,
    State, Status, Stream,
};

/// Waits for the end on a thread of its own while `meanwhile` runs, which begins when that thread is asleep.
fn while_somebody_waits(process: &Process, meanwhile: impl FnOnce()) -> Status {
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let waiter = scope.spawn(move || {
            tell.send(thread_id()).expect("it is awaited");
            wait(process)
        });
        asleep(told.recv().expect("it is sent"));
        meanwhile();
        waiter.join().expect("the thread did not panic")
    })
}

fn thread_id() -> i32 {
    // SAFETY: gettid takes nothing and touches no memory.
    unsafe { libc::gettid() }
}

/// The calls in which one waits for an end, and for bytes.
const SLEEPS: &[libc::c_long] = &[
    libc::SYS_ppoll,
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
];

/// Waits until the thread sleeps in one of these.
fn asleep(thread: i32) {
    let file = format!("/proc/self/task/{thread}/syscall");
    eventually("the waiter sleeps", || {
        let call = fs::read_to_string(&file).expect("the thread lives");
        let number = call.split(' ').next().and_then(|call| call.parse().ok());
        number.is_some_and(|number| SLEEPS.contains(&number))
    });
}

fn stop(process: &Process) {
    process.stop(Duration::ZERO).expect("a stop");
}

/// Whether these are there tells what a command has done, or lets it go on. To ask the library would give the threads their
/// work back.
struct Signs(tempfile::TempDir);

impl Signs {
    fn new() -> Self {
        Signs(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A command that waits for a sign.
    fn awaited(&self, name: &str) -> String {
        format!(
            "while [ ! -e {} ]; do sleep 0.01; done",
            self.path(name).display()
        )
    }

    /// A command that gives one.
    fn given(&self, name: &str) -> String {
        format!(": > {}", self.path(name).display())
    }

    fn give(&self, name: &str) {
        fs::write(self.path(name), "").expect("room");
    }

    fn wait_for(&self, name: &str) {
        eventually(name, || self.path(name).exists());
    }
}

/// More than a pipe holds: who prints it goes on only if it is read.
const MUCH: &str = "head -c 200000 /dev/zero";

/// The pipe that a process writes to.
fn pipe_of(process: &Process, number: i32) -> PathBuf {
    fs::read_link(format!("/proc/{}/fd/{number}", process.pid())).expect("it runs")
}

/// Whether this program has a descriptor of it.
fn is_held(pipe: &Path) -> bool {
    let descriptors = fs::read_dir("/proc/self/fd").expect("descriptors");
    let links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.into_iter().any(|link| link == pipe)
}

#[test]
fn what_comes_during_a_wait_is_read() {
    let manager = open();
    let signs = Signs::new();
    let process = start(
        &manager,
        &format!("{MUCH}; {}; {FOREVER}", signs.given("printed")),
    );
    let status = while_somebody_waits(&process, || {
        signs.wait_for("printed");
        stop(&process);
    });
    assert_eq!(
        (status.ended_by, status.output_bytes),
        (EndedBy::Stop, 200_000)
    );
}

/// What a caller has taken on goes back to the threads when he gives up.
#[test]
fn what_comes_after_a_wait_was_given_up_is_read_too() {
    let manager = open();
    for before in ["", "echo early;"] {
        for separate in [false, true] {
            let signs = Signs::new();
            let (awaited, given) = (signs.awaited("go"), signs.given("printed"));
            let command = format!("{before} {awaited}; {MUCH}; {given}; echo; echo late");
            let request = Request::new(command).separate_streams(separate);
            let process = start_request(&manager, &request);
            let waited = process.wait_timeout(Duration::from_millis(20));
            assert!(waited.expect("a wait").is_none());
            signs.give("go");
            signs.wait_for("printed");
            eventually("it is there", || text(&process).ends_with("late\n"));
            stop(&process);
        }
    }
}

#[test]
fn an_output_that_ends_before_its_process_is_closed_at_once() {
    let manager = open();
    let signs = Signs::new();
    let awaited = signs.awaited("go");
    let process = start(&manager, &format!("{awaited}; exec >&- 2>&-; {FOREVER}"));
    let pipe = pipe_of(&process, 1);
    while_somebody_waits(&process, || {
        assert!(is_held(&pipe));
        signs.give("go");
        eventually("it is closed", || !is_held(&pipe));
        let status = process.status().expect("a status");
        assert!(status.is_running());
        eventually("it is said", || {
            !process.status().expect("a status").output_open
        });
        stop(&process);
    });
}

/// The other one stays open, and is read too.
#[test]
fn the_end_of_one_stream_of_two_is_seen() {
    let manager = open();
    let signs = Signs::new();
    let (go, more) = (signs.awaited("go"), signs.awaited("more"));
    let printed = signs.given("printed");
    let request = Request::new(format!(
        "{go}; exec 2>&-; {more}; {MUCH}; {printed}; {FOREVER}"
    ));
    let process = start_request(&manager, &request.separate_streams(true));
    let (stdout, stderr) = (pipe_of(&process, 1), pipe_of(&process, 2));
    while_somebody_waits(&process, || {
        signs.give("go");
        eventually("it is closed", || !is_held(&stderr));
        assert!(is_held(&stdout));
        signs.give("more");
        signs.wait_for("printed");
        stop(&process);
    });
}

/// A lossless output that nobody reads stops the child, and is let go on by who reads, whoever waits.
#[test]
fn a_full_lossless_output_is_the_threads_again() {
    const BYTES: u64 = 2 << 20;
    let manager = open();
    let request = Request::new(format!("exec head -c {BYTES} /dev/zero")).lossless(true);
    let process = start_request(&manager, &request);
    let status = while_somebody_waits(&process, || {
        let call = format!("/proc/{}/syscall", process.pid());
        let write = format!("{} ", libc::SYS_write);
        eventually("it is full", || {
            fs::read_to_string(&call).is_ok_and(|call| call.starts_with(&write))
        });
        let mut buffer = vec![0; 64 << 10];
        let mut cursor = 0;
        loop {
            let (options, patience) = (ReadOptions::default(), Some(PATIENCE));
            let chunk = process.read(Stream::Stdout, cursor, &mut buffer, patience, options);
            let chunk = chunk.expect("a read");
            assert_eq!(chunk.lost, 0);
            cursor = chunk.cursor;
            match chunk.state {
                ReadState::Data => {}
                ReadState::Eof => break,
                other => panic!("{other:?} after {cursor} bytes"),
            }
        }
        assert_eq!(cursor, BYTES);
    });
    assert_eq!(status.state, State::Exited(0));
}

/// Members of its group that live on without its output are given a second to exit before they are kept within reach. Whoever
/// waits for the end does not wait for that.
#[test]
fn what_is_left_in_the_group_holds_up_no_waiter() {
    let manager = open();
    let waits = (0..5).map(|_| {
        let process = start(
            &manager,
            &format!("{FOREVER} >/dev/null 2>&1 & sleep 0.05; exit 3"),
        );
        let began = Instant::now();
        assert_eq!(wait(&process).state, State::Exited(3));
        let waited = began.elapsed();
        process.signal(Signal::Kill).expect("something is left");
        waited
    });
    // One of them on a machine that is busy with something else.
    assert!(waits.min() < Some(Duration::from_millis(900)));
}

/// Waits of all lengths, by several callers, and followers that come at any moment: nothing is lost, nobody hangs.
#[test]
fn waiting_and_following_come_and_go() {
    const CHILDREN: u64 = 60;
    let expected: String = (1..=300).map(|number| format!("{number}\n")).collect();
    let manager = open();
    in_time("all of it is over", move || {
        for child in 0..CHILDREN {
            let command = "seq 1 100; sleep 0.002; seq 101 200; sleep 0.002; seq 201 300";
            let process = start(&manager, command);
            let here = Barrier::new(4);
            thread::scope(|scope| {
                for waiter in 0..3 {
                    let (process, here) = (&process, &here);
                    let timeout = Duration::from_micros((child * 37 + waiter * 411) % 1500);
                    scope.spawn(move || {
                        here.wait();
                        while process.wait_timeout(timeout).expect("a wait").is_none() {
                            thread::yield_now();
                        }
                    });
                }
                here.wait();
                if child % 2 == 0 {
                    // Somewhere in the middle.
                    eventually("it has begun", || !text(&process).is_empty());
                    let mut follow = process.follow(Stream::Stdout);
                    let mut followed = String::new();
                    std::io::Read::read_to_string(&mut follow, &mut followed).expect("text");
                    assert_eq!(followed, expected, "child {child}");
                }
            });
            assert_eq!(wait(&process).state, State::Exited(0));
            assert_eq!(text(&process), expected, "child {child}");
        }
    });
}

/// How many epolls of this program wait for the pipe that the process writes to.
fn pollers_of_output(process: &Process) -> usize {
    let pipe = fs::metadata(format!("/proc/{}/fd/1", process.pid())).expect("it runs");
    let wanted = format!("ino:{:x} ", std::os::linux::fs::MetadataExt::st_ino(&pipe));
    let infos = fs::read_dir("/proc/self/fdinfo").expect("descriptors");
    infos
        .filter_map(|info| fs::read_to_string(info.ok()?.path()).ok())
        .map(|info| info.matches(&wanted).count())
        .sum()
}

/// A thread may have been called by the first bytes just before a caller takes its work on, and begin after that. When the
/// caller gives up, the pipe is that thread's, and must not be left where nobody takes it out any more.
#[test]
fn a_reader_that_began_meanwhile_keeps_what_it_has() {
    let manager = open();
    for round in 0..200 {
        let command = "trap 'echo second' USR1; echo first; while :; do sleep 0.01; done";
        let process = start(&manager, command);
        // At about the time at which the first line comes.
        let began = Instant::now();
        while began.elapsed() < Duration::from_micros(300 + round % 50 * 20) {
            std::hint::spin_loop();
        }
        let waited = process.wait_timeout(Duration::from_millis(1));
        assert!(waited.expect("a wait").is_none());
        eventually("it has begun", || text(&process) == "first\n");
        // Now it is the thread's, whoever has read the first line.
        process.signal(Signal::User1).expect("it runs");
        eventually("there is more", || text(&process).contains("second"));
        assert_eq!(pollers_of_output(&process), 1, "round {round}");
        process.signal(Signal::Kill).expect("it runs");
    }
}

/// A process that traces the leader, and takes its time to see that it has exited.
struct Tracer(libc::pid_t);

impl Tracer {
    fn of(pid: u32) -> Option<Self> {
        let (ready, tell) = std::io::pipe().expect("a pipe");
        // SAFETY: the copy only makes system calls, all of them async-signal-safe, until it is killed.
        let tracer = unsafe {
            match libc::fork() {
                0 => {
                    let none = std::ptr::null_mut::<libc::c_void>();
                    if libc::ptrace(libc::PTRACE_SEIZE, pid as libc::pid_t, none, none) != 0 {
                        libc::_exit(1);
                    }
                    libc::write(tell.as_raw_fd(), [0u8].as_ptr().cast(), 1);
                    loop {
                        libc::pause();
                    }
                }
                tracer => tracer,
            }
        };
        assert!(tracer > 0);
        drop(tell);
        let traces = std::io::Read::read(&mut &ready, &mut [0]).expect("a pipe") == 1;
        let tracer = Tracer(tracer);
        traces.then_some(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // SAFETY: it is our child and not reaped, so the number is its own; no status is wanted.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Until the tracer has seen it, the kernel says of the exit that it is there, and that nothing can be reaped.
#[test]
fn a_traced_leader_makes_nobody_wait_for_longer() {
    let manager = open();
    let process = start(&manager, "exec sleep 600");
    let Some(tracer) = Tracer::of(process.pid()) else {
        eprintln!("note: nobody may trace here, so that it is not tested");
        return;
    };
    thread::scope(|scope| {
        // Dropped before the waiter is joined, also by a panic.
        let tracer = tracer;
        let (tell, told) = mpsc::channel();
        let waiter = scope.spawn({
            let process = &process;
            move || {
                tell.send(thread_id()).expect("it is awaited");
                process
                    .wait_timeout(Duration::from_secs(2))
                    .expect("a wait")
            }
        });
        asleep(told.recv().expect("it is sent"));
        // SAFETY: its leader is not reaped, so the number is its own.
        unsafe { libc::kill(process.pid() as libc::pid_t, libc::SIGKILL) };
        eventually("it has come back", || waiter.is_finished());
        let ended = waiter.join().expect("the thread did not panic");
        assert!(ended.is_none(), "{ended:?}");
        drop(tracer);
    });
    let killed = State::Signaled {
        signal: 9,
        core_dumped: false,
    };
    assert_eq!(wait(&process).state, killed);
}

/// The handler returns when the other end of this pipe is closed.
static GATE: AtomicI32 = AtomicI32::new(-1);
static IS_HELD: AtomicBool = AtomicBool::new(false);

extern "C" fn hold(_signal: libc::c_int) {
    IS_HELD.store(true, Ordering::SeqCst);
    let mut byte = 0u8;
    // SAFETY: read may be called in a handler, and the byte is writable. Nothing in the test reads errno here.
    unsafe { libc::read(GATE.load(Ordering::SeqCst), (&raw mut byte).cast(), 1) };
}

/// Lets `meanwhile` run while a caller that waits for the end is held in the middle of that.
fn while_a_waiter_is_held(process: &Process, meanwhile: impl FnOnce()) -> Status {
    while_held(|| wait(process), meanwhile)
}

/// Lets `meanwhile` run while a caller is held in the middle of a call in which it sleeps.
fn while_held<T: Send>(call: impl FnOnce() -> T + Send, meanwhile: impl FnOnce()) -> T {
    let (gate, opener) = std::io::pipe().expect("a pipe");
    GATE.store(gate.as_raw_fd(), Ordering::SeqCst);
    IS_HELD.store(false, Ordering::SeqCst);
    thread::scope(|scope| {
        // Dropped before the waiter is joined, also by a panic: that lets the handler return.
        let opener = opener;
        let (tell, told) = mpsc::channel();
        let waiter = scope.spawn(move || {
            tell.send(thread_id()).expect("it is awaited");
            call()
        });
        let thread = told.recv().expect("it is sent");
        asleep(thread);
        // SAFETY: tgkill takes numbers and touches no memory.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR2) };
        eventually("it is held", || IS_HELD.load(Ordering::SeqCst));
        meanwhile();
        drop(opener);
        waiter.join().expect("the thread did not panic")
    })
}

/// A thread can be held in the middle of a call: by a handler that does not return, by a debugger. It must not hold up those
/// who end its process or follow it, nor those who only want to know.
#[test]
fn a_waiter_who_is_held_holds_up_nobody_who_asks() {
    // SAFETY: the handler has the type that signal asks for, and does only what one may.
    unsafe { libc::signal(libc::SIGUSR2, hold as *const () as libc::sighandler_t) };
    let manager = open();
    let go_on = |rest: &str| {
        let signs = Signs::new();
        let process = start(&manager, &format!("{}; {rest}", signs.awaited("go")));
        (signs, process)
    };

    let process = start(&manager, FOREVER);
    let status = while_a_waiter_is_held(&process, || {
        let process = process.clone();
        in_time("it is stopped", move || stop(&process));
    });
    assert_eq!(status.ended_by, EndedBy::Stop);

    let signs = Signs::new();
    let (go, more) = (signs.awaited("go"), signs.awaited("more"));
    let printed = signs.given("printed");
    let command = format!("{go}; echo line; {more}; {MUCH}; {printed}; {FOREVER}");
    let process = start(&manager, &command);
    while_a_waiter_is_held(&process, || {
        signs.give("go");
        let mut buffer = [0; 16];
        let (options, patience) = (ReadOptions::default(), Some(PATIENCE));
        let chunk = process.read(Stream::Stdout, 0, &mut buffer, patience, options);
        assert_eq!(chunk.expect("a read").length, 5);
        // What comes when he follows no more is the threads'.
        signs.give("more");
        signs.wait_for("printed");
        stop(&process);
    });

    // Who looks.
    let (signs, process) = go_on("echo line");
    while_a_waiter_is_held(&process, || {
        signs.give("go");
        let status = || process.status().expect("a status");
        eventually("the end is seen", || !status().is_running());
        assert_eq!(text(&process), "line\n");
    });
    let (signs, process) = go_on(&format!("echo line; {FOREVER}"));
    while_a_waiter_is_held(&process, || {
        signs.give("go");
        eventually("the line is seen", || text(&process) == "line\n");
        stop(&process);
    });
    let (signs, process) = go_on(&format!("echo line; {FOREVER}"));
    while_a_waiter_is_held(&process, || {
        signs.give("go");
        let (mut buffer, options) = ([0; 16], ReadOptions::default());
        eventually("the line can be read", || {
            let now = Some(Duration::ZERO);
            let chunk = process.read(Stream::Stdout, 0, &mut buffer, now, options);
            chunk.expect("a read").length == 5
        });
        stop(&process);
    });

    let (signs, process) = go_on("exit 3");
    while_a_waiter_is_held(&process, || {
        signs.give("go");
        eventually("there is nobody to be told", || {
            let told = process.signal(Signal::User1);
            matches!(told, Err(Error::NotRunning { .. }))
        });
    });

    // Who subscribes, before and meanwhile.
    for early in [true, false] {
        let subscribe = || manager.events().expect("a subscription");
        let before = early.then(subscribe);
        let (signs, process) = go_on("exit 3");
        while_a_waiter_is_held(&process, || {
            let events = before.unwrap_or_else(subscribe);
            signs.give("go");
            let ended = Some(Event::Ended(process.id()));
            eventually("its end is told", || {
                events.next(Some(PATIENCE)).expect("it is open") == ended
            });
        });
    }

    // Of bytes that come while he is held he is not told, but the threads are.
    let (signs, process) = go_on(&format!("{MUCH}; {FOREVER}"));
    let (mut buffer, options) = ([0; 16], ReadOptions::default());
    let read = || process.read(Stream::Stdout, 0, &mut buffer, Some(PATIENCE), options);
    let chunk = while_held(read, || {
        signs.give("go");
        let bytes = || process.status().expect("a status").output_bytes;
        eventually("all of it is read", || bytes() == 200_000);
    });
    assert_eq!(chunk.expect("a read").length, buffer.len());
    stop(&process);

    let process = start(&manager, FOREVER);
    while_a_waiter_is_held(&process, || {
        let manager = manager.clone();
        in_time("it is closed", move || {
            manager.close().expect("all of it ends")
        });
    });

    // Another one who waits ends it, and the threads do the rest.
    let manager = Manager::open(Config::new().max_processes(1)).expect("a manager");
    let signs = Signs::new();
    let request = Request::new(format!("{}; exit 3", signs.awaited("go")));
    let process = start_request(&manager, &request);
    while_a_waiter_is_held(&process, || {
        let second = process.clone();
        let second = thread::spawn(move || wait(&second));
        signs.give("go");
        assert_eq!(second.join().expect("no panic").state, State::Exited(3));
        eventually("its place is free", || {
            manager.start(&Request::new(":")).is_ok()
        });
    });
}
