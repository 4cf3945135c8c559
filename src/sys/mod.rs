//! The interface to the operating system. Only this module names `libc`.
//!
//! Each function here is safe to call with any arguments that its types allow. No function takes a lock.
//! Descriptors are returned as types that close them, such as [`OwnedFd`](std::os::fd::OwnedFd).

#![allow(unsafe_code)]

pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod cstrings;
pub(crate) mod descriptor;
pub(crate) mod path;
pub(crate) mod pidfd;
pub(crate) mod poller;
pub(crate) mod proc;
pub(crate) mod signal;
pub(crate) mod spawn;
pub(crate) mod terminal;
pub(crate) mod user;

use std::io;

/// Turns a result of -1 into the error in `errno`.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Repeats a call while it fails with EINTR.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A resource that is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// File descriptors, of this process or of the system.
    Descriptors,
    /// Processes, threads or memory.
    Processes,
}

/// The resource that an error reports as exhausted, if it does.
pub(crate) fn shortage(error: &io::Error) -> Option<Shortage> {
    match error.raw_os_error()? {
        libc::EMFILE | libc::ENFILE => Some(Shortage::Descriptors),
        libc::EAGAIN | libc::ENOMEM => Some(Shortage::Processes),
        _ => None,
    }
}

/// "No such file or directory".
pub(crate) fn not_found() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}

/// "No such process".
pub(crate) fn no_process() -> io::Error {
    io::Error::from_raw_os_error(libc::ESRCH)
}

/// Whether an error is "no such process".
pub(crate) fn is_no_process(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
}

/// "Operation not permitted".
pub(crate) fn not_permitted() -> io::Error {
    io::Error::from_raw_os_error(libc::EPERM)
}

/// "Connection timed out", also used for other timeouts.
pub(crate) fn timed_out() -> io::Error {
    io::Error::from_raw_os_error(libc::ETIMEDOUT)
}
