//! The exported functions for requests.

use std::ffi::{c_char, c_void};

use parking_lot::Mutex;

use crate::{Id, Request};

use super::call::call;
use super::codes::MGR_OK;
use super::convert::timeout;
use super::error::{CallError, CallResult};
use super::handles::{self, Object};
use super::memory::{Out, bytes, text};
use super::types::*;

fn change(request: mgr_request_t, change: impl FnOnce(Request) -> Request) -> CallResult {
    let request = handles::request(request)?;
    let mut request = request.lock();
    let old = std::mem::replace(&mut *request, Request::new(""));
    *request = change(old);
    Ok(MGR_OK)
}

/// # Safety
///
/// `request` is NULL or valid for writing, `command` is NULL or ends with a NUL.
unsafe fn add(
    command: *const c_char,
    request: *mut mgr_request_t,
    make: impl FnOnce(std::ffi::OsString) -> Request,
) -> CallResult {
    // SAFETY: the caller's promise.
    let request = unsafe { Out::new(request) }.wanted("request is NULL")?;
    // SAFETY: the caller's promise.
    let command = unsafe { text(command, "command is NULL") }?;
    request.put(handles::add(Object::Request(
        Mutex::new(make(command)).into(),
    )));
    Ok(MGR_OK)
}

/// Makes a request for a command that the manager's shell runs: SHELL -c COMMAND.
///
/// A request describes what to start. It can be used for any number of starts, by several threads at the
/// same time. Changing or freeing it does not affect processes that were started with it. It is checked by
/// mgr_start.
///
/// Parameters:
/// - command: the command; any bytes; copied.
/// - request: receives the handle. Free it with mgr_request_free.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: an argument is NULL.
///
/// Blocks: no.
///
/// # Safety
///
/// `command` is NULL or ends with a NUL, `request` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_request_new(
    command: *const c_char,
    request: *mut mgr_request_t,
) -> i32 {
    // SAFETY: the caller's promise.
    call(|| unsafe { add(command, request, Request::new) })
}

/// Makes a request for a program that runs without a shell. Add its arguments with mgr_request_argument.
///
/// Parameters:
/// - program: the program; any bytes; copied. A name without a slash is searched for in the PATH of the new
///   process.
/// - request: receives the handle. Free it with mgr_request_free.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: an argument is NULL.
///
/// Blocks: no.
///
/// # Safety
///
/// `program` is NULL or ends with a NUL, `request` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_request_new_program(
    program: *const c_char,
    request: *mut mgr_request_t,
) -> i32 {
    // SAFETY: the caller's promise.
    call(|| unsafe { add(program, request, Request::program) })
}

/// Frees a request. Processes that were started with it go on.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_request_free(request: mgr_request_t) -> i32 {
    call(|| {
        drop(handles::remove(request, |object| {
            matches!(object, Object::Request(_))
        })?);
        Ok(MGR_OK)
    })
}

/// Adds an argument. Of a shell command, the arguments are the positional parameters; the first one is $0.
///
/// Parameters:
/// - argument: any bytes; copied.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: argument is NULL.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
///
/// # Safety
///
/// `argument` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_request_argument(
    request: mgr_request_t,
    argument: *const c_char,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let argument = unsafe { text(argument, "argument is NULL") }?;
        change(request, |request| request.argument(argument))
    })
}

/// Sets the working directory. If it does not exist, mgr_start fails. Default: the directory of
/// mgr_config_directory, else the home directory, else the host's working directory.
///
/// Parameters:
/// - directory: the path, used as given; copied.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: directory is NULL.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
///
/// # Safety
///
/// `directory` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_request_directory(
    request: mgr_request_t,
    directory: *const c_char,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let directory = unsafe { text(directory, "directory is NULL") }?;
        change(request, |request| request.directory(directory))
    })
}

/// Sets an environment variable. If a name is set more than once, the last value counts.
///
/// Parameters:
/// - name, value: the variable; copied. An invalid name is refused by mgr_start.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: name or value is NULL.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
///
/// # Safety
///
/// `name` and `value` are NULL or end with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_request_variable(
    request: mgr_request_t,
    name: *const c_char,
    value: *const c_char,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name is NULL") }?;
        // SAFETY: the caller's promise.
        let value = unsafe { text(value, "value is NULL") }?;
        change(request, |request| request.variable(name, value))
    })
}

