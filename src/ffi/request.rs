//! What to start.

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
/// A request is a description: it may be used for any number of starts, also by several threads, and be changed or freed
/// after a start without changing what was started. It is checked when it is started.
///
/// command: any bytes; copied.
/// request: receives the handle; give it back with mgr_request_free.
///
/// MGR_OK; MGR_ERR_INVALID if an argument is NULL. Does not block.
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

/// Makes a request for a program that runs without a shell. A name without a slash is looked up in the PATH of the new
/// process. Its arguments are added with mgr_request_argument.
///
/// program: any bytes; copied.
/// request: receives the handle; give it back with mgr_request_free.
///
/// MGR_OK; MGR_ERR_INVALID if an argument is NULL. Does not block.
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

/// Gives a request back. What was started with it goes on.
///
/// MGR_OK; MGR_ERR_HANDLE if this is no request. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_request_free(request: mgr_request_t) -> i32 {
    call(|| {
        drop(handles::remove(request, |object| {
            matches!(object, Object::Request(_))
        })?);
        Ok(MGR_OK)
    })
}

/// Adds an argument. For a shell command these are its positional parameters, the first one being $0.
///
/// MGR_OK; MGR_ERR_INVALID if argument is NULL; MGR_ERR_HANDLE. The text is copied. Does not block.
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

/// The directory to run in, used as given. Without one: the manager's, else the home directory, else the host's.
///
/// MGR_OK; MGR_ERR_INVALID if directory is NULL; MGR_ERR_HANDLE. The text is copied. Does not block.
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

/// Sets an environment variable; the last value of a name counts.
///
/// MGR_OK; MGR_ERR_INVALID if name or value is NULL; MGR_ERR_HANDLE. A name that cannot be one is refused by mgr_start.
/// The texts are copied. Does not block.
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

/// Tags the process with an owner: a chat, a tenant, a job. Any bytes but none.
///
/// MGR_OK; MGR_ERR_INVALID if owner is NULL; MGR_ERR_HANDLE. The text is copied. Does not block.
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

/// Marks the process as one that nobody waits for (1) or not (0, the default). Reported with the process; changes
/// nothing else.
///
/// MGR_OK; MGR_ERR_INVALID for another number; MGR_ERR_HANDLE. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_request_background(request: mgr_request_t, background: i32) -> i32 {
    call(|| {
        let background = flag(background)?;
        change(request, |request| request.background(background))
    })
}

/// Ends the process after this many milliseconds: TERM, the manager's grace period, KILL. Negative, the default, is no
/// limit.
///
/// MGR_OK; MGR_ERR_HANDLE. Zero is refused by mgr_start. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_request_time_limit_ms(request: mgr_request_t, limit_ms: i64) -> i32 {
    call(|| {
        let limit = timeout(limit_ms);
        change(request, |request| request.time_limit(limit))
    })
}

/// Keeps standard error apart from standard output, as a stream of its own (1), or not (0, the default). The order
/// between the two is lost.
///
/// MGR_OK; MGR_ERR_INVALID for another number; MGR_ERR_HANDLE. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_request_separate_streams(request: mgr_request_t, separate: i32) -> i32 {
    call(|| {
        let separate = flag(separate)?;
        change(request, |request| request.separate_streams(separate))
    })
}

/// Never drops a byte that no mgr_read has returned yet (1), or does (0, the default). When all that is kept is unread,
/// the process waits in its next write, as on an ordinary pipe. For a process that somebody follows to its end.
///
/// MGR_OK; MGR_ERR_INVALID for another number; MGR_ERR_HANDLE. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_request_lossless(request: mgr_request_t, lossless: i32) -> i32 {
    call(|| {
        let lossless = flag(lossless)?;
        change(request, |request| request.lossless(lossless))
    })
}

/// Makes the start idempotent: however often it is asked for with this key, one process is started, and every start with
/// an equal request gives it (MGR_ATTACHED). Keys of different owners are different keys.
///
/// key, length: 1 to 255 bytes of any kind; copied.
///
/// MGR_OK; MGR_ERR_INVALID if key is NULL and length is not 0; MGR_ERR_HANDLE. A length out of range is refused by
/// mgr_start. Does not block.
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

/// The id that the process shall have, instead of a random one: a UUID of 36 characters. One that is known already is
/// answered by mgr_start with MGR_ERR_CONFLICT, unless key and request are the same.
///
/// MGR_OK; MGR_ERR_INVALID if id is NULL or no UUID; MGR_ERR_HANDLE. The text is copied. Does not block.
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

/// How long a start with a key waits, in milliseconds, for another one that is starting the same key; then mgr_start
/// answers MGR_TIMEOUT, and the other start goes on. Negative, the default, waits for as long as that takes.
///
/// MGR_OK; MGR_ERR_HANDLE. Does not block.
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
