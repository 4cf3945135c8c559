//! The exported functions for events.

use std::ffi::c_char;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::call::call;
use super::codes::{MGR_OK, MGR_TIMEOUT};
use super::convert::{self, timeout};
use super::handles::{self, Object};
use super::memory::{Out, StructOut};
use super::types::*;

/// Subscribes to the events of the processes that a manager or scope sees, from now on. Each event goes once
/// to each subscription, except MGR_EVENT_READABLE, which goes only to the subscription that watched the
/// stream. A subscription holds up to 16,384 events. Further ones are dropped and counted; MGR_EVENT_MISSED
/// reports the count.
///
/// Parameters:
/// - events: receives the handle. Release it with mgr_events_release.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: events is NULL.
/// - MGR_ERR_CLOSED
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
///
/// # Safety
///
/// `events` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_events_open(manager: mgr_t, events: *mut mgr_events_t) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { Out::new(events) }.wanted("events is NULL")?;
        let events = handles::manager(manager)?.events()?;
        place.put(handles::add(Object::Events(Arc::new(events))));
        Ok(MGR_OK)
    })
}

/// Ends a subscription. A mgr_events_next that waits in another thread returns MGR_ERR_CLOSED.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_events_release(events: mgr_events_t) -> i32 {
    call(|| {
        let removed = handles::remove(events, |object| matches!(object, Object::Events(_)))?;
        if let Object::Events(events) = removed {
            // Another call may hold it and wait for an event.
            events.close()?;
        }
        Ok(MGR_OK)
    })
}

/// Takes the next event.
///
/// Parameters:
/// - timeout_ms: how long to wait for an event; negative is without a limit, 0 does not wait.
/// - event: receives the event. Set its struct_size.
///
/// Returns:
/// - MGR_OK
/// - MGR_TIMEOUT: no event came in time.
/// - MGR_ERR_CLOSED: all events were taken and none will follow, because the manager was closed or the
///   subscription released.
/// - MGR_ERR_INVALID
/// - MGR_ERR_HANDLE
///
/// Blocks: until there is an event, up to the timeout. mgr_close of the manager and mgr_events_release end
/// it.
///
/// # Safety
///
/// `event` is NULL or valid for writing and its struct_size is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_events_next(
    events: mgr_events_t,
    timeout_ms: i64,
    event: *mut mgr_event,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { StructOut::new(event) }?.wanted("event is NULL")?;
        match handles::events(events)?.next(timeout(timeout_ms))? {
            Some(event) => {
                place.put(convert::event(event));
                Ok(MGR_OK)
            }
            None => Ok(MGR_TIMEOUT),
        }
    })
}

/// Reports a descriptor that is readable while there may be an event, for the host's own loop (poll,
/// epoll). When it is readable, call mgr_events_next with a timeout of 0 until it returns MGR_TIMEOUT.
///
/// Parameters:
/// - descriptor: receives the descriptor. It belongs to the subscription: do not read from it and do not
///   close it. mgr_events_release closes it.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_IO: out of file descriptors.
/// - MGR_ERR_INVALID: descriptor is NULL.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
///
/// # Safety
///
/// `descriptor` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_events_descriptor(events: mgr_events_t, descriptor: *mut i32) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { Out::new(descriptor) }.wanted("descriptor is NULL")?;
        place.put(handles::events(events)?.descriptor()?.as_raw_fd());
        Ok(MGR_OK)
    })
}

/// Requests one MGR_EVENT_READABLE: when a byte at or after the cursor is available, the process has ended,
/// or the stream has ended; immediately if that is already so. The end of the process is reported once per
/// subscription; after that, only bytes and the end of the stream are. A second call before the event
/// replaces the cursor.
///
/// With this, one thread can follow any number of processes: it reads with a timeout of 0, watches the
/// streams that had nothing, and waits in mgr_events_next.
///
/// Parameters:
/// - manager: a manager or scope that sees the process.
/// - stream: MGR_STDOUT or MGR_STDERR.
/// - cursor: a position in the stream, as mgr_read reports it.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_EXPIRED: the process was started with a key, has ended and was dropped.
/// - MGR_ERR_NOT_FOUND
/// - MGR_ERR_INVALID
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_events_watch(
    events: mgr_events_t,
    manager: mgr_t,
    id: *const c_char,
    stream: i32,
    cursor: u64,
) -> i32 {
    call(|| {
        let events = handles::events(events)?;
        let stream = convert::stream(stream)?;
        // SAFETY: the caller's promise.
        let process = unsafe { convert::process(manager, id) }?;
        events.watch(&process, stream, cursor)?;
        Ok(MGR_OK)
    })
}
