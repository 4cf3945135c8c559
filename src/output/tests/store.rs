//! The store: the total counts every byte, kept bytes are where they belong, `lost` is exact, no fewer
//! bytes are kept than was promised, and no more memory is held than was allowed.

use std::io;
use std::ops::Range;

use super::super::store::{BURST_RING, Filled, Store};
use super::{
    Made, NOISE, PROPERTY_TIME, Unstructured, check_property, gap, in_one_of, limit, scatter,
    vector,
};

/// Writes as much as the store takes. Returns how much that was.
fn put(store: &mut Store, grow: bool, bytes: &[u8]) -> usize {
    let mut done = 0;
    while done < bytes.len() {
        match store.fill(grow, |pieces| Ok(scatter(pieces, &bytes[done..]))) {
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

/// The number of bytes of memory that the store holds, taken from its debug output.
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

/// Reads up to `length` bytes at `cursor` and compares them with `written`, of which the range `gone`
/// was dropped.
fn check_read(store: &Store, written: &[u8], gone: &Range<usize>, cursor: u64, length: usize) {
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

/// Checks the bytes that a snapshot is made from.
fn check_kept(store: &Store, written: &[u8], head: usize, tail: usize) {
    let kept = store.kept();
    let gap = gap(written.len(), head, tail);
    assert_eq!(kept.total, written.len() as u64);
    assert_eq!(kept.gap_at, (!gap.is_empty()).then_some(gap.start));
    assert!(kept.bytes == [&written[..gap.start], &written[gap.end..]].concat());
}

/// A position in `total` bytes, or one of the next few. The place is in 65,536ths.
fn position(place: u64, total: usize) -> u64 {
    (place * (total as u64 + 3)) >> u16::BITS
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Beyond(usize),
    Fail(io::ErrorKind),
    Read(u64, usize),
    /// The follower with this number reads this many bytes.
    Follow(usize, usize),
}

fn steps(source: &mut Unstructured<'_>, most: usize) -> Made<Vec<Step>> {
    let sizes = [0..=2, 3..=most / 16 - 1, most / 16..=most - 1];
    vector(source, 0..=39, |source| {
        Ok(match source.int_in_range(0..=11)? {
            0..=3 => Step::Write(in_one_of(source, &sizes)?),
            4 => Step::Beyond(in_one_of(source, &sizes)?),
            5 => Step::Fail(
                *source.choose(&[io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted])?,
            ),
            6..=7 => Step::Read(
                source.arbitrary::<u16>()?.into(),
                in_one_of(source, &sizes)?,
            ),
            _ => Step::Follow(source.int_in_range(0..=1)?, in_one_of(source, &sizes)?),
        })
    })
}

/// A read error is returned to the caller and changes nothing.
fn fail(store: &mut Store, kind: io::ErrorKind) {
    match store.fill(false, |_| Err(kind.into())) {
        Err(error) => assert_eq!(error.kind(), kind),
        // A full store does not call the read.
        Ok(filled) => assert_eq!(filled, Filled::Full),
    }
}

#[test]
fn a_store_keeps_its_first_and_its_last_bytes() {
    check_property(
        PROPERTY_TIME,
        |source| Ok((limit(source)?, limit(source)?, steps(source, 6000)?)),
        |(head, tail, steps)| {
            let mut store = Store::new(head, tail, false);
            let mut total = 0;
            for step in steps {
                match step {
                    Step::Write(length) | Step::Beyond(length) => {
                        assert_eq!(
                            put(&mut store, false, &NOISE[total..total + length]),
                            length
                        );
                        total += length;
                    }
                    Step::Fail(kind) => fail(&mut store, kind),
                    Step::Read(place, length) => {
                        let gone = gap(total, head, tail);
                        check_read(
                            &store,
                            &NOISE[..total],
                            &gone,
                            position(place, total),
                            length,
                        );
                    }
                    Step::Follow(..) => assert!(!store.mark_read(total as u64)),
                }
                assert_eq!(store.total(), total as u64);
                check_kept(&store, &NOISE[..total], head, tail);
            }
            assert!(
                held(&store) <= head + tail.max(BURST_RING),
                "more memory than a hot stream may take"
            );
            store.end_burst();
            assert!(held(&store) <= head + tail, "more memory than allowed");
            check_kept(&store, &NOISE[..total], head, tail);

            store.shrink();
            let gone = gap(total, head, tail);
            assert_eq!(
                held(&store),
                total - gone.len(),
                "memory for bytes that never came"
            );
            check_kept(&store, &NOISE[..total], head, tail);
            for cursor in [
                0,
                gone.start,
                gone.start + 1,
                gone.end,
                gone.end + 1,
                total,
                total + 1,
            ] {
                check_read(&store, &NOISE[..total], &gone, cursor as u64, total + 1);
            }
        },
    );
}

#[test]
fn a_lossless_store_keeps_unread_bytes() {
    check_property(
        // Its cases are large.
        PROPERTY_TIME * 4,
        |source| {
            let head = limit(source)?;
            let tail = match source.arbitrary()? {
                true => limit(source)?,
                false => source.int_in_range(200_000..=399_999)?,
            };
            Ok((head, tail, steps(source, 300_000)?))
        },
        |(head, tail, steps)| {
            let mut store = Store::new(head, tail, true);
            let mut total = 0;
            let mut cursors = [0_u64; 2];
            let mut gone = 0..0;
            let mut stalled = false;
            let mut grown = false;
            // The number of unread bytes that it holds when it is full. Not promised, but always the same,
            // and at least the tail.
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
                            assert!(
                                unread > 0 && unread >= tail,
                                "full of {unread} unread bytes"
                            );
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
                        // The fill may have been the one that found the store full.
                        stalled |= store.fill(false, |_| Err(kind.into())).is_ok();
                    }
                    Step::Read(place, length) => {
                        check_read(
                            &store,
                            &NOISE[..total],
                            &gone,
                            position(place, total),
                            length,
                        );
                    }
                    Step::Follow(number, length) => {
                        let found = store.find(cursors[number]);
                        check_read(&store, &NOISE[..total], &gone, cursors[number], length);
                        let count = store.copy(found.position, &mut vec![0; length]);
                        cursors[number] = found.position + count as u64;
                        let has_room = store.mark_read(cursors[number]);
                        assert!(stalled || !has_room, "it was not full");
                        let caught_up = cursors.contains(&(total as u64));
                        assert!(has_room || !(stalled && caught_up), "everything was read");
                        if has_room {
                            assert!(store.clear_stall(), "it said that there is room");
                            stalled = false;
                            let more = NOISE.len().min(total + 1);
                            total += put(&mut store, false, &NOISE[total..more]);
                            assert_eq!(total, more, "it said that there is room");
                        }
                    }
                }
                assert_eq!(store.total(), total as u64);
                check_kept(&store, &NOISE[..total], head, tail);

                // The dropped range only grows, and only over bytes that were read and are not in head or tail.
                let from = head.min(total);
                let until = store.find(from as u64).position as usize;
                let read = cursors.iter().max().map_or(0, |cursor| *cursor as usize);
                assert!(until >= gone.end, "dropped bytes came back");
                assert!(
                    until <= gap(total, head, tail).end.min(read).max(from),
                    "dropped too early"
                );
                gone = from..until;
                check_read(&store, &NOISE[..total], &gone, 0, total);
                check_read(&store, &NOISE[..total], &gone, from as u64, total);
            }
            store.shrink();
            check_kept(&store, &NOISE[..total], head, tail);
            check_read(&store, &NOISE[..total], &gone, 0, total);
            check_read(&store, &NOISE[..total], &gone, gone.end as u64, total);
            assert_eq!(held(&store), total - gone.len());
        },
    );
}

#[test]
fn a_silent_store_holds_no_memory() {
    for lossless in [false, true] {
        let mut store = Store::new(16 << 10, 16 << 10, lossless);
        assert_eq!(held(&store), 0);
        // Its end is found by a read into free memory, which is released afterwards.
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
        check_kept(&store, &NOISE[..600_100], 0, 300_000);
    }
}

#[test]
fn limits_beyond_all_memory_cost_nothing() {
    for lossless in [false, true] {
        let mut store = Store::new(usize::MAX, usize::MAX, lossless);
        put(&mut store, false, b"abc");
        check_read(&store, b"abc", &(3..3), 0, 10);
        check_read(&store, b"abc", &(3..3), u64::MAX, 10);
        check_kept(&store, b"abc", usize::MAX, usize::MAX);
        let mut store = Store::new(0, usize::MAX, lossless);
        put(&mut store, false, &NOISE[..5000]);
        check_kept(&store, &NOISE[..5000], 0, usize::MAX);
        store.shrink();
        check_read(&store, &NOISE[..5000], &(0..0), 0, 5000);
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

    // Reading the head frees nothing. One byte of the ring is not enough room.
    assert!(!store.mark_read(head as u64));
    assert!(!store.mark_read(head as u64 + 1));
    // A follower that is behind does not undo the reads of another one.
    assert!(!store.mark_read(0));
    assert!(!store.clear_stall());
    // Reported to each follower until the stall is cleared: one of them may be suspended.
    assert!(store.mark_read((head + tail) as u64));
    assert!(store.mark_read(0));
    assert!(store.clear_stall());
    assert!(!store.mark_read((head + tail) as u64));
    assert_eq!(
        put(&mut store, false, &NOISE[head + tail..1 << 20]),
        tail,
        "it was empty"
    );
    check_kept(&store, &NOISE[..head + 2 * tail], head, tail);
}

#[test]
fn the_last_bytes_are_kept_beyond_the_ring() {
    let mut store = Store::new(10, 10, true);
    let full = put(&mut store, false, &NOISE[..1 << 20]);
    assert!(full < 1 << 20);
    put(&mut store, true, &NOISE[full..1 << 20]);
    check_read(&store, &NOISE[..1 << 20], &(10..10), 0, 1 << 20);
    check_kept(&store, &NOISE[..1 << 20], 10, 10);
}

/// The last bytes of a process are read with `grow`, for every kind of store.
#[test]
fn only_a_lossless_store_grows_beyond_its_tail() {
    for (head, tail) in [(0, 0), (1, 0), (100, 0), (0, 1), (0, 100), (100, 100)] {
        let mut store = Store::new(head, tail, false);
        put(&mut store, true, &NOISE[..5000]);
        assert_eq!(store.total(), 5000);
        let gone = gap(5000, head, tail);
        check_read(&store, &NOISE[..5000], &gone, gone.start as u64, 5000);
        store.end_burst();
        assert!(held(&store) <= head + tail, "head {head}, tail {tail}");
    }
}

/// The number of bytes that a read may take now.
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
    for length in [tail, BURST_RING, 1] {
        let expected = if length == tail { tail } else { BURST_RING };
        assert_eq!(room(&mut store), expected, "before {length}");
        put(&mut store, false, &NOISE[total..total + length]);
        total += length;
        check_read(
            &store,
            &NOISE[..total],
            &gap(total, head, tail),
            head as u64,
            total,
        );
        check_kept(&store, &NOISE[..total], head, tail);
    }
    store.end_burst();
    assert_eq!(held(&store), head + tail);
    check_kept(&store, &NOISE[..total], head, tail);
    assert_eq!(room(&mut store), tail);
}

/// A read that reports more bytes than there was room for.
#[test]
fn an_impossible_count_is_cut() {
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
