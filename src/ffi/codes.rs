//! The codes that functions return, their texts, and the version.

use std::ffi::{CStr, c_char};

/// Success.
pub const MGR_OK: i32 = 0;
/// mgr_start: the key was started before; id names that process.
pub const MGR_ATTACHED: i32 = 1;
/// The timeout passed first. Results hold the present state.
pub const MGR_TIMEOUT: i32 = 2;
/// mgr_read: the stream has ended, and there are no bytes at or after the cursor.
pub const MGR_EOF: i32 = 3;
/// mgr_read with MGR_READ_UNTIL_END: the process has ended and everything that it wrote was read. Processes
/// that it left behind may still write.
pub const MGR_ENDED: i32 = 4;

/// An argument is invalid.
pub const MGR_ERR_INVALID: i32 = -1;
/// There is no such handle: it was never made, was released, or is of another kind.
pub const MGR_ERR_HANDLE: i32 = -2;
/// The manager is closed.
pub const MGR_ERR_CLOSED: i32 = -3;
/// There is no such process or key, or it has another owner than the scope.
pub const MGR_ERR_NOT_FOUND: i32 = -4;
/// The process has ended and nothing of it is left.
pub const MGR_ERR_NOT_RUNNING: i32 = -5;
/// The command could not be started.
pub const MGR_ERR_SPAWN: i32 = -6;
/// A configured limit is reached.
pub const MGR_ERR_LIMIT: i32 = -7;
/// The key belongs to a different request.
pub const MGR_ERR_CONFLICT: i32 = -8;
/// The key was canceled before it was started.
pub const MGR_ERR_CANCELED: i32 = -9;
/// The process was started with a key, has ended and was dropped.
pub const MGR_ERR_EXPIRED: i32 = -10;
/// The buffer is too small. The length that is needed is reported.
pub const MGR_ERR_BUFFER: i32 = -11;
/// The operating system refused; see errno.
pub const MGR_ERR_IO: i32 = -12;
/// The function was called in a forked copy of the host.
pub const MGR_ERR_FORKED: i32 = -13;
/// Not supported on this system.
pub const MGR_ERR_UNSUPPORTED: i32 = -14;
/// A defect in procmgr. The manager stays usable.
pub const MGR_ERR_PANIC: i32 = -15;

/// Step of mgr_error: no step of a start failed.
pub const MGR_STEP_NONE: i32 = 0;
/// Step of mgr_error: getting the threads of the process failed.
pub const MGR_STEP_THREAD: i32 = 1;
/// Step of mgr_error: making the pipes failed.
pub const MGR_STEP_PIPE: i32 = 2;
/// Step of mgr_error: making the process failed.
pub const MGR_STEP_PROCESS: i32 = 3;
/// Step of mgr_error: entering the working directory failed.
pub const MGR_STEP_DIRECTORY: i32 = 4;
/// Step of mgr_error: executing the program failed.
pub const MGR_STEP_EXECUTE: i32 = 5;

/// The meaning of a code, as a text with a static lifetime.
pub(super) fn text(code: i32) -> &'static CStr {
    match code {
        MGR_OK => c"done",
        MGR_ATTACHED => c"the key had been started before",
        MGR_TIMEOUT => c"the time ended first",
        MGR_EOF => c"nothing will ever follow this cursor",
        MGR_ENDED => c"the process has ended and all that it wrote was read",
        MGR_ERR_INVALID => c"an argument is not acceptable",
        MGR_ERR_HANDLE => c"no such handle: never made, released, or of another kind",
        MGR_ERR_CLOSED => c"the manager is closed",
        MGR_ERR_NOT_FOUND => c"no such process or key here",
        MGR_ERR_NOT_RUNNING => c"the process has ended and nothing of it is left",
        MGR_ERR_SPAWN => c"the command could not be started",
        MGR_ERR_LIMIT => c"a configured limit is reached",
        MGR_ERR_CONFLICT => c"the key belongs to a different request",
        MGR_ERR_CANCELED => c"the key was canceled before it started",
        MGR_ERR_EXPIRED => c"the process is known and its output is gone",
        MGR_ERR_BUFFER => c"the buffer is too small; the needed length is reported",
        MGR_ERR_IO => c"the operating system refused",
        MGR_ERR_FORKED => c"called in a forked copy of the host",
        MGR_ERR_UNSUPPORTED => c"not on this platform",
        MGR_ERR_PANIC => c"a defect in procmgr; the manager stays usable",
        _ => c"unknown code",
    }
}

/// Returns the meaning of a code in one line of English.
///
/// Returns: a text that lives as long as the library; never NULL, also for a code that does not exist.
/// Blocks: no. Works in a forked copy of the host.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_strerror(code: i32) -> *const c_char {
    text(code).as_ptr()
}

/// Returns the version of the library that is loaded, such as "0.1.0". MGR_VERSION is the version of this
/// header.
///
/// Returns: a text that lives as long as the library; never NULL.
/// Blocks: no. Works in a forked copy of the host.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_version() -> *const c_char {
    const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    TEXT.as_ptr().cast()
}

/// Returns the version of the library that is loaded as a number: major * 1,000,000 + minor * 1,000 +
/// patch. MGR_VERSION_NUMBER is that of this header.
///
/// Returns: the number.
/// Blocks: no. Works in a forked copy of the host.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_version_number() -> i32 {
    MGR_VERSION_NUMBER
}

/// The version of this header as a number: major * 1,000,000 + minor * 1,000 + patch.
pub const MGR_VERSION_NUMBER: i32 = 1_000;
