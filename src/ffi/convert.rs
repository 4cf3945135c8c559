//! Between C's values and Rust's: the only place where memory of the caller is read or written.

use std::ffi::{CStr, OsStr, OsString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

use crate::{EndedBy, Error, Event, Id, Manager, Process, State, Status, Stream};

use super::handles;
use super::outcome::Failure;
use super::types::*;

/// A text of the caller.
///
/// # Safety
///
/// `text` is NULL or points to a text that ends with a NUL.
pub(super) unsafe fn text(text: *const c_char, what: &'static str) -> Result<OsString, Failure> {
    // SAFETY: passed on; it is copied before the call ends.
    unsafe { borrowed(text, what) }.map(|text| OsStr::from_bytes(text.to_bytes()).to_os_string())
}

/// A text of the caller that is not kept.
///
/// # Safety
///
/// As for [`text`], for as long as the result is used.
unsafe fn borrowed<'a>(text: *const c_char, what: &'static str) -> Result<&'a CStr, Failure> {
    if text.is_null() {
        return Err(Failure::Argument(what));
    }
    // SAFETY: the caller promises a NUL-terminated text.
    Ok(unsafe { CStr::from_ptr(text) })
}

/// The memory of the caller that a result goes to; NULL where it is not wanted.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    ///
    /// `place` is NULL or valid for writing a T until the call ends.
    pub(super) unsafe fn new(place: *mut T) -> Self {
        Out(place)
    }

    /// Refuses NULL, for a result without which the call would be without sense.
    pub(super) fn wanted(self, what: &'static str) -> Result<Self, Failure> {
        if self.0.is_null() {
            Err(Failure::Argument(what))
        } else {
            Ok(self)
        }
    }

    pub(super) fn put(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: who made this promised that the place is valid. It need not be aligned, nor initialised.
            unsafe { self.0.write_unaligned(value) };
        }
    }
}

impl<T: Copy> Out<T> {
    /// What stands there, of a place that is read and written.
    pub(super) fn get(&self) -> Option<T> {
        // SAFETY: who made this promised that the place is valid, and one that is read was written by the caller.
        (!self.0.is_null()).then(|| unsafe { self.0.read_unaligned() })
    }
}

/// A struct of the caller that begins with its size.
pub(super) struct Sized<T> {
    place: *mut u8,
    size: usize,
    kind: std::marker::PhantomData<T>,
}

/// A struct that begins with its `struct_size`, a usize, and is plain old data without pointers.
///
/// # Safety
///
/// The type is `repr(C)`, its first field is that usize, and any bytes are a valid value of it.
pub(super) unsafe trait HasSize: Copy {
    /// The size in the first version of this library: a caller's may not be smaller.
    const FIRST: usize;
}

// SAFETY: it is repr(C), begins with struct_size, and holds integers only.
unsafe impl HasSize for mgr_process {
    const FIRST: usize = size_of::<mgr_process>();
}
// SAFETY: as above.
unsafe impl HasSize for mgr_truncation {
    const FIRST: usize = size_of::<mgr_truncation>();
}
// SAFETY: as above.
unsafe impl HasSize for mgr_error {
    const FIRST: usize = size_of::<mgr_error>();
}
// SAFETY: as above.
unsafe impl HasSize for mgr_event {
    const FIRST: usize = size_of::<mgr_event>();
}

impl<T: HasSize> Sized<T> {
    /// # Safety
    ///
    /// `place` is NULL, or its first field is set and it is valid for writing that many bytes until the call ends.
    pub(super) unsafe fn new(place: *mut T) -> Result<Self, Failure> {
        let size = match place.is_null() {
            true => T::FIRST,
            // SAFETY: the first field is a usize by `HasSize`, and set by the caller.
            false => unsafe { place.cast::<usize>().read_unaligned() },
        };
        if size < T::FIRST {
            return Err(Failure::Argument("struct_size is too small, or not set"));
        }
        Ok(Sized {
            place: place.cast(),
            size,
            kind: std::marker::PhantomData,
        })
    }

    pub(super) fn wanted(self, what: &'static str) -> Result<Self, Failure> {
        if self.place.is_null() {
            Err(Failure::Argument(what))
        } else {
            Ok(self)
        }
    }

    /// Writes the value, except for the size, which stays the caller's. Of a struct of a later version, which is larger,
    /// only what this version knows is written.
    pub(super) fn put(&self, value: T) {
        self.put_at(0, value);
    }

