//! Reading: chunks and `lost` together are the whole stream, and every waiting caller is woken.

use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::super::{Output, ReadOptions, ReadState, Sink, Sizes};
use super::*;
use crate::time::Deadline;
use parking_lot::Mutex;

/// A survivor may write while its output is detached. A follower has got the end of the stream, so no
/// byte may follow.
#[test]
fn no_bytes_come_after_the_end() {
    let output = Output::new(sizes(100, 100), Vec::new());
    assert!(output.close());
    let filled = output.fill(true, |pieces| Ok(scatter(pieces, b"too late")));
    assert_eq!(filled.ok(), Some(Filled::Bytes(0)));
    assert_eq!(peek(&output, 0, 10, RAW), (vec![], 0, 0, ReadState::Eof));
    assert_eq!(output.total(), 0);
}

/// Keeps all that it gets.
#[derive(Debug)]
struct Collector(Arc<Mutex<Vec<u8>>>);

impl Sink for Collector {
    fn push(&mut self, bytes: &[u8]) {
        assert!(!bytes.is_empty());
        self.0.lock().extend_from_slice(bytes);
    }
}

/// Also those that the store only counts, and those that replace its whole ring.
#[test]
fn each_sink_gets_every_byte_in_order() {
    let stream = &NOISE[..300_000];
    for (head, tail, lossless) in [
        (0, 0, false),
        (10, 0, false),
        (100, 64, false),
        (7, 16 << 10, false),
        (9, 5, true),
    ] {
        let collected: [Arc<Mutex<Vec<u8>>>; 2] = Default::default();
        let sinks = collected
            .iter()
            .map(|all| Box::new(Collector(Arc::clone(all))) as _);
        let output = Output::new(
            Sizes {
                head,
                tail,
                lossless,
            },
            sinks.collect(),
        );
        let mut done = 0;
        while done < stream.len() {
            let next = stream.len().min(done + 40_000);
            match output.fill(lossless, |pieces| Ok(scatter(pieces, &stream[done..next]))) {
                Ok(Filled::Bytes(count)) => done += count,
                other => panic!("{other:?}"),
            }
            assert!(collected.iter().all(|all| all.lock()[..] == stream[..done]));
        }
    }
}

/// Reads a stream from its beginning, and compares each chunk with what was written.
struct Follower<'a> {
    cursor: u64,
    options: ReadOptions,
    /// The whole stream as it is at the end.
    stream: &'a [u8],
    characters: &'a [Character],
    read: u64,
    lost: u64,
}

impl<'a> Follower<'a> {
    fn new(stream: &'a [u8], characters: &'a [Character], options: ReadOptions) -> Self {
        Follower {
            cursor: 0,
            options,
            stream,
            characters,
            read: 0,
            lost: 0,
        }
    }

    /// Reads once from `output`, to which `total` bytes were written and of which `gone` may be gone.
    fn step(
        &mut self,
        output: &Output,
        total: usize,
        gone: &Range<usize>,
        capacity: usize,
    ) -> ReadState {
        let (bytes, cursor, lost, state) = peek(output, self.cursor, capacity, self.options);
        let start = (self.cursor + lost) as usize;
        assert_eq!(cursor, (start + bytes.len()) as u64);
        assert!(bytes == self.stream[start..start + bytes.len()]);
        for position in self.cursor as usize..start {
            assert!(
                gone.contains(&position) || self.torn(position, gone),
                "{position} was not lost"
            );
        }
        let open = output.is_open();
        let end = start + bytes.len();
        if self.options.whole_characters && (open || end < total) {
            let cut = self
                .characters
                .iter()
                .find(|c| c.valid && c.at < end && end < c.at + c.raw);
            // The end of a character whose beginning is lost is not a character.
            assert!(
                cut.is_none_or(|c| c.at < start),
                "ends inside of {cut:?} at {end}"
            );
        }
        match state {
            ReadState::Data => assert!(!bytes.is_empty()),
            ReadState::TimedOut => {
                assert!(open && bytes.is_empty());
                let kept = output.data.lock().store.find(cursor).position;
                let left = (total as u64).saturating_sub(kept);
                let held_back = if self.options.whole_characters { 3 } else { 0 };
                assert!(left <= held_back, "{left} bytes were there");
            }
            ReadState::Eof => {
                assert!(!open && bytes.is_empty());
                assert_eq!(end, total, "the end came too early");
            }
            ReadState::ProcessEnded => panic!("it was not requested"),
        }
        self.cursor = cursor;
        self.read += bytes.len() as u64;
        self.lost += lost;
        state
    }

