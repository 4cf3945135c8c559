//! Reading: cursors that consume nothing, exact loss counts, lossless backpressure, separate streams,
//! whole characters, following; and the environment and directory of a child.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use procmgr::{
    ANCESTORS_VARIABLE, HOST_VARIABLE, ID_VARIABLE, OWNER_VARIABLE, ReadState, Request, State,
    Stream,
};
use procmgr::{Chunk, Config, EndedBy, Environment, Error, Manager, Process, ReadOptions};

mod common;
use common::{FOREVER, TIMEOUT, carriers, eventually, in_time};
use common::{open, start, start_request, text, wait, wait_for_value};

/// The sizes for tests of lossless streams. A lossless ring may be larger than a small tail, but not
/// than this one.
const HEAD: usize = 10;
const TAIL: usize = 300_000;
const KEPT: u64 = (HEAD + TAIL) as u64;

fn open_for_lossless() -> Manager {
    Manager::open(Config::new().head_bytes(HEAD).tail_bytes(TAIL)).expect("a manager")
}

fn read(process: &Process, cursor: u64, buffer: &mut [u8]) -> Chunk {
    process
        .read(
            Stream::Stdout,
            cursor,
            buffer,
            Some(TIMEOUT),
            ReadOptions::default(),
        )
        .expect("a read")
}

fn read_now(process: &Process, cursor: u64, buffer: &mut [u8]) -> Chunk {
    let now = Some(Duration::ZERO);
    process
        .read(Stream::Stdout, cursor, buffer, now, ReadOptions::default())
        .expect("a read")
}

/// All bytes of a stream to its end in chunks of this size, and how many were lost.
fn read_all(process: &Process, stream: Stream, size: usize) -> (Vec<u8>, u64) {
    let (mut all, mut buffer, mut cursor, mut lost) = (Vec::new(), vec![0; size], 0, 0);
    loop {
        let chunk = process
            .read(
                stream,
                cursor,
                &mut buffer,
                Some(TIMEOUT),
                ReadOptions::default(),
            )
            .expect("a read");
        assert_eq!(chunk.cursor, cursor + chunk.lost + chunk.length as u64);
        cursor = chunk.cursor;
        lost += chunk.lost;
        match chunk.state {
            ReadState::Data => all.extend_from_slice(&buffer[..chunk.length]),
            ReadState::Eof => return (all, lost),
            other => panic!("{other:?} at {cursor}"),
        }
    }
}

fn numbers(last: u32) -> Vec<u8> {
    (1..=last)
        .flat_map(|number| format!("{number}\n").into_bytes())
        .collect()
}

fn output_bytes(process: &Process) -> u64 {
    process.status().expect("a status").output_bytes
}

/// A command that waits until the file is there.
fn until(file: &Path) -> String {
    format!("until [ -e '{}' ]; do sleep 0.01; done", file.display())
}

#[test]
fn reading_takes_nothing_away() {
    let manager = open();
    let process = start(&manager, "seq 1 1000");
    wait(&process);
    let expected = numbers(1000);
    for size in [1, 7, 4096] {
        assert_eq!(
            read_all(&process, Stream::Stdout, size),
            (expected.clone(), 0)
        );
    }
    let mut buffer = [0; 4];
    let chunk = read(&process, 2, &mut buffer);
    assert_eq!((chunk.length, chunk.cursor, chunk.lost), (4, 6, 0));
    assert_eq!(&buffer, b"2\n3\n");
    // A read with an empty buffer reports whether there is a byte.
    let chunk = read(&process, 2, &mut []);
    assert_eq!(
        (chunk.length, chunk.cursor, chunk.state),
        (0, 2, ReadState::Data)
    );
    let end = expected.len() as u64;
    for beyond in [0, 1, u64::MAX - end] {
        let chunk = read(&process, end + beyond, &mut buffer);
        assert_eq!(
            (chunk.length, chunk.lost, chunk.state),
            (0, 0, ReadState::Eof)
        );
    }
}

#[test]
fn many_readers_at_once_read_the_same() {
    let manager = open();
    let request = Request::new("i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i + 1)); done");
    let process = start_request(&manager, &request.lossless(true));
    let readers: Vec<_> = (1..=8)
        .map(|size| {
            let process = process.clone();
            thread::spawn(move || read_all(&process, Stream::Stdout, size))
        })
        .collect();
    let expected: Vec<u8> = (0..200)
        .flat_map(|i| format!("line {i}\n").into_bytes())
        .collect();
    for reader in readers {
        assert_eq!(reader.join().expect("a reader"), (expected.clone(), 0));
    }
}

