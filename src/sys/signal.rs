//! Signal numbers, and the signal mask of the library's threads.

use std::mem::MaybeUninit;
use std::ptr;

use crate::signal::Signal;

/// SIGCONT.
pub(crate) const CONT: i32 = libc::SIGCONT;
/// SIGKILL.
pub(crate) const KILL: i32 = libc::SIGKILL;
/// SIGTERM.
pub(crate) const TERM: i32 = libc::SIGTERM;

impl Signal {
    /// The number of the signal on this platform.
    pub fn number(self) -> i32 {
        match self {
            Signal::Kill => libc::SIGKILL,
            Signal::Terminate => libc::SIGTERM,
            Signal::Interrupt => libc::SIGINT,
            Signal::Hangup => libc::SIGHUP,
            Signal::Quit => libc::SIGQUIT,
            Signal::Stop => libc::SIGSTOP,
            Signal::Continue => libc::SIGCONT,
            Signal::User1 => libc::SIGUSR1,
            Signal::User2 => libc::SIGUSR2,
        }
    }

    /// The signal with this number; `None` for one that procmgr does not send.
    pub fn from_number(number: i32) -> Option<Signal> {
        Signal::ALL
            .into_iter()
            .find(|signal| signal.number() == number)
    }
}

/// Runs `work` with every signal blocked in this thread that `pthread_sigmask` can block, and restores the
/// thread's mask.
///
/// A thread made in `work` inherits the mask, so no handler of the host ever runs on it.
pub(crate) fn with_all_blocked<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the set was filled by pthread_sigmask; a null old set is allowed.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, ptr::null_mut()) };
        }
    }
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut old = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set it is given, and pthread_sigmask the old one; neither
    // fails for valid arguments.
    let _restore = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
        Restore(old.assume_init())
    };
    work()
}
