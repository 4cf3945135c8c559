//! What a child would inherit from this host, and taking it away in a child that std has forked.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use super::check;

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

fn has_terminal() -> bool {
    fs::File::open("/dev/tty").is_ok()
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

/// Makes std fork, and clean the child between fork and exec. For C libraries whose `posix_spawn` cannot do it.
pub(crate) fn clean_after_fork(command: &mut Command) {
    // SAFETY: the function only makes system calls, all of them async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(clean_this_process) };
}

/// A session of its own, every signal at its default, an empty mask, every descriptor above 2 closed by the exec.
fn clean_this_process() -> io::Result<()> {
    // SAFETY: setsid takes nothing; sigemptyset and sigaction are given valid memory; SIG_DFL is a valid action. Signals
    // that cannot be set, such as SIGKILL, are refused and stay as they are.
    unsafe {
        check(libc::setsid())?;
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
        // By the exec and not at once: std reports a failed exec through a descriptor of its own.
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
