//! Tests of a process without a manager.

use std::ffi::OsStr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;

use super::*;
use crate::config::{Config, StartMethod};
use crate::cookie::Origin;
use crate::environment::Base;
use crate::host::Host;
use crate::output::{Notify, ReadOptions, ReadState, Sizes};
use crate::spawn::{OutputPipes, SpawnSpec, spawn};
use crate::sys::cstrings::CStrings;
use crate::sys::pidfd::PidFd;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Panics in the report of this name.
struct Panics(Option<&'static str>, Arc<AtomicU8>);

impl Panics {
    fn report(&self, name: &str) {
        if self.0 == Some(name) {
            std::panic::resume_unwind(Box::new(()));
        }
    }
}

impl Observer for Panics {
    fn ended(&self, _: Id, _: &About) {
        self.report("ended");
    }
    fn output_closed(&self, _: Id, _: &About) {
        self.report("output closed");
    }
    fn done(&self, _: Id, _: &About) {
        self.report("done");
    }
    fn stopped(&self, _: Id, _: &About) {}
    fn warn(&self, _: &str) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

fn start(threads: &Arc<Threads>, command: &str) -> Arc<ProcessInner> {
    let (process, tasks) = prepare(threads, command, Panics(None, Arc::default()));
    tasks.start();
    process
}

/// A process whose tasks have not been started.
fn prepare(
    threads: &Arc<Threads>,
    command: &str,
    observer: Panics,
) -> (Arc<ProcessInner>, tasks::ProcessTasks) {
    let origin = Origin {
        instance: Id::random(),
        host: Host::own(),
    };
    let config = Config::new();
    let base = Base::new(&config, origin, &[]);
    let id = Id::random();
    let mut arguments = CStrings::default();
    for argument in ["/bin/sh", "-c", command] {
        arguments.push(&[argument.as_bytes()]);
    }
    let spec = SpawnSpec {
        program: OsStr::new("/bin/sh"),
        arguments,
        directory: None,
        environment: base.block(&config, &[], None, id),
        method: StartMethod::Automatic,
    };
    let (pipes, read_ends) = OutputPipes::new(false).expect("a pipe");
    let sizes = Sizes {
        head: 100,
        tail: 100,
        lossless: false,
    };
    let preparation = Preparation::new(threads, read_ends, sizes).expect("threads");
    let spawned = spawn(&spec, &pipes).expect("a shell");
    let about = About {
        command: command.into(),
        directory: "/".into(),
        owner: None,
        background: false,
        keyed: false,
        started_at: SystemTime::now(),
        started: Instant::now(),
        ends_at: None,
        sequence: 1,
    };
    let settings = Settings {
        max_line_bytes: 0,
        stop_grace: Duration::ZERO,
        instance: Id::random(),
        asked: Arc::default(),
        close_signal: Arc::new(CloseSignal::new().expect("a descriptor")),
        threads: Arc::clone(threads),
        observer: Box::new(observer),
        slot: None,
    };
    ProcessInner::new(id, spawned, preparation, about, settings)
}

/// Detaches the output while the reader reads it.
struct Detaches(Arc<ProcessInner>);

impl Notify for Detaches {
    fn subscriber(&self) -> u64 {
        1
    }

    fn notify(&self) {
        self.0.detach_output();
    }
}

/// The order comes while the reader's task runs. The poller stays woken, so the task runs once more.
#[test]
fn an_order_that_comes_while_the_reader_reads_is_followed() {
    let threads = Threads::new().expect("descriptors");
    let process = start(&threads, "sleep 0.01; echo line; exec sleep 600");
    let output = &process.outputs[0];
    output.watch(0, Arc::new(Detaches(Arc::clone(&process))));
    let deadline = Deadline::after(TIMEOUT);
    let chunk = output.read(5, &mut [0; 8], ReadOptions::default(), deadline, || ());
    assert_eq!(chunk.state, ReadState::Eof);
    assert!(process.signal_for_end(EndedBy::Close, KILL));
    assert!(process.exit.wait(deadline).is_some());
    assert!(threads.close(deadline));
}

/// Panics when it is notified.
struct Breaks;

impl Notify for Breaks {
    fn subscriber(&self) -> u64 {
        1
    }

    fn notify(&self) {
        std::panic::resume_unwind(Box::new(()));
    }
}

/// After a panic of the reader, the process is killed, and its waiters and followers are woken.
#[test]
fn a_panic_of_the_reader_ends_its_process() {
    let threads = Threads::new().expect("descriptors");
    let warnings = Arc::<AtomicU8>::default();
    let command = "echo line; exec sleep 600";
    let (process, tasks) = prepare(&threads, command, Panics(None, Arc::clone(&warnings)));
    let output = &process.outputs[0];
    output.watch(0, Arc::new(Breaks));
    tasks.start();
    let deadline = Deadline::after(TIMEOUT);
    let options = ReadOptions::default();
    let chunk = output.read(100, &mut [0; 8], options, deadline, || ());
    assert_eq!(chunk.state, ReadState::Eof);
    let end = process
        .wait(deadline)
        .expect("it is open")
        .expect("it is killed");
    assert!(matches!(end.state, State::Signaled { signal: KILL, .. }));
    assert!(threads.close(deadline));
    assert_eq!(warnings.load(Ordering::Relaxed), 1);
}

/// A panic of the observer stops neither the threads nor the callers that wait for the end.
#[test]
fn a_panic_of_the_observer_delays_no_caller() {
    let threads = Threads::new().expect("descriptors");
    let deadline = Deadline::after(TIMEOUT);
    for report in ["ended", "output closed", "done"] {
        let observer = Panics(Some(report), Arc::default());
        let (process, tasks) = prepare(&threads, "echo line; exit 3", observer);
        tasks.start();
        let end = process.exit.wait(deadline).expect("it ends");
        assert_eq!(end.state, State::Exited(3), "{report}");
        assert!(process.is_done(), "{report}");
        assert_eq!(process.outputs[0].snapshot(0).text, "line\n", "{report}");
    }
    assert!(threads.close(deadline));
}

/// The limit and the end may come at the same time.
#[test]
fn a_limit_after_the_end_ends_what_is_left() {
    let threads = Threads::new().expect("descriptors");
    let command = "sleep 600 >/dev/null 2>&1 & echo $!";
    let process = start(&threads, command);
    let deadline = Deadline::after(Duration::from_secs(30));
    assert!(process.wait(deadline).expect("it is open").is_some());
    let survivor: Pid = {
        let text = process.outputs[0].snapshot(0).text;
        text.trim().parse().expect("a pid")
    };
    process.reach_limit();
    // After this, any stop that the limit has started has ended.
    assert!(threads.close(deadline));
    let stat = std::fs::read_to_string(format!("/proc/{survivor}/stat")).unwrap_or_default();
    let lives = stat.contains(") ") && !stat.contains(") Z ") && !stat.contains(") X ");
    let _ = PidFd::open(survivor).and_then(|survivor| survivor.signal(KILL));
    assert!(!lives, "{stat:?}");
}
