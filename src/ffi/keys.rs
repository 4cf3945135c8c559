//! Keys of idempotent starts.

use std::ffi::{c_char, c_void};

use crate::Canceled;

use super::call::call;
use super::codes::{MGR_OK, MGR_TIMEOUT};
use super::convert::{self, status, timeout};
use super::handles;
use super::memory::{Out, StructOut, bytes};
use super::types::*;

/// Makes sure that a key is not started any more: what was never started never will be, what is being started or runs is
/// ended (TERM, the manager's stop grace, KILL), what has ended stays as it is.
///
/// key, length: 1 to 255 bytes. The owner is that of the scope; none for a manager.
/// timeout_ms: how long to wait for that; negative is for as long as it takes, 0 does not wait. The ending goes on.
/// process: receives what came of it; may be NULL. Set its struct_size. Its state is MGR_NEVER_STARTED if the key has
/// started nothing, and MGR_STARTING if it is still being started; then it has no id.
///
/// MGR_OK: nothing of it runs; ended_by tells whether it was this cancel that ended it. MGR_TIMEOUT: the time was up
/// first. MGR_ERR_LIMIT: the key was never seen and 16,384 keys are remembered already; MGR_ERR_IO: no thread to end it;
/// MGR_ERR_INVALID; MGR_ERR_HANDLE. Works on a closed manager too.
///
/// Blocks; ended by the end of the process and by the timeout.
///
/// # Safety
///
/// `key` is NULL or valid for reading `length` bytes; `process` is NULL or valid for writing and its struct_size is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_cancel(
    manager: mgr_t,
    key: *const c_void,
    length: usize,
    timeout_ms: i64,
    process: *mut mgr_process,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { StructOut::new(process) }?;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key.cast(), length) }?;
        match handles::manager(manager)?.cancel(key, timeout(timeout_ms))? {
            Canceled::NeverStarted => {
                place.put(convert::no_process(MGR_NEVER_STARTED));
                Ok(MGR_OK)
            }
            Canceled::Ended(ended) => {
                place.put(status(&ended));
                Ok(MGR_OK)
            }
            Canceled::TimedOut(present) => {
                place.put(match present {
                    Some(present) => status(&present),
                    None => convert::no_process(MGR_STARTING),
                });
                Ok(MGR_TIMEOUT)
            }
        }
    })
}

/// The process that a key has started, also when its output is gone.
///
/// key, length: 1 to 255 bytes. The owner is that of the scope; none for a manager.
/// id: receives its id; may be NULL.
///
/// MGR_OK; MGR_ERR_NOT_FOUND if the key has started nothing (yet); MGR_ERR_INVALID; MGR_ERR_HANDLE. Does not block.
///
/// # Safety
///
/// `key` is NULL or valid for reading `length` bytes; `id` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_find(
    manager: mgr_t,
    key: *const c_void,
    length: usize,
    id: *mut mgr_id,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { Out::new(id) };
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key.cast(), length) }?;
        place.put(convert::id(handles::manager(manager)?.find(key)?));
        Ok(MGR_OK)
    })
}

/// Drops an ended process and the record of its key, if it was started with one: the key is then as if it had never been
/// used. What it left behind goes on, until the manager is closed.
///
/// MGR_OK; MGR_ERR_INVALID if the process has not ended; MGR_ERR_NOT_FOUND; MGR_ERR_HANDLE. Does not block.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_forget(manager: mgr_t, id: *const c_char) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let id = unsafe { convert::parse_id(id) }?;
        handles::manager(manager)?.forget(id)?;
        Ok(MGR_OK)
    })
}

/// Frees the record of a key that has started nothing, because its start failed or it was canceled before, or whose process
/// has ended: the key is then as if it had never been used.
///
/// key, length: 1 to 255 bytes. The owner is that of the scope; none for a manager.
///
/// MGR_OK; MGR_ERR_NOT_FOUND if there is no record of it; MGR_ERR_INVALID, also if its process has not ended;
/// MGR_ERR_HANDLE. Does not block.
///
/// # Safety
///
/// `key` is NULL or valid for reading `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_forget_key(manager: mgr_t, key: *const c_void, length: usize) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key.cast(), length) }?;
        handles::manager(manager)?.forget_key(key)?;
        Ok(MGR_OK)
    })
}
