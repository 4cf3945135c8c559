//! The codes that functions return, their texts, and the version.

use std::ffi::{CStr, c_char};

/// Done.
pub const MGR_OK: i32 = 0;
/// `mgr_start`: the key had been started before; `id` names that process.
pub const MGR_ATTACHED: i32 = 1;
/// The time ended first; outputs hold the present state.
pub const MGR_TIMEOUT: i32 = 2;
/// `mgr_read`: nothing will ever follow this cursor.
pub const MGR_EOF: i32 = 3;
/// `mgr_read` with MGR_READ_UNTIL_END: the process has ended and all that it wrote was read; something that it left
/// behind may still write.
pub const MGR_ENDED: i32 = 4;

/// An argument is not acceptable.
pub const MGR_ERR_INVALID: i32 = -1;
/// No such handle: never made, released, or of another kind.
pub const MGR_ERR_HANDLE: i32 = -2;
/// The manager is closed.
pub const MGR_ERR_CLOSED: i32 = -3;
/// No such process or key here.
pub const MGR_ERR_NOT_FOUND: i32 = -4;
/// The process has ended and nothing of it is left.
pub const MGR_ERR_NOT_RUNNING: i32 = -5;
/// The command could not be started.
pub const MGR_ERR_SPAWN: i32 = -6;
/// A configured limit is reached.
pub const MGR_ERR_LIMIT: i32 = -7;
/// The key belongs to a different request.
pub const MGR_ERR_CONFLICT: i32 = -8;
/// The key was canceled before it started.
pub const MGR_ERR_CANCELED: i32 = -9;
/// The process is known and its output is gone.
pub const MGR_ERR_EXPIRED: i32 = -10;
/// The buffer is too small; the needed length is reported.
pub const MGR_ERR_BUFFER: i32 = -11;
/// The operating system refused; see `errno`.
pub const MGR_ERR_IO: i32 = -12;
/// Called in a forked copy of the host.
pub const MGR_ERR_FORKED: i32 = -13;
/// Not on this platform.
pub const MGR_ERR_UNSUPPORTED: i32 = -14;
/// A defect in procmgr; the manager stays usable.
pub const MGR_ERR_PANIC: i32 = -15;

/// `mgr_error`: no step of a start failed.
pub const MGR_STEP_NONE: i32 = 0;
/// `mgr_error`: getting the threads of the process failed.
pub const MGR_STEP_THREAD: i32 = 1;
/// `mgr_error`: making the pipes failed.
pub const MGR_STEP_PIPE: i32 = 2;
/// `mgr_error`: making the process failed.
pub const MGR_STEP_PROCESS: i32 = 3;
/// `mgr_error`: entering the working directory failed.
pub const MGR_STEP_DIRECTORY: i32 = 4;
/// `mgr_error`: executing the program failed.
pub const MGR_STEP_EXECUTE: i32 = 5;

/// The meaning of a code, as a text that lives for ever.
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

/// The meaning of a code in one line of English. Never NULL, also for a code that does not exist; the text lives as long
/// as the library. Does not block, and works in a forked copy of the host.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_strerror(code: i32) -> *const c_char {
    text(code).as_ptr()
}

/// The version of the library that runs, such as "0.1.0". Compare it with MGR_VERSION, the version of the header. The
/// text lives as long as the library.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_version() -> *const c_char {
    const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    TEXT.as_ptr().cast()
}

/// The version of the library that runs as a number: major * 1,000,000 + minor * 1,000 + patch. Compare it with
/// MGR_VERSION_NUMBER.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_version_number() -> i32 {
    MGR_VERSION_NUMBER
}

/// The version of this header as a number: major * 1,000,000 + minor * 1,000 + patch.
pub const MGR_VERSION_NUMBER: i32 = 1_000;
