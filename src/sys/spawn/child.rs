//! What the child of a start does before its exec.
//!
//! The host's memory is shared, and its other threads run. So everything here makes raw system calls
//! only, without allocation, lock or panic. The C library's `open`, `close` and `write` are cancellation
//! points, and a cancellation of the host's thread may be pending.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::os::fd::RawFd;
use std::ptr;

use super::Stage;
use super::memory::Report;

/// The highest signal number.
const SIGNALS: c_long = 64;

/// The size of a signal set for the kernel, in bytes.
const SIGNAL_SET_BYTES: c_long = 8;

/// How many descriptors are closed before the exec. In most hosts these are all. In a host with thousands,
/// to close them all would take longer than to leave them to the exec.
const CLOSED_BEFORE_EXEC: RawFd = 256;

/// Everything that the child needs, in the form of system call arguments.
pub(super) struct Plan<'a> {
    pub(super) program: *const c_char,
    pub(super) arguments: *const *const c_char,
    pub(super) environment: *const *const c_char,
    pub(super) directory: Option<RawFd>,
    pub(super) session: bool,
    /// The pid of the host.
    pub(super) host_pid: c_long,
    /// The descriptors that become 0, 1, 2 and so on. Each number is at least `first_free`.
    pub(super) sources: &'a [RawFd],
    /// The first number that the child does not get.
    pub(super) first_free: RawFd,
    pub(super) report: *mut Report,
}

/// The error of a system call in the child.
type ChildError = (Stage, c_int);

impl Plan<'_> {
    /// Runs in the child. Returns only if a system call fails.
    fn execute(&self) -> ChildError {
        let Err(failed) = self.prepare() else {
            // SAFETY: the texts end with a NUL and the arrays with a null pointer.
            let result = unsafe {
                let (program, arguments) = (self.program, self.arguments);
                libc::syscall(libc::SYS_execve, program, arguments, self.environment)
            };
            return (Stage::Execute, done(result).err().unwrap_or(0));
        };
        failed
    }

    fn prepare(&self) -> Result<(), ChildError> {
        let at = |stage| move |error| (stage, error);
        let death_signal = |signal| {
            let option = c_long::from(libc::PR_SET_PDEATHSIG);
            // SAFETY: prctl takes numbers.
            done(unsafe { libc::syscall(libc::SYS_prctl, option, c_long::from(signal)) })
        };
        // If the host is killed before the exec, the child is killed too: it does not carry the cookie
        // yet.
        death_signal(libc::SIGKILL).map_err(at(Stage::Process))?;
        // SAFETY: getppid takes nothing.
        let parent = unsafe { libc::syscall(libc::SYS_getppid) };
        // 0: the host is in another pid namespace.
        if parent != 0 && parent != self.host_pid {
            return Err((Stage::Process, libc::ESRCH));
        }
        // SAFETY: both system calls take numbers at most.
        let leads = unsafe {
            match self.session {
                true => libc::syscall(libc::SYS_setsid),
                false => libc::syscall(libc::SYS_setpgid, 0, 0),
            }
        };
        done(leads).map_err(at(Stage::Process))?;
        // Signals that were sent to the host's group before are not for this child.
        discard_pending_signals();
        for (target, source) in (0..self.first_free).zip(self.sources) {
            // SAFETY: dup3 takes numbers.
            let copied = unsafe { libc::syscall(libc::SYS_dup3, *source, target, 0) };
            done(copied).map_err(at(Stage::Descriptors))?;
        }
        if let Some(directory) = self.directory {
            // SAFETY: fchdir takes a number.
            let entered = unsafe { libc::syscall(libc::SYS_fchdir, directory) };
            done(entered).map_err(at(Stage::Directory))?;
        }
        // This child keeps the outputs of other starts open until it has closed its copies of their pipes.
        close_before_exec(self.first_free);
        mark_close_on_exec(self.first_free).map_err(at(Stage::Descriptors))?;
        reset_signals();
        death_signal(0).map_err(at(Stage::Process))?;
        set_mask(0);
        Ok(())
    }
}

/// The child's first function.
pub(super) extern "C" fn child_main(plan: *mut c_void) -> c_int {
    // SAFETY: the parent gave a pointer to a plan, and keeps it until the child's execve has
    // succeeded or it has ended.
    let plan = unsafe { &*plan.cast::<Plan<'_>>() };
    let (stage, error) = plan.execute();
    // SAFETY: the parent reads the report after this child has ended.
    unsafe {
        (*plan.report).stage = stage;
        (*plan.report).error = error;
    }
    // The C library ends the child with this status, by the system call alone.
    127
}

/// The error number if a system call failed.
fn done(result: c_long) -> Result<c_long, c_int> {
    if result == -1 {
        // SAFETY: the C library gives each thread a valid place for its errno.
        return Err(unsafe { *libc::__errno_location() });
    }
    Ok(result)
}

/// Closes the descriptors with the next [`CLOSED_BEFORE_EXEC`] numbers. Where that is refused, the exec
/// closes them with the others.
fn close_before_exec(first: RawFd) {
    let last = first.saturating_add(CLOSED_BEFORE_EXEC - 1);
    // SAFETY: close_range takes numbers.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

/// Sets close-on-exec on every descriptor from `first` on. Closing all of them would take eight times as
/// long.
fn mark_close_on_exec(first: RawFd) -> Result<(), c_int> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: close_range takes numbers.
    let marked = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) };
    match done(marked) {
        Ok(_) => Ok(()),
        // Before Linux 5.11, or refused by a filter.
        Err(_) => mark_listed(first).or_else(|_| mark_all(first)),
    }
}

