//! Idempotent starts: one key starts at most one process, a cancel wins or reports that it did not, and
//! the process of a key can be found for as long as the manager is open. Every command here adds a line
//! to a file, which counts the runs.

use std::fs;
use std::hint;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use procmgr::{
    Canceled, Config, EndedBy, Error, Id, Manager, Process, Request, State, Status, Step,
};
use procmgr::{MAX_KEY_BYTES, MAX_KEYS};
use tempfile::TempDir;

mod common;
use common::{FOREVER, TIMEOUT, carriers, eventually, in_time, open, start_request, text, wait};

/// A file that each run of a command adds a line to.
struct Trace(TempDir);

impl Trace {
    fn new() -> Self {
        Trace(tempfile::tempdir().expect("a directory"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("lines")
    }

    /// A command that adds a line and does the rest.
    fn command(&self, rest: &str) -> String {
        format!("echo run >> '{}'; {rest}", self.file().display())
    }

    fn request(&self, rest: &str) -> Request {
        Request::new(self.command(rest)).key("key")
    }

    /// How often the commands have run.
    fn lines(&self) -> usize {
        fs::read_to_string(self.file()).map_or(0, |text| text.lines().count())
    }
}

fn ended(canceled: Canceled) -> Status {
    match canceled {
        Canceled::Ended(status) => *status,
        other => panic!("not ended: {other:?}"),
    }
}

fn refused(manager: &Manager, request: &Request) -> Error {
    manager.start(request).expect_err("it is refused")
}

/// A manager whose first start blocks in the environment hook until it is released.
struct Held {
    manager: Manager,
    entered: Receiver<()>,
    release: Sender<()>,
}

impl Held {
    fn new() -> Self {
        let (entered_in, entered) = channel();
        let (release, released) = channel::<()>();
        let (released, first) = (Mutex::new(released), AtomicBool::new(true));
        let config = Config::new()
            .stop_grace(Duration::from_millis(100))
            .environment_hook(move |_| {
                if first.swap(false, Ordering::SeqCst) {
                    let _ = entered_in.send(());
                    // A failed test must not block here.
                    let _ = released
                        .lock()
                        .expect("one at a time")
                        .recv_timeout(TIMEOUT);
                }
                Ok(())
            });
        Held {
            manager: Manager::open(config).expect("a manager"),
            entered,
            release,
        }
    }

    /// Starts on another thread, up to the hook.
    fn start(&self, request: Request) -> thread::JoinHandle<Result<Process, Error>> {
        let manager = self.manager.clone();
        let starter = thread::spawn(move || manager.start(&request));
        self.entered
            .recv_timeout(TIMEOUT)
            .expect("it comes to the hook");
        starter
    }

    fn release(&self) {
        self.release.send(()).expect("the hook waits");
    }
}

// One key, one process.

#[test]
fn the_same_start_again_gives_the_same_process() {
    let (manager, trace) = (open(), Trace::new());
    let request = trace.request("exit 3");
    let first = start_request(&manager, &request);
    assert!(!first.is_attached());
    let again = start_request(&manager, &request.clone());
    assert!(again.is_attached());
    wait(&first);
    // Also when it has ended.
    let late = start_request(&manager, &request);
    assert!(late.is_attached());
    assert_eq!((again.id(), late.id()), (first.id(), first.id()));
    assert_eq!(wait(&late).state, State::Exited(3));
    assert_eq!(manager.find(b"key").expect("it was started"), first.id());
    assert_eq!(manager.list(None).expect("a list").total, 1);
    assert_eq!(trace.lines(), 1);
}

#[test]
fn a_request_that_differs_in_anything_is_a_conflict() {
    let (manager, trace) = (open(), Trace::new());
    let place = trace.0.path().display().to_string();
    let command = trace.command("exit 0");
    // "other" here is one byte more or less.
    let base = || {
        Request::new(&command)
            .key("key")
            .arguments(["ab", "c"])
            .directory(&place)
            .variable("ONE", "1")
            .variable("TWO", "22")
            .time_limit(Duration::from_secs(60))
    };
    let rebuilt =
        |command: &str, arguments: &[&str], directory: &str, variables: &[(&str, &str)]| {
            let request = Request::new(command)
                .key("key")
                .arguments(arguments)
                .directory(directory)
                .time_limit(Duration::from_secs(60));
            variables.iter().fold(request, |request, (name, value)| {
                request.variable(name, value)
            })
        };
    let (arguments, variables) = (["ab", "c"], [("ONE", "1"), ("TWO", "22")]);
    let first = start_request(&manager, &base());

    // What is the same.
    let id = first.id();
    let reordered = [("TWO", "22"), ("ONE", "1")];
    let overwritten = [("TWO", "x"), ("ONE", "1"), ("TWO", "22")];
    for (what, same) in [
        ("the same", base()),
        (
            "built anew",
            rebuilt(&command, &arguments, &place, &variables),
        ),
        (
            "variables in another order",
            rebuilt(&command, &arguments, &place, &reordered),
        ),
        (
            "a variable set twice",
            rebuilt(&command, &arguments, &place, &overwritten),
        ),
        (
            "how long to wait",
            base().start_timeout(Duration::from_secs(1)),
        ),
    ] {
        let attached = manager.start(&same).expect(what);
        assert!(attached.is_attached() && attached.id() == id, "{what}");
    }

    // What is not.
    let one_byte = command.replacen("exit 0", "exit 1", 1);
    let slash = format!("{place}/");
    for (what, other) in [
        (
            "command",
            rebuilt(&one_byte, &arguments, &place, &variables),
        ),
        ("form", {
            let request = Request::program(&command).key("key").arguments(arguments);
            let request = request
                .directory(&place)
                .time_limit(Duration::from_secs(60));
            request.variable("ONE", "1").variable("TWO", "22")
        }),
        (
            "an argument",
            rebuilt(&command, &["ab", "d"], &place, &variables),
        ),
        ("one more argument", base().argument("")),
        (
            "where an argument ends",
            rebuilt(&command, &["a", "bc"], &place, &variables),
        ),
        (
            "directory",
            rebuilt(&command, &arguments, &slash, &variables),
        ),
        ("a value", base().variable("ONE", "2")),
        (
            "a name",
            rebuilt(&command, &arguments, &place, &[("ONF", "1"), ("TWO", "22")]),
        ),
        (
            "where a value ends",
            rebuilt(&command, &arguments, &place, &[("ONE1", ""), ("TWO", "22")]),
        ),
        ("one more variable", base().variable("THREE", "")),
        ("background", base().background(true)),
        (
            "time limit",
            base().time_limit(Duration::from_nanos(60_000_000_001)),
        ),
        ("no time limit", base().time_limit(None)),
        ("separate streams", base().separate_streams(true)),
        ("lossless", base().lossless(true)),
        ("id", base().id(id)),
    ] {
        let error = manager.start(&other).expect_err(what);
        assert!(matches!(error, Error::Conflict), "{what}: {error:?}");
        assert!(error.to_string().contains("different request"), "{error}");
    }
    wait(&first);
    assert_eq!(trace.lines(), 1);
    assert_eq!(manager.list(None).expect("a list").total, 1);
}

#[test]
fn no_directory_and_a_directory_are_two_requests_wherever_it_runs() {
    let (manager, trace) = (open(), Trace::new());
    let first = start_request(&manager, &trace.request("exit 0"));
    let directory = first.status().expect("a status").directory().to_owned();
    // As requested, never as resolved.
    let error = refused(&manager, &trace.request("exit 0").directory(directory));
    assert!(matches!(error, Error::Conflict), "{error:?}");
    wait(&first);
}

#[test]
fn keys_of_different_owners_are_different_keys() {
    let (manager, trace) = (open(), Trace::new());
    let (mine, yours) = (
        manager.scope("me").expect("a scope"),
        manager.scope("you").expect("a scope"),
    );
    let request = trace.request("exit 0");
    let processes = [&manager, &mine, &yours].map(|view| start_request(view, &request));
    assert!(processes.iter().all(|process| !process.is_attached()));
    for (view, process) in [&manager, &mine, &yours].into_iter().zip(&processes) {
        wait(process);
        assert_eq!(view.find(b"key").expect("it was started"), process.id());
    }
    assert_eq!(trace.lines(), 3);
    // The owner counts, and not the scope of the call.
    let attached = start_request(&manager, &request.owner("me"));
    assert!(attached.is_attached() && attached.id() == processes[1].id());
    let only = Request::new("true").key("only mine");
    start_request(&mine, &only);
    for view in [&manager, &yours] {
        assert!(matches!(view.find(b"only mine"), Err(Error::UnknownKey)));
        assert!(matches!(
            view.forget_key(b"only mine"),
            Err(Error::UnknownKey)
        ));
    }
    assert!(mine.find(b"only mine").is_ok());
    // A cancel by one owner affects no other owner.
    assert!(matches!(
        yours.cancel(b"next", None),
        Ok(Canceled::NeverStarted)
    ));
    assert!(mine.start(&Request::new("true").key("next")).is_ok());
}

#[test]
fn keys_are_bytes() {
    let manager = open();
    let longest = vec![0xff; MAX_KEY_BYTES];
    let keys: [&[u8]; 5] = [b"\0", b"\0\0", b"\xff\xfe", b" ", &longest];
    let ids = keys.map(|key| start_request(&manager, &Request::new("true").key(key)).id());
    for (key, id) in keys.iter().zip(ids) {
        assert_eq!(manager.find(key).expect("it was started"), id);
    }
    assert_eq!(manager.list(None).expect("a list").total, keys.len());
}

#[test]
fn a_key_that_is_empty_or_too_long_is_refused_everywhere() {
    let (manager, trace) = (open(), Trace::new());
    for length in [0, MAX_KEY_BYTES + 1] {
        let key = vec![b'k'; length];
        let errors = [
            manager.start(&trace.request("").key(key.clone())).map(drop),
            manager.cancel(&key, None).map(drop),
            manager.find(&key).map(drop),
            manager.forget_key(&key),
        ];
        for error in errors {
            let error = error.expect_err("no such key can be");
            assert!(
                matches!(error, Error::Invalid { what: "key", .. }),
                "{error:?}"
            );
            let shown = error.to_string();
            assert!(shown.contains(&format!("{length} bytes")), "{shown}");
        }
    }
    assert_eq!(trace.lines(), 0);
}

// Ids.

#[test]
fn a_request_may_bring_its_id() {
    let (manager, trace) = (open(), Trace::new());
    let id: Id = "67e55044-10b1-426f-9247-bb680e5fe0c8"
        .parse()
        .expect("an id");
    let keyed = trace.request("exit 0").id(id);
    let first = start_request(&manager, &keyed);
    assert_eq!(first.id(), id);
    assert_eq!(manager.get(id).expect("it is known").pid(), first.pid());
    let again = start_request(&manager, &keyed);
    assert!(again.is_attached() && again.id() == id);
    // Known, and not with this key and this request.
    for other in [
        Request::new(trace.command("exit 0")).id(id),
        trace.request("exit 0").id(id).key("another"),
        trace.request("exit 1").id(id),
    ] {
        let error = refused(&manager, &other);
        assert!(matches!(error, Error::Conflict), "{error:?}");
    }
    let other: Id = "00000000-0000-0000-0000-000000000001"
        .parse()
        .expect("an id");
    let plain = Request::new(trace.command("exit 0")).id(other);
    wait(&start_request(&manager, &plain));
    assert!(matches!(refused(&manager, &plain), Error::Conflict));
    assert!(matches!(
        refused(&manager, &keyed.key("third").id(other)),
        Error::Conflict
    ));
    wait(&first);
    assert_eq!(trace.lines(), 2);
}

#[test]
fn an_instance_has_a_name_of_its_own() {
    let (one, two) = (open(), open());
    let name = one.instance().expect("a name");
    assert_eq!(
        one.scope("me")
            .expect("a scope")
            .instance()
            .expect("a name"),
        name
    );
    assert_ne!(two.instance().expect("a name"), name);
}

// A start that fails.

#[test]
fn a_failed_start_fails_the_same_way_again() {
    let (manager, trace) = (open(), Trace::new());
    let directory = trace.0.path().join("later");
    let request = trace.request("exit 0").directory(&directory);
    let first = refused(&manager, &request);
    assert_eq!(first.step(), Some(Step::Directory));
    fs::create_dir(&directory).expect("a directory");
    for _ in 0..2 {
        let again = refused(&manager, &request);
        assert_eq!(again.to_string(), first.to_string());
        assert_eq!(
            (again.step(), again.os_error()),
            (first.step(), first.os_error())
        );
    }
    assert!(matches!(
        refused(&manager, &request.clone().background(true)),
        Error::Conflict
    ));
    assert!(matches!(manager.find(b"key"), Err(Error::UnknownKey)));
    assert!(matches!(
        manager.cancel(b"key", None),
        Ok(Canceled::NeverStarted)
    ));
    assert_eq!(refused(&manager, &request).to_string(), first.to_string());
    assert_eq!(
        (trace.lines(), manager.list(None).expect("a list").total),
        (0, 0)
    );
    // After it was forgotten, it can be tried again.
    manager.forget_key(b"key").expect("there is a record");
    wait(&start_request(&manager, &request));
    assert_eq!(trace.lines(), 1);
}

#[test]
fn a_start_that_was_not_admitted_is_not_remembered() {
    let trace = Trace::new();
    let manager = Manager::open(Config::new().max_processes(1)).expect("a manager");
    let busy = start_request(&manager, &Request::new(FOREVER));
    let request = trace.request("exit 0");
    assert!(matches!(
        refused(&manager, &request),
        Error::Limit {
            what: "max_processes",
            ..
        }
    ));
    assert!(matches!(manager.find(b"key"), Err(Error::UnknownKey)));
    busy.stop(Duration::ZERO).expect("a stop");
    let mut process = None;
    eventually("its place is free", || {
        process = manager.start(&request).ok();
        process.is_some()
    });
    let process = process.expect("it was started");
    assert!(!process.is_attached());
    wait(&process);
    assert_eq!(trace.lines(), 1);
}

// Many at once, and a slow start.

#[test]
fn others_wait_for_the_one_that_starts_and_attach() {
    let (held, trace) = (Held::new(), Trace::new());
    let starter = held.start(trace.request("exit 4"));
    let others: Vec<_> = (0..8)
        .map(|_| {
            let (manager, request) = (held.manager.clone(), trace.request("exit 4"));
            thread::spawn(move || manager.start(&request))
        })
        .collect();
    // Nothing is known of it yet but that the key is being started.
    assert!(matches!(held.manager.find(b"key"), Err(Error::UnknownKey)));
    assert!(matches!(
        held.manager.forget_key(b"key"),
        Err(Error::UnknownKey)
    ));
    assert!(matches!(
        refused(&held.manager, &trace.request("exit 5")),
        Error::Conflict
    ));
    held.release();
    let process = starter.join().expect("a thread").expect("a start");
    assert!(!process.is_attached());
    for other in others {
        let other = other.join().expect("a thread").expect("a start");
        assert!(other.is_attached() && other.id() == process.id());
    }
    assert_eq!(wait(&process).state, State::Exited(4));
    assert_eq!(trace.lines(), 1);
}

#[test]
fn a_caller_that_waits_for_a_start_may_give_up_and_the_start_continues() {
    let (held, trace) = (Held::new(), Trace::new());
    let starter = held.start(trace.request("exit 0"));
    for timeout in [Duration::ZERO, Duration::from_millis(30)] {
        let began = Instant::now();
        let error = refused(
            &held.manager,
            &trace.request("exit 0").start_timeout(timeout),
        );
        assert!(matches!(error, Error::StartPending), "{error:?}");
        assert!(error.to_string().contains("open"), "{error}");
        assert!(began.elapsed() >= timeout);
    }
    held.release();
    let process = starter.join().expect("a thread").expect("a start");
    wait(&process);
    assert_eq!(
        start_request(&held.manager, &trace.request("exit 0")).id(),
        process.id()
    );
    assert_eq!(trace.lines(), 1);
}

#[test]
fn a_slow_start_delays_no_other_key_and_no_other_call() {
    let (held, trace) = (Held::new(), Trace::new());
    let starter = held.start(trace.request("exit 0"));
    let manager = held.manager.clone();
    let id = in_time("the other calls return", move || {
        let other = start_request(&manager, &Request::new("echo other").key("other"));
        assert_eq!(wait(&other).state, State::Exited(0));
        assert_eq!(text(&other), "other\n");
        assert_eq!(manager.list(None).expect("a list").total, 1);
        assert_eq!(manager.find(b"other").expect("it was started"), other.id());
        assert!(matches!(
            manager.cancel(b"third", None),
            Ok(Canceled::NeverStarted)
        ));
        eventually("its output is closed", || {
            manager.forget(other.id()).is_ok()
        });
        other.id()
    });
    assert!(matches!(held.manager.get(id), Err(Error::NotFound { .. })));
    held.release();
    wait(&starter.join().expect("a thread").expect("a start"));
}

#[test]
fn close_wakes_callers_that_wait_for_a_start_and_the_start_never_runs() {
    let (held, trace) = (Held::new(), Trace::new());
    let starter = held.start(trace.request("exit 0"));
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let (manager, request) = (held.manager.clone(), trace.request("exit 0"));
            thread::spawn(move || manager.start(&request))
        })
        .collect();
    held.manager.close().expect("a close");
    for waiter in waiters {
        let answer = in_time("the waiter is woken", move || {
            waiter.join().expect("a thread")
        });
        assert!(matches!(answer, Err(Error::Closed)), "{answer:?}");
    }
    held.release();
    let answer = starter.join().expect("a thread");
    assert!(matches!(answer, Err(Error::Closed)), "{answer:?}");
    assert_eq!(trace.lines(), 0);
}

