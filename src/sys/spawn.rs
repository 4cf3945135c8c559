//! Makes a child without a fork. It inherits nothing of the host but what its [`ExecSpec`] lists.
//!
//! `clone` with CLONE_VM and CLONE_VFORK suspends the calling thread until the child has executed its
//! program or ended. It copies no page table, so a start takes the same time in a host of any size.
//! CLONE_PIDFD returns a pidfd of the child without a race. Until its exec the child runs on the host's
//! memory, so it is limited to raw system calls, without allocation, lock or panic ([`Plan::execute`]).
//!
//! The caller opens every path before the clone, so an unresponsive file system blocks the caller and
//! not the child. All 64 signals are blocked across the clone, by the raw system call, because
//! pthread_sigmask leaves out the two that the C library reserves. A handler of the host must not run
//! in the child: it would change the host's memory from another process.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::check;
use super::child::{self, Child, Pid};
use super::cstrings::{CStringArray, CStrings};
use super::descriptor::above_standard;
use super::pidfd::PidFd;

/// The highest signal number.
const SIGNALS: c_long = 64;

/// The size of a signal set for the kernel, in bytes.
const SIGNAL_SET_BYTES: c_long = 8;

/// The program to execute, with its arguments, environment, directory and descriptors.
#[derive(Debug)]
pub(crate) struct ExecSpec<'a> {
    /// A path, relative to `directory` if it is not absolute.
    pub(crate) program: &'a CStr,
    pub(crate) arguments: &'a CStrings,
    /// `NAME=VALUE` each.
    pub(crate) environment: [&'a CStrings; 2],
    /// The working directory; `None` is the host's.
    pub(crate) directory: Option<BorrowedFd<'a>>,
    /// The child leads a session of its own, and not only a process group.
    pub(crate) session: bool,
    /// Standard input, output and error.
    pub(crate) standard: [BorrowedFd<'a>; 3],
    /// Descriptors that the child gets as 3, 4 and so on.
    pub(crate) passed: &'a [BorrowedFd<'a>],
}

/// The step in which the start of a child failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Making the process, or making it the leader of its session or group.
    Process,
    /// Setting its descriptors.
    Descriptors,
    /// Entering its working directory.
    Directory,
    /// Executing its program.
    Execute,
}

/// A child that has executed its program.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: Pid,
    /// `None` before Linux 5.2.
    pub(crate) pidfd: Option<PidFd>,
}

/// Starts the program as the leader of its own process group, with an empty signal mask and every
/// signal at its default action. A child whose start failed is reaped.
pub(crate) fn spawn(spec: &ExecSpec<'_>) -> Result<Spawned, (Stage, io::Error)> {
    let in_process = |error| (Stage::Process, error);
    let in_descriptors = |error| (Stage::Descriptors, error);
    let arguments = CStringArray::new(&[spec.arguments]);
    let environment = CStringArray::new(&spec.environment);
    // Each source has a number above all targets, so that no copy overwrites the source of a later one.
    let mut sources = Vec::with_capacity(spec.standard.len() + spec.passed.len());
    let first_free = spec.standard.len() + spec.passed.len();
    let first_free = RawFd::try_from(first_free).map_err(|_| in_process(out_of_range()))?;
    let mut moved = Vec::new();
    for source in spec.standard.iter().chain(spec.passed) {
        sources.push(move_above(*source, first_free, &mut moved).map_err(in_descriptors)?);
    }
    let directory = spec
        .directory
        .map(|directory| move_above(directory, first_free, &mut moved))
        .transpose()
        .map_err(in_descriptors)?;
    let memory = Memory::new().map_err(in_process)?;
    let plan = Plan {
        program: spec.program.as_ptr(),
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        directory,
        session: spec.session,
        sources: &sources,
        first_free,
        report: memory.report(),
    };
    let pid = plan.clone_child(memory.stack_top()).map_err(in_process)?;
    // SAFETY: the child has executed its program or ended, so nothing else writes the report.
    let report = unsafe { memory.report().read_volatile() };
    // SAFETY: the kernel wrote the number of a new descriptor (close-on-exec), which nothing else owns.
    let pidfd = (report.pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(report.pidfd) });
    if report.error != 0 {
        let child = match &pidfd {
            Some(pidfd) => Child::Descriptor(std::os::fd::AsFd::as_fd(pidfd)),
            None => Child::Number(pid),
        };
        // The child is about to exit. If the host reaps it first, both calls fail.
        let _ = child::wait_exit(child).and_then(|()| child::reap(child));
        return Err((report.stage, io::Error::from_raw_os_error(report.error)));
    }
    let pidfd = pidfd.map(above_standard).transpose();
    Ok(Spawned {
        pid,
        // If it cannot be moved, the child is known by its pid only, as on older kernels.
        pidfd: pidfd.ok().flatten().map(PidFd::from),
    })
}

