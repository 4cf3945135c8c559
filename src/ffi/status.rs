//! The exported functions that report the state of processes.

use std::ffi::{OsStr, c_char};
use std::os::unix::ffi::OsStrExt;

use crate::Status;

use super::call::call;
use super::codes::{MGR_OK, MGR_TIMEOUT};
use super::convert::{self, status, timeout};
use super::error::CallResult;
use super::handles;
use super::memory::{Out, StructOut, buffer_of, put_text};
use super::types::*;

/// Lists the processes: running ones first, newest first. Works on a closed manager too.
///
/// Parameters:
/// - processes: an array that receives up to capacity processes; may be NULL if capacity is 0. Set the
///   struct_size of the first element; it is the size of all.
/// - capacity: the number of elements. 0 only counts the processes.
/// - count: receives the total number of processes, which may be more than capacity; may be NULL.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
///
/// # Safety
///
/// `processes` is NULL, or valid for writing `capacity` elements of the first one's struct_size; `count`
/// is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_list(
    manager: mgr_t,
    processes: *mut mgr_process,
    capacity: usize,
    count: *mut usize,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let count = unsafe { Out::new(count) };
        let processes = if capacity == 0 {
            std::ptr::null_mut()
        } else {
            processes
        };
        // SAFETY: the caller's promise: where there is an element, its size is set.
        let mut places = unsafe { StructOut::new(processes) }?;
        if capacity > 0 {
            places = places.wanted("processes is NULL and its capacity is not 0")?;
        }
        let listing = handles::manager(manager)?.list(Some(capacity))?;
        for (index, process) in listing.processes.iter().enumerate() {
            places.put_at(index, status(process));
        }
        count.put(listing.total);
        Ok(MGR_OK)
    })
}

/// Reports the state of a process.
///
/// Parameters:
/// - process: receives the state. Set its struct_size.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_NOT_FOUND: there is no such process, it has another owner, or it has ended and was dropped.
/// - MGR_ERR_EXPIRED: it was started with a key, has ended and was dropped. process holds its final state.
/// - MGR_ERR_INVALID
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL; `process` is NULL or valid for writing and its struct_size is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_inspect(
    manager: mgr_t,
    id: *const c_char,
    process: *mut mgr_process,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { StructOut::new(process) }?.wanted("process is NULL")?;
        // SAFETY: the caller's promise.
        let process = unsafe { convert::process_or_end(manager, id, &place) }?;
        place.put(status(&process.status()?));
        Ok(MGR_OK)
    })
}

/// Waits for the end of a process: until its leader has ended and all output of the leader can be read.
/// Other processes that still hold the output are not waited for.
///
/// Parameters:
/// - timeout_ms: how long to wait; negative is without a limit, 0 does not wait. The process goes on after
///   a timeout.
/// - process: receives the state, also after MGR_TIMEOUT; may be NULL. Set its struct_size.
///
/// Returns:
/// - MGR_OK: it has ended.
/// - MGR_TIMEOUT: it runs.
/// - MGR_ERR_CLOSED: mgr_close could not end it.
/// - MGR_ERR_EXPIRED: it was started with a key, has ended and was dropped. process holds its final state.
/// - MGR_ERR_NOT_FOUND
/// - MGR_ERR_INVALID
/// - MGR_ERR_HANDLE
///
/// Blocks: until the process has ended, up to the timeout. mgr_close ends the process.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL; `process` is NULL or valid for writing and its struct_size is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_wait(
    manager: mgr_t,
    id: *const c_char,
    timeout_ms: i64,
    process: *mut mgr_process,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { StructOut::new(process) }?;
        // SAFETY: the caller's promise.
        let process = unsafe { convert::process_or_end(manager, id, &place) }?;
        let ended = match timeout(timeout_ms) {
            None => Some(process.wait()?),
            Some(timeout) => process.wait_timeout(timeout)?,
        };
        match ended {
            Some(ended) => {
                place.put(status(&ended));
                Ok(MGR_OK)
            }
            None => {
                place.put(status(&process.status()?));
                Ok(MGR_TIMEOUT)
            }
        }
    })
}

/// Writes a text of a process's status to the caller.
///
/// # Safety
///
/// As for `mgr_command`.
unsafe fn put_about(
    manager: mgr_t,
    id: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
    about: impl FnOnce(&Status) -> &OsStr,
) -> CallResult {
    // SAFETY: the caller's promise.
    let length = unsafe { Out::new(length) };
    // SAFETY: the caller's promise.
    let buffer = unsafe { buffer_of(buffer.cast(), capacity) }?;
    // SAFETY: the caller's promise.
    let process = unsafe { convert::process(manager, id) }?;
    put_text(about(&process.status()?).as_bytes(), buffer, &length)?;
    Ok(MGR_OK)
}

/// Reports the command of a process as it was requested. For a program without a shell: the program and its
/// arguments, with spaces between them.
///
/// Parameters:
/// - buffer, capacity: receive the text. A NUL is added if there is room for it.
/// - length: receives the length of the text, without that NUL, also with MGR_ERR_BUFFER; may be NULL.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_BUFFER: capacity is less than the length of the text.
/// - MGR_ERR_EXPIRED: the process was started with a key, has ended and was dropped.
/// - MGR_ERR_NOT_FOUND
/// - MGR_ERR_INVALID
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL; `buffer` is NULL or valid for writing `capacity` bytes; `length` is
/// NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_command(
    manager: mgr_t,
    id: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    call(|| unsafe { put_about(manager, id, buffer, capacity, length, Status::command) })
}

/// Reports the working directory that a process was started in. Parameters and results are those of
/// mgr_command.
///
/// Blocks: no.
///
/// # Safety
///
/// As for `mgr_command`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_directory(
    manager: mgr_t,
    id: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    fn directory(status: &Status) -> &OsStr {
        status.directory().as_os_str()
    }
    // SAFETY: the caller's promise.
    call(|| unsafe { put_about(manager, id, buffer, capacity, length, directory) })
}

/// Reports the owner of a process; an empty text if it has none. Parameters and results are those of
/// mgr_command.
///
/// Blocks: no.
///
/// # Safety
///
/// As for `mgr_command`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_owner(
    manager: mgr_t,
    id: *const c_char,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    fn owner(status: &Status) -> &OsStr {
        status.owner().unwrap_or_default()
    }
    // SAFETY: the caller's promise.
    call(|| unsafe { put_about(manager, id, buffer, capacity, length, owner) })
}