#[test]
fn kernel_a_read_waits_for_the_next_byte_and_no_longer_than_asked() {
    let manager = open();
    let place = tempfile::tempdir().expect("a directory");
    let go = place.path().join("go");
    let process = start(
        &manager,
        &format!("echo a; {}; echo b; {FOREVER}", until(&go)),
    );
    let mut buffer = [0; 16];
    assert_eq!(read(&process, 0, &mut buffer).cursor, 2);

    assert_eq!(
        read_now(&process, 2, &mut buffer).state,
        ReadState::TimedOut
    );
    let (began, short) = (Instant::now(), Duration::from_millis(50));
    let chunk = process
        .read(
            Stream::Stdout,
            2,
            &mut buffer,
            Some(short),
            ReadOptions::default(),
        )
        .expect("a read");
    assert_eq!(
        (chunk.state, chunk.cursor, chunk.length),
        (ReadState::TimedOut, 2, 0)
    );
    assert!(began.elapsed() >= short);

    let reader = {
        let process = process.clone();
        thread::spawn(move || read(&process, 2, &mut [0; 16]))
    };
    fs::write(&go, "").expect("a file");
    let chunk = reader.join().expect("a reader");
    assert_eq!(
        (chunk.state, chunk.cursor, chunk.length),
        (ReadState::Data, 4, 2)
    );
}

/// Bytes are read whether a caller waits for them or not, also after a waiting caller has returned.
#[test]
fn bytes_that_come_without_a_waiter_are_read_too() {
    let manager = open();
    let directory = tempfile::tempdir().expect("a directory");
    for round in 0..20 {
        let go = directory.path().join(round.to_string());
        let process = start(
            &manager,
            &format!("echo first; {}; echo second; exec {FOREVER}", until(&go)),
        );
        let mut buffer = [0; 64];
        let first = read(&process, 0, &mut buffer);
        assert_eq!(&buffer[..first.length], b"first\n");
        if round % 2 == 0 {
            let options = ReadOptions::default();
            let timeout = Some(Duration::from_millis(2));
            let chunk = process.read(Stream::Stdout, first.cursor, &mut buffer, timeout, options);
            assert_eq!(chunk.expect("a read").state, ReadState::TimedOut);
        }
        fs::write(&go, "").expect("a file");
        eventually("the rest is read", || output_bytes(&process) == 13);
        process.stop(Duration::ZERO).expect("a stop");
    }
}

/// In a packet-mode pipe (`O_DIRECT`) a short read is one packet and not all bytes of the write. The
/// child waits until the rest is read.
#[test]
fn kernel_the_packets_of_a_long_write_are_all_read() {
    const PACKET: u64 = 4096;
    const PACKETS: u64 = 32;
    // The sizes have room for whole packets.
    let manager = Manager::open(Config::new().head_bytes(1 << 20)).expect("a manager");
    let directory = tempfile::tempdir().expect("a directory");
    let go = directory.path().join("go");
    let done = directory.path().join("done");
    let packets = format!(
        "dd if=/dev/zero bs={} count=1 oflag=direct",
        PACKETS * PACKET
    );
    let command = format!(
        "head -c 16384 /dev/zero; {}; {packets} 2>{}; exec {FOREVER}",
        until(&go),
        done.display()
    );
    let process = start(&manager, &command);
    eventually("it has begun", || output_bytes(&process) == 4 * PACKET);
    let chunk = thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let process = &process;
        let reader = scope.spawn(move || {
            let own = fs::read_link("/proc/thread-self").expect("a thread");
            sender.send(own).expect("it is awaited");
            read(process, 4 * PACKET, &mut [0; 8192])
        });
        let own = Path::new("/proc").join(receiver.recv().expect("it runs"));
        eventually("the reader sleeps", || {
            let status = fs::read_to_string(own.join("stat")).expect("it lives");
            status.contains(") S ")
        });
        fs::write(&go, "").expect("room");
        reader.join().expect("no panic")
    });
    assert_eq!(chunk.state, ReadState::Data);
    eventually("the child goes on", || {
        fs::metadata(&done).is_ok_and(|said| said.len() > 0)
    });
    let all = (4 + PACKETS) * PACKET;
    eventually("the rest is read", || output_bytes(&process) == all);
}