/// The number of a descriptor, or of a copy of it that is at least `least`.
fn move_above(fd: BorrowedFd<'_>, least: RawFd, moved: &mut Vec<OwnedFd>) -> io::Result<RawFd> {
    if fd.as_raw_fd() >= least {
        return Ok(fd.as_raw_fd());
    }
    // SAFETY: fcntl with F_DUPFD_CLOEXEC takes numbers and touches no memory of ours; the descriptor is
    // open.
    let copy = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) })?;
    // SAFETY: the descriptor was made just now and nothing else owns it.
    moved.push(unsafe { OwnedFd::from_raw_fd(copy) });
    Ok(copy)
}

fn out_of_range() -> io::Error {
    io::Error::from_raw_os_error(libc::EMFILE)
}

/// What the child and the kernel report to the caller.
#[repr(C)]
#[derive(Clone, Copy)]
struct Report {
    stage: Stage,
    /// 0 while nothing has failed.
    error: c_int,
    /// Written by the kernel before the child's first instruction. -1 on kernels without pidfds.
    pidfd: c_int,
}

/// The child's stack, with the report at its lower end. The memory is shared, so the report also works
/// under valgrind, which turns the clone into a fork.
struct Memory(*mut c_void);

impl Memory {
    const BYTES: usize = 32 << 10;

    fn new() -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe { libc::mmap(ptr::null_mut(), Self::BYTES, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = Memory(start);
        let report = Report {
            stage: Stage::Process,
            error: 0,
            pidfd: -1,
        };
        // SAFETY: the mapping is writable, aligned to a page and larger than a report.
        unsafe { memory.report().write(report) };
        Ok(memory)
    }

    fn report(&self) -> *mut Report {
        self.0.cast()
    }

    fn stack_top(&self) -> *mut c_void {
        self.0.wrapping_byte_add(Self::BYTES)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no child runs on it any more: the clone has returned.
        unsafe { libc::munmap(self.0, Self::BYTES) };
    }
}

/// Everything that the child needs, in the form of system call arguments.
struct Plan<'a> {
    program: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    directory: Option<RawFd>,
    session: bool,
    /// The descriptors that become 0, 1, 2 and so on. Each number is at least `first_free`.
    sources: &'a [RawFd],
    /// The first number that the child does not get.
    first_free: RawFd,
    report: *mut Report,
}

/// The error of a system call in the child.
type ChildError = (Stage, c_int);

