//! The exported functions for keys of idempotent starts.

use std::ffi::{c_char, c_void};

use crate::Canceled;

use super::call::call;
use super::codes::{MGR_OK, MGR_TIMEOUT};
use super::convert::{self, status, timeout};
use super::handles;
use super::memory::{Out, StructOut, bytes};
use super::types::*;

/// Makes sure that the process of a key does not run, now or later. If the key was never started, later
/// starts of it are refused. A process that is being started or runs is ended: TERM, the manager's stop
/// grace, KILL. One that has ended stays as it is.
///
/// Parameters:
/// - key, length: 1 to 255 bytes. The owner of the key is that of the scope; a manager has none.
/// - timeout_ms: how long to wait for the end; negative is without a limit, 0 does not wait. The process is
///   ended also after a timeout.
/// - process: receives the state of the process; may be NULL. Set its struct_size. The state is
///   MGR_NEVER_STARTED if the key has not started a process, and MGR_STARTING if it is still being started;
///   then the id is empty.
///
/// Returns:
/// - MGR_OK: the process of the key does not run. ended_by is MGR_BY_CANCEL if this cancel has ended it.
/// - MGR_TIMEOUT: the timeout passed first.
/// - MGR_ERR_LIMIT: the key is new, and 16,384 keys are remembered already.
/// - MGR_ERR_CLOSED: the manager was closed while the key was being started.
/// - MGR_ERR_IO: out of threads; the process was not ended.
/// - MGR_ERR_INVALID
/// - MGR_ERR_HANDLE
///
/// Blocks: until the process has ended, up to the timeout.
///
/// # Safety
///
/// `key` is NULL or valid for reading `length` bytes; `process` is NULL or valid for writing and its
/// struct_size is set.
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

/// Finds the process that a key has started, also when the process was dropped.
///
/// Parameters:
/// - key, length: 1 to 255 bytes. The owner of the key is that of the scope; a manager has none.
/// - id: receives the id of the process; may be NULL.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_NOT_FOUND: the key has not started a process, or not yet.
/// - MGR_ERR_INVALID
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
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

/// Drops an ended process, and the record of its key if it has one. The key can then be started again. What
/// the process left behind goes on until the manager is closed.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: id is NULL, or the process has not ended.
/// - MGR_ERR_NOT_FOUND
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
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

/// Removes the record of a key. The key can then be started again. If the key has started a process, the
/// process must have ended, and is dropped.
///
/// Parameters:
/// - key, length: 1 to 255 bytes. The owner of the key is that of the scope; a manager has none.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_NOT_FOUND: there is no record, or the key is being started.
/// - MGR_ERR_INVALID: the process of the key has not ended; or key is invalid.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
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
