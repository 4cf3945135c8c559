//! Signals, and stopping a process.

use std::ffi::c_char;

use crate::{Error, Signal};

use super::call::call;
use super::codes::{MGR_OK, MGR_TIMEOUT};
use super::convert::{self, period, status};
use super::memory::StructOut;
use super::types::*;

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
        let grace = period(grace_ms);
        process.stop_in_background(grace)?;
        Ok(MGR_OK)
    })
}
