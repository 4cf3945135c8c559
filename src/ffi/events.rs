//! What happens, one event after another.

use std::ffi::c_char;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::call::call;
use super::codes::{MGR_OK, MGR_TIMEOUT};
use super::convert::{self, timeout};
use super::handles::{self, Object};
use super::memory::{Out, StructOut};
use super::types::*;

/// Subscribes to what happens to the processes that a manager or scope sees, from now on. Each event goes to each
/// subscription once. Up to 16,384 events wait for the subscriber; what comes when the queue is full is counted, and
/// reported by MGR_EVENT_MISSED.
///
/// events: receives the handle; give it back with mgr_events_release.
///
/// MGR_OK; MGR_ERR_INVALID; MGR_ERR_CLOSED; MGR_ERR_HANDLE. Does not block.
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

/// Gives a subscription back. A mgr_events_next that waits in another thread returns MGR_ERR_CLOSED.
///
/// MGR_OK; MGR_ERR_HANDLE. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_events_release(events: mgr_events_t) -> i32 {
    call(|| {
        let removed = handles::remove(events, |object| matches!(object, Object::Events(_)))?;
        if let Object::Events(events) = removed {
            // Another call may hold it, and wait.
            events.close()?;
        }
        Ok(MGR_OK)
    })
}

/// Takes the next event.
///
/// timeout_ms: how long to wait for one; negative is for ever, 0 does not wait.
/// event: receives it. Set its struct_size.
///
/// MGR_OK; MGR_TIMEOUT: none came in time; MGR_ERR_CLOSED: none is left and none will come, because the manager is closed
/// or the subscription released; MGR_ERR_INVALID; MGR_ERR_HANDLE.
///
/// Blocks; ended by an event, by mgr_close of the manager, by mgr_events_release, and by the timeout.
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

/// A descriptor that is readable while there may be an event, for a host's own loop (poll, epoll). When it is, call
/// mgr_events_next with a timeout of 0 until it answers MGR_TIMEOUT. The descriptor belongs to the subscription: neither
/// read it nor close it; it goes with mgr_events_release.
///
/// descriptor: receives it.
///
/// MGR_OK; MGR_ERR_IO if there is no descriptor to be had; MGR_ERR_INVALID; MGR_ERR_HANDLE. Does not block.
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

/// Asks for one MGR_EVENT_READABLE: as soon as there is a byte of the stream past the cursor, or the process or the
/// stream has ended; at once if that is so already. The end of the process is told once: after that only bytes and the end
/// of the stream are. Asking again before it came moves the cursor. So one thread follows
/// any number of processes: it reads with a timeout of 0, watches when there is nothing, and waits in mgr_events_next.
///
/// manager: one that sees the process.
/// stream: MGR_STDOUT or MGR_STDERR.
///
/// MGR_OK; MGR_ERR_NOT_FOUND; MGR_ERR_INVALID; MGR_ERR_HANDLE. Does not block.
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
