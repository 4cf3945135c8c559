//! A child of ours, by its pid: signalling its group, waiting for its exit, reaping it.
//!
//! Between the spawn and [`reap`] the pid and the group number cannot be used for anything else, because the child, or
//! its zombie, holds them. Who calls [`signal_group`] must know that [`reap`] has not happened.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::{check, retry};

/// A process id.
pub(crate) type Pid = libc::pid_t;

/// What the kernel says of a child when it is reaped.
#[derive(Debug)]
pub(crate) struct Reaped {
    pub(crate) status: ExitStatus,
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    pub(crate) max_rss_kib: u64,
}

/// Blocks until the child has exited, and leaves it to be reaped.
///
/// `ECHILD` means that nobody can know its status any more: somebody else reaped it, or the host ignores SIGCHLD.
pub(crate) fn wait_exit(pid: Pid) -> io::Result<()> {
    wait_id(pid, libc::WEXITED | libc::WNOWAIT).map(drop)
}

/// Whether a child that we have not reaped can be signalled by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It runs, or is stopped.
    Alive,
    /// It has exited and waits to be reaped: its number is still its own.
    Zombie,
    /// Somebody else reaped it: its number may be anybody's.
    Gone,
}

/// Looks at the child without waiting and without reaping it.
pub(crate) fn presence(pid: Pid) -> Presence {
    match wait_id(pid, libc::WEXITED | libc::WNOWAIT | libc::WNOHANG) {
        Ok(false) => Presence::Alive,
        Ok(true) => Presence::Zombie,
        Err(_) => Presence::Gone,
    }
}

fn wait_id(pid: Pid, options: libc::c_int) -> io::Result<bool> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    retry(|| {
        // SAFETY: `info` is valid memory for one siginfo_t, and waitid writes nothing else.
        check(unsafe { libc::waitid(libc::P_PID, pid as libc::id_t, info.as_mut_ptr(), options) })
    })?;
    // SAFETY: all zeroes is a valid siginfo_t; waitid fills it when it finds a child, and si_pid is then set.
    Ok(unsafe { info.assume_init().si_pid() } != 0)
}

/// Takes the status of an exited child; from here on its pid may be used for another process. Does not block after
/// [`wait_exit`] has returned without error.
pub(crate) fn reap(pid: Pid) -> io::Result<Reaped> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    retry(|| {
        // SAFETY: both pointers are to valid memory of the right types, and wait4 writes nothing else.
        check(unsafe { libc::wait4(pid, &mut status, 0, usage.as_mut_ptr()) })
    })?;
    // SAFETY: all zeroes is a valid rusage, and wait4 has filled it.
    let usage = unsafe { usage.assume_init() };
    Ok(Reaped {
        status: ExitStatus::from_raw(status),
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
        max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    })
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u32::try_from(time.tv_usec).unwrap_or(0);
    Duration::new(seconds, micros * 1_000)
}

/// Sends a signal to each member of a process group.
pub(crate) fn signal_group(group: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two numbers and touches no memory of ours.
    check(unsafe { libc::kill(-group, signal) }).map(drop)
}

/// The group that a process is in.
pub(crate) fn group_of(pid: Pid) -> io::Result<Pid> {
    // SAFETY: getpgid takes a number and touches no memory of ours.
    check(unsafe { libc::getpgid(pid) })
}
