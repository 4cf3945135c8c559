//! Access to paths, as the kernel decides it and not computed from mode bits.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::check;

/// Whether the path may be executed, or entered if it is a directory, by the effective user.
pub(crate) fn executable(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a NUL-terminated text that lives to the end of the call.
    check(unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) })?;
    Ok(())
}

/// Opens a directory for a child's `fchdir`. With O_PATH, this needs no permission on the directory
/// itself.
pub(crate) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags);
    options.open(path).map(OwnedFd::from)
}

/// `/dev/null` for a child's standard input.
pub(crate) fn open_null() -> io::Result<OwnedFd> {
    File::open("/dev/null").map(OwnedFd::from)
}
