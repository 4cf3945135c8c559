//! A thread can be suspended during a call: by a signal handler that does not return, by a debugger. It
//! delays no other caller, and neither does a tracer of the leader.

#![allow(unsafe_code)]

mod common;

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{
    FOREVER, Signs, TIMEOUT, asleep, eventually, in_time, open, start, start_request, text,
    thread_path, wait,
};
use procmgr::{
    Config, EndedBy, Error, Event, Manager, Process, ReadOptions, Request, Signal, State, Status,
    Stream,
};

/// More than a pipe holds: a command that prints it continues only if it is read.
const MUCH: &str = "head -c 200000 /dev/zero";

fn thread_id() -> i32 {
    // SAFETY: gettid takes nothing and touches no memory.
    unsafe { libc::gettid() }
}

fn stop(process: &Process) {
    process.stop(Duration::ZERO).expect("a stop");
}

/// A process that traces the leader and collects its exit late.
struct Tracer(libc::pid_t);

impl Tracer {
    fn of(pid: u32) -> Option<Self> {
        let (ready, notify) = std::io::pipe().expect("a pipe");
        // SAFETY: the copy only makes system calls, all of them async-signal-safe, until it is killed.
        let tracer = unsafe {
            match libc::fork() {
                0 => {
                    let none = std::ptr::null_mut::<libc::c_void>();
                    if libc::ptrace(libc::PTRACE_SEIZE, pid as libc::pid_t, none, none) != 0 {
                        libc::_exit(1);
                    }
                    libc::write(notify.as_raw_fd(), [0u8].as_ptr().cast(), 1);
                    loop {
                        libc::pause();
                    }
                }
                tracer => tracer,
            }
        };
        assert!(tracer > 0);
        drop(notify);
        let traces = std::io::Read::read(&mut &ready, &mut [0]).expect("a pipe") == 1;
        let tracer = Tracer(tracer);
        traces.then_some(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // SAFETY: it is our child and not reaped, so the pid is its own; no status is written.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Until the tracer has collected the exit, the pidfd is readable and the leader cannot be reaped.
#[test]
fn a_traced_leader_makes_no_caller_wait_past_its_timeout() {
    let manager = open();
    let process = start(&manager, "exec sleep 600");
    let Some(tracer) = Tracer::of(process.pid()) else {
        eprintln!("note: no process may trace here, so that it is not tested");
        return;
    };
    thread::scope(|scope| {
        // Dropped before the waiter is joined, also by a panic.
        let tracer = tracer;
        let (sender, receiver) = mpsc::channel();
        let waiter = scope.spawn({
            let process = &process;
            move || {
                sender.send(thread_path()).expect("it is awaited");
                process
                    .wait_timeout(Duration::from_secs(2))
                    .expect("a wait")
            }
        });
        asleep(&receiver.recv().expect("it is sent"));
        // SAFETY: its leader is not reaped, so the pid is its own.
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
static IS_SUSPENDED: AtomicBool = AtomicBool::new(false);

extern "C" fn suspend(_signal: libc::c_int) {
    IS_SUSPENDED.store(true, Ordering::SeqCst);
    let mut byte = 0u8;
    // SAFETY: read may be called in a handler, and the byte is writable. Nothing in the test reads
    // errno here.
    unsafe { libc::read(GATE.load(Ordering::SeqCst), (&raw mut byte).cast(), 1) };
}

/// Runs `meanwhile` while a caller is suspended in a wait for the end.
fn while_a_waiter_is_suspended(process: &Process, meanwhile: impl FnOnce()) -> Status {
    while_suspended(|| wait(process), meanwhile)
}

/// Runs `meanwhile` while a caller is suspended in a call in which it sleeps.
fn while_suspended<T: Send>(call: impl FnOnce() -> T + Send, meanwhile: impl FnOnce()) -> T {
    let (gate, opener) = std::io::pipe().expect("a pipe");
    GATE.store(gate.as_raw_fd(), Ordering::SeqCst);
    IS_SUSPENDED.store(false, Ordering::SeqCst);
    thread::scope(|scope| {
        // Dropped before the waiter is joined, also by a panic: that lets the handler return.
        let opener = opener;
        let (sender, receiver) = mpsc::channel();
        let waiter = scope.spawn(move || {
            let own = (thread_id(), thread_path());
            sender.send(own).expect("it is awaited");
            call()
        });
        let (thread, path) = receiver.recv().expect("it is sent");
        asleep(&path);
        // SAFETY: tgkill takes numbers and touches no memory.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR2) };
        eventually("it is suspended", || IS_SUSPENDED.load(Ordering::SeqCst));
        meanwhile();
        drop(opener);
        waiter.join().expect("the thread did not panic")
    })
}

/// Other callers end the process, follow it, subscribe or query it while a caller that waits for the
/// end is suspended.
#[test]
fn a_suspended_waiter_delays_no_other_caller() {
    // SAFETY: the handler has the right type, and calls only async-signal-safe functions.
    unsafe { libc::signal(libc::SIGUSR2, suspend as *const () as libc::sighandler_t) };
    let manager = open();
    let go_on = |rest: &str| {
        let signs = Signs::new();
        let process = start(&manager, &format!("{}; {rest}", signs.awaited("go")));
        (signs, process)
    };

    let process = start(&manager, FOREVER);
    let status = while_a_waiter_is_suspended(&process, || {
        let process = process.clone();
        in_time("it is stopped", move || stop(&process));
    });
    assert_eq!(status.ended_by, EndedBy::Stop);

    let signs = Signs::new();
    let (go, more) = (signs.awaited("go"), signs.awaited("more"));
    let printed = signs.given("printed");
    let command = format!("{go}; echo line; {more}; {MUCH}; {printed}; {FOREVER}");
    let process = start(&manager, &command);
    while_a_waiter_is_suspended(&process, || {
        signs.give("go");
        let mut buffer = [0; 16];
        let (options, timeout) = (ReadOptions::default(), Some(TIMEOUT));
        let chunk = process.read(Stream::Stdout, 0, &mut buffer, timeout, options);
        assert_eq!(chunk.expect("a read").length, 5);
        // Bytes that no caller follows are read too.
        signs.give("more");
        signs.wait_for("printed");
        stop(&process);
    });

    // Other callers query the status.
    let (signs, process) = go_on("echo line");
    while_a_waiter_is_suspended(&process, || {
        signs.give("go");
        let status = || process.status().expect("a status");
        eventually("the end is seen", || !status().is_running());
        assert_eq!(text(&process), "line\n");
    });
    let (signs, process) = go_on(&format!("echo line; {FOREVER}"));
    while_a_waiter_is_suspended(&process, || {
        signs.give("go");
        eventually("the line is seen", || text(&process) == "line\n");
        stop(&process);
    });
    let (signs, process) = go_on(&format!("echo line; {FOREVER}"));
    while_a_waiter_is_suspended(&process, || {
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
    while_a_waiter_is_suspended(&process, || {
        signs.give("go");
        eventually("nothing is left to be signalled", || {
            let sent = process.signal(Signal::User1);
            matches!(sent, Err(Error::NotRunning { .. }))
        });
    });

    // A subscription, made before and meanwhile.
    for early in [true, false] {
        let subscribe = || manager.events().expect("a subscription");
        let before = early.then(subscribe);
        let (signs, process) = go_on("exit 3");
        while_a_waiter_is_suspended(&process, || {
            let events = before.unwrap_or_else(subscribe);
            signs.give("go");
            let ended = Some(Event::Ended(process.id()));
            eventually("its end is reported", || {
                events.next(Some(TIMEOUT)).expect("it is open") == ended
            });
        });
    }

    // Bytes that come while the caller is suspended are read.
    let (signs, process) = go_on(&format!("{MUCH}; {FOREVER}"));
    let (mut buffer, options) = ([0; 16], ReadOptions::default());
    let read = || process.read(Stream::Stdout, 0, &mut buffer, Some(TIMEOUT), options);
    let chunk = while_suspended(read, || {
        signs.give("go");
        let bytes = || process.status().expect("a status").output_bytes;
        eventually("all of it is read", || bytes() == 200_000);
    });
    assert_eq!(chunk.expect("a read").length, buffer.len());
    stop(&process);

    let process = start(&manager, FOREVER);
    while_a_waiter_is_suspended(&process, || {
        let manager = manager.clone();
        in_time("it is closed", move || {
            manager.close().expect("all of it ends")
        });
    });

    // Another caller that waits.
    let manager = Manager::open(Config::new().max_processes(1)).expect("a manager");
    let signs = Signs::new();
    let request = Request::new(format!("{}; exit 3", signs.awaited("go")));
    let process = start_request(&manager, &request);
    while_a_waiter_is_suspended(&process, || {
        let second = process.clone();
        let second = thread::spawn(move || wait(&second));
        signs.give("go");
        assert_eq!(second.join().expect("no panic").state, State::Exited(3));
        eventually("its slot is free", || {
            manager.start(&Request::new(":")).is_ok()
        });
    });
}