    /// Whether the byte at this position is at the end of the head and of a character whose rest was
    /// dropped.
    fn torn(&self, position: usize, gone: &Range<usize>) -> bool {
        let complete = self.characters.iter().any(|c| {
            c.valid && c.at <= position && position < c.at + c.raw && c.at + c.raw <= gone.start
        });
        self.options.whole_characters
            && !gone.is_empty()
            && position < gone.start
            && position + 3 >= gone.start
            && !complete
    }
}

#[test]
fn chunks_and_lost_are_the_whole_stream() {
    check_property(
        PROPERTY_TIME,
        |source| {
            let (head, tail, lossless) = (limit(source)?, limit(source)?, source.arbitrary()?);
            let turns = vector(source, 0..=59, |source| {
                Ok((
                    source.int_in_range(0..=63)?,
                    source.int_in_range(0..=1)?,
                    source.int_in_range(4..=39)?,
                ))
            })?;
            Ok((noisy(source)?, head, tail, lossless, turns))
        },
        |(stream, head, tail, lossless, turns)| {
            let output = Output::new(
                Sizes {
                    head,
                    tail,
                    lossless,
                },
                Vec::new(),
            );
            let characters = characters(&stream);
            let mut followers =
                [RAW, WHOLE].map(|options| Follower::new(&stream, &characters, options));
            let mut total = 0;
            // What one follower of a lossless stream has read may be dropped for the other.
            let gone = |total, followers: &[Follower<'_>]| {
                let gap = gap(total, head, tail);
                let read = followers
                    .iter()
                    .map(|follower| follower.cursor as usize)
                    .max();
                match lossless {
                    true => gap.start..gap.end.min(read.unwrap_or(0)).max(gap.start),
                    false => gap,
                }
            };
            for (length, number, capacity) in turns {
                let next = stream.len().min(total + length);
                write(&output, &stream[total..next]);
                total = next;
                let gone = gone(total, &followers);
                followers[number].step(&output, total, &gone, capacity);
            }
            write(&output, &stream[total..]);
            let total = stream.len();
            assert_eq!(output.total(), total as u64);
            assert!(output.close());
            for number in 0..followers.len() {
                let gone = gone(total, &followers);
                let follower = &mut followers[number];
                while follower.step(&output, total, &gone, 7) != ReadState::Eof {}
                assert_eq!(follower.cursor, total as u64);
                assert_eq!(follower.read + follower.lost, total as u64);
            }
        },
    );
}

#[test]
fn one_follower_of_a_lossless_stream_gets_all_of_it() {
    check_property(
        PROPERTY_TIME,
        |source| {
            let (head, tail, whole) = (limit(source)?, limit(source)?, source.arbitrary()?);
            let turns = vector(source, 0..=59, |source| {
                Ok((source.int_in_range(0..=499)?, source.int_in_range(4..=199)?))
            })?;
            Ok((noisy(source)?, head, tail, turns, whole))
        },
        |(stream, head, tail, turns, whole)| {
            let output = Output::new(
                Sizes {
                    head,
                    tail,
                    lossless: true,
                },
                Vec::new(),
            );
            let characters = characters(&stream);
            let mut follower = Follower::new(&stream, &characters, if whole { WHOLE } else { RAW });
            let mut total = 0;
            for (length, capacity) in turns {
                let next = stream.len().min(total + length);
                write(&output, &stream[total..next]);
                total = next;
                follower.step(&output, total, &(0..0), capacity);
            }
            write(&output, &stream[total..]);
            output.close();
            while follower.step(&output, stream.len(), &(0..0), 50) != ReadState::Eof {}
            assert_eq!((follower.read, follower.lost), (stream.len() as u64, 0));
        },
    );
}

#[test]
fn reading_does_not_consume() {
    let output = output_of(b"hello", 3, 10);
    for _ in 0..2 {
        assert_eq!(
            peek(&output, 1, 100, RAW),
            (b"ello".to_vec(), 5, 0, ReadState::Data)
        );
    }
}

#[test]
fn reading_goes_on_after_dropped_bytes() {
    let output = output_of(b"0123456789", 2, 3);
    let read = |cursor| peek(&output, cursor, 100, RAW);
    assert_eq!(read(0), (b"01".to_vec(), 2, 0, ReadState::Data));
    assert_eq!(read(1), (b"1".to_vec(), 2, 0, ReadState::Data));
    assert_eq!(read(2), (b"789".to_vec(), 10, 5, ReadState::Data));
    assert_eq!(read(6), (b"789".to_vec(), 10, 1, ReadState::Data));
    assert_eq!(read(7), (b"789".to_vec(), 10, 0, ReadState::Data));
    assert_eq!(read(9), (b"9".to_vec(), 10, 0, ReadState::Data));
    assert_eq!(read(10), (vec![], 10, 0, ReadState::TimedOut));
}

