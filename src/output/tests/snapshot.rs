//! Snapshots: a checker that is independent of the implementation compares the text with the output,
//! character by character, and counts the bytes that the text does not show.

use std::ops::Range;
use std::thread;

use super::super::{Output, Sizes, Snapshot, Truncation};
use super::*;

/// The note in a line of which so many bytes are missing.
fn cut_note(missing: usize) -> String {
    format!(" ... [{missing} bytes] ... ")
}

/// With at least this limit, a cut line must have a note: there is room for it and for characters on
/// both sides.
const ROOM_FOR_NOTES: usize = 45;

/// The note between head and tail.
fn gap_note(omitted: usize) -> String {
    format!("\n\n... [omitted {omitted} bytes] ...\n\n")
}

/// The number of raw bytes of the first characters that take exactly `shown` bytes in the text.
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

/// Checks how one line is shown. Returns the number of its bytes that are shown.
fn check_line(line: &[u8], shown: &str, max_line: usize) -> Result<usize, String> {
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
    // The note with each number that it can have: the text around it may look like one.
    let readings = (1..=line.len()).filter_map(|missing| {
        let (front, back) = shown.split_once(&cut_note(missing))?;
        Some((front, back, Some(missing)))
    });
    let without = (max_line < ROOM_FOR_NOTES).then_some(("", shown, None));
    let mut why = wrong("no note");
    for (front, back, missing) in readings.chain(without) {
        why = check_cut(line, &found, &full, (front, back, missing), shown, max_line);
        if why.is_ok() {
            break;
        }
    }
    why
}

/// Checks one reading of a cut line: its beginning, its end, and how many bytes the note says are
/// missing between them.
fn check_cut(
    line: &[u8],
    found: &[Character],
    full: &str,
    (front, back, missing): (&str, &str, Option<usize>),
    shown: &str,
    max_line: usize,
) -> Result<usize, String> {
    let wrong = |what: &str| {
        Err(format!(
            "{what}: limit {max_line}, line {full:?}, shown {shown:?}"
        ))
    };
    if !full.starts_with(front) || !full.ends_with(back) {
        return wrong("not the beginning and the end");
    }
    let last = found.last().map_or(0, |c| c.shown.len());
    if max_line >= last && back.is_empty() {
        return wrong("the true end is not seen");
    }
    // A number may have fewer digits than there was room for, and a character may not fit.
    let digits = cut_note(line.len()).len() - cut_note(missing.unwrap_or(line.len())).len();
    if shown.len() + 2 * 3 + digits < max_line {
        return wrong("cut more than needed");
    }
    if front.len() + back.len() >= full.len() {
        return wrong("shown twice");
    }
    let (front, back) = (
        raw_of(found.iter(), front.len()),
        raw_of(found.iter().rev(), back.len()),
    );
    let Some((front, back)) = front.zip(back) else {
        return wrong("cut inside of a character");
    };
    match missing {
        Some(missing) if missing != line.len() - front - back => wrong("a wrong number"),
        _ => Ok(front + back),
    }
}

/// Checks how bytes without a gap are shown. Returns the number of them that are shown.
fn check_piece(bytes: &[u8], shown: &str, max_line: usize) -> Result<usize, String> {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let shown: Vec<&str> = shown.split('\n').collect();
    if lines.len() != shown.len() {
        return Err(format!("{} lines, {} shown", lines.len(), shown.len()));
    }
    let mut count = lines.len() - 1;
    for (line, shown) in lines.iter().zip(&shown) {
        count += check_line(line, shown, max_line)?;
    }
    Ok(count)
}

