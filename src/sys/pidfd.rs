//! A process by a descriptor: a signal through it reaches that process or nobody, however its pid is reused.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::OnceLock;

use super::child::Pid;
use super::descriptor::above_standard;

/// A process that may end at any time; readable in a poll once it has ended.
#[derive(Debug)]
pub(crate) struct PidFd(OwnedFd);

impl PidFd {
    /// The process that has this pid now.
    pub(crate) fn open(pid: Pid) -> io::Result<Self> {
        // SAFETY: pidfd_open takes two numbers and touches no memory of ours.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = i32::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
        super::check(fd)?;
        // SAFETY: the kernel made the descriptor just now (close-on-exec) and nothing else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(PidFd(above_standard(fd)?))
    }

    /// Sends a signal to the process, or fails with `ESRCH` when it is gone.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        self.send(signal, 0)
    }
}

impl PidFd {
    /// Sends a signal to each member of the group that the process leads or led, or fails with `ESRCH` when there is none.
    /// Needs [`signals_groups`].
    pub(crate) fn signal_group(&self, signal: i32) -> io::Result<()> {
        self.send(signal, SIGNAL_PROCESS_GROUP)
    }

    fn send(&self, signal: i32, flags: libc::c_uint) -> io::Result<()> {
        // SAFETY: pidfd_send_signal reads nothing through a null siginfo and takes numbers otherwise.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                ptr::null::<libc::siginfo_t>(),
                flags,
            )
        };
        if result == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

/// `PIDFD_SIGNAL_PROCESS_GROUP` of Linux 6.9.
const SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;

/// Whether the kernel can signal a group through a descriptor (Linux 6.9). Asked with a signal that is none, until there
/// is an answer, which there is not while no descriptor can be had.
pub(crate) fn signals_groups() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return *known;
    }
    let own = Pid::try_from(std::process::id()).map_err(io::Error::other);
    let answer = match own.and_then(PidFd::open) {
        Ok(own) => {
            // An older kernel refuses the flag. A host that leads no group has nobody there, which is an answer.
            let sent = own.signal_group(0);
            sent.is_ok() || sent.is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH))
        }
        Err(error) => match error.raw_os_error().map(super::failure) {
            Some(super::Failure::Other) => false,
            _ => return false,
        },
    };
    *KNOWN.get_or_init(|| answer)
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