/// Tags the process with an owner: a chat, a tenant, a job. Default: the owner of the scope that starts it,
/// else none.
///
/// Parameters:
/// - owner: the owner; not empty, any bytes; copied.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: owner is NULL.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
///
/// # Safety
///
/// `owner` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_request_owner(request: mgr_request_t, owner: *const c_char) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let owner = unsafe { text(owner, "owner is NULL") }?;
        change(request, |request| request.owner(owner))
    })
}

/// Marks the process as a background process. The mark is reported with the process and changes nothing
/// else.
///
/// Parameters:
/// - background: 1 or 0 (the default).
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: background is neither 0 nor 1.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_request_background(request: mgr_request_t, background: i32) -> i32 {
    call(|| {
        let background = flag(background)?;
        change(request, |request| request.background(background))
    })
}

/// Sets a time limit. When it is reached, the process is ended: TERM, the manager's stop grace, KILL. If its
/// leader has ended before, what it left behind is ended, within a second of the limit.
///
/// Parameters:
/// - limit_ms: milliseconds; negative (the default) is no limit. 0 is refused by mgr_start.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_request_time_limit_ms(request: mgr_request_t, limit_ms: i64) -> i32 {
    call(|| {
        let limit = timeout(limit_ms);
        change(request, |request| request.time_limit(limit))
    })
}

/// Makes standard error a stream of its own. Otherwise both are one stream, in the order of the writes. The
/// order between two separate streams is not known.
///
/// Parameters:
/// - separate: 1 or 0 (the default).
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: separate is neither 0 nor 1.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_request_separate_streams(request: mgr_request_t, separate: i32) -> i32 {
    call(|| {
        let separate = flag(separate)?;
        change(request, |request| request.separate_streams(separate))
    })
}

/// Keeps every byte until a mgr_read has returned it. When all bytes that are kept are unread and no more
/// fit, the process blocks in its next write, as on an ordinary pipe. For a process whose output is read to
/// its end. If several callers read the stream, bytes before the highest cursor of any of them may be
/// dropped.
///
/// Parameters:
/// - lossless: 1 or 0 (the default).
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: lossless is neither 0 nor 1.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_request_lossless(request: mgr_request_t, lossless: i32) -> i32 {
    call(|| {
        let lossless = flag(lossless)?;
        change(request, |request| request.lossless(lossless))
    })
}

/// Makes the start idempotent: of all starts with this key, one starts a process. Every other start with an
/// equal request returns MGR_ATTACHED and that process. Keys of different owners are different keys.
///
/// Parameters:
/// - key, length: 1 to 255 bytes of any kind; copied. A length out of range is refused by mgr_start.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: key is NULL and length is not 0.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
///
/// # Safety
///
/// `key` is NULL or valid for reading `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_request_key(
    request: mgr_request_t,
    key: *const c_void,
    length: usize,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key.cast(), length) }?;
        change(request, |request| request.key(key))
    })
}

/// Sets the id of the process. Default: a random one. If the id is in use, mgr_start returns
/// MGR_ERR_CONFLICT, unless key and request are the same.
///
/// Parameters:
/// - id: a UUID of 36 characters; copied.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: id is NULL or not a UUID.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_request_id(request: mgr_request_t, id: *const c_char) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let id = unsafe { text(id, "id is NULL") }?;
        let id = id.to_str().and_then(|id| id.parse::<Id>().ok());
        let id = id.ok_or(CallError::Argument("the id is not a UUID of 36 characters"))?;
        change(request, |request| request.id(id))
    })
}

/// Sets how long mgr_start waits while another caller starts the same key. After that it returns
/// MGR_TIMEOUT, and the other start goes on.
///
/// Parameters:
/// - timeout_ms: milliseconds; negative (the default) waits without a limit.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_request_start_timeout_ms(request: mgr_request_t, timeout_ms: i64) -> i32 {
    call(|| {
        let timeout = timeout(timeout_ms);
        change(request, |request| request.start_timeout(timeout))
    })
}

fn flag(number: i32) -> Result<bool, CallError> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(CallError::Argument("the flag is neither 0 nor 1")),
    }
}
