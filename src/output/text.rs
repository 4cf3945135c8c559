//! Snapshots: the kept bytes of a stream as text. Valid UTF-8, lines of bounded length, exact counts.
//!
//! The functions here are pure. "Shown" is the form in the text, where an invalid byte sequence takes the
//! three bytes of U+FFFD. "Raw" is the form in the output. Limits of lines count shown bytes; omissions
//! count raw bytes.

use memchr::{memchr, memchr2, memrchr};

use super::store::Kept;
use super::{MAX_CHARACTER_BYTES, Snapshot, Truncation};

const STRATEGY: &str = "head_tail";

/// Makes the text. `max_line` is the length of the longest line in shown bytes; 0 is no limit.
pub(super) fn render(kept: Kept, max_line: usize) -> Snapshot {
    let total = kept.total;
    let max_line = if max_line == 0 { usize::MAX } else { max_line };
    let mut bytes = kept.bytes;
    let Some(gap_at) = kept.gap_at else {
        return finish(render_whole(bytes, max_line), total);
    };
    let (head, tail) = bytes.split_at(gap_at);
    let head = gap_at - unfinished(head);
    let mut tail = gap_at + continuation(tail);
    let shown = (bytes.len() - (tail - head)) as u64;
    let note = format!("\n\n... [omitted {} bytes] ...\n\n", total - shown);
    let is_short = |part: &[u8]| skip_short_lines(part, max_line) == part.len();
    if is_short(&bytes[..head]) && is_short(&bytes[tail..]) {
        // The usual case: the text is these bytes, with the note between them.
        bytes.splice(head..tail, note.bytes());
        tail = head + note.len();
        bytes = match String::from_utf8(bytes) {
            Ok(text) => return finish(Piece { text, shown }, total),
            Err(error) => error.into_bytes(),
        };
    }
    let mut piece = Piece::with_capacity(bytes.len() + note.len());
    piece.render(&bytes[..head], max_line);
    piece.text.push_str(&note);
    piece.render(&bytes[tail..], max_line);
    finish(piece, total)
}

/// The text of an output of which all bytes are kept. In the usual case it is these bytes.
fn render_whole(bytes: Vec<u8>, max_line: usize) -> Piece {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if skip_short_lines(text.as_bytes(), max_line) == text.len() => {
            let shown = text.len() as u64;
            return Piece { text, shown };
        }
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let mut piece = Piece::with_capacity(bytes.len());
    piece.render(&bytes, max_line);
    piece
}

fn finish(piece: Piece, total: u64) -> Snapshot {
    let omitted = total - piece.shown;
    Snapshot {
        truncation: (omitted > 0).then_some(Truncation {
            original_bytes: total,
            retained_bytes: piece.text.len() as u64,
            omitted_bytes: omitted,
            strategy: STRATEGY,
        }),
        text: piece.text,
    }
}

/// A part of the text, and the number of raw bytes that it shows.
struct Piece {
    text: String,
    shown: u64,
}

impl Piece {
    fn with_capacity(bytes: usize) -> Self {
        Piece {
            text: String::with_capacity(bytes),
            shown: 0,
        }
    }

    fn push(&mut self, raw: &[u8]) {
        self.shown += raw.len() as u64;
        for chunk in raw.utf8_chunks() {
            self.text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                self.text.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }

    /// Adds consecutive bytes of the output.
    fn render(&mut self, bytes: &[u8], max_line: usize) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let short = skip_short_lines(rest, max_line);
            let (lines, after) = match short {
                0 => rest.split_at(memchr(b'\n', rest).map_or(rest.len(), |at| at + 1)),
                short => rest.split_at(short),
            };
            match std::str::from_utf8(lines) {
                Ok(text) if short > 0 => {
                    self.shown += lines.len() as u64;
                    self.text.push_str(text);
                }
                // A long line; or lines with invalid bytes, which are longer when shown.
                _ => self.render_lines(lines, max_line),
            }
            rest = after;
        }
    }

    fn render_lines(&mut self, lines: &[u8], max_line: usize) {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    push_line(self, line, max_line);
                    self.push(b"\n");
                }
                None => push_line(self, line, max_line),
            }
        }
    }
}

/// The number of bytes at the beginning that are lines of at most `max_line` raw bytes. Examines few of
/// the bytes: it looks for the last newline in each window of `max_line` + 1 bytes, because every line
/// that ends within such a window is short.
fn skip_short_lines(bytes: &[u8], max_line: usize) -> usize {
    let mut done = 0;
    while bytes.len() - done > max_line {
        match memrchr(b'\n', &bytes[done..=done + max_line]) {
            Some(newline) => done += newline + 1,
            None => return done,
        }
    }
    bytes.len()
}