#[test]
fn kernel_a_blocked_read_is_woken_by_the_end_and_by_close() {
    for close in [false, true] {
        let manager = open();
        let process = start(&manager, FOREVER);
        let reader = {
            let process = process.clone();
            thread::spawn(move || {
                let mut buffer = [0; 16];
                process.read(Stream::Stdout, 0, &mut buffer, None, ReadOptions::default())
            })
        };
        if close {
            manager.close().expect("a close");
        } else {
            process.stop(Duration::ZERO).expect("a stop");
        }
        let chunk = in_time("the read is woken", move || {
            reader.join().expect("a reader")
        });
        assert_eq!(chunk.expect("a read").state, ReadState::Eof);
    }
}

#[test]
fn a_reader_that_is_behind_gets_the_exact_loss() {
    let config = Config::new().head_bytes(100).tail_bytes(50);
    let manager = Manager::open(config).expect("a manager");
    let process = start(&manager, "seq 1 1000");
    let total = wait(&process).output_bytes;
    let expected = numbers(1000);
    assert_eq!(total, expected.len() as u64);
    let tail = expected.len() - 50;
    let mut buffer = vec![0; 4096];

    // From the beginning: the head, and then the tail with the loss before it.
    let chunk = read(&process, 0, &mut buffer);
    assert_eq!((chunk.length, chunk.lost), (100, 0));
    assert_eq!(buffer[..100], expected[..100]);
    let chunk = read(&process, chunk.cursor, &mut buffer);
    assert_eq!(
        (chunk.length, chunk.lost, chunk.cursor),
        (50, total - 150, total)
    );
    assert_eq!(buffer[..50], expected[tail..]);
    // From the middle of the dropped bytes, and from the last of them.
    for cursor in [100, 1000, tail - 1] {
        let chunk = read(&process, cursor as u64, &mut buffer);
        assert_eq!((chunk.length, chunk.lost), (50, (tail - cursor) as u64));
        assert_eq!(buffer[..50], expected[tail..]);
    }
    let kept = [&expected[..100], &expected[tail..]].concat();
    for size in [1, 3, 99, 4096] {
        assert_eq!(
            read_all(&process, Stream::Stdout, size),
            (kept.clone(), total - 150)
        );
    }
    let mut follow = process.follow(Stream::Stdout);
    let mut all = Vec::new();
    follow.read_to_end(&mut all).expect("a follow");
    assert_eq!(
        (all, follow.lost(), follow.cursor()),
        (kept, total - 150, total)
    );
}

#[test]
fn lossless_gives_every_byte_to_a_slow_reader() {
    let manager = open_for_lossless();
    let process = start_request(&manager, &Request::new("seq 1 100000").lossless(true));
    // Before the first byte is read, the ring is full and the child is blocked.
    eventually("the ring is full", || output_bytes(&process) == KEPT);
    assert_eq!(
        read_all(&process, Stream::Stdout, 777),
        (numbers(100_000), 0)
    );
    assert_eq!(wait(&process).state, State::Exited(0));
}

#[test]
fn kernel_lossless_without_a_reader_waits_and_can_be_ended() {
    for close in [false, true] {
        let manager = open_for_lossless();
        let request = Request::new("head -c 10000000 /dev/zero; echo done").lossless(true);
        let process = start_request(&manager, &request);
        eventually("the ring is full", || output_bytes(&process) == KEPT);
        let still = process
            .wait_timeout(Duration::from_millis(100))
            .expect("a wait");
        assert!(still.is_none(), "{still:?}");
        let status = process.status().expect("a status");
        assert_eq!((status.state, status.output_bytes), (State::Running, KEPT));

        let began = Instant::now();
        if close {
            manager.close().expect("a close");
        } else {
            process.stop(Duration::from_secs(60)).expect("a stop");
        }
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        let status = wait(&process);
        assert!(matches!(status.state, State::Signaled { .. }), "{status:?}");
        let by = if close { EndedBy::Close } else { EndedBy::Stop };
        assert_eq!(status.ended_by, by);
        assert!(carriers(process.id()).is_empty());
    }
}

