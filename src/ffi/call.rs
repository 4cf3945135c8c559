//! The guard around the body of each exported function.
//!
//! In a forked copy of the host the body does not run, so no lock is taken. No panic and no thread
//! cancellation leaves the body. On an error, `errno` is set last; otherwise it is as before the call. The
//! guard itself takes no lock. Its only state is the pid of the host.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Error;

use super::error::{CallError, CallResult};

/// Runs the body of an exported function.
pub(super) fn call(body: impl FnOnce() -> CallResult) -> i32 {
    call_described(|_| (), body)
}

/// Runs the body of an exported function that fills a `mgr_error`. `describe` is called after the body,
/// with its error or, after success, with `None`.
pub(super) fn call_described(
    describe: impl FnOnce(Option<&CallError>),
    body: impl FnOnce() -> CallResult,
) -> i32 {
    let errno_before = errno();
    // A pthread_cancel of this thread stays pending until the call is over.
    let _uncancelled = Uncancelled::new();
    // A panic is a defect of this library. It must not unwind into C. Locks and processes have guards of
    // their own.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        check_host()?;
        body()
    }))
    .unwrap_or(Err(CallError::Panic));
    describe(outcome.as_ref().err());
    match outcome {
        Ok(code) => {
            set_errno(errno_before);
            code
        }
        Err(failure) => {
            let code = failure.code();
            let os_error = failure.os_error();
            drop(failure);
            // Last, because everything before may change errno.
            set_errno(os_error);
            code
        }
    }
}

/// The pid of the process that made the first call; 0 before that.
static HOST: AtomicU32 = AtomicU32::new(0);

/// Refuses a forked copy of the host: the fork may have copied a lock while another thread held it.
fn check_host() -> Result<(), CallError> {
    let own = std::process::id();
    // The first call decides which process is the host. A fork before that does no harm: there are no
    // locks yet.
    match HOST.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire) {
        Err(host) if host != own => Err(CallError::Api(Error::Forked)),
        _ => Ok(()),
    }
}

/// Disables `pthread_cancel` for this thread until it is dropped. A cancellation unwinds the stack out
/// of a blocking system call; through Rust frames that aborts the host.
struct Uncancelled(c_int);

impl Uncancelled {
    fn new() -> Self {
        let mut before = 0;
        // SAFETY: it writes one c_int through the pointer, which is valid for that. 1 is
        // PTHREAD_CANCEL_DISABLE.
        unsafe { set_cancel_state(1, &mut before) };
        Uncancelled(before)
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY: a null pointer is allowed, and the state was returned by the same function.
        unsafe { set_cancel_state(self.0, std::ptr::null_mut()) };
    }
}

unsafe extern "C" {
    #[link_name = "pthread_setcancelstate"]
    fn set_cancel_state(state: c_int, old: *mut c_int) -> c_int;
    // The address of `errno`, in the C libraries of Linux.
    #[link_name = "__errno_location"]
    safe fn errno_location() -> *mut c_int;
}

fn errno() -> i32 {
    // SAFETY: the C library returns a valid pointer to the errno of this thread.
    unsafe { *errno_location() }
}

fn set_errno(number: i32) {
    // SAFETY: the C library returns a valid pointer to the errno of this thread.
    unsafe { *errno_location() = number };
}
