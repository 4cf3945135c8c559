//! What is done with one process.

use std::ffi::{OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use crate::{Error, ReadOptions, ReadState, Signal, Status};

use super::convert::{self, Out, Sized, period, put_text, status, stream, timeout};
use super::outcome::{MGR_ENDED, MGR_EOF, MGR_OK, MGR_TIMEOUT, Outcome, call};
use super::types::*;

/// Waits for the end of a process: until its leader has ended and all that the leader wrote can be read, whoever else
/// may hold its output.
///
/// timeout_ms: how long to wait; negative is for ever, 0 does not wait. It ends the waiting and never the process.
/// process: receives where the process stands, also after MGR_TIMEOUT; may be NULL. Set its struct_size.
///
/// MGR_OK: it has ended. MGR_TIMEOUT: it runs. MGR_ERR_EXPIRED: it was started with a key, has ended and was dropped;
/// process holds how it ended. MGR_ERR_NOT_FOUND; MGR_ERR_INVALID; MGR_ERR_HANDLE.
///
/// Blocks; ended by the end of the process, which mgr_close brings about, and by the timeout.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL; `process` is NULL or valid for writing and its struct_size is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_wait(
    manager: mgr_t,
    id: *const c_char,
    timeout_ms: i64,
    process: *mut mgr_process,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { Sized::new(process) }?;
        // SAFETY: the caller's promise.
        let process = unsafe { convert::process_or_end(manager, id, &place) }?;
        let ended = match timeout(timeout_ms) {
            None => Some(process.wait()?),
            Some(timeout) => process.wait_timeout(timeout)?,
        };
        match ended {
            Some(ended) => {
                place.put(status(&ended));
                Ok(MGR_OK)
            }
            None => {
                place.put(status(&process.status()?));
                Ok(MGR_TIMEOUT)
            }
        }
    })
}

/// Reads the raw bytes of a stream from a cursor on. Reading takes nothing away: any number of readers can read, each
/// with a cursor of its own.
///
/// stream: MGR_STDOUT or MGR_STDERR; MGR_READ_WHOLE_CHARACTERS and MGR_READ_UNTIL_END may be added.
/// cursor: the position to read from, 0 at first; receives the position to read from next.
/// buffer, capacity: receive the bytes. With capacity 0 (buffer may be NULL) the call tells whether there are any.
/// length: receives how many bytes were written to the buffer.
/// lost: receives how many bytes between the old cursor and the first byte in the buffer are gone for good; may be NULL.
/// timeout_ms: how long to wait for the first byte; negative is for ever, 0 does not wait.
///
/// MGR_OK: there are bytes. MGR_TIMEOUT: none came in time; call again. MGR_EOF: nothing will ever follow. MGR_ENDED, only
/// with MGR_READ_UNTIL_END: the process has ended and all that it wrote was read. MGR_ERR_INVALID: also for MGR_STDERR
/// when the streams are not separate, and for a buffer of less than 4 bytes with MGR_READ_WHOLE_CHARACTERS.
/// MGR_ERR_NOT_FOUND; MGR_ERR_HANDLE.
///
/// Blocks; ended by a byte, by the end of the stream, which mgr_close brings about, and by the timeout.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL; `cursor` is NULL or valid for reading and writing; `buffer` is NULL or valid for
/// writing `capacity` bytes; `length` and `lost` are NULL or valid for writing.
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
        let buffer = unsafe { convert::buffer(buffer.cast(), capacity) }?;
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

/// The output of a stream as a text of bounded size: the whole output, or its beginning and its end with a note between
/// them. Valid UTF-8, at most three times as long as what is kept, plus the notes.
///
/// stream: MGR_STDOUT or MGR_STDERR.
/// buffer, capacity: receive the text; a NUL is added where there is room for it. The text itself may hold NULs.
/// length: receives the length of the text, without that NUL, also with MGR_ERR_BUFFER; may be NULL.
/// truncation: receives the numbers of what the text does not show; may be NULL. Set its struct_size.
///
/// MGR_OK; MGR_ERR_BUFFER if capacity is less than the length: call again with a buffer of at least the length, which
/// may have grown meanwhile if the process runs; MGR_ERR_INVALID; MGR_ERR_NOT_FOUND; MGR_ERR_HANDLE. Does not block.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL; `buffer` is NULL or valid for writing `capacity` bytes; `length` is NULL or valid for
/// writing; `truncation` is NULL or valid for writing and its struct_size is set.
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
        let place = unsafe { Sized::new(truncation) }?;
        // SAFETY: the caller's promise.
        let length = unsafe { Out::new(length) };
        // SAFETY: the caller's promise.
        let buffer = unsafe { convert::buffer(buffer.cast(), capacity) }?;
        let stream = self::stream(stream)?;
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