/// A caller that waits past all bytes does not need them, so its wait must make room.
#[test]
fn a_reader_that_skips_a_full_lossless_output_gets_what_follows() {
    let manager = open_for_lossless();
    let request = Request::new("head -c 10000000 /dev/zero").lossless(true);
    let process = start_request(&manager, &request);
    let mut full = KEPT;
    // The first wait differs from later ones.
    for _ in 0..3 {
        eventually("the ring is full", || output_bytes(&process) >= full);
        let end = output_bytes(&process);
        let chunk = read(&process, end, &mut [0; 16]);
        assert_eq!((chunk.state, chunk.lost), (ReadState::Data, 0));
        full = end + TAIL as u64;
    }
}

#[test]
fn the_end_of_a_lossless_process_waits_for_no_reader() {
    let manager = open_for_lossless();
    // All of it fits into the pipe, but not into what is kept.
    let process = start_request(&manager, &Request::new("seq 1 58000").lossless(true));
    let expected = numbers(58_000);
    let status = wait(&process);
    assert_eq!(
        (status.state, status.output_bytes),
        (State::Exited(0), expected.len() as u64)
    );
    assert_eq!(read_all(&process, Stream::Stdout, 4096), (expected, 0));
}

#[test]
fn lossless_keeps_what_the_furthest_reader_has_not_read() {
    let manager = open_for_lossless();
    let process = start_request(&manager, &Request::new("seq 1 100000").lossless(true));
    eventually("the ring is full", || output_bytes(&process) == KEPT);
    // A read at the beginning does not resume it, and one further on does.
    assert_eq!(read(&process, 0, &mut [0; HEAD]).length, HEAD);
    assert_eq!(output_bytes(&process), KEPT);
    assert_eq!(read(&process, 200_000, &mut [0; 100]).length, 100);
    let freed = 200_100 - HEAD as u64;
    eventually("there is room for what was read", || {
        output_bytes(&process) == KEPT + freed
    });
    let chunk = read(&process, HEAD as u64, &mut [0; 10]);
    assert_eq!((chunk.lost, chunk.cursor), (freed, 200_110));
    process.stop(Duration::ZERO).expect("a stop");
}

#[test]
fn streams_are_one_in_the_order_of_the_writes_or_two() {
    let manager = open();
    let command = "echo 1; echo 2 >&2; echo 3; echo 4 >&2";
    let merged = start(&manager, command);
    let separate = start_request(&manager, &Request::new(command).separate_streams(true));
    assert_eq!(wait(&merged).output_bytes, 8);
    assert_eq!(text(&merged), "1\n2\n3\n4\n");
    assert_eq!(wait(&separate).output_bytes, 8);
    for (stream, expected) in [(Stream::Stdout, "1\n3\n"), (Stream::Stderr, "2\n4\n")] {
        assert_eq!(separate.output(stream).expect("a snapshot").text, expected);
        assert_eq!(read_all(&separate, stream, 3), (expected.into(), 0));
        let mut followed = String::new();
        separate
            .follow(stream)
            .read_to_string(&mut followed)
            .expect("a follow");
        assert_eq!(followed, expected);
    }
}

#[test]
fn separate_streams_end_each_for_itself() {
    let manager = open();
    let request = Request::new(format!("echo out; exec 2>&-; {FOREVER}")).separate_streams(true);
    let process = start_request(&manager, &request);
    assert_eq!(read_all(&process, Stream::Stderr, 16), (Vec::new(), 0));
    let status = process.status().expect("a status");
    assert!(status.is_running() && status.output_open);
    assert_eq!(read(&process, 0, &mut [0; 16]).length, 4);
}

#[test]
fn a_full_lossless_stream_does_not_delay_the_other() {
    let manager = open();
    let command = "seq 1 100000 >&2; echo end";
    let request = Request::new(command).separate_streams(true).lossless(true);
    let process = start_request(&manager, &request);
    let errors = {
        let process = process.clone();
        thread::spawn(move || read_all(&process, Stream::Stderr, 4096))
    };
    assert_eq!(
        read_all(&process, Stream::Stdout, 4096),
        (b"end\n".to_vec(), 0)
    );
    assert_eq!(errors.join().expect("a reader"), (numbers(100_000), 0));
}

fn whole() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.whole_characters = true;
    options
}