#[test]
fn close_wakes_a_cancel_that_waits_for_a_start() {
    let (held, trace) = (Held::new(), Trace::new());
    let starter = held.start(trace.request("exit 0"));
    let canceler = {
        let manager = held.manager.clone();
        thread::spawn(move || manager.cancel(b"key", None))
    };
    held.manager.close().expect("a close");
    // The start is still blocked.
    let answer = in_time("the cancel is woken", move || {
        canceler.join().expect("a thread")
    });
    assert!(
        matches!(answer, Err(Error::Closed) | Ok(Canceled::NeverStarted)),
        "{answer:?}"
    );
    held.release();
    let answer = starter.join().expect("a thread");
    assert!(
        matches!(answer, Err(Error::Closed | Error::Canceled)),
        "{answer:?}"
    );
    assert_eq!(trace.lines(), 0);
}

// Cancel.

#[test]
fn a_key_that_is_canceled_before_it_is_started_never_is() {
    let (manager, trace) = (open(), Trace::new());
    for _ in 0..2 {
        assert!(matches!(
            manager.cancel(b"key", None),
            Ok(Canceled::NeverStarted)
        ));
        let error = refused(&manager, &trace.request("exit 0"));
        assert!(matches!(error, Error::Canceled), "{error:?}");
        assert!(error.to_string().contains("canceled"), "{error}");
    }
    assert!(matches!(manager.find(b"key"), Err(Error::UnknownKey)));
    assert_eq!(
        (trace.lines(), manager.list(None).expect("a list").total),
        (0, 0)
    );
    manager.forget_key(b"key").expect("there is a record");
    assert!(matches!(manager.forget_key(b"key"), Err(Error::UnknownKey)));
    wait(&start_request(&manager, &trace.request("exit 0")));
    assert_eq!(trace.lines(), 1);
}

