//! Snapshots: the kept bytes of a stream as text. Valid UTF-8, lines of bounded length, exact counts.
//!
//! The functions here are pure. "Shown" is the form in the text, where an invalid byte sequence takes the
//! three bytes of U+FFFD. "Raw" is the form in the output. Limits of lines count shown bytes; omissions
//! count raw bytes.

use memchr::{memchr, memrchr};

use super::store::Kept;
use super::{MAX_CHARACTER_BYTES, Snapshot, Truncation};

/// The note at the end of a line that was cut.
const LINE_CUT: &str = " ... [truncated]";
/// The note in the middle of a last line that was cut.
const MIDDLE_CUT: &str = " ... [truncated] ... ";

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
    piece.render(&bytes[..head], max_line, false);
    piece.text.push_str(&note);
    piece.render(&bytes[tail..], max_line, true);
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
    piece.render(&bytes, max_line, true);
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

    /// Adds consecutive bytes of the output. `is_end` says that the output ends with them.
    fn render(&mut self, bytes: &[u8], max_line: usize, is_end: bool) {
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
                _ => self.render_lines(lines, max_line, is_end),
            }
            rest = after;
        }
    }

    fn render_lines(&mut self, lines: &[u8], max_line: usize, is_end: bool) {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    push_line(self, line, max_line, false);
                    self.push(b"\n");
                }
                None => push_line(self, line, max_line, is_end),
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

/// Adds one line, given without its newline. It is cut if its shown form is longer than `max_line`.
fn push_line(piece: &mut Piece, line: &[u8], max_line: usize, is_last: bool) {
    let shown: usize = characters(line).map(|(_, shown)| shown).sum();
    if shown <= max_line {
        return piece.push(line);
    }
    if is_last {
        // If the limit is too small for the note, only the end is shown.
        let note = note_within(MIDDLE_CUT, 2, max_line);
        let room = max_line - note.len();
        let front = if note.is_empty() { 0 } else { room / 2 };
        let front_raw = raw_within(line, front);
        let mut over = shown.saturating_sub(room - front);
        let mut back_raw = 0;
        for (raw, shown) in characters(line) {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(shown);
            back_raw += raw;
        }
        piece.push(&line[..front_raw]);
        piece.text.push_str(note);
        piece.push(&line[back_raw..]);
    } else {
        let note = note_within(LINE_CUT, 1, max_line);
        piece.push(&line[..raw_within(line, max_line - note.len())]);
        piece.text.push_str(note);
    }
}

/// The note, if a line has room for it and for one character of any length in each of the other parts;
/// else no note.
fn note_within(note: &'static str, parts: usize, max_line: usize) -> &'static str {
    if max_line >= note.len() + parts * MAX_CHARACTER_BYTES {
        note
    } else {
        ""
    }
}

/// The number of raw bytes at the beginning that are whole characters of at most `room` shown bytes.
fn raw_within(line: &[u8], room: usize) -> usize {
    let mut left = room;
    let mut done = 0;
    for (raw, shown) in characters(line) {
        if shown > left {
            break;
        }
        left -= shown;
        done += raw;
    }
    done
}

/// The raw and the shown length of each character. An invalid sequence counts as one character.
fn characters(line: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    line.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid().chars().map(|c| (c.len_utf8(), c.len_utf8()));
        let invalid = chunk.invalid().len();
        let replaced = (invalid > 0).then_some((invalid, char::REPLACEMENT_CHARACTER.len_utf8()));
        valid.chain(replaced)
    })
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
