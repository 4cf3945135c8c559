//! The exported function that starts a process.

use crate::{Process, Request};

use super::call::call_described;
use super::codes::{MGR_ATTACHED, MGR_OK};
use super::convert;
use super::error::CallError;
use super::handles;
use super::memory::{Out, StructOut};
use super::types::*;

/// Starts a process. Returns when execve has succeeded.
///
/// Parameters:
/// - request: what to start. The request can be changed or freed afterwards.
/// - id: receives the id of the process; may be NULL.
/// - error: receives why the start failed, with the step that failed; may be NULL. Set its struct_size.
///   After a success its code is MGR_OK.
///
/// Returns:
/// - MGR_OK: the process was started.
/// - MGR_ATTACHED: the key of the request was started before. Nothing was started; id names the process of
///   the key.
/// - MGR_TIMEOUT: another caller is still starting the same key; see mgr_request_start_timeout_ms.
/// - MGR_ERR_INVALID: the request cannot be started on any system (empty command, invalid variable name, an
///   argument or variable longer than 131,071 bytes), or its owner is not that of the scope.
/// - MGR_ERR_SPAWN: the system did not start it (no such directory or program, no permission, out of file
///   descriptors, threads or processes); see errno and error. Later starts of the same key fail with the
///   same error.
/// - MGR_ERR_LIMIT: max_processes processes are live, or 16,384 keys are remembered.
/// - MGR_ERR_CONFLICT: the key or the id belongs to a different request.
/// - MGR_ERR_CANCELED: the key was canceled.
/// - MGR_ERR_EXPIRED: the process of the key has ended and was dropped. mgr_cancel reports how it ended.
/// - MGR_ERR_UNSUPPORTED: the start method is not available on this system.
/// - MGR_ERR_CLOSED
/// - MGR_ERR_HANDLE
///
/// After an error, nothing was started and nothing is left of the start.
///
/// Blocks: until execve has succeeded or failed; with a key, also while another caller starts the same key.
/// mgr_cancel, mgr_close and the start timeout of the request end the latter.
///
/// # Safety
///
/// `id` is NULL or valid for writing; `error` is NULL or valid for writing and its struct_size is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_start(
    manager: mgr_t,
    request: mgr_request_t,
    id: *mut mgr_id,
    error: *mut mgr_error,
) -> i32 {
    let empty = mgr_error {
        struct_size: size_of::<mgr_error>(),
        code: MGR_OK,
        os_error: 0,
        step: 0,
        message: [0; 500],
    };
    // SAFETY: the caller's promise.
    let place = unsafe { StructOut::new(error) };
    let (described, checked) = match place {
        Ok(place) => (Some(place), Ok(())),
        Err(failure) => (None, Err(failure)),
    };
    let describe = |failure: Option<&CallError>| {
        if let Some(place) = &described {
            let mut error = empty;
            if let Some(failure) = failure {
                failure.describe(&mut error);
            }
            place.put(error);
        }
    };
    call_described(describe, || {
        checked?;
        // SAFETY: the caller's promise.
        let id_place = unsafe { Out::new(id) };
        let request: Request = handles::request(request)?.lock().clone();
        let process: Process = handles::manager(manager)?.start(&request)?;
        id_place.put(convert::id(process.id()));
        Ok(match process.is_attached() {
            true => MGR_ATTACHED,
            false => MGR_OK,
        })
    })
}