#[test]
fn a_cancel_prevents_a_slow_start() {
    let (held, trace) = (Held::new(), Trace::new());
    let starter = held.start(trace.request("exit 0"));
    // A cancel that does not wait works too.
    let now = held.manager.cancel(b"key", Some(Duration::ZERO));
    assert!(matches!(now, Ok(Canceled::TimedOut(None))), "{now:?}");
    let others = [(); 2].map(|()| {
        let (manager, request) = (held.manager.clone(), trace.request("exit 0"));
        thread::spawn(move || manager.start(&request))
    });
    let cancelers = [(); 2].map(|()| {
        let manager = held.manager.clone();
        thread::spawn(move || manager.cancel(b"key", None))
    });
    held.release();
    for starter in [starter].into_iter().chain(others) {
        let answer = starter.join().expect("a thread");
        assert!(matches!(answer, Err(Error::Canceled)), "{answer:?}");
    }
    for canceler in cancelers {
        let answer = canceler.join().expect("a thread");
        assert!(matches!(answer, Ok(Canceled::NeverStarted)), "{answer:?}");
    }
    assert!(matches!(
        refused(&held.manager, &trace.request("exit 0")),
        Error::Canceled
    ));
    assert_eq!(
        (
            trace.lines(),
            held.manager.list(None).expect("a list").total
        ),
        (0, 0)
    );
}