#[test]
fn chunks_of_whole_characters_are_valid_each() {
    let manager = open();
    let expected = "aé漢🙂".repeat(50);
    let process = start_request(
        &manager,
        &Request::program("printf").arguments(["%s", &expected]),
    );
    wait(&process);
    for size in 4..=12 {
        let (mut all, mut cursor, mut buffer) = (String::new(), 0, vec![0; size]);
        loop {
            let chunk = process
                .read(Stream::Stdout, cursor, &mut buffer, Some(TIMEOUT), whole())
                .expect("a read");
            if chunk.state == ReadState::Eof {
                break;
            }
            assert!(chunk.length > 0);
            all.push_str(std::str::from_utf8(&buffer[..chunk.length]).expect("whole characters"));
            cursor = chunk.cursor;
        }
        assert_eq!(all, expected, "with {size} bytes");
    }
}

#[test]
fn half_a_character_waits_for_its_rest_unless_there_is_none() {
    let manager = open();
    let place = tempfile::tempdir().expect("a directory");
    let go = place.path().join("go");
    let command = format!(r"printf 'a\303'; {}; printf '\251b\303'", until(&go));
    let process = start(&manager, &command);
    let mut buffer = [0; 8];
    let mut next = |cursor, timeout| {
        let chunk = process
            .read(Stream::Stdout, cursor, &mut buffer, Some(timeout), whole())
            .expect("a read");
        (buffer[..chunk.length].to_vec(), chunk.cursor, chunk.state)
    };
    eventually("both bytes are there", || output_bytes(&process) == 2);
    assert_eq!(next(0, TIMEOUT), (b"a".to_vec(), 1, ReadState::Data));
    assert_eq!(
        next(1, Duration::from_millis(20)),
        (vec![], 1, ReadState::TimedOut)
    );
    fs::write(&go, "").expect("a file");
    wait(&process);
    eventually("the stream has ended", || {
        !process.status().expect("a status").output_open
    });
    // The stream has ended inside the last one.
    assert_eq!(
        next(1, TIMEOUT),
        (
            "éb".as_bytes().iter().copied().chain([0xc3]).collect(),
            5,
            ReadState::Data
        )
    );
    assert_eq!(next(5, TIMEOUT), (vec![], 5, ReadState::Eof));
}

#[test]
fn a_follower_ends_with_the_process_or_with_the_last_survivor() {
    let manager = open();
    let place = tempfile::tempdir().expect("a directory");
    let go = place.path().join("go");
    let process = start(&manager, &format!("({}; echo late) & echo ok", until(&go)));
    let mut early = String::new();
    let mut follow = process.follow(Stream::Stdout);
    follow.read_to_string(&mut early).expect("a follow");
    assert_eq!(
        (early.as_str(), follow.cursor(), follow.lost()),
        ("ok\n", 3, 0)
    );
    let status = process.status().expect("a status");
    assert_eq!((status.state, status.output_open), (State::Exited(0), true));

    let survivors = {
        let mut follow = process.follow(Stream::Stdout).through_survivors();
        thread::spawn(move || {
            let mut all = String::new();
            follow.read_to_string(&mut all).map(|_| all)
        })
    };
    fs::write(&go, "").expect("a file");
    let all = survivors.join().expect("a thread").expect("a follow");
    assert_eq!(all, "ok\nlate\n");
    let mut rest = String::new();
    let mut follow = process.follow(Stream::Stdout).from(3);
    follow.read_to_string(&mut rest).expect("a follow");
    assert_eq!((rest.as_str(), follow.cursor()), ("late\n", 8));
}

