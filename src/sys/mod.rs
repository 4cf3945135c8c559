//! The operating system, and the only place that names `libc`.
//!
//! Owns nothing but descriptors that it hands out as [`OwnedFd`](std::os::fd::OwnedFd); promises that each function
//! here is safe to call with any arguments its types allow; knows no policy. It takes no locks.

#![allow(unsafe_code)]

pub(crate) mod child;
pub(crate) mod descriptor;
pub(crate) mod path;
pub(crate) mod pidfd;
pub(crate) mod poller;
pub(crate) mod signal;
pub(crate) mod spawn;
pub(crate) mod terminal;
pub(crate) mod texts;
pub(crate) mod user;

use std::io;

/// Turns libc's -1 into the error it stands for.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// What ran out, told from an error number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No more descriptors, for this process or the whole system.
    Descriptors,
    /// No more processes, threads or memory.
    Processes,
    /// Something else.
    Other,
}

/// Sorts an error number.
pub(crate) fn failure(number: i32) -> Failure {
    match number {
        libc::EMFILE | libc::ENFILE => Failure::Descriptors,
        libc::EAGAIN | libc::ENOMEM => Failure::Processes,
        _ => Failure::Other,
    }
}

/// "No such file or directory".
pub(crate) fn not_found() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}

/// "Connection timed out", which also stands for time that ran out elsewhere.
pub(crate) fn timed_out() -> io::Error {
    io::Error::from_raw_os_error(libc::ETIMEDOUT)
}