/// Where the cuts of a gap may be. In valid text there is one place: the nearest ends of characters
/// outside of the gap.
fn cuts(output: &[u8], gap: &Range<usize>) -> Vec<Range<usize>> {
    let (text, is_text) = match std::str::from_utf8(output) {
        Ok(text) => (text.len(), true),
        // The last character may be incomplete.
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
    // In invalid bytes the ends of characters are ambiguous: every place nearby is accepted.
    let ends = gap.end..=output.len().min(gap.end + 3);
    (gap.start.saturating_sub(3)..=gap.start)
        .flat_map(|start| ends.clone().map(move |end| start..end))
        .collect()
}

/// Checks a snapshot of `output` against everything that is promised.
fn check_snapshot(snapshot: &Snapshot, output: &[u8], head: usize, tail: usize, max_line: usize) {
    let text = &snapshot.text;
    let gap = gap(output.len(), head, tail);
    // The number of bytes of the output that the text shows, for each way to read the text.
    let readings: Vec<Result<usize, String>> = if gap.is_empty() {
        vec![check_piece(output, text, max_line)]
    } else {
        let read = |cut: Range<usize>| {
            let (front, back) = text
                .split_once(&gap_note(cut.len()))
                .ok_or_else(|| format!("no note of {} bytes", cut.len()))?;
            let front = check_piece(&output[..cut.start], front, max_line)?;
            let back = check_piece(&output[cut.end..], back, max_line)?;
            Ok(front + back)
        };
        cuts(output, &gap).into_iter().map(read).collect()
    };
    // Valid text can be read in one way. Invalid bytes all look the same, so there can be several ways;
    // one must fit.
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

/// A limit for lines: none, tiny, medium.
fn line_limit(source: &mut Unstructured<'_>) -> Made<usize> {
    in_one_of(source, &[0..=0, 1..=40, 41..=300])
}

#[test]
fn a_snapshot_of_text_has_exact_counts() {
    check_property(
        PROPERTY_TIME,
        |source| {
            let (head, tail, max_line) = (limit(source)?, limit(source)?, line_limit(source)?);
            let cut = source.int_in_range(0..=3)?;
            Ok((text(source)?, cut, head, tail, max_line))
        },
        |(output, cut, head, tail, max_line)| {
            // The last character may be incomplete.
            let output = &output[..output.len().saturating_sub(cut)];
            let snapshot = output_of(output, head, tail).snapshot(max_line);
            check_snapshot(&snapshot, output, head, tail, max_line);
        },
    );
}

#[test]
fn a_snapshot_of_any_bytes_is_text_with_exact_counts() {
    check_property(
        PROPERTY_TIME,
        |source| {
            let (head, tail, max_line) = (limit(source)?, limit(source)?, line_limit(source)?);
            Ok((noisy(source)?, head, tail, max_line))
        },
        |(output, head, tail, max_line)| {
            let snapshot = output_of(&output, head, tail).snapshot(max_line);
            check_snapshot(&snapshot, &output, head, tail, max_line);
        },
    );
}

/// The text of a snapshot without a limit for lines.
fn text_of(bytes: &[u8], head: usize, tail: usize) -> String {
    let snapshot = output_of(bytes, head, tail).snapshot(0);
    check_snapshot(&snapshot, bytes, head, tail, 0);
    snapshot.text
}

#[test]
fn a_fully_kept_output_is_shown_unchanged() {
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
fn a_character_with_its_middle_dropped_is_not_shown() {
    // The head ends and the tail begins inside of the same character.
    assert_eq!(
        text_of("a🦀b".as_bytes(), 2, 2),
        "a\n\n... [omitted 4 bytes] ...\n\nb"
    );
}

#[test]
fn invalid_bytes_are_replaced_and_counted_as_they_were() {
    assert_eq!(text_of(b"a\xFFb\n", 100, 100), "a\u{FFFD}b\n");
    let snapshot = output_of(b"\xFF\xFF\xFF\xFF\xFF\n", 100, 100).snapshot(10);
    // Five raw bytes would fit; fifteen shown bytes do not.
    assert_eq!(snapshot.text, "\u{FFFD}\u{FFFD}\u{FFFD}\n");
    assert_eq!(snapshot.truncation.map(|t| t.omitted_bytes), Some(2));
    // Two bytes at the end are the beginning of a character.
    assert_eq!(text_of(b"a\xE2\x82", 100, 100), "a\u{FFFD}");
}

#[test]
fn a_line_across_head_and_tail_is_one_line() {
    let line = [b"x".repeat(60), b"\n".to_vec()].concat();
    let snapshot = output_of(&line, 30, 31).snapshot(60);
    assert_eq!(snapshot.text.as_bytes(), line);
    // The line is cut once, although each half would fit.
    let snapshot = output_of(&line, 30, 31).snapshot(50);
    let half = "x".repeat(15);
    assert_eq!(snapshot.text, format!("{half}{}{half}\n", cut_note(30)));
    assert_eq!(snapshot.truncation.map(|t| t.omitted_bytes), Some(30));
}

/// With a newline at its end or without. A progress bar makes such lines, and what it prints last may be
/// why the command has failed.
#[test]
fn a_long_line_keeps_both_ends() {
    for newline in ["", "\n", "\nnext\n"] {
        let output = format!("first\n{}the true end{newline}", "x".repeat(500));
        let snapshot = output_of(output.as_bytes(), 1000, 1000).snapshot(61);
        let (front, back) = ("x".repeat(20), "x".repeat(8));
        let shown = format!("first\n{front}{}{back}the true end{newline}", cut_note(472));
        assert_eq!(snapshot.text, shown);
        let truncation = snapshot.truncation.expect("it is cut");
        assert_eq!(truncation.omitted_bytes, 472);
    }
}

#[test]
fn a_line_that_ends_at_a_gap_keeps_both_ends() {
    let output = "x".repeat(1000);
    let snapshot = output_of(output.as_bytes(), 200, 200).snapshot(100);
    let (head, tail) = snapshot
        .text
        .split_once(&gap_note(600))
        .expect("600 are gone");
    for part in [head, tail] {
        assert_eq!(part.len(), 100);
        assert!(part.contains(&cut_note(121)), "{part}");
    }
    let truncation = snapshot.truncation.expect("it is cut");
    assert_eq!(truncation.omitted_bytes, 600 + 2 * 121);
}

/// A cut inside of an escape sequence would show its rest as text, or let it change all that follows.
#[test]
fn no_cut_falls_inside_of_an_escape_sequence() {
    for sequence in [
        "\x1b[38;5;196m",
        "\x1b[0 q",
        "\x1b(B",
        "\x1b7",
        "\x1b]0;title\x07",
        "\x1b]8;;file:///é\x1b\\",
    ] {
        let line = format!("{sequence}x").repeat(120);
        for max_line in 45..200 {
            for newline in ["", "\n"] {
                let output = format!("{line}{newline}");
                let snapshot = output_of(output.as_bytes(), 10_000, 0).snapshot(max_line);
                let text = snapshot.text.strip_suffix(newline).expect("it is shown");
                assert!(text.len() <= max_line, "{text:?}");
                let (front, rest) = text.split_once(" ... [").expect("it is cut");
                let (_, back) = rest.split_once("] ... ").expect("it is cut");
                let whole = |part: &str| part.replace(sequence, "").replace('x', "").is_empty();
                assert!(whole(front) && whole(back), "{text:?}");
            }
        }
    }
    // What only begins a sequence takes no more than it has, and broken ones do not swallow text.
    for output in [
        "\x1b",
        "\x1b[",
        "\x1b[12",
        "\x1b]",
        "\x1b]no end",
        "\x1b(",
        "\x1b\x1b",
        "\x1b[1é",
    ] {
        let output = output.repeat(60);
        let snapshot = output_of(output.as_bytes(), 10_000, 0).snapshot(50);
        assert!(snapshot.text.len() <= 50, "{:?}", snapshot.text);
        check_numbers(&snapshot, output.len());
    }
}

fn check_numbers(snapshot: &Snapshot, total: usize) {
    let truncation = snapshot.truncation.expect("it is cut");
    assert_eq!(truncation.original_bytes, total as u64);
    assert_eq!(truncation.retained_bytes, snapshot.text.len() as u64);
}

#[test]
fn the_end_is_shown_with_the_smallest_limits() {
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

/// The default sizes, and a write larger than the tail.
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
    let output = Output::new(
        Sizes {
            head: 10,
            tail: 20,
            lossless: true,
        },
        Vec::new(),
    );
    let bytes = "0121456789".repeat(100).into_bytes();
    write(&output, &bytes);
    check_snapshot(&output.snapshot(0), &bytes, 10, 20, 0);
    // Reading does not change that.
    peek(&output, 0, 10_000, RAW);
    write(&output, &bytes);
    check_snapshot(&output.snapshot(0), &bytes.repeat(2), 10, 20, 0);
}

#[test]
fn a_snapshot_during_a_write_is_consistent() {
    let stream: Vec<u8> = (0..20_000)
        .flat_map(|number| format!("{number}\n").into_bytes())
        .collect();
    let output = Output::new(sizes(50, 70), Vec::new());
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
