//! What can only be seen from inside: a process without a manager, whose threads the tests are.

use std::ffi::OsStr;
use std::io::Write;
use std::time::SystemTime;

use super::*;
use crate::config::{Config, StartMethod};
use crate::cookie::{Host, Origin};
use crate::environment::Base;
use crate::output::{Notify, ReadOptions, ReadState};
use crate::reader::tests::{PATIENCE, while_asleep};
use crate::spawn::{Description, Pipes, Prepared, spawn};
use crate::sys::descriptor::set_nonblocking;
use crate::sys::pidfd::PidFd;
use crate::sys::texts::Texts;

struct Nobody;

impl Observer for Nobody {
    fn ended(&self, _: Id, _: &About) {}
    fn output_closed(&self, _: Id, _: &About) {}
    fn done(&self, _: Id, _: &About) {}
    fn stopped(&self, _: Id, _: &About) {}
    fn is_awaited(&self, _: &About) -> bool {
        false
    }
}

/// A process without a manager, which nobody attends yet.
fn unattended(pool: &Arc<Pool>, command: &str) -> (Arc<Inner>, Crew, Vec<OwnedFd>) {
    let origin = Origin {
        instance: Id::random(),
        host: Host::own(),
    };
    let config = Config::new();
    let base = Base::new(&config, origin, &[]);
    let id = Id::random();
    let mut arguments = Texts::default();
    for argument in ["/bin/sh", "-c", command] {
        arguments.push(&[argument.as_bytes()]);
    }
    let description = Description {
        program: OsStr::new("/bin/sh"),
        arguments,
        directory: None,
        environment: base.block(&config, &[], None, id),
        method: StartMethod::Automatic,
        prepared: &Prepared::default(),
    };
    let crew = Crew::gather(pool).expect("threads");
    let pipes = Pipes::new(false).expect("a pipe");
    let pid = spawn(&description, &pipes).expect("a shell");
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
        sizes: Sizes {
            head: 100,
            tail: 100,
            lossless: false,
        },
        max_line_bytes: 0,
        stop_grace: Duration::ZERO,
        pool: Arc::clone(pool),
        observer: Box::new(Nobody),
    };
    let process = Inner::new(id, pid, 1, about, settings);
    (process, crew, pipes.into_readers())
}

/// Gives up an output in the midst of reading it.
struct GivesUp(Arc<Inner>);

impl Notify for GivesUp {
    fn who(&self) -> u64 {
        1
    }

    fn notify(&self) {
        self.0.abandon_output();
    }
}

/// The job is not there to be called then, and finds the order itself before it waits again.
#[test]
fn an_order_that_comes_while_the_reader_reads_is_followed() {
    let pool = Pool::new(|| ()).expect("descriptors");
    let (process, crew, readers) = unattended(&pool, "sleep 0.01; echo line; exec sleep 600");
    process.attend(crew, readers);
    let output = &process.outputs[0];
    output.watch(0, Arc::new(GivesUp(Arc::clone(&process))));
    // Without looking out, which would bring the bytes itself.
    let deadline = Deadline::after(Duration::from_secs(30));
    let (chunk, _) = output.read(5, &mut [0; 8], ReadOptions::default(), deadline, |_| None);
    assert_eq!(chunk.state, ReadState::Eof);
    assert!(process.ask_to_end(EndedBy::Close, KILL));
    assert!(process.life.wait(deadline).is_some());
    assert!(pool.close(deadline));
}

