//! What a child would inherit from this host, and taking it away in a child that std has forked.

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr, c_char};
use std::fs::{self, File};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::check;
use super::child::Pid;
use super::posix_spawn::Image;
use super::texts::{Pointers, Texts};

/// The highest signal number, with one to spare.
const SIGNALS: libc::c_int = 65;

/// Whether a child that std starts without a fork would inherit anything that it should not. In doubt, it would.
///
/// Looks at the calling thread's mask, at the dispositions, at the terminal and at the descriptors: some tens of system
/// calls of a tenth of a microsecond each. A descriptor that another thread opens meanwhile is not seen.
pub(crate) fn host_needs_cleaning() -> bool {
    has_blocked_signals() || has_ignored_signals() || has_terminal() || has_open_descriptors()
}

fn has_blocked_signals() -> bool {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: a null new set only asks; the old set is written when 0 is returned, and only then read.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), mask.as_mut_ptr()) != 0
            || (1..SIGNALS).any(|signal| libc::sigismember(mask.as_ptr(), signal) == 1)
    }
}

fn has_ignored_signals() -> bool {
    (1..SIGNALS).any(|signal| {
        let mut action = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: a null new action only asks; the old one is written when 0 is returned, and only then read. SIGPIPE
        // is put back to its default by std.
        unsafe {
            signal != libc::SIGPIPE
                && libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0
                && action.assume_init().sa_sigaction == libc::SIG_IGN
        }
    })
}

/// Whether this host has a controlling terminal. In doubt it has: only one answer of the kernel means that it has none.
///
/// Only the leader of a session can come by one. A host that has none and leads no session has to become such a leader first, so
/// that it need not be asked again before: the answer costs as much as everything else that is asked for a start. A forked copy
/// leads none either, and has inherited what its parent had.
pub(crate) fn has_terminal() -> bool {
    static HAD_NONE: AtomicBool = AtomicBool::new(false);
    if HAD_NONE.load(Ordering::Relaxed) && !leads_session() {
        return false;
    }
    let answer = File::open("/dev/tty").map_err(|error| error.raw_os_error());
    let has_none = matches!(answer, Err(Some(libc::ENXIO)));
    if has_none && !leads_session() {
        // Nobody stops leading, so it led none before either.
        HAD_NONE.store(true, Ordering::Relaxed);
    }
    !has_none
}

fn leads_session() -> bool {
    // SAFETY: both take numbers at most, and touch no memory.
    unsafe { libc::getsid(0) == libc::getpid() }
}

/// Whether a descriptor above 2 stays open over an exec.
fn has_open_descriptors() -> bool {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return true;
    };
    entries.flatten().any(|entry| {
        let descriptor = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        // SAFETY: F_GETFD takes a number, whether it is an open descriptor or not.
        descriptor.is_none_or(|descriptor: libc::c_int| unsafe {
            descriptor > 2 && libc::fcntl(descriptor, libc::F_GETFD) & libc::FD_CLOEXEC == 0
        })
    })
}

/// What a child that std has forked becomes. Made before the fork: nothing can be allocated after it.
struct Program {
    path: CString,
    arguments: Array,
    environment: Array,
    directory: Option<CString>,
    session: bool,
    /// Where the child says what failed.
    failure: OwnedFd,
}

/// Texts together with the array of pointers to them.
struct Array {
    /// Point into the memory of `_texts`; the last one is null.
    pointers: Vec<*const c_char>,
    _texts: Vec<Texts>,
}

// SAFETY: the pointers are to texts that it owns and nobody changes.
unsafe impl Send for Array {}
// SAFETY: as above.
unsafe impl Sync for Array {}

impl Array {
    fn new(lists: &[&Texts]) -> Self {
        let texts: Vec<Texts> = lists.iter().map(|list| (*list).clone()).collect();
        let lists: Vec<&Texts> = texts.iter().collect();
        Array {
            pointers: Pointers::new(&lists).into_inner(),
            _texts: texts,
        }
    }
}