/// A cancel that does not wait, at every moment of a start: both callers get the same answer, and no
/// process runs on.
#[test]
fn a_cancel_that_gives_up_during_the_spawn_still_ends_it() {
    let in_hook = Arc::new(AtomicBool::new(false));
    let entered = Arc::clone(&in_hook);
    let config = Config::new().environment_hook(move |_| {
        entered.store(true, Ordering::SeqCst);
        Ok(())
    });
    let manager = Manager::open(config).expect("a manager");
    let began = Instant::now();
    // Counts cancels during the spawn, which are rare.
    let (mut met, mut round) = (0, 0u32);
    while met < 5 {
        assert!(
            began.elapsed() < TIMEOUT,
            "met {met} times in {round} rounds"
        );
        let key = format!("key {round}");
        in_hook.store(false, Ordering::SeqCst);
        let canceler = {
            let (manager, key, in_hook) = (manager.clone(), key.clone(), Arc::clone(&in_hook));
            thread::spawn(move || {
                while !in_hook.load(Ordering::SeqCst) {
                    hint::spin_loop();
                }
                // A different moment in each round.
                let moment = Instant::now();
                while moment.elapsed() < Duration::from_micros(u64::from(round % 20) * 25) {
                    hint::spin_loop();
                }
                manager.cancel(key.as_bytes(), Some(Duration::ZERO))
            })
        };
        let started = manager.start(&Request::new(format!("exec {FOREVER}")).key(key));
        let canceled = canceler.join().expect("a thread").expect("a cancel");
        match (started, canceled) {
            (Err(Error::Canceled), Canceled::TimedOut(None)) => {}
            (Ok(process), answer) => {
                let status = wait(&process);
                assert_eq!(status.ended_by, EndedBy::Cancel, "{answer:?}");
                assert!(matches!(status.state, State::Signaled { .. }), "{status:?}");
                met += u32::from(matches!(answer, Canceled::TimedOut(None)));
            }
            (started, canceled) => panic!("{started:?} and {canceled:?}"),
        }
        round += 1;
    }
}

