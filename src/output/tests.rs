//! Holds down what a stream promises, against the plain bytes that were written to it.
//!
//! The store: the total counts every byte, kept bytes are where they belong, `lost` is exact, no less is kept than was
//! promised, and no more memory is held than was allowed. The stream: chunks and `lost` together are the whole of it,
//! and whoever waits is woken. The snapshot: a checker that knows nothing of how it is made reads the text beside the
//! output, character by character, and counts what it does not show.

use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::sync::{Arc, LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::store::{Filled, HOT_RING, Store};
use super::{Lookout, Output, ReadOptions, ReadState, Sighting, Sizes, Snapshot, Truncation};
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

/// Writes as much as the store takes. Returns how much that was.
fn put(store: &mut Store, beyond: bool, bytes: &[u8]) -> usize {
    let mut done = 0;
    while done < bytes.len() {
        match store.fill(beyond, |pieces| Ok(scatter(pieces, &bytes[done..]))) {
            Ok(Filled::Bytes(count)) => {
                assert!(count > 0, "a write without progress");
                done += count;
            }
            Ok(Filled::Full) => break,
            Err(error) => panic!("no error was given, and one came back: {error}"),
        }
    }
    done
}

/// How many bytes of memory the store holds. Only its debugging form shows that.
fn held(store: &Store) -> usize {
    let text = format!("{store:?}");
    ["head: [", "ring: ["]
        .map(|field| {
            let (_, values) = text.split_once(field).expect("the store has this field");
            let values = values.split(']').next().unwrap_or_default();
            values.split(',').filter(|value| !value.is_empty()).count()
        })
        .iter()
        .sum()
}

/// Looks for `cursor` and takes up to `length` bytes there, and compares with `written`, of which `gone` was dropped.
fn look(store: &Store, written: &[u8], gone: &Range<usize>, cursor: u64, length: usize) {
    let found = store.find(cursor);
    let lost = match cursor >= gone.start as u64 && cursor < gone.end as u64 {
        true => gone.end as u64 - cursor,
        false => 0,
    };
    assert_eq!(
        (found.position, found.lost),
        (cursor + lost, lost),
        "at {cursor}"
    );
    let mut buffer = vec![0; length];
    let count = store.copy(found.position, &mut buffer);
    let from = written.len().min(found.position as usize);
    let until = match from < gone.start && !gone.is_empty() {
        true => gone.start,
        false => written.len(),
    };
    assert_eq!(count, length.min(until - from), "at {cursor}");
    assert!(
        buffer[..count] == written[from..from + count],
        "wrong bytes at {cursor}"
    );
}

/// Compares what a snapshot is made from.
fn look_at_kept(store: &Store, written: &[u8], head: usize, tail: usize) {
    let kept = store.kept();
    let gap = gap(written.len(), head, tail);
    assert_eq!(kept.total, written.len() as u64);
    assert_eq!(kept.gap_at, (!gap.is_empty()).then_some(gap.start));
    assert!(kept.bytes == [&written[..gap.start], &written[gap.end..]].concat());
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

/// A position of `total` bytes, or one of the next few.
fn position(place: f64, total: usize) -> u64 {
    (place * (total + 3) as f64) as u64
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Beyond(usize),
    Fail(io::ErrorKind),
    Look(f64, usize),
    /// The follower with this number reads so much.
    Follow(usize, usize),
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let size = move || prop_oneof![0..3_usize, 3..most / 16, most / 16..most];
    let errors = prop_oneof![
        Just(io::ErrorKind::WouldBlock),
        Just(io::ErrorKind::Interrupted)
    ];
    let step = prop_oneof![
        4 => size().prop_map(Step::Write),
        1 => size().prop_map(Step::Beyond),
        1 => errors.prop_map(Step::Fail),
        2 => (0.0..1.0, size()).prop_map(|(place, length)| Step::Look(place, length)),
        4 => (0..2_usize, size()).prop_map(|(who, length)| Step::Follow(who, length)),
    ];
    vec(step, 0..40)
}

/// An error of the read goes to the caller and changes nothing.
fn fail(store: &mut Store, kind: io::ErrorKind) {
    match store.fill(false, |_| Err(kind.into())) {
        Err(error) => assert_eq!(error.kind(), kind),
        // A full store does not even try.
        Ok(filled) => assert_eq!(filled, Filled::Full),
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_store_keeps_its_first_and_its_last_bytes(
        head in limit(),
        tail in limit(),
        steps in steps(6000),
    ) {
        let mut store = Store::new(head, tail, false);
        let mut total = 0;
        for step in steps {
            match step {
                Step::Write(length) | Step::Beyond(length) => {
                    assert_eq!(put(&mut store, false, &NOISE[total..total + length]), length);
                    total += length;
                }
                Step::Fail(kind) => fail(&mut store, kind),
                Step::Look(place, length) => {
                    let gone = gap(total, head, tail);
                    look(&store, &NOISE[..total], &gone, position(place, total), length);
                }
                Step::Follow(..) => assert!(!store.mark_read(total as u64)),
            }
            assert_eq!(store.total(), total as u64);
            look_at_kept(&store, &NOISE[..total], head, tail);
        }
        assert!(held(&store) <= head + tail.max(HOT_RING), "more memory than a hot stream may take");
        store.cool();
        assert!(held(&store) <= head + tail, "more memory than allowed");
        look_at_kept(&store, &NOISE[..total], head, tail);

        store.shrink();
        let gone = gap(total, head, tail);
        assert_eq!(held(&store), total - gone.len(), "memory for bytes that never came");
        look_at_kept(&store, &NOISE[..total], head, tail);
        for cursor in [0, gone.start, gone.start + 1, gone.end, gone.end + 1, total, total + 1] {
            look(&store, &NOISE[..total], &gone, cursor as u64, total + 1);
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn a_lossless_store_keeps_what_nobody_has_read(
        head in limit(),
        tail in prop_oneof![limit(), 200_000..400_000_usize],
        steps in steps(300_000),
    ) {
        let mut store = Store::new(head, tail, true);
        let mut total = 0;
        let mut cursors = [0_u64; 2];
        let mut gone = 0..0;
        let mut stalled = false;
        let mut grown = false;
        // How much unread it holds when it is full. Not promised, but always the same, and at least the tail.
        let mut capacity = None;
        for step in steps {
            match step {
                Step::Write(length) => {
                    let length = length.min(NOISE.len() - total);
                    let count = put(&mut store, false, &NOISE[total..total + length]);
                    total += count;
                    if count < length {
                        let read = cursors.iter().max().map_or(0, |cursor| *cursor as usize);
                        let unread = total - read.max(head);
                        assert!(unread > 0 && unread >= tail, "full of {unread} unread bytes");
                        if !grown {
                            assert_eq!(unread, *capacity.get_or_insert(unread));
                        }
                        let again = store.fill(false, |_| panic!("read without room"));
                        assert_eq!(again.ok(), Some(Filled::Full));
                        stalled = true;
                    }
                }
                Step::Beyond(length) => {
                    let length = length.min(NOISE.len() - total);
                    assert_eq!(put(&mut store, true, &NOISE[total..total + length]), length);
                    total += length;
                    grown = true;
                }
                Step::Fail(kind) => {
                    let before = store.total();
                    fail(&mut store, kind);
                    assert_eq!(store.total(), before);
                    // It may have been the fill that found the store full.
                    stalled |= store.fill(false, |_| Err(kind.into())).is_ok();
                }
                Step::Look(place, length) => {
                    look(&store, &NOISE[..total], &gone, position(place, total), length);
                }
                Step::Follow(who, length) => {
                    let found = store.find(cursors[who]);
                    look(&store, &NOISE[..total], &gone, cursors[who], length);
                    let count = store.copy(found.position, &mut vec![0; length]);
                    cursors[who] = found.position + count as u64;
                    let resumed = store.mark_read(cursors[who]);
                    assert!(stalled || !resumed, "resumed without having stopped");
                    let caught_up = cursors.contains(&(total as u64));
                    assert!(resumed || !(stalled && caught_up), "everything was read");
                    if resumed {
                        stalled = false;
                        let more = NOISE.len().min(total + 1);
                        total += put(&mut store, false, &NOISE[total..more]);
                        assert_eq!(total, more, "it said that there is room");
                    }
                }
            }
            assert_eq!(store.total(), total as u64);
            look_at_kept(&store, &NOISE[..total], head, tail);

            // What is gone grows, and only over bytes that were read and are not in head or tail.
            let from = head.min(total);
            let until = store.find(from as u64).position as usize;
            let read = cursors.iter().max().map_or(0, |cursor| *cursor as usize);
            assert!(until >= gone.end, "dropped bytes came back");
            assert!(until <= gap(total, head, tail).end.min(read).max(from), "dropped too early");
            gone = from..until;
            look(&store, &NOISE[..total], &gone, 0, total);
            look(&store, &NOISE[..total], &gone, from as u64, total);
        }
        store.shrink();
        look_at_kept(&store, &NOISE[..total], head, tail);
        look(&store, &NOISE[..total], &gone, 0, total);
        look(&store, &NOISE[..total], &gone, gone.end as u64, total);
        assert_eq!(held(&store), total - gone.len());
    }
}

#[test]
fn a_silent_store_holds_no_memory() {
    for lossless in [false, true] {
        let mut store = Store::new(16 << 10, 16 << 10, lossless);
        assert_eq!(held(&store), 0);
        // Its end is found by a read into free pieces, which are given back.
        assert_eq!(store.fill(false, |_| Ok(0)).ok(), Some(Filled::Bytes(0)));
        store.shrink();
        assert_eq!(held(&store), 0);
        assert_eq!(store.total(), 0);
    }
}

#[test]
fn memory_grows_with_the_output() {
    let limit = 1 << 20;
    let mut store = Store::new(limit, limit, false);
    for total in [1, 100, 5_000, limit, limit + 1, limit + 20_000] {
        let written = store.total() as usize;
        put(&mut store, false, &NOISE[written..total]);
        assert!(held(&store) <= 2 * total + 2048, "at {total}");
    }
}

#[test]
fn one_read_fills_both_ends_of_the_ring() {
    for lossless in [false, true] {
        let mut store = Store::new(0, 300_000, lossless);
        put(&mut store, false, &NOISE[..300_000]);
        store.mark_read(300_000);
        put(&mut store, false, &NOISE[300_000..300_100]);
        store.mark_read(300_100);
        let next = &NOISE[300_100..600_100];
        let filled = store.fill(false, |pieces| Ok(scatter(pieces, next)));
        assert_eq!(filled.ok(), Some(Filled::Bytes(300_000)));
        look_at_kept(&store, &NOISE[..600_100], 0, 300_000);
    }
}

#[test]
fn limits_beyond_all_memory_cost_nothing() {
    for lossless in [false, true] {
        let mut store = Store::new(usize::MAX, usize::MAX, lossless);
        put(&mut store, false, b"abc");
        look(&store, b"abc", &(3..3), 0, 10);
        look(&store, b"abc", &(3..3), u64::MAX, 10);
        look_at_kept(&store, b"abc", usize::MAX, usize::MAX);
        let mut store = Store::new(0, usize::MAX, lossless);
        put(&mut store, false, &NOISE[..5000]);
        look_at_kept(&store, &NOISE[..5000], 0, usize::MAX);
        store.shrink();
        look(&store, &NOISE[..5000], &(0..0), 0, 5000);
    }
}

#[test]
fn a_full_lossless_store_holds_head_and_ring_and_no_more() {
    let (head, tail) = (1000, 300_000);
    let mut store = Store::new(head, tail, true);
    assert_eq!(put(&mut store, false, &NOISE[..1 << 20]), head + tail);
    assert_eq!(held(&store), head + tail);
    assert_eq!(
        store.fill(false, |_| panic!("read without room")).ok(),
        Some(Filled::Full)
    );

    // Reading the head frees nothing, reading one byte of the ring not enough to wake anybody for.
    assert!(!store.mark_read(head as u64));
    assert!(!store.mark_read(head as u64 + 1));
    // A follower that is behind does not take back what another has read.
    assert!(!store.mark_read(0));
    assert!(store.mark_read((head + tail) as u64));
    // Said once.
    assert!(!store.mark_read((head + tail) as u64));
    assert_eq!(
        put(&mut store, false, &NOISE[head + tail..1 << 20]),
        tail,
        "it was empty"
    );
    look_at_kept(&store, &NOISE[..head + 2 * tail], head, tail);
}

#[test]
fn what_is_left_at_the_end_is_kept_beyond_the_ring() {
    let mut store = Store::new(10, 10, true);
    let full = put(&mut store, false, &NOISE[..1 << 20]);
    assert!(full < 1 << 20);
    put(&mut store, true, &NOISE[full..1 << 20]);
    look(&store, &NOISE[..1 << 20], &(10..10), 0, 1 << 20);
    look_at_kept(&store, &NOISE[..1 << 20], 10, 10);
}

/// Sees bytes, but only when it is let go.
struct Late {
    seen: std::sync::Barrier,
    let_go: std::sync::Barrier,
}

impl Lookout for Late {
    fn wait(&self, _: Deadline) -> Sighting {
        self.seen.wait();
        self.let_go.wait();
        Sighting::Bytes
    }

    fn read(&self, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(scatter(pieces, b"too late"))
    }

    fn has_more(&self) -> bool {
        false
    }

    fn raise(&self) {}
}

/// A survivor may write while its output is abandoned: somebody was told of the end, so nothing may follow.
#[test]
fn nothing_comes_after_the_end() {
    let output = Output::new(Sizes {
        head: 100,
        tail: 100,
        lossless: false,
    });
    let late = Arc::new(Late {
        seen: std::sync::Barrier::new(2),
        let_go: std::sync::Barrier::new(2),
    });
    let read = |lookout: Option<Arc<dyn Lookout>>| {
        let (chunk, _) = output.read(0, &mut [0; 10], RAW, Deadline::after(PATIENCE), |_| lookout);
        (chunk.length, chunk.state)
    };
    thread::scope(|scope| {
        let lookout: Arc<dyn Lookout> = Arc::clone(&late) as _;
        let reader = scope.spawn(move || read(Some(lookout)));
        late.seen.wait();
        assert!(output.close());
        assert_eq!(read(None), (0, ReadState::Eof));
        late.let_go.wait();
        assert_eq!(reader.join().expect("no panic"), (0, ReadState::Eof));
    });
    let filled = output.fill(true, |pieces| Ok(scatter(pieces, b"too late")));
    assert_eq!(filled.ok(), Some(Filled::Bytes(0)));
    assert_eq!(read(None), (0, ReadState::Eof));
    assert_eq!(output.total(), 0);
}

/// The last bytes of a process are taken with `beyond`, whatever kind its store is.
#[test]
fn only_a_lossless_store_grows_beyond_its_tail() {
    for (head, tail) in [(0, 0), (1, 0), (100, 0), (0, 1), (0, 100), (100, 100)] {
        let mut store = Store::new(head, tail, false);
        put(&mut store, true, &NOISE[..5000]);
        assert_eq!(store.total(), 5000);
        let gone = gap(5000, head, tail);
        look(&store, &NOISE[..5000], &gone, gone.start as u64, 5000);
        store.cool();
        assert!(held(&store) <= head + tail, "head {head}, tail {tail}");
    }
}

/// How much a read may take now.
fn room(store: &mut Store) -> usize {
    let mut room = 0;
    let filled = store.fill(false, |pieces| {
        room = pieces.iter().map(|piece| piece.len()).sum();
        Err(io::ErrorKind::WouldBlock.into())
    });
    assert!(filled.is_err());
    room
}

#[test]
fn a_hot_stream_is_read_in_larger_pieces_and_keeps_no_more() {
    let (head, tail) = (100, 5_000);
    let mut store = Store::new(head, tail, false);
    let mut total = 0;
    while total < 10_000 {
        put(&mut store, false, &NOISE[total..total + 50]);
        total += 50;
    }
    for length in [tail, HOT_RING, 1] {
        let expected = if length == tail { tail } else { HOT_RING };
        assert_eq!(room(&mut store), expected, "before {length}");
        put(&mut store, false, &NOISE[total..total + length]);
        total += length;
        look(
            &store,
            &NOISE[..total],
            &gap(total, head, tail),
            head as u64,
            total,
        );
        look_at_kept(&store, &NOISE[..total], head, tail);
    }
    store.cool();
    assert_eq!(held(&store), head + tail);
    look_at_kept(&store, &NOISE[..total], head, tail);
    assert_eq!(room(&mut store), tail);
}

/// A read that claims more than there was room for is not believed.
#[test]
fn a_count_that_cannot_be_true_is_cut() {
    for (head, tail, lossless) in [
        (5, 5, false),
        (0, 5, false),
        (0, 0, false),
        (5, 5, true),
        (0, 5, true),
    ] {
        let mut store = Store::new(head, tail, lossless);
        for _ in 0..3 {
            store
                .fill(false, |_| Ok(usize::MAX))
                .expect("no error was given");
            let found = store.find(0);
            store.copy(found.position, &mut [0; 100]);
            store.kept();
        }
    }
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

/// Reads a stream from its beginning, and compares each chunk with what was written.
struct Follower<'a> {
    cursor: u64,
    options: ReadOptions,
    /// The whole stream, as it will be at the end.
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
            // The end of a character whose beginning is lost is no character.
            assert!(
                cut.is_none_or(|c| c.at < start),
                "ends inside of {cut:?} at {end}"
            );
        }
        match state {
            ReadState::Data => assert!(!bytes.is_empty()),
            ReadState::TimedOut => {
                assert!(open && bytes.is_empty());
                let kept = output.inner.lock().store.find(cursor).position;
                let left = (total as u64).saturating_sub(kept);
                let held_back = if self.options.whole_characters { 3 } else { 0 };
                assert!(left <= held_back, "{left} bytes were there");
            }
            ReadState::Eof => {
                assert!(!open && bytes.is_empty());
                assert_eq!(end, total, "the end came too early");
            }
            ReadState::ProcessEnded => panic!("nobody asked for that"),
        }
        self.cursor = cursor;
        self.read += bytes.len() as u64;
        self.lost += lost;
        state
    }

    /// A byte at the end of the head, of a character whose rest is gone.
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

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn chunks_and_lost_are_the_whole_stream(
        stream in noisy(),
        head in limit(),
        tail in limit(),
        lossless in any::<bool>(),
        turns in vec((0..64_usize, 0..2_usize, 4..40_usize), 0..60),
    ) {
        let output = Output::new(Sizes { head, tail, lossless });
        let characters = characters(&stream);
        let mut followers = [RAW, WHOLE].map(|options| Follower::new(&stream, &characters, options));
        let mut total = 0;
        // What one follower of a lossless stream has read may be gone for the other.
        let gone = |total, followers: &[Follower<'_>]| {
            let gap = gap(total, head, tail);
            let read = followers.iter().map(|follower| follower.cursor as usize).max();
            match lossless {
                true => gap.start..gap.end.min(read.unwrap_or(0)).max(gap.start),
                false => gap,
            }
        };
        for (length, who, capacity) in turns {
            let next = stream.len().min(total + length);
            write(&output, &stream[total..next]);
            total = next;
            let gone = gone(total, &followers);
            followers[who].step(&output, total, &gone, capacity);
        }
        write(&output, &stream[total..]);
        let total = stream.len();
        assert_eq!(output.total(), total as u64);
        assert!(output.close());
        for who in 0..followers.len() {
            let gone = gone(total, &followers);
            let follower = &mut followers[who];
            while follower.step(&output, total, &gone, 7) != ReadState::Eof {}
            assert_eq!(follower.cursor, total as u64);
            assert_eq!(follower.read + follower.lost, total as u64);
        }
    }

    #[test]
    fn one_follower_of_a_lossless_stream_gets_all_of_it(
        stream in noisy(),
        head in limit(),
        tail in limit(),
        turns in vec((0..500_usize, 4..200_usize), 0..60),
        whole in any::<bool>(),
    ) {
        let output = Output::new(Sizes { head, tail, lossless: true });
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
    }
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
fn reading_goes_on_after_what_is_gone() {
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
fn everything_up_to_the_end_can_be_gone() {
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
fn a_buffer_without_room_asks_whether_there_is_more() {
    let output = output_of(b"0123456789", 2, 3);
    for options in [RAW, WHOLE] {
        assert_eq!(
            peek(&output, 0, 0, options),
            (vec![], 0, 0, ReadState::Data)
        );
        // What was not read was not skipped.
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
    let output = Output::new(sizes(10, 10));
    let timeout = Duration::from_millis(30);
    let begun = Instant::now();
    let (chunk, _) = output.read(0, &mut [0; 10], RAW, Deadline::after(timeout), |_| None);
    assert_eq!(chunk.state, ReadState::TimedOut);
    assert!(begun.elapsed() >= timeout);
    // Bytes that are there are given even when the time is up.
    write(&output, b"x");
    assert_eq!(peek(&output, 0, 1, RAW).3, ReadState::Data);
}

#[test]
fn the_end_of_the_process_comes_after_its_bytes() {
    let output = output_of(b"abc", 10, 10);
    assert_eq!(peek(&output, 3, 10, UNTIL_END).3, ReadState::TimedOut);
    output.process_ended();
    assert_eq!(
        peek(&output, 0, 10, UNTIL_END),
        (b"abc".to_vec(), 3, 0, ReadState::Data)
    );
    assert_eq!(
        peek(&output, 3, 10, UNTIL_END),
        (vec![], 3, 0, ReadState::ProcessEnded)
    );
    // Who did not ask for that waits for the survivors.
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
    let output = Output::new(sizes(2, 100));
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
    // A buffer that holds one and a half.
    write(&output, &crab[2..]);
    assert_eq!(
        peek(&output, 0, 7, WHOLE),
        (crab.to_vec(), 4, 0, ReadState::Data)
    );
}

#[test]
fn what_the_stream_ends_with_is_given_even_when_it_is_no_character() {
    let output = output_of(b"ab\xF0\x9F", 10, 10);
    output.process_ended();
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
fn the_beginning_of_a_character_whose_rest_is_gone_is_lost_with_it() {
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

/// Reads until the stream has ended: the bytes, and how many were lost before each piece of them.
fn follow(output: &Output, options: ReadOptions, capacity: usize) -> Vec<(u64, Vec<u8>)> {
    let mut pieces = Vec::new();
    let mut cursor = 0;
    let mut buffer = vec![0; capacity];
    let deadline = Deadline::after(PATIENCE);
    loop {
        let (chunk, _) = output.read(cursor, &mut buffer, options, deadline, |_| None);
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
                assert!(!deadline.passed(), "found out, and was not told");
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
        let output = Output::new(sizes(head, tail));
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
    let output = Output::new(Sizes {
        head: 1000,
        tail: 1000,
        lossless: true,
    });
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
                    // The reader comes when there is no room left.
                    if let Some(resume) = resume.take() {
                        let output = &output;
                        reader = Some(scope.spawn(move || read_and_resume(output, &resume)));
                    }
                    resumed
                        .recv_timeout(PATIENCE)
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

/// Reads a lossless stream to its end, and says each time when its writer can go on.
fn read_and_resume(output: &Output, resume: &mpsc::Sender<()>) -> Vec<u8> {
    let mut read = Vec::new();
    let mut buffer = vec![0; 10_000];
    loop {
        let deadline = Deadline::after(PATIENCE);
        let (chunk, goes_on) = output.read(read.len() as u64, &mut buffer, RAW, deadline, |_| None);
        assert_eq!(chunk.lost, 0);
        read.extend_from_slice(&buffer[..chunk.length]);
        if goes_on {
            resume.send(()).expect("the writer waits for that");
        }
        match chunk.state {
            ReadState::Data => {}
            ReadState::Eof => return read,
            other => panic!("{other:?} after {} bytes", read.len()),
        }
    }
}

/// Lets many wait for the next byte, does something, and wants all of them to come back in this state.
fn wakes(act: impl Fn(&Output), options: ReadOptions, state: ReadState) {
    const WAITERS: usize = 4;
    for _ in 0..25 {
        let output = Output::new(sizes(10, 10));
        thread::scope(|scope| {
            let waiters: Vec<_> = (0..WAITERS)
                .map(|_| {
                    scope.spawn(|| {
                        output.read(0, &mut [0; 10], options, Deadline::after(PATIENCE), |_| {
                            None
                        })
                    })
                })
                .collect();
            // They wait when a notification finds them all. It changes nothing, so that they will wait again.
            let begun = Instant::now();
            while output.changed.notify_all() < WAITERS {
                assert!(begun.elapsed() < PATIENCE, "they do not wait");
                thread::yield_now();
            }
            // Those that do when it happens must be told. This makes it likely that there are some, and no more is
            // needed: the others see it for themselves.
            (0..300).for_each(|_| thread::yield_now());
            act(&output);
            for waiter in waiters {
                let (chunk, _) = waiter.join().expect("no panic");
                assert_eq!(chunk.state, state);
            }
            assert!(begun.elapsed() < PATIENCE, "found out, and was not told");
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
        |output| output.process_ended(),
        UNTIL_END,
        ReadState::ProcessEnded,
    );
}

/// What stands at the end of a line that was cut, and in the middle of a last one.
const LINE_CUT: &str = " ... [truncated]";
const MIDDLE_CUT: &str = " ... [truncated] ... ";

/// From this limit on a cut line must say that it was cut: there is room for the note and characters on both sides.
const ROOM_FOR_NOTES: usize = 40;

/// The marks between head and tail.
fn gap_note(omitted: usize) -> String {
    format!("\n\n... [omitted {omitted} bytes] ...\n\n")
}

/// How many raw bytes the characters take that are shown as exactly `shown`.
fn raw_of<'a>(characters: impl Iterator<Item = &'a Character>, shown: usize) -> Option<usize> {
    let (mut raw, mut seen) = (0, 0);
    for character in characters {
        if seen >= shown {
            break;
        }
        raw += character.raw;
        seen += character.shown.len();
    }
    (seen == shown).then_some(raw)
}

/// Checks how one line is shown, and returns how many of its bytes are. `is_last` is a last line without a newline.
fn check_line(line: &[u8], shown: &str, max_line: usize, is_last: bool) -> Result<usize, String> {
    let found = characters(line);
    let full: String = found.iter().map(|c| c.shown.as_str()).collect();
    let wrong = |what: &str| {
        Err(format!(
            "{what}: limit {max_line}, line {full:?}, shown {shown:?}"
        ))
    };
    if max_line == 0 || full.len() <= max_line {
        return match shown == full {
            true => Ok(line.len()),
            false => wrong("a line that is not too long was changed"),
        };
    }
    if shown.len() > max_line {
        return wrong("longer than the limit");
    }
    if is_last {
        let (front, back) = match shown.split_once(MIDDLE_CUT) {
            Some(parts) => parts,
            None if max_line < ROOM_FOR_NOTES => ("", shown),
            None => return wrong("no note"),
        };
        if !full.starts_with(front) || !full.ends_with(back) {
            return wrong("not the beginning and the end");
        }
        let last = found.last().map_or(0, |c| c.shown.len());
        if max_line >= last && back.is_empty() {
            return wrong("the true end is not seen");
        }
        if shown.len() + 2 * 3 < max_line {
            return wrong("cut more than needed");
        }
        if front.len() + back.len() >= full.len() {
            return wrong("shown twice");
        }
        match (
            raw_of(found.iter(), front.len()),
            raw_of(found.iter().rev(), back.len()),
        ) {
            (Some(front), Some(back)) => Ok(front + back),
            _ => wrong("cut inside of a character"),
        }
    } else {
        let front = match shown.strip_suffix(LINE_CUT) {
            Some(front) => front,
            None if max_line < ROOM_FOR_NOTES => shown,
            None => return wrong("no note"),
        };
        if !full.starts_with(front) {
            return wrong("not its beginning");
        }
        if shown.len() + 3 < max_line {
            return wrong("cut more than needed");
        }
        match raw_of(found.iter(), front.len()) {
            Some(raw) => Ok(raw),
            None => wrong("cut inside of a character"),
        }
    }
}

/// Checks how bytes without a gap are shown, and returns how many of them are.
fn check_piece(bytes: &[u8], shown: &str, max_line: usize, is_end: bool) -> Result<usize, String> {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let shown: Vec<&str> = shown.split('\n').collect();
    if lines.len() != shown.len() {
        return Err(format!("{} lines, {} shown", lines.len(), shown.len()));
    }
    let mut count = lines.len() - 1;
    for (number, (line, shown)) in lines.iter().zip(&shown).enumerate() {
        let is_last = is_end && number == lines.len() - 1;
        count += check_line(line, shown, max_line, is_last)?;
    }
    Ok(count)
}

/// Where the cuts of a gap may fall. In text there is one place: outwards to the next ends of characters.
fn cuts(output: &[u8], gap: &Range<usize>) -> Vec<Range<usize>> {
    let (text, is_text) = match std::str::from_utf8(output) {
        Ok(text) => (text.len(), true),
        // It may end while a character is being written.
        Err(error) => (error.valid_up_to(), error.error_len().is_none()),
    };
    if is_text {
        let mut ends = vec![0, output.len()];
        ends.extend(characters(&output[..text]).iter().map(|c| c.at + c.raw));
        let start = ends.iter().filter(|end| **end <= gap.start).max();
        let end = ends.iter().filter(|end| **end >= gap.end).min();
        return start
            .zip(end)
            .map(|(start, end)| *start..*end)
            .into_iter()
            .collect();
    }
    // Between other bytes nobody can say what is a character: anywhere near.
    let ends = gap.end..=output.len().min(gap.end + 3);
    (gap.start.saturating_sub(3)..=gap.start)
        .flat_map(|start| ends.clone().map(move |end| start..end))
        .collect()
}

/// Checks a snapshot of `output` against everything that is promised.
fn check_snapshot(snapshot: &Snapshot, output: &[u8], head: usize, tail: usize, max_line: usize) {
    let text = &snapshot.text;
    let gap = gap(output.len(), head, tail);
    // What can be seen: how many bytes of the output the text shows.
    let readings: Vec<Result<usize, String>> = if gap.is_empty() {
        vec![check_piece(output, text, max_line, true)]
    } else {
        let read = |cut: Range<usize>| {
            let (front, back) = text
                .split_once(&gap_note(cut.len()))
                .ok_or_else(|| format!("no note of {} bytes", cut.len()))?;
            let front = check_piece(&output[..cut.start], front, max_line, false)?;
            let back = check_piece(&output[cut.end..], back, max_line, true)?;
            Ok(front + back)
        };
        cuts(output, &gap).into_iter().map(read).collect()
    };
    // Text is read in one way. Of invalid bytes, which all look the same, several can be meant; one must fit.
    let truncation = snapshot.truncation;
    let claimed = output.len() as u64 - truncation.map_or(0, |t| t.omitted_bytes);
    assert!(
        readings.contains(&Ok(claimed as usize)),
        "{snapshot:?} shows {readings:?} of {} bytes",
        output.len()
    );
    let omitted = output.len() as u64 - claimed;
    let numbers = truncation.map(|t| (t.original_bytes, t.retained_bytes, t.omitted_bytes));
    let expected = (omitted > 0).then_some((output.len() as u64, text.len() as u64, omitted));
    assert_eq!(numbers, expected, "in {snapshot:?}");
    if let Some(truncation) = snapshot.truncation {
        assert_eq!(truncation.strategy, "head_tail");
    } else {
        assert_eq!(*text, String::from_utf8_lossy(output));
    }
}

/// A limit for lines: none, tiny, some.
fn line_limit() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), 1..=40_usize, 41..=300_usize]
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn a_snapshot_of_text_shows_it_and_says_what_it_does_not(
        output in text(),
        cut in 0..4_usize,
        head in limit(),
        tail in limit(),
        max_line in line_limit(),
    ) {
        // The last character may be on its way.
        let output = &output[..output.len().saturating_sub(cut)];
        let snapshot = output_of(output, head, tail).snapshot(max_line);
        check_snapshot(&snapshot, output, head, tail, max_line);
    }

    #[test]
    fn a_snapshot_of_any_bytes_is_text_and_its_numbers_add_up(
        output in noisy(),
        head in limit(),
        tail in limit(),
        max_line in line_limit(),
    ) {
        let snapshot = output_of(&output, head, tail).snapshot(max_line);
        check_snapshot(&snapshot, &output, head, tail, max_line);
    }
}

/// The text of a snapshot without a limit for lines.
fn text_of(bytes: &[u8], head: usize, tail: usize) -> String {
    let snapshot = output_of(bytes, head, tail).snapshot(0);
    check_snapshot(&snapshot, bytes, head, tail, 0);
    snapshot.text
}

#[test]
fn all_that_was_kept_is_shown_as_it_is() {
    for bytes in [
        &b""[..],
        b"\n",
        b"\n\n\n",
        b"x",
        b"line\n",
        b"no newline",
        "é€🦀\n".as_bytes(),
    ] {
        for (head, tail) in [
            (100, 100),
            (bytes.len(), 0),
            (0, bytes.len()),
            (bytes.len() / 2, bytes.len().div_ceil(2)),
        ] {
            let snapshot = output_of(bytes, head, tail).snapshot(2048);
            assert_eq!(snapshot.text.as_bytes(), bytes);
            assert_eq!(snapshot.truncation, None);
        }
    }
}

#[test]
fn one_byte_more_than_head_and_tail_is_a_gap() {
    assert_eq!(text_of(b"abc", 3, 2), "abc");
    assert_eq!(text_of(b"abcde", 3, 2), "abcde");
    assert_eq!(
        text_of(b"abcdef", 3, 2),
        "abc\n\n... [omitted 1 bytes] ...\n\nef"
    );
    assert_eq!(
        text_of(b"abcdef", 0, 2),
        "\n\n... [omitted 4 bytes] ...\n\nef"
    );
    assert_eq!(
        text_of(b"abcdef", 1, 0),
        "a\n\n... [omitted 5 bytes] ...\n\n"
    );
    assert_eq!(text_of(b"ab", 0, 0), "\n\n... [omitted 2 bytes] ...\n\n");
    assert_eq!(text_of(b"", 0, 0), "");
}

#[test]
fn the_numbers_of_a_gap() {
    let snapshot = output_of(b"abcdef", 3, 2).snapshot(2048);
    let truncation = Truncation {
        original_bytes: 6,
        retained_bytes: snapshot.text.len() as u64,
        omitted_bytes: 1,
        strategy: "head_tail",
    };
    assert_eq!(snapshot.truncation, Some(truncation));
}

#[test]
fn no_cut_falls_inside_of_a_character() {
    for character in ["é", "€", "🦀"] {
        let output = character.repeat(20).into_bytes();
        for head in 0..9 {
            for tail in 0..9 {
                let step = if tests_all() { 1 } else { 7 };
                for max_line in (0..70).step_by(step).chain([2048]) {
                    let snapshot = output_of(&output, head, tail).snapshot(max_line);
                    assert!(!snapshot.text.contains(char::REPLACEMENT_CHARACTER));
                    check_snapshot(&snapshot, &output, head, tail, max_line);
                }
            }
        }
    }
}

#[test]
fn a_character_with_only_its_middle_gone_is_gone() {
    // Head and tail end and begin inside of the same character.
    assert_eq!(
        text_of("a🦀b".as_bytes(), 2, 2),
        "a\n\n... [omitted 4 bytes] ...\n\nb"
    );
}

#[test]
fn invalid_bytes_are_replaced_and_counted_as_they_were() {
    assert_eq!(text_of(b"a\xFFb\n", 100, 100), "a\u{FFFD}b\n");
    let snapshot = output_of(b"\xFF\xFF\xFF\xFF\xFF\n", 100, 100).snapshot(10);
    // Five bytes would fit, fifteen do not.
    assert_eq!(snapshot.text, "\u{FFFD}\u{FFFD}\u{FFFD}\n");
    assert_eq!(snapshot.truncation.map(|t| t.omitted_bytes), Some(2));
    // Two at the end were on their way to become a character.
    assert_eq!(text_of(b"a\xE2\x82", 100, 100), "a\u{FFFD}");
}

#[test]
fn a_line_across_head_and_tail_is_one_line() {
    let line = [b"x".repeat(60), b"\n".to_vec()].concat();
    let snapshot = output_of(&line, 30, 31).snapshot(60);
    assert_eq!(snapshot.text.as_bytes(), line);
    // Cut once, although each half would fit.
    let snapshot = output_of(&line, 30, 31).snapshot(50);
    assert_eq!(snapshot.text, format!("{}{LINE_CUT}\n", "x".repeat(34)));
    assert_eq!(snapshot.truncation.map(|t| t.omitted_bytes), Some(26));
}

#[test]
fn a_long_line_keeps_its_beginning() {
    let output = format!("{}\nshort\n{}\n", "x".repeat(101), "y".repeat(100));
    let snapshot = output_of(output.as_bytes(), 1000, 1000).snapshot(100);
    let shown = format!("{}{LINE_CUT}\nshort\n{}\n", "x".repeat(84), "y".repeat(100));
    assert_eq!(snapshot.text, shown);
    assert_eq!(snapshot.truncation.map(|t| t.omitted_bytes), Some(17));
}

#[test]
fn a_long_last_line_keeps_its_end() {
    let output = format!("first\n{}{}", "x".repeat(500), "the true end");
    let snapshot = output_of(output.as_bytes(), 1000, 1000).snapshot(61);
    let shown = format!(
        "first\n{}{MIDDLE_CUT}{}the true end",
        "x".repeat(20),
        "x".repeat(8)
    );
    assert_eq!(snapshot.text, shown);
    assert_eq!(snapshot.truncation.map(|t| t.omitted_bytes), Some(512 - 40));
    // Behind a newline there is no last line any more.
    let snapshot = output_of(format!("{output}\n").as_bytes(), 1000, 1000).snapshot(61);
    assert_eq!(
        snapshot.text,
        format!("first\n{}{LINE_CUT}\n", "x".repeat(45))
    );
}

#[test]
fn the_end_of_the_head_is_not_the_end_of_the_output() {
    let output = "x".repeat(1000);
    let snapshot = output_of(output.as_bytes(), 200, 200).snapshot(100);
    let (head, tail) = snapshot
        .text
        .split_once(&gap_note(600))
        .expect("600 are gone");
    assert_eq!(head, format!("{}{LINE_CUT}", "x".repeat(84)));
    assert!(tail.contains(MIDDLE_CUT) && tail.len() == 100);
    assert_eq!(
        snapshot.truncation.map(|t| t.omitted_bytes),
        Some(1000 - 84 - 79)
    );
}

#[test]
fn the_true_end_is_seen_within_the_smallest_limits() {
    for end in ["x", "é", "€", "🦀"] {
        let output = format!("{}{end}", "-".repeat(100));
        for max_line in end.len()..60 {
            let snapshot = output_of(output.as_bytes(), 1000, 1000).snapshot(max_line);
            assert!(
                snapshot.text.ends_with(end),
                "limit {max_line}: {:?}",
                snapshot.text
            );
            assert!(snapshot.text.len() <= max_line);
        }
    }
}

#[test]
fn lines_of_every_length_around_the_limit() {
    for max_line in (1..=40_usize).chain([100, 2048]) {
        for length in max_line.saturating_sub(3)..max_line + 4 {
            for ending in ["", "\n", "\n\n", "\nnext", "\nnext\n"] {
                let output = format!("before\n{}{ending}", "z".repeat(length)).into_bytes();
                let snapshot = output_of(&output, 10_000, 0).snapshot(max_line);
                check_snapshot(&snapshot, &output, 10_000, 0, max_line);
            }
        }
    }
}

/// The defaults, and a chunk larger than the tail.
#[test]
fn a_large_output_shows_its_first_and_last_lines() {
    let output: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    let snapshot = output_of(output.as_bytes(), 16 << 10, 16 << 10).snapshot(2048);
    assert!(snapshot.text.starts_with("1\n2\n"));
    assert!(snapshot.text.ends_with("\n99999\n100000\n"));
    assert_eq!(
        snapshot.truncation.map(|t| t.omitted_bytes),
        Some(output.len() as u64 - (32 << 10))
    );
    check_snapshot(&snapshot, output.as_bytes(), 16 << 10, 16 << 10, 2048);
}

#[test]
fn a_lossless_stream_shows_no_more_than_head_and_tail() {
    let output = Output::new(Sizes {
        head: 10,
        tail: 20,
        lossless: true,
    });
    let bytes = "0123456789".repeat(100).into_bytes();
    write(&output, &bytes);
    check_snapshot(&output.snapshot(0), &bytes, 10, 20, 0);
    // Reading it does not change that.
    peek(&output, 0, 10_000, RAW);
    write(&output, &bytes);
    check_snapshot(&output.snapshot(0), &bytes.repeat(2), 10, 20, 0);
}

#[test]
fn a_snapshot_while_it_is_written_is_one_moment() {
    let stream: Vec<u8> = (0..20_000)
        .flat_map(|number| format!("{number}\n").into_bytes())
        .collect();
    let output = Output::new(sizes(50, 70));
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for piece in stream.chunks(13) {
                write(&output, piece);
            }
        });
        let mut seen = 0;
        loop {
            let done = writer.is_finished();
            let snapshot = output.snapshot(2048);
            let total = snapshot
                .truncation
                .map_or(snapshot.text.len(), |t| t.original_bytes as usize);
            assert!(total >= seen, "went back in time");
            seen = total;
            check_snapshot(&snapshot, &stream[..total], 50, 70, 2048);
            if done {
                break;
            }
        }
        assert_eq!(seen, stream.len());
    });
}