    /// Writes the value of an array's element; the array's elements all have the size of the first.
    ///
    /// The caller of [`Sized::new`] answers for as many elements as it says.
    pub(super) fn put_at(&self, index: usize, value: T) {
        if self.place.is_null() {
            return;
        }
        let skip = size_of::<usize>();
        let length = size_of::<T>().min(self.size) - skip;
        let from = (&raw const value).cast::<u8>();
        // SAFETY: the caller's element is valid for `size` bytes, of which `length` after the first field are written;
        // `value` is at least as long.
        unsafe {
            let to = self.place.add(index * self.size);
            to.cast::<usize>().write_unaligned(self.size);
            to.add(skip)
                .copy_from_nonoverlapping(from.add(skip), length);
        }
    }
}

/// Bytes of the caller, to be read. NULL with length 0 is an empty slice.
///
/// # Safety
///
/// `data` is valid for reading `length` bytes until the call ends, or NULL.
pub(super) unsafe fn bytes<'a>(data: *const u8, length: usize) -> Result<&'a [u8], Failure> {
    match (data.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Failure::Argument(
            "the data is NULL and its length is not 0",
        )),
        (_, length) if length > isize::MAX as usize => {
            Err(Failure::Argument("the length is larger than any memory"))
        }
        // SAFETY: it is not NULL, the length fits, and the caller promises that it is valid.
        _ => Ok(unsafe { std::slice::from_raw_parts(data, length) }),
    }
}

/// Memory of the caller for bytes that are written. NULL with capacity 0 is an empty one.
///
/// # Safety
///
/// `buffer` is valid for writing `capacity` bytes until the call ends, and nobody else uses it until then, or it is NULL.
pub(super) unsafe fn buffer<'a>(buffer: *mut u8, capacity: usize) -> Result<&'a mut [u8], Failure> {
    match (buffer.is_null(), capacity) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(Failure::Argument(
            "the buffer is NULL and its capacity is not 0",
        )),
        (_, capacity) if capacity > isize::MAX as usize => {
            Err(Failure::Argument("the capacity is larger than any memory"))
        }
        // SAFETY: it is not NULL, the capacity fits, and the caller promises that it is valid and its own.
        _ => Ok(unsafe { std::slice::from_raw_parts_mut(buffer, capacity) }),
    }
}

/// Copies a text to the caller and reports its length. A NUL is added where there is room for it.
pub(super) fn put_text(text: &[u8], buffer: &mut [u8], length: &Out<usize>) -> Result<(), Failure> {
    length.put(text.len());
    if text.len() > buffer.len() {
        return Err(Failure::Buffer);
    }
    buffer[..text.len()].copy_from_slice(text);
    if let Some(place) = buffer.get_mut(text.len()) {
        *place = 0;
    }
    Ok(())
}

/// Milliseconds of the caller: negative is for ever.
pub(super) fn timeout(milliseconds: i64) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

/// Milliseconds of the caller where "for ever" is only a very long time.
pub(super) fn period(milliseconds: i64) -> Duration {
    timeout(milliseconds).unwrap_or(Duration::MAX)
}

/// An id of the caller. What is no id names no process.
///
/// # Safety
///
/// As for [`text`].
pub(super) unsafe fn parse_id(id: *const c_char) -> Result<Id, Failure> {
    // SAFETY: passed on; it is parsed before the call ends.
    let id = unsafe { borrowed(id, "the id is NULL") }?;
    let parsed = id.to_str().ok().and_then(|id| id.parse::<Id>().ok());
    parsed.ok_or_else(|| {
        Failure::Api(Error::NotFound {
            id: id.to_string_lossy().into_owned(),
        })
    })
}

/// The process that an id of the caller names.
///
/// # Safety
///
/// As for [`text`].
pub(super) unsafe fn process(manager: mgr_t, id: *const c_char) -> Result<Process, Failure> {
    let manager: Manager = handles::manager(manager)?;
    // SAFETY: passed on.
    let id = unsafe { parse_id(id) }?;
    Ok(manager.get(id)?)
}

/// The same, for functions that report how a process ended whose output is gone.
///
/// # Safety
///
/// As for [`text`].
pub(super) unsafe fn process_or_end(
    manager: mgr_t,
    id: *const c_char,
    place: &Sized<mgr_process>,
) -> Result<Process, Failure> {
    // SAFETY: passed on.
    let process = unsafe { process(manager, id) };
    if let Err(Failure::Api(Error::Expired { status })) = &process {
        place.put(self::status(status));
    }
    process
}

/// What stands for a process that a key has not started.
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

/// The stream that a number of the caller names, without flags.
pub(super) fn stream(number: i32) -> Result<Stream, Failure> {
    match number {
        MGR_STDOUT => Ok(Stream::Stdout),
        MGR_STDERR => Ok(Stream::Stderr),
        _ => Err(Failure::Argument(
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

/// An id as C has it.
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

/// A status as C has it.
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

/// An event as C has it.
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
