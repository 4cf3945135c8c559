//! Conversion between C's values and Rust's.

use std::ffi::c_char;
use std::time::{Duration, SystemTime};

use crate::{EndedBy, Error, Event, Id, Manager, Process, State, Status, Stream};

use super::error::CallError;
use super::handles;
use super::memory::{StructOut, borrowed};
use super::types::*;

/// Milliseconds of the caller: negative is without a limit.
pub(super) fn timeout(milliseconds: i64) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

/// Milliseconds of the caller, for options without a value for "no limit": negative is the longest time.
pub(super) fn period(milliseconds: i64) -> Duration {
    timeout(milliseconds).unwrap_or(Duration::MAX)
}

/// An id of the caller. A text that is not an id names no process: it is not found.
///
/// # Safety
///
/// As for [`text`].
pub(super) unsafe fn parse_id(id: *const c_char) -> Result<Id, CallError> {
    // SAFETY: the caller's promise. The text is parsed before the call ends.
    let id = unsafe { borrowed(id, "the id is NULL") }?;
    let parsed = id.to_str().ok().and_then(|id| id.parse::<Id>().ok());
    parsed.ok_or_else(|| {
        CallError::Api(Error::NotFound {
            id: id.to_string_lossy().into_owned(),
        })
    })
}

/// The process that an id of the caller names.
///
/// # Safety
///
/// As for [`text`].
pub(super) unsafe fn process(manager: mgr_t, id: *const c_char) -> Result<Process, CallError> {
    let manager: Manager = handles::manager(manager)?;
    // SAFETY: the caller's promise.
    let id = unsafe { parse_id(id) }?;
    Ok(manager.get(id)?)
}

/// The same, for functions that report the final state of a process that was dropped: it is written to
/// `place`.
///
/// # Safety
///
/// As for [`text`].
pub(super) unsafe fn process_or_end(
    manager: mgr_t,
    id: *const c_char,
    place: &StructOut<mgr_process>,
) -> Result<Process, CallError> {
    // SAFETY: the caller's promise.
    let process = unsafe { process(manager, id) };
    if let Err(CallError::Api(Error::Expired { status })) = &process {
        place.put(self::status(status));
    }
    process
}

/// The result of a cancel whose key has not started a process.
pub(super) fn no_process(state: i32) -> mgr_process {
    mgr_process {
        struct_size: size_of::<mgr_process>(),
        id: mgr_id { text: [0; 37] },
        pid: 0,
        state,
        exit_code: -1,
        signal: 0,
        core_dumped: 0,
        ended_by: MGR_BY_NOBODY,
        background: 0,
        output_open: 0,
        started_at_ms: 0,
        ended_at_ms: 0,
        duration_us: 0,
        output_bytes: 0,
        user_us: 0,
        system_us: 0,
        max_rss_kib: 0,
    }
}

/// A stream of the caller, without flags.
pub(super) fn stream(number: i32) -> Result<Stream, CallError> {
    match number {
        MGR_STDOUT => Ok(Stream::Stdout),
        MGR_STDERR => Ok(Stream::Stderr),
        _ => Err(CallError::Argument(
            "the stream is neither MGR_STDOUT nor MGR_STDERR",
        )),
    }
}

pub(super) fn stream_number(stream: Stream) -> i32 {
    match stream {
        Stream::Stdout => MGR_STDOUT,
        Stream::Stderr => MGR_STDERR,
    }
}

/// An id, for C.
pub(super) fn id(id: Id) -> mgr_id {
    let mut text = [0; 37];
    for (place, byte) in text.iter_mut().zip(id.to_string().bytes()) {
        *place = byte as c_char;
    }
    mgr_id { text }
}

/// Milliseconds of Unix time.
fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// A status, for C.
pub(super) fn status(status: &Status) -> mgr_process {
    let (state, signal, core_dumped) = match status.state {
        State::Running => (MGR_RUNNING, 0, false),
        State::Exited(_) => (MGR_EXITED, 0, false),
        State::Signaled {
            signal,
            core_dumped,
        } => (MGR_SIGNALED, signal, core_dumped),
        State::Lost => (MGR_LOST, 0, false),
    };
    mgr_process {
        struct_size: size_of::<mgr_process>(),
        id: id(status.id),
        pid: i32::try_from(status.pid).unwrap_or(-1),
        state,
        exit_code: status.exit_code().unwrap_or(-1),
        signal,
        core_dumped: core_dumped.into(),
        ended_by: match status.ended_by {
            EndedBy::Nobody => MGR_BY_NOBODY,
            EndedBy::Signal => MGR_BY_SIGNAL,
            EndedBy::Stop => MGR_BY_STOP,
            EndedBy::Limit => MGR_BY_LIMIT,
            EndedBy::Cancel => MGR_BY_CANCEL,
            EndedBy::Close => MGR_BY_CLOSE,
        },
        background: status.is_background().into(),
        output_open: status.output_open.into(),
        started_at_ms: unix_ms(status.started_at),
        ended_at_ms: status.ended_at.map_or(0, unix_ms),
        duration_us: micros(status.duration),
        output_bytes: status.output_bytes,
        user_us: micros(status.usage.user),
        system_us: micros(status.usage.system),
        max_rss_kib: status.usage.max_rss_kib,
    }
}

/// An event, for C.
pub(super) fn event(event: Event) -> mgr_event {
    let (kind, of, stream, missed) = match event {
        Event::Started(id) => (MGR_EVENT_STARTED, Some(id), 0, 0),
        Event::Ended(id) => (MGR_EVENT_ENDED, Some(id), 0, 0),
        Event::OutputClosed(id) => (MGR_EVENT_OUTPUT_CLOSED, Some(id), 0, 0),
        Event::Readable(id, stream) => (MGR_EVENT_READABLE, Some(id), stream_number(stream), 0),
        Event::Stopped(id) => (MGR_EVENT_STOPPED, Some(id), 0, 0),
        Event::Missed(count) => (MGR_EVENT_MISSED, None, 0, count),
    };
    mgr_event {
        struct_size: size_of::<mgr_event>(),
        kind,
        stream,
        missed,
        id: of.map_or(mgr_id { text: [0; 37] }, id),
    }
}