#[test]
fn everything_up_to_the_end_can_be_dropped() {
    let output = output_of(b"0123456789", 2, 0);
    assert_eq!(
        peek(&output, 4, 10, RAW),
        (vec![], 10, 6, ReadState::TimedOut)
    );
    output.close();
    assert_eq!(peek(&output, 4, 10, RAW), (vec![], 10, 6, ReadState::Eof));
    assert_eq!(
        peek(&output, 0, 10, RAW),
        (b"01".to_vec(), 2, 0, ReadState::Data)
    );
    assert_eq!(peek(&output, 2, 10, RAW), (vec![], 10, 8, ReadState::Eof));
}

#[test]
fn a_cursor_may_be_past_the_end() {
    let output = output_of(b"abc", 10, 10);
    for cursor in [4, 1_000, u64::MAX] {
        assert_eq!(
            peek(&output, cursor, 10, RAW),
            (vec![], cursor, 0, ReadState::TimedOut)
        );
    }
    write(&output, b"defghi");
    assert_eq!(
        peek(&output, 5, 10, RAW),
        (b"fghi".to_vec(), 9, 0, ReadState::Data)
    );
    output.close();
    assert_eq!(
        peek(&output, u64::MAX, 10, RAW),
        (vec![], u64::MAX, 0, ReadState::Eof)
    );
}

#[test]
fn an_empty_buffer_reports_whether_there_are_bytes() {
    let output = output_of(b"0123456789", 2, 3);
    for options in [RAW, WHOLE] {
        assert_eq!(
            peek(&output, 0, 0, options),
            (vec![], 0, 0, ReadState::Data)
        );
        // Bytes that were not read are not skipped.
        assert_eq!(
            peek(&output, 4, 0, options),
            (vec![], 4, 0, ReadState::Data)
        );
        assert_eq!(
            peek(&output, 10, 0, options),
            (vec![], 10, 0, ReadState::TimedOut)
        );
    }
    output.close();
    assert_eq!(peek(&output, 10, 0, RAW), (vec![], 10, 0, ReadState::Eof));
}

#[test]
fn a_stream_is_closed_once() {
    let output = output_of(b"x", 10, 10);
    assert!(output.is_open());
    assert!(output.close());
    assert!(!output.is_open());
    assert!(!output.close());
    assert_eq!(output.total(), 1);
    assert_eq!(
        peek(&output, 0, 10, RAW),
        (b"x".to_vec(), 1, 0, ReadState::Data)
    );
    assert_eq!(peek(&output, 1, 10, RAW), (vec![], 1, 0, ReadState::Eof));
}

#[test]
fn a_timeout_is_waited_for() {
    let output = Output::new(sizes(10, 10), Vec::new());
    let timeout = Duration::from_millis(30);
    let begun = Instant::now();
    let chunk = output.read(0, &mut [0; 10], RAW, Deadline::after(timeout), || ());
    assert_eq!(chunk.state, ReadState::TimedOut);
    assert!(begun.elapsed() >= timeout);
    // Bytes that are available are returned even if the deadline has passed.
    write(&output, b"x");
    assert_eq!(peek(&output, 0, 1, RAW).3, ReadState::Data);
}

#[test]
fn the_end_of_the_process_comes_after_its_bytes() {
    let output = output_of(b"abc", 10, 10);
    assert_eq!(peek(&output, 3, 10, UNTIL_END).3, ReadState::TimedOut);
    output.set_process_ended();
    assert_eq!(
        peek(&output, 0, 10, UNTIL_END),
        (b"abc".to_vec(), 3, 0, ReadState::Data)
    );
    assert_eq!(
        peek(&output, 3, 10, UNTIL_END),
        (vec![], 3, 0, ReadState::ProcessEnded)
    );
    // A read without this option waits for the survivors.
    assert_eq!(peek(&output, 3, 10, RAW).3, ReadState::TimedOut);
    write(&output, b"de");
    assert_eq!(
        peek(&output, 3, 10, UNTIL_END),
        (b"de".to_vec(), 5, 0, ReadState::Data)
    );
    output.close();
    assert_eq!(peek(&output, 5, 10, UNTIL_END).3, ReadState::Eof);
}

