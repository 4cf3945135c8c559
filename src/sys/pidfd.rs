//! A pidfd: a signal through it reaches its process or none, even if the pid was reused.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use super::check;
use super::child::Pid;
use super::descriptor::{PollFd, above_standard, poll};

/// A process that may end at any time.
#[derive(Debug)]
pub(crate) enum PidFd {
    /// A pidfd. Readable once the process has ended.
    Pollable(OwnedFd),
    /// The directory of the process in `/proc`, where `pidfd_open` is missing or refused by a filter.
    /// `pidfd_send_signal` accepts it, but it cannot be polled.
    Directory(OwnedFd),
}

impl From<OwnedFd> for PidFd {
    /// From a pidfd of the kernel.
    fn from(fd: OwnedFd) -> Self {
        PidFd::Pollable(fd)
    }
}

impl PidFd {
    /// The process that has this pid now.
    pub(crate) fn open(pid: Pid) -> io::Result<Self> {
        // SAFETY: pidfd_open takes two numbers and touches no memory of ours.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        match i32::try_from(fd) {
            Ok(-1) => {}
            Ok(fd) => {
                // SAFETY: the kernel made the descriptor just now (close-on-exec) and nothing else owns it.
                let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                return Ok(PidFd::Pollable(above_standard(fd)?));
            }
            Err(_) => return Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
        let error = io::Error::last_os_error();
        let is_missing = matches!(
            error.raw_os_error(),
            Some(libc::ENOSYS | libc::EPERM | libc::EACCES)
        );
        if !is_missing {
            return Err(error);
        }
        let directory = fs::File::open(format!("/proc/{pid}")).map_err(|found| {
            // Here, ENOENT means that there is no such process.
            match found.kind() {
                io::ErrorKind::NotFound => io::Error::from_raw_os_error(libc::ESRCH),
                _ => found,
            }
        })?;
        Ok(PidFd::Directory(above_standard(directory.into())?))
    }

    /// The descriptor, if it can be polled.
    pub(crate) fn pollable(&self) -> Option<BorrowedFd<'_>> {
        match self {
            PidFd::Pollable(fd) => Some(fd.as_fd()),
            PidFd::Directory(_) => None,
        }
    }

    /// Whether the process has ended. A zombie has.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            PidFd::Pollable(fd) => {
                let mut set = [PollFd::readable(fd.as_fd())];
                poll(&mut set, Some(Duration::ZERO)).is_ok() && set[0].has_input()
            }
            PidFd::Directory(directory) => has_ended(directory.as_fd()),
        }
    }

    /// Sends a signal to the process. ESRCH: it was reaped.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        self.send(signal, 0)
    }

    /// Sends a signal to each member of the group that the process leads or led. ESRCH: it has no
    /// member. `None` if the kernel cannot do that: before Linux 6.9, or without the system call.
    pub(crate) fn signal_group(&self, signal: i32) -> Option<io::Result<()>> {
        let sent = self.send(signal, SIGNAL_PROCESS_GROUP);
        let error = sent.as_ref().err().and_then(|error| error.raw_os_error());
        let is_known = !matches!(error, Some(libc::EINVAL | libc::ENOSYS));
        is_known.then_some(sent)
    }

    fn send(&self, signal: i32, flags: libc::c_uint) -> io::Result<()> {
        let (PidFd::Pollable(fd) | PidFd::Directory(fd)) = self;
        // SAFETY: pidfd_send_signal reads nothing through a null siginfo and takes numbers otherwise.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                fd.as_raw_fd(),
                signal,
                ptr::null::<libc::siginfo_t>(),
                flags,
            )
        };
        check(if result == -1 { -1 } else { 0 }).map(drop)
    }
}

/// Whether the process of this directory in `/proc` has ended. After it was reaped, opening a file in
/// the directory fails with ESRCH or ENOENT. Any other error says nothing about the process.
fn has_ended(directory: BorrowedFd<'_>) -> bool {
    // SAFETY: the path ends with a NUL, and the descriptor is open.
    let file = check(unsafe {
        libc::openat(
            directory.as_raw_fd(),
            c"stat".as_ptr(),
            libc::O_RDONLY | libc::O_CLOEXEC,
        )
    });
    let read = file.and_then(|file| {
        // SAFETY: the descriptor was made just now and nothing else owns it.
        io::read_to_string(fs::File::from(unsafe { OwnedFd::from_raw_fd(file) }))
    });
    match read {
        // The name is in parentheses and may contain any character. The state follows it.
        Ok(line) => {
            let state = line.rsplit_once(") ").map_or("", |(_, fields)| fields);
            state.starts_with(['Z', 'X'])
        }
        Err(error) => matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT)),
    }
}

/// `PIDFD_SIGNAL_PROCESS_GROUP` of Linux 6.9.
const SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;
