//! Tests of one stream of a process, against the plain bytes that were written to it.
//!
//! Here: what the tests of the [store](mod@store), of [reading](mod@reading) and of [snapshots](mod@snapshot) share.

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

/// Longer than anything here takes, and a failure instead of a test that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Incompressible bytes, so that one in the wrong place is seen.
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

/// Whether everything is tested, and not only what a run between two edits has the time for.
fn tests_all() -> bool {
    std::env::var_os("PROCMGR_TEST_ALL").is_some_and(|all| all == "1")
}

/// So many cases where everything is tested, else a fifth of them. No file of failures is kept: the smallest failing case is
/// printed and belongs into a test of its own.
fn cases(all: u32) -> ProptestConfig {
    ProptestConfig {
        cases: if tests_all() { all } else { all / 5 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// What a kernel does with free pieces: fills them in turn, as far as there are bytes.
fn scatter(pieces: &mut [IoSliceMut<'_>], bytes: &[u8]) -> usize {
    let room: usize = pieces.iter().map(|piece| piece.len()).sum();
    assert!(
        room > 0,
        "a read into no room looks like the end of the stream"
    );
    let mut done = 0;
    for piece in pieces {
        let count = piece.len().min(bytes.len() - done);
        piece[..count].copy_from_slice(&bytes[done..done + count]);
        done += count;
    }
    done
}

/// What is not promised to be kept of `total` bytes; empty if all is.
fn gap(total: usize, head: usize, tail: usize) -> Range<usize> {
    let head = head.min(total);
    head..total.saturating_sub(tail).max(head)
}

/// A limit, 0 and 1 included.
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

/// Writes all of it, as a reader thread would.
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
    let output = Output::new(sizes(head, tail));
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

/// Reads without waiting: the bytes, and cursor, lost and state.
fn peek(
    output: &Output,
    cursor: u64,
    capacity: usize,
    options: ReadOptions,
) -> (Vec<u8>, u64, u64, ReadState) {
    let mut buffer = vec![0; capacity];
    let (chunk, _) = output.read(cursor, &mut buffer, options, now(), |_| None);
    buffer.truncate(chunk.length);
    (buffer, chunk.cursor, chunk.lost, chunk.state)
}

/// One character or one invalid sequence: where it begins, how long it is, and how it is shown.
#[derive(Debug, Clone, PartialEq)]
struct Character {
    at: usize,
    raw: usize,
    shown: String,
    valid: bool,
}

/// The characters of some bytes, found one by one.
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

/// Text of characters of every length, with short and long lines and none at all.
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

/// Text with bytes between that are none.
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
            any::<u8>().prop_filter("no marks", |byte| *byte != b'['),
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
