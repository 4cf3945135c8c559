//! A child of ours: signalling its group, waiting for its exit, reaping it.
//!
//! Between the spawn and [`reap`], the pid and the group number cannot be reused, because the child or
//! its zombie has them. A caller of [`signal_group`] must know that [`reap`] has not been called.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::{check, is_no_process, retry};

/// A process id.
pub(crate) type Pid = libc::pid_t;

/// A child of ours, by its pidfd or its pid.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Child<'a> {
    /// Refers to the child even after another part of the host has reaped it.
    Descriptor(BorrowedFd<'a>),
    /// Refers to the child until it is reaped. After that it may be the pid of another child.
    Number(Pid),
}

/// The exit status and the resource usage of a child.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) status: ExitStatus,
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    pub(crate) max_rss_kib: u64,
}

/// Blocks until the child has exited. Does not reap it.
///
/// `ECHILD` means that its status is lost: another part of the host has reaped it, or the host ignores
/// SIGCHLD.
pub(crate) fn wait_exit(child: Child<'_>) -> io::Result<()> {
    wait_id(child, libc::WEXITED | libc::WNOWAIT).map(drop)
}

/// Whether a child that we have not reaped can be signalled by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It runs, or is stopped.
    Alive,
    /// It has exited and is not reaped: its pid is not reused.
    Zombie,
    /// Another part of the host has reaped it: its pid may be reused.
    Gone,
}

/// Checks the child without waiting and without reaping it.
pub(crate) fn presence(child: Child<'_>) -> Presence {
    match wait_id(child, libc::WEXITED | libc::WNOWAIT | libc::WNOHANG) {
        Ok(None) => Presence::Alive,
        Ok(Some(_)) => Presence::Zombie,
        Err(_) => Presence::Gone,
    }
}

/// Reaps an exited child. After that, its pid may be reused. `None` if it has not exited, or if a
/// tracer gets the exit first.
pub(crate) fn reap(child: Child<'_>) -> io::Result<Option<Exit>> {
    wait_id(child, libc::WEXITED | libc::WNOHANG)
}

/// `None` if the child has not exited and the options include WNOHANG.
fn wait_id(child: Child<'_>, options: libc::c_int) -> io::Result<Option<Exit>> {
    let (kind, number) = match child {
        Child::Descriptor(descriptor) => (libc::P_PIDFD, descriptor.as_raw_fd()),
        Child::Number(pid) => (libc::P_PID, pid),
    };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    retry(|| {
        // SAFETY: both pointers are to valid memory of the right types, and the system call writes
        // nothing else. The C library's `waitid` does not return the usage, and `wait4` takes no pidfd.
        let result = unsafe {
            libc::syscall(
                libc::SYS_waitid,
                kind,
                number,
                info.as_mut_ptr(),
                options,
                usage.as_mut_ptr(),
            )
        };
        check(if result == -1 { -1 } else { 0 })
    })?;
    // SAFETY: all zeroes is a valid siginfo_t and a valid rusage; waitid fills both when it finds a
    // child that has exited, and the fields of a SIGCHLD are then set.
    let (info, usage, pid, status) = unsafe {
        let info = info.assume_init();
        (info, usage.assume_init(), info.si_pid(), info.si_status())
    };
    if pid == 0 {
        return Ok(None);
    }
    // In the encoding of wait4.
    let status = match info.si_code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_KILLED => status,
        libc::CLD_DUMPED => status | 0x80,
        // A child that has asked to be traced by this process has stopped.
        _ => return Ok(None),
    };
    Ok(Some(Exit {
        status: ExitStatus::from_raw(status),
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
        max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    }))
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u32::try_from(time.tv_usec).unwrap_or(0);
    Duration::new(seconds, micros * 1_000)
}

/// Sends a signal to the process that has this pid.
pub(crate) fn signal(pid: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two numbers and touches no memory of ours.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Sends a signal to each member of a process group.
pub(crate) fn signal_group(group: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two numbers and touches no memory of ours.
    check(unsafe { libc::kill(-group, signal) }).map(drop)
}

/// Whether there may be a process with this pid. False only if the kernel says that there is none.
pub(crate) fn exists(pid: Pid) -> bool {
    // SAFETY: kill takes two numbers and touches no memory of ours.
    let result = check(unsafe { libc::kill(pid, 0) });
    !result.is_err_and(|error| is_no_process(&error))
}

/// The process group of a process.
pub(crate) fn group_of(pid: Pid) -> io::Result<Pid> {
    // SAFETY: getpgid takes a number and touches no memory of ours.
    check(unsafe { libc::getpgid(pid) })
}
