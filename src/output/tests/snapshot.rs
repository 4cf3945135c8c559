//! Snapshots: a checker that is independent of the implementation compares the text with the output,
//! character by character, and counts the bytes that the text does not show.

use std::ops::Range;
use std::thread;

use super::super::{Output, Sizes, Snapshot, Truncation};
use super::*;

/// The note at the end of a line that was cut, and the one in the middle of a last line.
const LINE_CUT: &str = " ... [truncated]";
const MIDDLE_CUT: &str = " ... [truncated] ... ";

/// With at least this limit, a cut line must have a note: there is room for it and for characters on
/// both sides.
const ROOM_FOR_NOTES: usize = 40;

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

/// Checks how one line is shown. Returns the number of its bytes that are shown. `is_last` is a last
/// line without a newline.
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

/// Checks how bytes without a gap are shown. Returns the number of them that are shown.
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
    // With a newline at its end, it is not a last line any more.
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
    let bytes = "0123456789".repeat(100).into_bytes();
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