#[test]
fn a_cancel_ends_what_runs() {
    let (manager, trace) = (open(), Trace::new());
    let rest = "trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done";
    let process = start_request(&manager, &trace.request(rest));
    common::wait_for_line(&process, "up");
    let status = ended(manager.cancel(b"key", None).expect("a cancel"));
    assert_eq!(
        (status.state, status.ended_by),
        (State::Exited(5), EndedBy::Cancel)
    );
    assert_eq!(status.id, process.id());
    // The key is unchanged: its process is found, and another cancel reports its end.
    assert!(start_request(&manager, &trace.request(rest)).is_attached());
    let again = ended(manager.cancel(b"key", None).expect("a cancel"));
    assert_eq!(
        (again.state, again.ended_at),
        (status.state, status.ended_at)
    );
    assert_eq!(trace.lines(), 1);
}

#[test]
fn a_cancel_of_one_that_ignores_term_kills_it_after_the_grace_period() {
    let (grace, trace) = (Duration::from_millis(300), Trace::new());
    let manager = Manager::open(Config::new().stop_grace(grace)).expect("a manager");
    let command = "trap '' TERM; sleep 600 & echo up; while :; do sleep 1; done";
    let process = start_request(&manager, &trace.request(command));
    common::wait_for_line(&process, "up");
    let began = Instant::now();
    let status = ended(manager.cancel(b"key", None).expect("a cancel"));
    assert!(began.elapsed() >= grace, "{:?}", began.elapsed());
    assert!(began.elapsed() < TIMEOUT);
    assert!(
        matches!(status.state, State::Signaled { signal: 9, .. }),
        "{status:?}"
    );
    assert_eq!(status.ended_by, EndedBy::Cancel);
    assert!(carriers(process.id()).is_empty());
}