/// Starts the image as the leader of a group of its own, inheriting nothing, with std and a fork. For C libraries whose
/// `posix_spawn` cannot do it.
///
/// The child cleans itself, executes, and reports a failure itself: std would wait for a child that failed, and panic
/// where it cannot, in a host that ignores SIGCHLD or reaps all children.
pub(crate) fn spawn_after_fork(image: &Image<'_>) -> io::Result<Pid> {
    // Held until the child is there: std does not expect that what it opens gets the number of a standard descriptor.
    let _taken = take_standard()?;
    let (mut told, failure) = io::pipe()?;
    let program = Program {
        path: image.program.to_owned(),
        arguments: Array::new(&[image.arguments]),
        environment: Array::new(&image.environment),
        directory: image.directory.map(CStr::to_owned),
        session: image.session,
        failure: failure.into(),
    };
    let mut command = Command::new(OsStr::from_bytes(image.program.to_bytes()));
    command
        .stdin(Stdio::null())
        .stdout(image.stdout.try_clone_to_owned()?)
        .stderr(image.stderr.try_clone_to_owned()?);
    // SAFETY: the function only makes system calls, all of them async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(move || program.become_it()) };
    let mut child = command.spawn()?;
    // With it goes our copy of the writing end.
    drop(command);
    let mut number = [0; size_of::<i32>()];
    if told.read_exact(&mut number).is_ok() {
        // Somebody else may have reaped it.
        let _ = child.wait();
        return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(number)));
    }
    Pid::try_from(child.id()).map_err(io::Error::other)
}

impl Program {
    /// Called in the child. Does not return.
    fn become_it(&self) -> ! {
        let number = match self.execute() {
            Ok(never) => match never {},
            Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
        };
        let bytes = number.to_ne_bytes();
        // SAFETY: the bytes are valid for reading; _exit runs nothing of the host's.
        unsafe {
            libc::write(self.failure.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
            libc::_exit(127)
        }
    }

    fn execute(&self) -> io::Result<Infallible> {
        clean_this_process(self.session)?;
        if let Some(directory) = &self.directory {
            // SAFETY: the text ends with a NUL.
            check(unsafe { libc::chdir(directory.as_ptr()) })?;
        }
        // SAFETY: the texts end with a NUL and the arrays with a null pointer.
        unsafe {
            libc::execve(
                self.path.as_ptr(),
                self.arguments.pointers.as_ptr(),
                self.environment.pointers.as_ptr(),
            )
        };
        Err(io::Error::last_os_error())
    }
}

/// Opens those of 0, 1 and 2 that are closed.
fn take_standard() -> io::Result<Vec<File>> {
    let mut taken = Vec::new();
    // SAFETY: F_GETFD takes a number, whether it is an open descriptor or not.
    while (0..3).any(|standard| unsafe { libc::fcntl(standard, libc::F_GETFD) } == -1) {
        taken.push(File::open("/dev/null")?);
    }
    Ok(taken)
}

/// A session or a group of its own, every signal at its default, an empty mask, every descriptor above 2 closed by the
/// exec.
fn clean_this_process(session: bool) -> io::Result<()> {
    // SAFETY: setsid takes nothing and setpgid numbers; sigemptyset and sigaction are given valid memory; SIG_DFL is a valid action. Signals
    // that cannot be set, such as SIGKILL, are refused and stay as they are.
    unsafe {
        match session {
            true => check(libc::setsid())?,
            false => check(libc::setpgid(0, 0))?,
        };
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        action.sa_sigaction = libc::SIG_DFL;
        for signal in 1..SIGNALS {
            libc::sigaction(signal, &action, ptr::null_mut());
        }
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        check(libc::sigprocmask(
            libc::SIG_SETMASK,
            none.as_ptr(),
            ptr::null_mut(),
        ))?;
        // By the exec and not at once: a failed one is reported through a descriptor.
        let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_int;
        if libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, flags) == 0 {
            return Ok(());
        }
        // Before Linux 5.11. The soft limit may have been lowered below a descriptor that is open.
        let mut limit = MaybeUninit::<libc::rlimit>::zeroed().assume_init();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        let most = limit.rlim_max.min(1 << 20) as libc::c_int;
        for descriptor in 3..most {
            libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
    Ok(())
}