impl Plan<'_> {
    fn clone_child(&self, stack: *mut c_void) -> io::Result<Pid> {
        // SAFETY: the C library gives each thread a valid place for its errno.
        let errno = unsafe { &mut *libc::__errno_location() };
        let before = *errno;
        let plan = ptr::from_ref(self).cast_mut().cast::<c_void>();
        let clone = |flags| {
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD | flags;
            // SAFETY: the stack is mapped, aligned, and used by this child alone; the plan outlives the
            // child's use of it, since CLONE_VFORK suspends this thread until then; the kernel writes
            // one c_int to the pidfd of the report.
            check(unsafe {
                let pidfd = &raw mut (*self.report).pidfd;
                libc::clone(run, stack, flags, plan, pidfd)
            })
        };
        let pid = with_signals_blocked(|| match clone(libc::CLONE_PIDFD) {
            // A kernel without CLONE_PIDFD.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => clone(0),
            other => other,
        });
        // The child has shared this thread's errno.
        *errno = before;
        pid
    }

    /// Runs in the child. Returns only if a system call fails.
    ///
    /// The host's memory is shared, and its other threads run. So this makes raw system calls only,
    /// without allocation, lock or panic. The C library's `open`, `close` and `write` are cancellation
    /// points, and a cancellation of the host's thread may be pending.
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
        // SAFETY: these system calls take numbers.
        unsafe {
            // If the host is killed before the exec, the child is killed too: it does not carry the
            // cookie yet.
            let kill = c_long::from(libc::SIGKILL);
            let death = c_long::from(libc::PR_SET_PDEATHSIG);
            done(libc::syscall(libc::SYS_prctl, death, kill)).map_err(at(Stage::Process))?;
            match self.session {
                true => done(libc::syscall(libc::SYS_setsid)),
                false => done(libc::syscall(libc::SYS_setpgid, 0, 0)),
            }
            .map_err(at(Stage::Process))?;
            // Signals that were sent to the host's group before are not for this child.
            discard_pending_signals();
            for (target, source) in (0..self.first_free).zip(self.sources) {
                let copied = libc::syscall(libc::SYS_dup3, *source, target, 0);
                done(copied).map_err(at(Stage::Descriptors))?;
            }
        }
        mark_close_on_exec(self.first_free).map_err(at(Stage::Descriptors))?;
        reset_signals();
        // SAFETY: as before.
        unsafe {
            if let Some(directory) = self.directory {
                let entered = libc::syscall(libc::SYS_fchdir, directory);
                done(entered).map_err(at(Stage::Directory))?;
            }
            let death = c_long::from(libc::PR_SET_PDEATHSIG);
            done(libc::syscall(libc::SYS_prctl, death, 0)).map_err(at(Stage::Process))?;
            set_mask(0);
        }
        Ok(())
    }
}

/// The child's first function.
extern "C" fn run(plan: *mut c_void) -> c_int {
    // SAFETY: the parent gave a pointer to a plan, and keeps it until this child has executed or ended.
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

/// Sets close-on-exec on every descriptor from `first` on. Closing them would take eight times as long.
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

/// Discards the pending signals of this process. All signals are blocked.
fn discard_pending_signals() {
    let all = u64::MAX;
    let now = [0usize; 2];
    let null = ptr::null_mut::<usize>();
    loop {
        let (all, now) = (&raw const all, now.as_ptr());
        // SAFETY: the kernel reads one set and one time, and writes nothing.
        let taken =
            unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, all, null, now, SIGNAL_SET_BYTES) };
        if taken == -1 {
            return;
        }
    }
}

/// Sets every signal that is handled or ignored to its default action. An exec does that for handled
/// signals, but a handler must not run before the exec, when the mask is emptied.
fn reset_signals() {
    // The kernel's sigaction: the handler first, all else zero. Larger than it is on any architecture.
    let default = [0usize; 8];
    for signal in 1..=SIGNALS {
        let mut action = [0usize; 8];
        let null = ptr::null::<usize>();
        // SAFETY: the kernel reads and writes one sigaction each, for which there is room.
        unsafe {
            let action = action.as_mut_ptr();
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                null,
                action,
                SIGNAL_SET_BYTES,
            );
        }
        if action.first() != Some(&0) {
            let default = default.as_ptr();
            let null = ptr::null_mut::<usize>();
            // SAFETY: as above.
            unsafe {
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    signal,
                    default,
                    null,
                    SIGNAL_SET_BYTES,
                );
            }
        }
    }
}

/// Sets this thread's signal mask and returns the previous one.
fn set_mask(mask: u64) -> u64 {
    let mut before = 0u64;
    let how = c_long::from(libc::SIG_SETMASK);
    // SAFETY: the kernel reads and writes one set each.
    unsafe {
        let (new, old) = (&raw const mask, &raw mut before);
        libc::syscall(libc::SYS_rt_sigprocmask, how, new, old, SIGNAL_SET_BYTES);
    }
    before
}

/// Runs `work` with all 64 signals blocked in this thread.
fn with_signals_blocked<T>(work: impl FnOnce() -> T) -> T {
    let before = set_mask(u64::MAX);
    let result = work();
    set_mask(before);
    result
}
