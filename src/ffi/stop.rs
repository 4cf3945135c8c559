//! The exported functions that signal and stop a process.

use std::ffi::c_char;

use crate::{Error, Signal};

use super::call::call;
use super::codes::{MGR_OK, MGR_TIMEOUT};
use super::convert::{self, period, status};
use super::memory::StructOut;
use super::types::*;

/// Sends a signal to the process group of a process. Once the leader has ended, the signal is sent to each
/// process that it left behind. A signal never reaches an unrelated process.
///
/// Parameters:
/// - signal: a number from <signal.h>: SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGSTOP, SIGCONT, SIGUSR1
///   or SIGUSR2.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_UNSUPPORTED: the signal is another one.
/// - MGR_ERR_NOT_RUNNING: the process has ended and nothing of it is left.
/// - MGR_ERR_IO: the system refused; or the leader has ended and the processes that it left behind cannot
///   be searched for, because /proc is not mounted or the system is out of file descriptors.
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

/// Ends a process and everything that it left behind: sends TERM, waits up to the grace period, sends KILL,
/// and waits until all of it has ended. If nothing of it is left, it stays as it is; that is not an error.
///
/// Parameters:
/// - grace_ms: the time between TERM and KILL, such as MGR_STOP_GRACE_MS; 0 sends KILL at once. With a
///   negative number, KILL is never sent.
/// - process: receives the state of the process; may be NULL. Set its struct_size.
///
/// Returns:
/// - MGR_OK: nothing of it is left.
/// - MGR_TIMEOUT: something of it has not ended 10 seconds after KILL, because it hangs in the kernel; or may
///   not be signalled, because it is another user's.
/// - MGR_ERR_IO: its process group was ended, but processes that left the group cannot be searched for,
///   because /proc is not mounted or the system is out of file descriptors.
/// - MGR_ERR_EXPIRED: the process was started with a key, has ended and was dropped.
/// - MGR_ERR_NOT_FOUND
/// - MGR_ERR_INVALID
/// - MGR_ERR_HANDLE
///
/// Blocks: up to the grace period, then until the kernel has ended the processes, at most 10 seconds.
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
        let place = unsafe { StructOut::new(process) }?;
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

/// Does what mgr_stop does on a thread of the library, and returns at once. MGR_EVENT_STOPPED is sent when
/// it is over. If such a stop of the process is under way that sends KILL no later, the call joins it: there is
/// one event for both.
///
/// Parameters:
/// - grace_ms: as for mgr_stop.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_IO: out of threads.
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
pub unsafe extern "C" fn mgr_stop_begin(manager: mgr_t, id: *const c_char, grace_ms: i64) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let process = unsafe { convert::process(manager, id) }?;
        let grace = period(grace_ms);
        process.stop_in_background(grace)?;
        Ok(MGR_OK)
    })
}