#[test]
fn a_character_is_given_when_it_is_complete() {
    let output = Output::new(sizes(2, 100), Vec::new());
    let crab = "🦀".as_bytes();
    for byte in &crab[..3] {
        write(&output, &[*byte]);
        assert_eq!(
            peek(&output, 0, 10, WHOLE),
            (vec![], 0, 0, ReadState::TimedOut)
        );
    }
    write(&output, &crab[3..]);
    assert_eq!(
        peek(&output, 0, 10, WHOLE),
        (crab.to_vec(), 4, 0, ReadState::Data)
    );
    write(&output, &crab[..2]);
    assert_eq!(
        peek(&output, 0, 10, WHOLE),
        (crab.to_vec(), 4, 0, ReadState::Data)
    );
    // A buffer that holds one and a half characters.
    write(&output, &crab[2..]);
    assert_eq!(
        peek(&output, 0, 7, WHOLE),
        (crab.to_vec(), 4, 0, ReadState::Data)
    );
}

#[test]
fn an_incomplete_character_at_the_end_of_the_stream_is_returned() {
    let output = output_of(b"ab\xF0\x9F", 10, 10);
    output.set_process_ended();
    let whole_until_end = ReadOptions {
        until_process_end: true,
        ..WHOLE
    };
    assert_eq!(
        peek(&output, 0, 10, whole_until_end),
        (b"ab".to_vec(), 2, 0, ReadState::Data)
    );
    // A survivor may still write the rest.
    assert_eq!(
        peek(&output, 2, 10, whole_until_end),
        (vec![], 2, 0, ReadState::ProcessEnded)
    );
    output.close();
    assert_eq!(
        peek(&output, 2, 10, WHOLE),
        (b"\xF0\x9F".to_vec(), 4, 0, ReadState::Data)
    );
    assert_eq!(peek(&output, 4, 10, WHOLE).3, ReadState::Eof);
}

#[test]
fn bytes_that_never_become_a_character_are_not_waited_for() {
    for bytes in [
        &b"\xFF"[..],
        b"\x80",
        b"\x80\x80\x80\x80",
        b"\xE2\x82x",
        b"\xED\xA0\x80",
        b"\xC0\xAF",
    ] {
        let output = output_of(bytes, 10, 10);
        assert_eq!(
            peek(&output, 0, 10, WHOLE),
            (bytes.to_vec(), bytes.len() as u64, 0, ReadState::Data)
        );
    }
}

#[test]
fn the_beginning_of_a_character_whose_rest_was_dropped_is_lost_with_it() {
    let stream = "a🦀bcdefgh".as_bytes();
    let output = output_of(stream, 3, 2);
    assert_eq!(
        peek(&output, 0, 10, WHOLE),
        (b"a".to_vec(), 1, 0, ReadState::Data)
    );
    assert_eq!(
        peek(&output, 1, 10, WHOLE),
        (b"gh".to_vec(), 12, 9, ReadState::Data)
    );
    assert_eq!(
        peek(&output, 1, 10, RAW),
        (stream[1..3].to_vec(), 3, 0, ReadState::Data)
    );
}

/// Reads until the stream has ended. Returns the pieces, each with the number of bytes that were lost
/// before it.
fn follow(output: &Output, options: ReadOptions, capacity: usize) -> Vec<(u64, Vec<u8>)> {
    let mut pieces = Vec::new();
    let mut cursor = 0;
    let mut buffer = vec![0; capacity];
    let deadline = Deadline::after(TIMEOUT);
    loop {
        let chunk = output.read(cursor, &mut buffer, options, deadline, || ());
        assert_eq!(
            chunk.cursor,
            cursor + chunk.lost + chunk.length as u64,
            "numbers that do not add up"
        );
        cursor = chunk.cursor;
        pieces.push((chunk.lost, buffer[..chunk.length].to_vec()));
        match chunk.state {
            ReadState::Data => {}
            ReadState::Eof => {
                assert!(
                    !deadline.passed(),
                    "noticed by the timeout and not by a wake-up"
                );
                return pieces;
            }
            other => panic!("{other:?} at {cursor}"),
        }
    }
}