#[test]
fn a_cancel_that_times_out_says_so_and_continues() {
    let trace = Trace::new();
    let manager =
        Manager::open(Config::new().stop_grace(Duration::from_millis(300))).expect("a manager");
    let process = start_request(
        &manager,
        &trace.request("trap '' TERM; echo up; while :; do sleep 1; done"),
    );
    common::wait_for_line(&process, "up");
    for timeout in [Duration::ZERO, Duration::from_millis(20)] {
        match manager.cancel(b"key", Some(timeout)).expect("a cancel") {
            Canceled::TimedOut(Some(status)) => assert_eq!(status.state, State::Running),
            other => panic!("{other:?}"),
        }
    }
    let status = wait(&process);
    assert!(
        matches!(status.state, State::Signaled { signal: 9, .. }),
        "{status:?}"
    );
    assert_eq!(status.ended_by, EndedBy::Cancel);
}

#[test]
fn a_cancel_of_one_that_has_ended_changes_nothing() {
    let (manager, trace) = (open(), Trace::new());
    let process = start_request(&manager, &trace.request("echo kept; exit 6"));
    let before = wait(&process);
    let status = ended(manager.cancel(b"key", None).expect("a cancel"));
    assert_eq!(
        (status.state, status.ended_by),
        (State::Exited(6), EndedBy::Nobody)
    );
    assert_eq!((status.id, status.ended_at), (before.id, before.ended_at));
    assert_eq!(text(&process), "kept\n");
}