/// # Safety
///
/// As for `mgr_command`.
unsafe fn put_about(
    manager: mgr_t,
    id: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
    about: impl FnOnce(&Status) -> &OsStr,
) -> Outcome {
    // SAFETY: the caller's promise.
    let length = unsafe { Out::new(length) };
    // SAFETY: the caller's promise.
    let buffer = unsafe { convert::buffer(buffer.cast(), capacity) }?;
    // SAFETY: the caller's promise.
    let process = unsafe { convert::process(manager, id) }?;
    put_text(about(&process.status()?).as_bytes(), buffer, &length)?;
    Ok(MGR_OK)
}

/// The command of a process, as it was asked for; program and arguments with spaces between them.
///
/// buffer, capacity: receive the text; a NUL is added where there is room for it.
/// length: receives its length without that NUL, also with MGR_ERR_BUFFER; may be NULL.
///
/// MGR_OK; MGR_ERR_BUFFER if capacity is less than the length; MGR_ERR_INVALID; MGR_ERR_NOT_FOUND; MGR_ERR_HANDLE. Does
/// not block.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL; `buffer` is NULL or valid for writing `capacity` bytes; `length` is NULL or valid for
/// writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_command(
    manager: mgr_t,
    id: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    call(|| unsafe { put_about(manager, id, buffer, capacity, length, Status::command) })
}

/// The directory that a process was started in. Parameters and results are those of mgr_command.
///
/// # Safety
///
/// As for `mgr_command`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_directory(
    manager: mgr_t,
    id: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    fn directory(status: &Status) -> &OsStr {
        status.directory().as_os_str()
    }
    // SAFETY: the caller's promise.
    call(|| unsafe { put_about(manager, id, buffer, capacity, length, directory) })
}

/// The owner of a process; an empty text if it has none. Parameters and results are those of mgr_command.
///
/// # Safety
///
/// As for `mgr_command`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_owner(
    manager: mgr_t,
    id: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    fn owner(status: &Status) -> &OsStr {
        status.owner().unwrap_or_default()
    }
    // SAFETY: the caller's promise.
    call(|| unsafe { put_about(manager, id, buffer, capacity, length, owner) })
}

/// Sends a signal to the process group; once the leader has ended, to each process that it left behind. A signal never
/// reaches a process that is not of this one.
///
/// signal: a number from <signal.h>: SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGSTOP, SIGCONT, SIGUSR1 or SIGUSR2.
///
/// MGR_OK; MGR_ERR_UNSUPPORTED for another signal; MGR_ERR_NOT_RUNNING if the process has ended and nothing of it is
/// left; MGR_ERR_NOT_FOUND; MGR_ERR_IO; MGR_ERR_INVALID; MGR_ERR_HANDLE. Does not block.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_signal(manager: mgr_t, id: *const c_char, signal: i32) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let process = unsafe { convert::process(manager, id) }?;
        let signal = Signal::from_number(signal).ok_or_else(|| Error::Unsupported {
            what: format!("signal {signal}"),
        })?;
        process.signal(signal)?;
        Ok(MGR_OK)
    })
}

/// Ends a process: TERM to everything that it is and left behind, a grace period, KILL, and waiting for the end. One
/// that has ended, with nothing left of it, stays as it is; that is no error.
///
/// grace_ms: how long to wait between TERM and KILL, such as MGR_STOP_GRACE_MS; 0 sends KILL at once, negative never.
/// process: receives where the process stands; may be NULL. Set its struct_size.
///
/// MGR_OK: nothing of it is left. MGR_TIMEOUT: something of it is left 10 seconds after KILL, because it hangs in the
/// kernel. MGR_ERR_IO: its group was ended, but what left the group cannot be looked for, because /proc is not mounted or
/// there is no descriptor to be had. MGR_ERR_NOT_FOUND; MGR_ERR_INVALID; MGR_ERR_HANDLE.
///
/// Blocks for the grace period at most, and for the kernel's work after that.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL; `process` is NULL or valid for writing and its struct_size is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_stop(
    manager: mgr_t,
    id: *const c_char,
    grace_ms: i64,
    process: *mut mgr_process,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { Sized::new(process) }?;
        // SAFETY: the caller's promise.
        let process = unsafe { convert::process(manager, id) }?;
        let stopped = process.stop(period(grace_ms))?;
        place.put(status(&stopped.status));
        Ok(match stopped.left {
            0 => MGR_OK,
            _ => MGR_TIMEOUT,
        })
    })
}

/// Begins what mgr_stop does and returns: the rest happens on a thread of the library. MGR_EVENT_STOPPED tells when it
/// is over.
///
/// MGR_OK; MGR_ERR_IO if there is no thread to be had; MGR_ERR_NOT_FOUND; MGR_ERR_INVALID; MGR_ERR_HANDLE. Does not block.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_stop_begin(manager: mgr_t, id: *const c_char, grace_ms: i64) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let process = unsafe { convert::process(manager, id) }?;
        let grace: Duration = period(grace_ms);
        process.stop_in_background(grace)?;
        Ok(MGR_OK)
    })
}