#[test]
fn every_reader_gets_the_stream_while_it_is_written() {
    let stream = "ab🦀é€\n".repeat(4000).into_bytes();
    for (head, tail) in [(stream.len(), 0), (0, stream.len()), (100, 700), (0, 1)] {
        let output = Output::new(sizes(head, tail), Vec::new());
        thread::scope(|scope| {
            let output = &output;
            let readers = [(RAW, 1), (RAW, 999), (WHOLE, 4), (WHOLE, 64)]
                .map(|(options, capacity)| scope.spawn(move || follow(output, options, capacity)));
            for piece in stream.chunks(37) {
                write(output, piece);
            }
            output.close();
            for reader in readers {
                let mut at = 0;
                let mut read = 0;
                for (lost, bytes) in reader.join().expect("it came to the end") {
                    at += lost as usize;
                    assert!(stream[at..at + bytes.len()] == bytes, "at {at}");
                    at += bytes.len();
                    read += bytes.len();
                }
                assert_eq!(at, stream.len());
                assert!(read >= head.min(stream.len()).saturating_sub(3));
                assert!(read == stream.len() || head + tail < stream.len());
            }
        });
    }
}

#[test]
fn a_lossless_writer_stops_and_goes_on_with_its_reader() {
    let output = Output::new(
        Sizes {
            head: 1000,
            tail: 1000,
            lossless: true,
        },
        Vec::new(),
    );
    let stream = &NOISE[..4 << 20];
    let (resume, resumed) = mpsc::channel();
    thread::scope(|scope| {
        let mut resume = Some(resume);
        let mut reader = None;
        let mut done = 0;
        while done < stream.len() {
            match output.fill(false, |pieces| Ok(scatter(pieces, &stream[done..]))) {
                Ok(Filled::Bytes(count)) => done += count,
                Ok(Filled::Full) => {
                    // The reader starts when there is no room left.
                    if let Some(resume) = resume.take() {
                        let output = &output;
                        reader = Some(scope.spawn(move || read_and_resume(output, &resume)));
                    }
                    resumed
                        .recv_timeout(TIMEOUT)
                        .expect("the reader makes room");
                }
                Err(error) => panic!("{error}"),
            }
        }
        output.close();
        let read = reader.expect("it was full").join();
        assert!(read.expect("it came to the end") == stream);
    });
}

/// Reads a lossless stream to its end, and signals each time its writer can go on.
fn read_and_resume(output: &Output, resume: &mpsc::Sender<()>) -> Vec<u8> {
    let mut read = Vec::new();
    let mut buffer = vec![0; 10_000];
    loop {
        let deadline = Deadline::after(TIMEOUT);
        let resume = || resume.send(()).expect("the writer waits for that");
        let chunk = output.read(read.len() as u64, &mut buffer, RAW, deadline, resume);
        assert_eq!(chunk.lost, 0);
        read.extend_from_slice(&buffer[..chunk.length]);
        match chunk.state {
            ReadState::Data => {}
            ReadState::Eof => return read,
            other => panic!("{other:?} after {} bytes", read.len()),
        }
    }
}

/// Lets several callers wait for the next byte, calls `act`, and expects all of them to return this state.
fn wakes(act: impl Fn(&Output), options: ReadOptions, state: ReadState) {
    const WAITERS: usize = 4;
    for _ in 0..25 {
        let output = Output::new(sizes(10, 10), Vec::new());
        thread::scope(|scope| {
            let (started, starts) = mpsc::channel();
            let waiters: Vec<_> = (0..WAITERS)
                .map(|_| {
                    let (started, output) = (started.clone(), &output);
                    scope.spawn(move || {
                        let own = std::fs::read_link("/proc/thread-self").expect("a thread");
                        started.send(own).expect("it is awaited");
                        output.read(0, &mut [0; 10], options, Deadline::after(TIMEOUT), || ())
                    })
                })
                .collect();
            let begun = Instant::now();
            for waiter in starts.iter().take(WAITERS) {
                let stat = std::path::Path::new("/proc").join(waiter).join("stat");
                let sleeps = |stat: String| stat.contains(") S ");
                while !std::fs::read_to_string(&stat).is_ok_and(sleeps) {
                    assert!(begun.elapsed() < TIMEOUT, "they do not wait");
                    thread::yield_now();
                }
            }
            act(&output);
            for waiter in waiters {
                let chunk = waiter.join().expect("no panic");
                assert_eq!(chunk.state, state);
            }
            assert!(
                begun.elapsed() < TIMEOUT,
                "noticed by the timeout and not by a wake-up"
            );
        });
    }
}

#[test]
fn every_waiter_is_woken_by_bytes() {
    wakes(|output| write(output, b"x"), RAW, ReadState::Data);
}

#[test]
fn every_waiter_is_woken_by_the_end_of_the_stream() {
    wakes(|output| assert!(output.close()), RAW, ReadState::Eof);
}

#[test]
fn every_waiter_is_woken_by_the_end_of_the_process() {
    wakes(
        |output| {
            output.set_process_ended();
            output.notify_process_ended();
        },
        UNTIL_END,
        ReadState::ProcessEnded,
    );
}
