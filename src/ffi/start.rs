//! Starting a process.

use crate::{Process, Request};

use super::call::call_described;
use super::codes::{MGR_ATTACHED, MGR_OK};
use super::convert;
use super::error::CallError;
use super::handles;
use super::memory::{Out, StructOut};
use super::types::*;

/// Starts what the request describes. Returns when the program has been executed.
///
/// id: receives the id of the process; may be NULL.
/// error: receives the reason of a failure, with the step of the start that failed; may be NULL. Set its struct_size.
///
/// MGR_OK. MGR_ATTACHED: the request's key had been started before; nothing was started, and id names that process.
/// MGR_TIMEOUT: another start of the same key is still under way; see mgr_request_start_timeout_ms.
/// On an error nothing was started and nothing is left of it:
/// MGR_ERR_INVALID if the request cannot be started by anybody (empty command, bad variable name, an argument or
/// variable over 131,071 bytes) or belongs to another owner than the scope; MGR_ERR_SPAWN if the system did not start it
/// (no such directory or program, no permission, no more descriptors, threads or processes), see errno and error;
/// MGR_ERR_LIMIT if max_processes live already, or 16,384 keys are remembered; MGR_ERR_CONFLICT if the key or the id
/// belongs to a different request; MGR_ERR_CANCELED if the key was canceled before; MGR_ERR_EXPIRED if what the key has
/// started has ended and was dropped, and mgr_cancel tells how it ended; MGR_ERR_CLOSED; MGR_ERR_HANDLE. A key whose
/// start failed gets the same failure again.
///
/// Blocks for as long as the kernel takes to execute the program, and with a key for as long as another start of the
/// same key takes; mgr_cancel, mgr_close and the request's start timeout end that waiting.
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
