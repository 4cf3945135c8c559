//! Tests of one stream of a process, against the plain bytes that were written to it.
//!
//! Here: what the tests of the [store](mod@store), of [reading](mod@reading) and of
//! [snapshots](mod@snapshot) share.

mod reading;
mod snapshot;
mod store;

use std::io::IoSliceMut;
use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

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

/// The number of cases: `all` if all are tested, else a fifth of them. Failing cases are not stored in a
/// file: the smallest one is printed, and belongs into a test of its own.
fn cases(all: u32) -> ProptestConfig {
    ProptestConfig {
        cases: if tests_all() { all } else { all / 5 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
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
fn limit() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), Just(1), 2..8_usize, 8..300_usize, 1000..5000_usize]
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
fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..120).prop_map(|pieces| pieces.concat().into_bytes())
}

fn piece() -> impl Strategy<Value = String> {
    let one = |text: &'static str| Just(text.to_owned());
    let pieces = prop_oneof![
        one("a"),
        one("word "),
        one("é"),
        one("€"),
        one("🦀"),
        one("\u{FFFD}"),
    ];
    prop_oneof![
        6 => pieces.clone(),
        1 => (pieces, 1..60_usize).prop_map(|(text, times)| text.repeat(times)),
        1 => one("\n"),
        1 => one("\n\n\n"),
    ]
}

/// Text with invalid bytes in it.
fn noisy() -> impl Strategy<Value = Vec<u8>> {
    let invalid = prop_oneof![
        Just(vec![0xFF]),
        Just(vec![0x80]),
        Just(vec![0xBF; 5]),
        Just(vec![0xE2]),
        Just(vec![0xE2, 0x82]),
        Just(vec![0xF0, 0x9F, 0xA6]),
        Just(vec![0xED, 0xA0, 0x80]),
        Just(vec![0xC0, 0xAF]),
        Just(vec![0xF4, 0x90, 0x80, 0x80]),
        vec(
            any::<u8>().prop_filter("no gap note", |byte| *byte != b'['),
            0..20
        ),
    ];
    vec(
        prop_oneof![
            3 => piece().prop_map(String::into_bytes),
            1 => invalid,
        ],
        0..80,
    )
    .prop_map(|pieces| pieces.concat())
}