// What stays, and for how long.

/// The answers about a key after its output was dropped.
fn assert_expired(manager: &Manager, request: &Request, id: Id, code: i32) {
    let expired = |answer: Result<Process, Error>| match answer {
        Err(Error::Expired { status }) => {
            assert_eq!((status.id, status.state), (id, State::Exited(code)));
            assert_eq!(status.ended_by, EndedBy::Nobody);
            assert!(status.ended_at.is_some() && !status.output_open);
        }
        other => panic!("{other:?}"),
    };
    expired(manager.get(id));
    expired(manager.start(request));
    assert_eq!(manager.find(b"key").expect("it was started"), id);
    let status = ended(manager.cancel(b"key", None).expect("a cancel"));
    assert_eq!((status.id, status.state), (id, State::Exited(code)));
    let other = request.clone().background(true);
    assert!(matches!(refused(manager, &other), Error::Conflict));
}

#[test]
fn after_its_output_is_dropped_a_key_answers_expired() {
    let trace = Trace::new();
    let manager = Manager::open(Config::new().keep_keyed(Duration::ZERO)).expect("a manager");
    let request = trace.request("echo gone; exit 9");
    let process = start_request(&manager, &request);
    let id = process.id();
    wait(&process);
    eventually("it is dropped", || {
        manager.list(None).expect("a list").total == 0
    });
    assert_expired(&manager, &request, id, 9);
    // A handle stays valid.
    assert_eq!(text(&process), "gone\n");
    // The same id without the key is known as well, and another owner gets no answer.
    let error = refused(&manager, &Request::new("true").id(id));
    assert!(matches!(error, Error::Conflict), "{error:?}");
    let other = manager.scope("other").expect("a scope");
    assert!(matches!(other.get(id), Err(Error::NotFound { .. })));
    assert!(matches!(other.forget(id), Err(Error::NotFound { .. })));
    assert_eq!(trace.lines(), 1);

    manager.forget(id).expect("it has ended");
    assert!(matches!(manager.find(b"key"), Err(Error::UnknownKey)));
    assert!(matches!(manager.get(id), Err(Error::NotFound { .. })));
    let anew = start_request(&manager, &request);
    assert!(!anew.is_attached() && anew.id() != id);
    wait(&anew);
    assert_eq!(trace.lines(), 2);
}

#[test]
fn one_that_is_dropped_for_want_of_room_is_expired_too() {
    let trace = Trace::new();
    let manager = Manager::open(Config::new().max_ended(1)).expect("a manager");
    let request = trace.request("exit 8");
    let process = start_request(&manager, &request);
    let id = process.id();
    wait(&process);
    // One of them is done after it and evicts it.
    eventually("the older one is dropped", || {
        wait(&start_request(&manager, &Request::new("true")));
        matches!(manager.get(id), Err(Error::Expired { .. }))
    });
    assert_expired(&manager, &request, id, 8);
    assert_eq!(trace.lines(), 1);
}

#[test]
fn keyed_processes_are_kept_longer_than_others() {
    let config = Config::new().keep_ended(Duration::ZERO);
    let manager = Manager::open(config).expect("a manager");
    let keyed = start_request(&manager, &Request::new("echo kept").key("key"));
    wait(&keyed);
    let plain = start_request(&manager, &Request::new("echo dropped"));
    wait(&plain);
    eventually("the plain one is dropped", || {
        matches!(manager.get(plain.id()), Err(Error::NotFound { .. }))
    });
    assert_eq!(
        text(&manager.get(keyed.id()).expect("it is kept")),
        "kept\n"
    );
}