/// Adds one line, given without its newline. If its shown form is longer than `max_line`, both ends are
/// shown, with a note between them; if there is no room for the note, only the end.
fn push_line(piece: &mut Piece, line: &[u8], max_line: usize) {
    let shown: usize = units(line).map(|unit| unit.shown).sum();
    if shown <= max_line {
        return piece.push(line);
    }
    // As long as the note can be: fewer bytes than the whole line are missing.
    let note = cut_note(line.len()).len();
    let has_note = max_line >= note + 2 * MAX_CHARACTER_BYTES;
    let room = if has_note { max_line - note } else { max_line };
    let front = if has_note { room / 2 } else { 0 };
    let mut over = shown.saturating_sub(room - front);
    let mut left = front;
    let (mut front_raw, mut back_raw) = (0, 0);
    for unit in units(line) {
        if over == 0 {
            break;
        }
        if unit.shown <= left && front_raw == back_raw {
            left -= unit.shown;
            front_raw += unit.raw;
        }
        over = over.saturating_sub(unit.shown);
        back_raw += unit.raw;
    }
    piece.push(&line[..front_raw]);
    if has_note {
        piece.text.push_str(&cut_note(back_raw - front_raw));
    }
    piece.push(&line[back_raw..]);
}

/// The note in a line of which so many bytes are missing.
fn cut_note(missing: usize) -> String {
    format!(" ... [{missing} bytes] ... ")
}

/// A part of a line that is not cut: a character, an invalid sequence, or an escape sequence.
struct Unit {
    /// Its length in the output.
    raw: usize,
    /// Its length in the text.
    shown: usize,
}

fn units(line: &[u8]) -> impl Iterator<Item = Unit> {
    line.utf8_chunks().flat_map(|chunk| {
        let mut rest = chunk.valid();
        let valid = std::iter::from_fn(move || {
            let first = rest.chars().next()?;
            let length = match first {
                ESCAPE => escape_sequence(rest.as_bytes()),
                _ => first.len_utf8(),
            };
            rest = &rest[length..];
            Some(Unit {
                raw: length,
                shown: length,
            })
        });
        let invalid = chunk.invalid().len();
        let replaced = (invalid > 0).then_some(Unit {
            raw: invalid,
            shown: char::REPLACEMENT_CHARACTER.len_utf8(),
        });
        valid.chain(replaced)
    })
}

const ESCAPE: char = '\x1b';

/// The length of the escape sequence (ECMA-48) that the text begins with; of the escape character alone
/// if none follows.
fn escape_sequence(text: &[u8]) -> usize {
    let count = |from: usize, range: std::ops::RangeInclusive<u8>| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| range.contains(byte)).count()
    };
    // The intermediate bytes end with a final byte, unless the sequence is cut off or broken.
    let with_final = |end: usize, range| end + count(end, range).min(1);
    match text.get(1) {
        // CSI: parameters and intermediate bytes.
        Some(b'[') => with_final(2 + count(2, 0x20..=0x3f), 0x40..=0x7e),
        // OSC, DCS, SOS, PM, APC: a text that ends with BEL or ESC \, or is aborted by another ESC.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => match memchr2(0x07, 0x1b, &text[2..]) {
            Some(at) if text[2 + at] == 0x07 => 2 + at + 1,
            Some(at) if text.get(2 + at + 1) == Some(&b'\\') => 2 + at + 2,
            Some(at) => 2 + at,
            None => 2,
        },
        Some(0x20..=0x2f) => with_final(1 + count(1, 0x20..=0x2f), 0x30..=0x7e),
        Some(0x30..=0x7e) => 2,
        _ => 1,
    }
}

/// The number of bytes at the end that are the beginning of a character whose rest is missing.
pub(super) fn unfinished(bytes: &[u8]) -> usize {
    let recent = &bytes[bytes.len().saturating_sub(3)..];
    for (back, start) in (0..recent.len()).rev().enumerate() {
        if continuation(&recent[start..=start]) == 0 {
            // The last byte that can begin a character. The rest is unfinished if it is valid but too
            // short.
            let is_cut =
                matches!(std::str::from_utf8(&recent[start..]), Err(e) if e.error_len().is_none());
            return if is_cut { back + 1 } else { 0 };
        }
    }
    0
}

/// The number of bytes at the beginning that can be the rest of a character that begins before them.
fn continuation(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take(3)
        .take_while(|byte| **byte & 0xC0 == 0x80)
        .count()
}