#[test]
fn a_follower_gets_lines_as_they_come() {
    let manager = open();
    let place = tempfile::tempdir().expect("a directory");
    let file = |number: u32| place.path().join(number.to_string());
    let command: String = (0..5)
        .map(|i| format!("echo {i}; {}; ", until(&file(i))))
        .collect();
    let process = start(&manager, &command);
    let mut follow = process.follow(Stream::Stdout);
    for number in 0..5 {
        let mut line = [0; 2];
        follow.read_exact(&mut line).expect("a line");
        assert_eq!(String::from_utf8_lossy(&line), format!("{number}\n"));
        // Only now may it write the next one.
        fs::write(file(number), "").expect("a file");
    }
    assert_eq!(follow.read(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn a_handle_reads_after_close_and_release() {
    let manager = open();
    let process = start(&manager, "echo kept; exit 4");
    wait(&process);
    manager.close().expect("a close");
    drop(manager);
    assert_eq!(text(&process), "kept\n");
    assert_eq!(
        read_all(&process, Stream::Stdout, 16),
        (b"kept\n".to_vec(), 0)
    );
    assert_eq!(process.status().expect("a status").state, State::Exited(4));
}

// What a child sees.

/// An environment in which a shell finds its tools.
fn base(variables: &[(&str, &str)]) -> Environment {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let rest = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    std::iter::once(("PATH".into(), path)).chain(rest).collect()
}

/// Whether a variable does not belong to the cookie, except the id.
fn is_inherited(name: &str) -> bool {
    !["PATH", HOST_VARIABLE, OWNER_VARIABLE, ANCESTORS_VARIABLE].contains(&name)
}

/// The sorted environment of a program, without `PATH` and the host's part of the cookie.
fn environment(manager: &Manager, request: Request) -> (Vec<String>, Process) {
    let process = start_request(manager, &request);
    assert_eq!(wait(&process).state, State::Exited(0));
    let shown = text(&process);
    let mut lines: Vec<_> = shown.lines().map(String::from).collect();
    assert!(lines.iter().any(|line| line.starts_with(HOST_VARIABLE)));
    lines.retain(|line| line.split('=').next().is_none_or(is_inherited));
    lines.sort();
    (lines, process)
}

#[test]
fn the_later_of_two_variables_wins() {
    let config = Config::new()
        .environment(base(&[
            ("A", "base"),
            ("B", "base"),
            ("C", "base"),
            ("D", "base"),
        ]))
        .environment_hook(|environment| {
            for name in ["B", "C", "D"] {
                environment.insert(name.into(), "hook".into());
            }
            environment.remove(std::ffi::OsStr::new("A"));
            Ok(())
        })
        .owner_variable("D");
    let manager = Manager::open(config).expect("a manager");
    let request = Request::program("env")
        .variable("C", "first")
        .variable("C", "request")
        .variable("D", "request")
        .variable(ID_VARIABLE, "a lie")
        .owner("me");
    let (lines, process) = environment(&manager, request);
    let cookie = format!("{ID_VARIABLE}={}", process.id());
    assert_eq!(lines, ["B=hook", "C=request", "D=me", &cookie]);
}

#[test]
fn without_an_owner_its_variable_is_not_set() {
    let config = Config::new().environment(base(&[])).owner_variable("OWNER");
    let manager = Manager::open(config).expect("a manager");
    let cookie = |process: &Process| format!("{ID_VARIABLE}={}", process.id());
    let (lines, process) = environment(&manager, Request::program("env"));
    assert_eq!(lines, [cookie(&process)]);
    let scope = manager.scope("job 7").expect("a scope");
    let (lines, process) = environment(&scope, Request::program("env"));
    assert_eq!(lines, ["OWNER=job 7".to_owned(), cookie(&process)]);
    assert_eq!(
        process.status().expect("a status").owner(),
        Some("job 7".as_ref())
    );
}

#[test]
fn a_child_gets_the_environment_of_the_host() {
    let manager = open();
    let (lines, process) = environment(&manager, Request::program("env").variable("EXTRA", "1"));
    let mut expected: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| name.to_str().is_none_or(is_inherited) && name != ID_VARIABLE)
        .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
        .flat_map(|line| line.lines().map(String::from).collect::<Vec<_>>())
        .chain([format!("{ID_VARIABLE}={}", process.id()), "EXTRA=1".into()])
        .collect();
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn a_hook_that_fails_or_panics_changes_nothing_and_warns() {
    type Hook = fn(&mut Environment) -> Result<(), procmgr::HookError>;
    let fails: Hook = |environment| {
        environment.insert("HOOK".into(), "half done".into());
        Err("no secrets today".into())
    };
    let panics: Hook = |environment| {
        environment.clear();
        panic!("the hook of a test panics")
    };
    let spoils: Hook = |environment| {
        environment.insert("A=B".into(), "1".into());
        Ok(())
    };
    for (hook, reason) in [
        (fails, "no secrets today"),
        (panics, "panicked"),
        (spoils, "A=B"),
    ] {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let given = Arc::clone(&warnings);
        let config = Config::new()
            .environment(base(&[("A", "base")]))
            .environment_hook(hook)
            .on_warning(move |text| given.lock().expect("a lock").push(text.to_owned()));
        let manager = Manager::open(config).expect("a manager");
        let (lines, process) = environment(&manager, Request::program("env"));
        assert_eq!(
            lines,
            [
                "A=base".to_owned(),
                format!("{ID_VARIABLE}={}", process.id())
            ]
        );
        let warnings = warnings.lock().expect("a lock");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("hook") && warnings[0].contains(reason),
            "{warnings:?}"
        );
    }
}

#[test]
fn a_slow_hook_delays_no_other_start() {
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let config = Config::new().environment_hook(move |_| {
        // The first start blocks here; the others find the lock taken and continue.
        if let Ok(released) = released.try_lock() {
            let _ = entered.send(());
            let _ = released.recv_timeout(TIMEOUT);
        }
        Ok(())
    });
    let manager = Manager::open(config).expect("a manager");
    let held = {
        let manager = manager.clone();
        thread::spawn(move || start(&manager, "echo held"))
    };
    has_entered
        .recv_timeout(TIMEOUT)
        .expect("the hook was called");
    let other = start(&manager, "echo other");
    assert_eq!(wait(&other).state, State::Exited(0));
    assert_eq!(manager.list(None).expect("a list").total, 1);
    release.send(()).expect("the hook waits");
    let held = held.join().expect("a start");
    wait(&held);
    assert_eq!(text(&held), "held\n");
}

#[test]
fn kernel_the_directory_is_the_requests_else_the_managers_else_home() {
    let place = tempfile::tempdir().expect("a directory");
    let real = place.path().canonicalize().expect("a path");
    let (own, configured) = (real.join("own"), real.join("configured"));
    fs::create_dir(&own).expect("a directory");
    fs::create_dir(&configured).expect("a directory");
    let seen = |manager: &Manager, request: Request| {
        let process = start_request(manager, &request);
        let status = wait(&process);
        let reported = status.directory().to_owned();
        assert_eq!(
            format!("{}\n", reported.canonicalize().expect("a path").display()),
            text(&process)
        );
        reported
    };
    let request = || Request::new("pwd -P");
    let manager = Manager::open(Config::new().directory(&configured)).expect("a manager");
    assert_eq!(seen(&manager, request()), configured);
    assert_eq!(seen(&manager, request().directory(&own)), own);
    // One that does not exist when the process is started counts as none.
    fs::remove_dir(&configured).expect("it is empty");
    let fallback = seen(&manager, request());
    assert_ne!(fallback, configured);
    assert_eq!(seen(&open(), request()), fallback);
    fs::write(&configured, "").expect("a file");
    assert_eq!(seen(&manager, request()), fallback);
    if let Some(home) = std::env::var_os("HOME").filter(|home| Path::new(home).is_dir()) {
        assert_eq!(fallback, Path::new(&home));
    }
    // The request's is used as given, and not replaced.
    let error = manager
        .start(&request().directory(&configured))
        .expect_err("it is a file");
    assert!(matches!(error, Error::Spawn { .. }), "{error:?}");
}

#[test]
fn kernel_a_relative_directory_is_taken_from_the_hosts() {
    let manager = open();
    let process = start_request(&manager, &Request::new("pwd -P").directory("."));
    wait(&process);
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    assert_eq!(
        text(&process),
        format!("{}\n", here.expect("a directory").display())
    );
}

#[test]
fn kernel_a_program_is_looked_up_in_the_new_environment() {
    use std::os::unix::fs::PermissionsExt;
    let manager = open();
    let place = tempfile::tempdir().expect("a directory");
    let tool = place.path().join("its-own-tool");
    fs::write(&tool, "#!/bin/sh\necho \"$0\" \"$@\"\n").expect("a file");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("permissions");
    let request = Request::program("its-own-tool").arguments(["a b", "*", "", "$HOME"]);
    let error = manager.start(&request).expect_err("it is not in PATH");
    assert_eq!(error.os_error(), Some(libc::ENOENT));
    let path = format!("/no/such/place:{}:/usr/bin:/bin", place.path().display());
    let process = start_request(&manager, &request.variable("PATH", path));
    wait(&process);
    // The shell of the script sees the arguments as they were given, and its own path.
    assert_eq!(text(&process), format!("{} a b *  $HOME\n", tool.display()));
}

#[test]
fn kernel_a_child_has_no_input_and_leads_its_group() {
    let manager = open();
    let process = start(
        &manager,
        "cat; echo pid $$; echo group $(cut -d' ' -f5 /proc/$$/stat)",
    );
    let pid: u32 = wait_for_value(&process, "pid ");
    let group: u32 = wait_for_value(&process, "group ");
    assert_eq!((pid, group), (process.pid(), process.pid()));
    assert_eq!(wait(&process).state, State::Exited(0));
}
