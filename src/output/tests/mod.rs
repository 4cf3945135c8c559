//! Tests of one stream of a process, against the plain bytes that were written to it.
//!
//! Here: what the tests of the [store](mod@store), of [reading](mod@reading) and of
//! [snapshots](mod@snapshot) share.

mod reading;
mod snapshot;
mod store;

use std::fmt::Debug;
use std::io::IoSliceMut;
use std::ops::{Range, RangeInclusive};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use arbtest::arbitrary::{Result as Made, Unstructured};
use arbtest::arbtest;

use super::store::Filled;
use super::{Output, ReadOptions, ReadState, Sizes};
use crate::time::Deadline;

/// Longer than any wait of these tests takes. A test that would hang fails after it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Pseudorandom bytes, so that a byte in the wrong place is noticed.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..1 << 20)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .collect()
});

/// Whether all cases are tested. A plain run tests a part of them.
fn tests_all() -> bool {
    std::env::var_os("PROCMGR_TEST_ALL").is_some_and(|all| all == "1")
}

/// How long most properties are tested, in a plain run.
const PROPERTY_TIME: Duration = Duration::from_millis(500);

/// Tests a property with random cases, for this time or ten times as long if all cases are tested. Prints a
/// case that fails, and its seed. `ARBTEST_SEED=0x...` in the environment tests this one alone. It belongs
/// into a test of its own.
fn check_property<Case: Debug + Clone>(
    time: Duration,
    mut make: impl FnMut(&mut Unstructured<'_>) -> Made<Case>,
    mut check: impl FnMut(Case),
) {
    /// Prints the case if a panic drops it.
    struct Shown<Case: Debug>(Case);
    impl<Case: Debug> Drop for Shown<Case> {
        fn drop(&mut self) {
            if thread::panicking() {
                eprintln!("The case: {:?}", self.0);
            }
        }
    }
    let times = if tests_all() { 10 } else { 1 };
    arbtest(|source| {
        let case = Shown(make(source)?);
        check(case.0.clone());
        Ok(())
    })
    // The largest cases take a kilobyte. A source that is used up gives the smallest values.
    .size_min(1 << 8)
    .size_max(1 << 10)
    .budget(time * times);
}

/// A vector with as many elements as one of the lengths.
fn vector<T>(
    source: &mut Unstructured<'_>,
    lengths: RangeInclusive<usize>,
    mut element: impl FnMut(&mut Unstructured<'_>) -> Made<T>,
) -> Made<Vec<T>> {
    let length = source.int_in_range(lengths)?;
    (0..length).map(|_| element(source)).collect()
}

/// A number in one of the ranges.
fn in_one_of(source: &mut Unstructured<'_>, ranges: &[RangeInclusive<usize>]) -> Made<usize> {
    let range = source.choose(ranges)?.clone();
    source.int_in_range(range)
}

/// Does what `readv` does: fills the pieces one after the other, as far as there are bytes.
fn scatter(pieces: &mut [IoSliceMut<'_>], bytes: &[u8]) -> usize {
    let room: usize = pieces.iter().map(|piece| piece.len()).sum();
    assert!(
        room > 0,
        "a read into no room would look like the end of the stream"
    );
    let mut done = 0;
    for piece in pieces {
        let count = piece.len().min(bytes.len() - done);
        piece[..count].copy_from_slice(&bytes[done..done + count]);
        done += count;
    }
    done
}

/// The range of `total` bytes that need not be kept. Empty if all bytes must be kept.
fn gap(total: usize, head: usize, tail: usize) -> Range<usize> {
    let head = head.min(total);
    head..total.saturating_sub(tail).max(head)
}

/// A limit, including 0 and 1.
fn limit(source: &mut Unstructured<'_>) -> Made<usize> {
    in_one_of(source, &[0..=0, 1..=1, 2..=7, 8..=299, 1000..=4999])
}

fn sizes(head: usize, tail: usize) -> Sizes {
    Sizes {
        head,
        tail,
        lossless: false,
    }
}

/// Writes all bytes, as a reader thread does.
fn write(output: &Output, bytes: &[u8]) {
    let mut done = 0;
    while done < bytes.len() {
        match output.fill(false, |pieces| Ok(scatter(pieces, &bytes[done..]))) {
            Ok(Filled::Bytes(count)) => done += count,
            other => panic!("{other:?} after {done} bytes"),
        }
    }
}

/// An output to which these bytes have been written.
fn output_of(bytes: &[u8], head: usize, tail: usize) -> Output {
    let output = Output::new(sizes(head, tail), Vec::new());
    write(&output, bytes);
    output
}

fn now() -> Deadline {
    Deadline::after(Duration::ZERO)
}

const RAW: ReadOptions = ReadOptions {
    whole_characters: false,
    until_process_end: false,
};
const WHOLE: ReadOptions = ReadOptions {
    whole_characters: true,
    ..RAW
};
const UNTIL_END: ReadOptions = ReadOptions {
    until_process_end: true,
    ..RAW
};

/// Reads without waiting. Returns the bytes, and cursor, lost and state.
fn peek(
    output: &Output,
    cursor: u64,
    capacity: usize,
    options: ReadOptions,
) -> (Vec<u8>, u64, u64, ReadState) {
    let mut buffer = vec![0; capacity];
    let chunk = output.read(cursor, &mut buffer, options, now(), || ());
    buffer.truncate(chunk.length);
    (buffer, chunk.cursor, chunk.lost, chunk.state)
}

/// One character or one invalid sequence: its position, its length, and how it is shown.
#[derive(Debug, Clone, PartialEq)]
struct Character {
    at: usize,
    raw: usize,
    shown: String,
    valid: bool,
}

/// The characters of some bytes, found one after the other.
fn characters(bytes: &[u8]) -> Vec<Character> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let valid = (1..=rest.len().min(4)).find(|raw| std::str::from_utf8(&rest[..*raw]).is_ok());
        let raw = valid.unwrap_or_else(|| match std::str::from_utf8(rest) {
            Ok(_) => unreachable!("it does not begin with a character"),
            Err(error) => error.error_len().unwrap_or(rest.len()),
        });
        let shown = String::from_utf8_lossy(&rest[..raw]).into_owned();
        found.push(Character {
            at,
            raw,
            shown,
            valid: valid.is_some(),
        });
        at += raw;
    }
    found
}

/// Text with characters of every length, with short and long lines.
fn text(source: &mut Unstructured<'_>) -> Made<Vec<u8>> {
    Ok(vector(source, 0..=119, piece)?.concat().into_bytes())
}

fn piece(source: &mut Unstructured<'_>) -> Made<String> {
    const PIECES: [&str; 6] = ["a", "word ", "é", "€", "🦀", "\u{FFFD}"];
    Ok(match source.int_in_range(0..=8)? {
        0..=5 => (*source.choose(&PIECES)?).to_owned(),
        6 => source.choose(&PIECES)?.repeat(source.int_in_range(1..=59)?),
        7 => "\n".to_owned(),
        _ => "\n\n\n".to_owned(),
    })
}

/// Text with invalid bytes in it.
fn noisy(source: &mut Unstructured<'_>) -> Made<Vec<u8>> {
    const INVALID: [&[u8]; 9] = [
        &[0xFF],
        &[0x80],
        &[0xBF; 5],
        &[0xE2],
        &[0xE2, 0x82],
        &[0xF0, 0x9F, 0xA6],
        &[0xED, 0xA0, 0x80],
        &[0xC0, 0xAF],
        &[0xF4, 0x90, 0x80, 0x80],
    ];
    let pieces = vector(source, 0..=79, |source| {
        Ok(match source.int_in_range(0..=3)? {
            0..=2 => piece(source)?.into_bytes(),
            _ => match source.int_in_range(0..=INVALID.len())? {
                // Any bytes but the first one of the note of a gap.
                0 => vector(source, 0..=19, |source| {
                    source
                        .arbitrary()
                        .map(|byte| if byte == b'[' { b']' } else { byte })
                })?,
                number => INVALID[number - 1].to_vec(),
            },
        })
    })?;
    Ok(pieces.concat())
}