/// The same without a list of open descriptors: for each number up to the hard limit. The soft limit
/// may have been lowered below an open descriptor.
fn mark_all(first: RawFd) -> Result<(), c_int> {
    const MOST: u64 = 1 << 20;
    let mut limits = [0u64; 2];
    let null = ptr::null::<u64>();
    // SAFETY: the kernel writes the two limits, for which there is room.
    done(unsafe {
        let limits = limits.as_mut_ptr();
        libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE, null, limits)
    })?;
    let [_, hard] = limits;
    for fd in first..hard.min(MOST) as RawFd {
        // SAFETY: fcntl with F_SETFD takes numbers, whether they are open descriptors or not.
        unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// The same by the list of open descriptors.
fn mark_listed(first: RawFd) -> Result<(), c_int> {
    let path = c"/proc/self/fd".as_ptr();
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path ends with a NUL.
    let list = done(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags) })?;
    let mut buffer = [0u64; 256];
    loop {
        let size = size_of_val(&buffer);
        // SAFETY: the kernel writes at most so many bytes, which are there.
        let read =
            done(unsafe { libc::syscall(libc::SYS_getdents64, list, buffer.as_mut_ptr(), size) })?;
        if read == 0 {
            return Ok(());
        }
        let mut entry = buffer.as_ptr().cast::<u8>();
        let end = entry.wrapping_add(read as usize);
        while entry < end {
            // SAFETY: the kernel has written whole entries up to the end. An entry's name begins at
            // byte 19 and ends with a NUL, and its length stands at byte 16.
            let (length, number) = unsafe {
                let length = entry.add(16).cast::<u16>().read_unaligned();
                (length, number(entry.add(19)))
            };
            if let Some(fd) = number.filter(|fd| *fd >= first) {
                // SAFETY: fcntl with F_SETFD takes numbers.
                done(unsafe {
                    libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFD, libc::FD_CLOEXEC)
                })?;
            }
            entry = entry.wrapping_add(usize::from(length));
        }
    }
}

/// Parses a decimal number; `None` if there is any other character.
///
/// # Safety
///
/// The text ends with a NUL.
unsafe fn number(text: *const u8) -> Option<RawFd> {
    let mut number: RawFd = 0;
    let mut at = text;
    loop {
        // SAFETY: the text has not ended before this byte.
        let byte = unsafe { at.read() };
        match byte {
            0 => return (at != text).then_some(number),
            b'0'..=b'9' => {
                let digit = RawFd::from(byte.wrapping_sub(b'0'));
                number = number.wrapping_mul(10).wrapping_add(digit);
            }
            _ => return None,
        }
        at = at.wrapping_add(1);
    }
}

/// Discards the pending signals of this process. All signals are blocked. One for each signal number is
/// enough: those that come from now on are for this child.
fn discard_pending_signals() {
    let all = u64::MAX;
    let now = [0usize; 2];
    let null = ptr::null_mut::<usize>();
    for _ in 0..SIGNALS {
        let (all, now) = (&raw const all, now.as_ptr());
        // SAFETY: the kernel reads one set and one time, and writes nothing.
        let taken =
            unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, all, null, now, SIGNAL_SET_BYTES) };
        if taken == -1 {
            return;
        }
    }
}

/// Sets every signal to its default action. An exec does that for handled signals, but a handler must
/// not run before the exec, when the mask is emptied. Asking first which signals need it would take as
/// many system calls in most hosts, and twice as many in one that handles them all, such as a Go program.
fn reset_signals() {
    // The kernel's sigaction: the default handler is zero, as is all else. Larger than on any architecture.
    let action = [0usize; 8];
    for signal in 1..=SIGNALS {
        let (action, null) = (action.as_ptr(), ptr::null_mut::<usize>());
        // SAFETY: the kernel reads one sigaction, which is there. It refuses SIGKILL and SIGSTOP.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                action,
                null,
                SIGNAL_SET_BYTES,
            );
        }
    }
}

/// Sets this thread's signal mask and returns the previous one.
pub(super) fn set_mask(mask: u64) -> u64 {
    let mut before = 0u64;
    let how = c_long::from(libc::SIG_SETMASK);
    // SAFETY: the kernel reads and writes one set each.
    unsafe {
        let (new, old) = (&raw const mask, &raw mut before);
        libc::syscall(libc::SYS_rt_sigprocmask, how, new, old, SIGNAL_SET_BYTES);
    }
    before
}