/// A caller that waits for bytes gets in front of the threads, and they hear of what it leaves. The end of a long write is what
/// it leaves, since the kept bytes take memory as they come.
#[test]
fn bytes_call_the_reader_if_no_caller_has_taken_them() {
    let pool = Pool::new(|| ()).expect("descriptors");
    let (process, crew, _) = unattended(&pool, "exec sleep 600");
    let read = crew.reader.call().clone();
    let (pipe, mut writer) = std::io::pipe().expect("a pipe");
    set_nonblocking(pipe.as_fd()).expect("it is open");
    let output = Arc::clone(&process.outputs[0]);
    let source = reader::Source::new(pipe.into(), output, read.entry().clone());
    let source = Arc::new(source);
    {
        let mut desk = process.desk.lock();
        desk.sources = vec![Arc::downgrade(&source)];
        desk.read = Some(read.clone());
        assert!(desk.listen());
    }
    let (tell, told) = crossbeam_channel::bounded(1);
    crew.reader
        .stand_by(move |_| tell.send(()).expect("it is awaited"));

    let handle = Process::new(Arc::clone(&process), Source::Own);
    let mut cursor = 0;
    let mut read_next = |bytes: &[u8]| {
        let options = ReadOptions::default();
        let timeout = Some(PATIENCE);
        let read = || handle.read(Stream::Stdout, cursor, &mut [0; 4096], timeout, options);
        let chunk = while_asleep(read, || writer.write_all(bytes).expect("room"));
        cursor = chunk.expect("it is there").cursor;
        cursor
    };
    // A thread that was woken takes a while to call: often enough, so that it would be seen.
    for round in 1..=50 {
        assert_eq!(read_next(b"1"), round);
        assert!(told.is_empty(), "called in round {round}");
    }
    assert!(read_next(&[0; 60_000]) < 60_050);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(()));
    assert!(process.ask_to_end(EndedBy::Close, KILL));
    drop(crew.reaper);
    let deadline = Deadline::after(PATIENCE);
    assert!(process.wait(deadline).is_some());
    assert!(pool.close(deadline));
}

/// A caller that waits finds the end of the output while the reader is at work, and has looked before it. The reader
/// waits to be called after that, and must be.
#[test]
fn an_end_that_somebody_else_finds_is_not_missed() {
    let directory = tempfile::tempdir().expect("a directory");
    let gate = directory.path().join("gate");
    let command = format!(
        "while [ ! -e {} ]; do sleep 0.01; done; exec >&- 2>&-; exec sleep 600",
        gate.display()
    );
    let pool = Pool::new(|| ()).expect("descriptors");
    let (process, crew, readers) = unattended(&pool, &command);
    let Crew { reader, reaper } = crew;
    let (read, reap) = (reader.call().clone(), reaper.call().clone());
    let source = readers.into_iter().next().expect("a pipe");
    let output = Arc::clone(&process.outputs[0]);
    let source = Arc::new(reader::Source::new(source, output, read.entry().clone()));
    {
        let mut desk = process.desk.lock();
        desk.sources = vec![Arc::downgrade(&source)];
        (desk.read, desk.reap) = (Some(read), Some(reap));
    }
    reaper.stand_by(|_| ());

    // We are the reader.
    let sources = std::slice::from_ref(&source);
    let mut reading = Reading::new(&process, sources);
    assert!(!reading.read(false));
    let deadline = Deadline::after(Duration::from_secs(30));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| process.wait(deadline));
        std::fs::write(&gate, "").expect("room");
        // The waiter has no more use for it then.
        while !(source.has_ended() && Arc::strong_count(&source) == 2) {
            assert!(!deadline.passed() && !waiter.is_finished());
            std::thread::yield_now();
        }
        assert!(reading.rest(reader).is_none());
        while process.output_open() && !deadline.passed() {
            std::thread::yield_now();
        }
        let is_open = process.output_open();
        assert!(process.ask_to_end(EndedBy::Close, KILL));
        assert!(waiter.join().expect("no panic").is_some());
        assert!(!is_open, "nobody called the reader");
    });
    assert!(pool.close(deadline));
}

/// The limit and the end may come at the same time. What a process has left behind is free to go on after its end.
#[test]
fn a_limit_after_the_end_is_none() {
    let pool = Pool::new(|| ()).expect("descriptors");
    let command = "sleep 600 >/dev/null 2>&1 & echo $!";
    let (process, crew, readers) = unattended(&pool, command);
    process.attend(crew, readers);
    let deadline = Deadline::after(Duration::from_secs(30));
    assert!(process.wait(deadline).is_some());
    let survivor: Pid = {
        let text = process.outputs[0].snapshot(0).text;
        text.trim().parse().expect("a pid")
    };
    process.reach_limit();
    // Whatever that has begun is over then.
    assert!(pool.close(deadline));
    let stat = std::fs::read_to_string(format!("/proc/{survivor}/stat")).unwrap_or_default();
    let lives = stat.contains(") ") && !stat.contains(") Z ") && !stat.contains(") X ");
    let _ = PidFd::open(survivor).and_then(|survivor| survivor.signal(KILL));
    assert!(lives, "{stat:?}");
}
