//! The exported functions for the output of a process.

use std::ffi::{c_char, c_void};

use crate::{ReadOptions, ReadState};

use super::call::call;
use super::codes::{MGR_ENDED, MGR_EOF, MGR_OK, MGR_TIMEOUT};
use super::convert::{self, timeout};
use super::memory::{Out, StructOut, buffer_of, put_text};
use super::types::*;

/// Reads the bytes of a stream from a cursor on. Any number of callers can read, each with its own cursor.
/// Callers do not affect each other, except in a lossless stream: bytes before the highest cursor of any
/// caller may be dropped. If bytes at the cursor were dropped, the read goes on at the first byte after them
/// that is kept.
///
/// Parameters:
/// - stream: MGR_STDOUT or MGR_STDERR; MGR_READ_WHOLE_CHARACTERS and MGR_READ_UNTIL_END can be added.
/// - cursor: the position to read from, 0 at first; receives the position of the next read.
/// - buffer, capacity: receive the bytes. With capacity 0 (buffer may be NULL), the call reports whether
///   there are any.
/// - length: receives the number of bytes in the buffer.
/// - lost: receives the number of dropped bytes between the old cursor and the first byte in the buffer;
///   may be NULL.
/// - timeout_ms: how long to wait for the first byte; negative is without a limit, 0 does not wait.
///
/// Returns:
/// - MGR_OK: there are bytes.
/// - MGR_TIMEOUT: no byte came in time. Call again.
/// - MGR_EOF: the stream has ended, and there are no bytes at or after the cursor.
/// - MGR_ENDED: only with MGR_READ_UNTIL_END. The process has ended and everything that it wrote was read.
/// - MGR_ERR_INVALID: an argument is invalid; the stream is MGR_STDERR and the streams are not separate; or
///   the buffer is smaller than 4 bytes with MGR_READ_WHOLE_CHARACTERS.
/// - MGR_ERR_EXPIRED: the process was started with a key, has ended and was dropped.
/// - MGR_ERR_NOT_FOUND
/// - MGR_ERR_HANDLE
///
/// Blocks: until there is a byte or the stream has ended, up to the timeout. mgr_close ends the stream.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL; `cursor` is NULL or valid for reading and writing; `buffer` is NULL
/// or valid for writing `capacity` bytes; `length` and `lost` are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_read(
    manager: mgr_t,
    id: *const c_char,
    stream: i32,
    cursor: *mut u64,
    buffer: *mut c_void,
    capacity: usize,
    length: *mut usize,
    lost: *mut u64,
    timeout_ms: i64,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let cursor = unsafe { Out::new(cursor) }.wanted("cursor is NULL")?;
        // SAFETY: the caller's promise.
        let length = unsafe { Out::new(length) }.wanted("length is NULL")?;
        // SAFETY: the caller's promise.
        let lost = unsafe { Out::new(lost) };
        // SAFETY: the caller's promise.
        let buffer = unsafe { buffer_of(buffer.cast(), capacity) }?;
        let options = ReadOptions {
            whole_characters: stream & MGR_READ_WHOLE_CHARACTERS != 0,
            until_process_end: stream & MGR_READ_UNTIL_END != 0,
        };
        let flags = MGR_READ_WHOLE_CHARACTERS | MGR_READ_UNTIL_END;
        let stream = convert::stream(stream & !flags)?;
        // SAFETY: the caller's promise.
        let process = unsafe { convert::process(manager, id) }?;
        let from = cursor.get().unwrap_or(0);
        let chunk = process.read(stream, from, buffer, timeout(timeout_ms), options)?;
        cursor.put(chunk.cursor);
        length.put(chunk.length);
        lost.put(chunk.lost);
        Ok(match chunk.state {
            ReadState::Data => MGR_OK,
            ReadState::TimedOut => MGR_TIMEOUT,
            ReadState::ProcessEnded => MGR_ENDED,
            ReadState::Eof => MGR_EOF,
        })
    })
}

/// Reports the output of a stream as a text of bounded size: the whole output, or its beginning and its end
/// with a note between them. The text is valid UTF-8. It is at most three times as long as what is kept,
/// plus the notes.
///
/// Parameters:
/// - stream: MGR_STDOUT or MGR_STDERR.
/// - buffer, capacity: receive the text. A NUL is added if there is room for it. The text itself may
///   contain NULs.
/// - length: receives the length of the text, without that NUL, also with MGR_ERR_BUFFER; may be NULL.
/// - truncation: receives how much of the output the text shows, also with MGR_ERR_BUFFER; may be NULL. Set
///   its struct_size.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_BUFFER: capacity is less than the length of the text. Call again with a larger buffer. The
///   text may have grown meanwhile if the process runs.
/// - MGR_ERR_EXPIRED: the process was started with a key, has ended and was dropped.
/// - MGR_ERR_NOT_FOUND
/// - MGR_ERR_INVALID
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL; `buffer` is NULL or valid for writing `capacity` bytes; `length` is
/// NULL or valid for writing; `truncation` is NULL or valid for writing and its struct_size is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_output(
    manager: mgr_t,
    id: *const c_char,
    stream: i32,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
    truncation: *mut mgr_truncation,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { StructOut::new(truncation) }?;
        // SAFETY: the caller's promise.
        let length = unsafe { Out::new(length) };
        // SAFETY: the caller's promise.
        let buffer = unsafe { buffer_of(buffer.cast(), capacity) }?;
        let stream = convert::stream(stream)?;
        // SAFETY: the caller's promise.
        let process = unsafe { convert::process(manager, id) }?;
        let snapshot = process.output(stream)?;
        let shown = snapshot.text.len() as u64;
        place.put(mgr_truncation {
            struct_size: size_of::<mgr_truncation>(),
            truncated: snapshot.truncation.is_some().into(),
            original_bytes: snapshot.truncation.map_or(shown, |t| t.original_bytes),
            retained_bytes: shown,
            omitted_bytes: snapshot.truncation.map_or(0, |t| t.omitted_bytes),
        });
        put_text(snapshot.text.as_bytes(), buffer, &length)?;
        Ok(MGR_OK)
    })
}
