//! The password database.

use std::ffi::{CStr, OsStr};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;

/// The home directory of the effective user, from the password database.
pub(crate) fn home() -> Option<PathBuf> {
    // SAFETY: geteuid takes nothing and cannot fail.
    let user = unsafe { libc::geteuid() };
    let mut buffer = vec![0 as libc::c_char; 1024];
    loop {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: all pointers are valid for what getpwuid_r writes, and the length is the buffer's.
        let result = unsafe {
            libc::getpwuid_r(
                user,
                entry.as_mut_ptr(),
                buffer.as_mut_ptr(),
                buffer.len(),
                &mut found,
            )
        };
        if result == libc::ERANGE && buffer.len() < 1 << 20 {
            buffer.resize(buffer.len() * 2, 0);
            continue;
        }
        if result != 0 || found.is_null() {
            return None;
        }
        // SAFETY: a non-null result points to `entry`, which getpwuid_r has filled.
        let directory = unsafe { (*found).pw_dir };
        if directory.is_null() {
            return None;
        }
        // SAFETY: pw_dir is a NUL-terminated text inside `buffer`, which is not touched before the copy
        // is made.
        let directory = unsafe { CStr::from_ptr(directory) };
        return Some(PathBuf::from(OsStr::from_bytes(directory.to_bytes())));
    }
}
