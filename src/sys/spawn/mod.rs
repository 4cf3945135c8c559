//! Makes a child without a fork. It inherits no descriptor that its [`ExecSpec`] does not list, no signal
//! setting and no controlling terminal.
//!
//! `clone` with CLONE_VM and CLONE_VFORK suspends the calling thread until the `execve` of the child has
//! succeeded or the child has ended. It copies no page table, so a start takes the same time in a host of
//! any size. CLONE_PIDFD returns a pidfd of the child without a race. Until its `execve` the child runs on
//! the host's memory, so it is limited to raw system calls, without allocation, lock or panic ([`child`]).
//!
//! The caller opens every path but that of the program before the clone. So if a file system does not
//! answer, the caller blocks while there is no child that shares the host's memory.
//!
//! All 64 signals are blocked across the clone, by the raw system call, because `pthread_sigmask` leaves out
//! the two that the C library reserves. A handler of the host must not run in the child: it would change
//! the host's memory from another process.

mod child;
mod memory;

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::check;
use super::child::{Child, Pid, reap, wait_exit};
use super::cstrings::{CStringArray, CStrings};
use super::descriptor::above_standard;
use super::pidfd::PidFd;
use child::{Plan, child_main, set_mask};
use memory::Memory;

/// The number of clones under way: of children whose `execve` has not succeeded and that have not ended.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Whether a clone is under way. Its child may hold copies of all descriptors of the host.
pub(crate) fn is_under_way() -> bool {
    UNDER_WAY.load(Ordering::Acquire) > 0
}

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

/// The part of a start that failed in the clone or in the child, which writes it to memory that it shares
/// with the host. [`Step`](crate::error::Step) is the public form, and also has the parts of a start that
/// come before the clone.
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

/// A child whose `execve` has succeeded.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: Pid,
    /// `None` before Linux 5.2, and if a filter refuses it.
    pub(crate) pidfd: Option<PidFd>,
}

/// Makes a child that executes the program as the leader of its own process group, with an empty signal
/// mask and every signal at its default action. Returns when `execve` has succeeded. A child whose start
/// failed is reaped.
pub(crate) fn clone_and_exec(spec: &ExecSpec<'_>) -> Result<Spawned, (Stage, io::Error)> {
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
        // SAFETY: getpid takes nothing.
        host_pid: unsafe { libc::getpid() }.into(),
        sources: &sources,
        first_free,
        report: memory.report(),
    };
    let pid = clone_child(&plan, &memory).map_err(in_process)?;
    // SAFETY: the child's `execve` has succeeded or it has ended, so nothing else writes the report.
    let report = unsafe { memory.report().read_volatile() };
    // SAFETY: the kernel wrote the number of a new descriptor (close-on-exec), which nothing else owns.
    let pidfd = (report.pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(report.pidfd) });
    if report.error != 0 {
        let child = match &pidfd {
            Some(pidfd) => Child::Descriptor(std::os::fd::AsFd::as_fd(pidfd)),
            None => Child::Number(pid),
        };
        // The child is about to exit. If the host reaps it first, both calls fail.
        let _ = wait_exit(child).and_then(|()| reap(child));
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

unsafe extern "C" {
    /// The C library's `clone`. By this name of glibc's, the thread sanitizer does not replace it: its own
    /// prepares for a fork and expects a child with memory of its own.
    #[cfg_attr(target_env = "gnu", link_name = "__clone")]
    #[cfg_attr(not(target_env = "gnu"), link_name = "clone")]
    fn clone_by_name(
        function: extern "C" fn(*mut c_void) -> c_int,
        stack: *mut c_void,
        flags: c_int,
        argument: *mut c_void,
        ...
    ) -> c_int;
}

/// Makes the child, and returns its pid when its `execve` has succeeded or it has ended.
fn clone_child(plan: &Plan<'_>, memory: &Memory) -> io::Result<Pid> {
    // SAFETY: the C library gives each thread a valid place for its errno.
    let before = unsafe { libc::__errno_location().read() };
    let plan = ptr::from_ref(plan).cast_mut().cast::<c_void>();
    let clone = |flags| {
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD | flags;
        // SAFETY: the stack is mapped, aligned, and used by this child alone; the plan outlives the
        // child's use of it, since CLONE_VFORK suspends this thread until then; the kernel writes
        // one c_int to the pidfd of the report.
        check(unsafe {
            let pidfd = &raw mut (*memory.report()).pidfd;
            clone_by_name(child_main, memory.stack_top(), flags, plan, pidfd)
        })
    };
    UNDER_WAY.fetch_add(1, Ordering::AcqRel);
    let pid = with_signals_blocked(|| match clone(libc::CLONE_PIDFD) {
        // A kernel without CLONE_PIDFD.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => clone(0),
        other => other,
    });
    UNDER_WAY.fetch_sub(1, Ordering::AcqRel);
    // The child has shared this thread's errno.
    // SAFETY: as before.
    unsafe { libc::__errno_location().write(before) };
    pid
}

/// Runs `work` with all 64 signals blocked in this thread.
fn with_signals_blocked<T>(work: impl FnOnce() -> T) -> T {
    let before = set_mask(u64::MAX);
    let result = work();
    set_mask(before);
    result
}