#[test]
fn only_what_has_ended_can_be_forgotten() {
    let (manager, trace) = (open(), Trace::new());
    let request = trace.request(FOREVER);
    let process = start_request(&manager, &request);
    let still = |error: Error| matches!(error, Error::StillRunning { id } if id == process.id());
    assert!(still(manager.forget(process.id()).expect_err("it runs")));
    assert!(still(manager.forget_key(b"key").expect_err("it runs")));
    assert!(start_request(&manager, &request).is_attached());
    ended(manager.cancel(b"key", None).expect("a cancel"));
    eventually("its output is closed", || {
        manager.forget_key(b"key").is_ok()
    });
    assert_eq!(manager.list(None).expect("a list").total, 0);
    assert!(matches!(manager.find(b"key"), Err(Error::UnknownKey)));
}

#[test]
fn a_full_table_of_keys_refuses_and_evicts_nothing() {
    let (manager, trace) = (open(), Trace::new());
    let process = start_request(&manager, &trace.request("exit 0"));
    wait(&process);
    // Canceled keys are records too, and the cheapest ones to make.
    for number in 1..MAX_KEYS {
        let canceled = manager.cancel(format!("fence {number}").as_bytes(), None);
        assert!(
            matches!(canceled, Ok(Canceled::NeverStarted)),
            "{canceled:?}"
        );
    }
    let new = trace.request("exit 0").key("new");
    for error in [
        refused(&manager, &new),
        manager.cancel(b"new", None).expect_err("no room"),
    ] {
        assert!(
            matches!(
                error,
                Error::Limit {
                    what: "keys",
                    limit: MAX_KEYS
                }
            ),
            "{error:?}"
        );
        assert!(error.to_string().contains("16384"), "{error}");
    }
    // Known keys stay known, and starts without a key are not affected.
    assert!(start_request(&manager, &trace.request("exit 0")).is_attached());
    assert!(matches!(
        refused(&manager, &new.clone().key("fence 1")),
        Error::Canceled
    ));
    wait(&start_request(&manager, &Request::new("true")));
    manager.forget_key(b"fence 1").expect("there is a record");
    wait(&start_request(&manager, &new));
    assert!(matches!(
        refused(&manager, &new.key("newer")),
        Error::Limit { .. }
    ));
    assert_eq!(trace.lines(), 2);
}

#[test]
fn what_close_ended_is_known_by_its_key() {
    let (manager, trace) = (open(), Trace::new());
    let request = trace.request(FOREVER);
    let process = start_request(&manager, &request);
    manager.close().expect("a close");
    assert_eq!(manager.find(b"key").expect("it was started"), process.id());
    let status = ended(manager.cancel(b"key", None).expect("a cancel"));
    assert_eq!((status.id, status.ended_by), (process.id(), EndedBy::Close));
    assert!(matches!(
        refused(&manager, &request.key("new")),
        Error::Closed
    ));
}

/// A caller whose cancel has timed out cancels again: the process is not asked a second time, and no
/// thread is needed for each.
#[test]
fn a_repeated_cancel_joins_the_stop_that_is_under_way() {
    let config = Config::new().stop_grace(Duration::from_secs(2));
    let manager = Manager::open(config).expect("a manager");
    let command = "trap 'echo term' TERM; echo ready; while :; do sleep 0.02; done";
    let process = start_request(&manager, &Request::new(command).key("k"));
    eventually("it is ready", || text(&process) == "ready\n");
    let threads = || {
        fs::read_dir("/proc/self/task")
            .expect("a directory")
            .count()
    };
    let before = threads();
    for _ in 0..200 {
        let canceled = manager
            .cancel(b"k", Some(Duration::ZERO))
            .expect("a cancel");
        assert!(
            matches!(canceled, Canceled::TimedOut(Some(_))),
            "{canceled:?}"
        );
        process
            .stop_in_background(Duration::from_secs(60))
            .expect("a thread");
    }
    // Other tests start and end threads too.
    assert!(threads() < before + 100, "{} after {before}", threads());
    let status = wait(&process);
    assert_eq!(status.ended_by, EndedBy::Cancel);
    // The shell may also tell that its child was terminated.
    assert_eq!(text(&process).matches("term\n").count(), 1);
}
