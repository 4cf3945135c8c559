//! How each exported function runs.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Error;

use super::error::{CallError, CallResult};

/// Runs the body of an exported function.
pub(super) fn call(body: impl FnOnce() -> CallResult) -> i32 {
    call_described(|_| (), body)
}

/// Runs the body of an exported function that describes its failure in a `mgr_error`. `describe` is called with `None`
/// after a success.
pub(super) fn call_described(
    describe: impl FnOnce(Option<&CallError>),
    body: impl FnOnce() -> CallResult,
) -> i32 {
    // A cancellation of the thread waits until the call is over.
    let _uncancelled = Uncancelled::new();
    // A panic is a defect of ours. It ends here: it may not go through C, and what it was doing has guards of its own.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        check_host()?;
        body()
    }))
    .unwrap_or(Err(CallError::Panic));
    describe(outcome.as_ref().err());
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            let code = failure.code();
            let os_error = failure.os_error();
            drop(failure);
            // Last, since everything before it may change it.
            set_errno(os_error);
            code
        }
    }
}

/// The process that made the first handle; 0 before that.
static HOST: AtomicU32 = AtomicU32::new(0);

/// Refuses a forked copy of the host, in which the lock of the table may be held for ever.
fn check_host() -> Result<(), CallError> {
    let own = std::process::id();
    // The first call of all decides who the host is; a fork before it is none of our business.
    match HOST.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire) {
        Err(host) if host != own => Err(CallError::Api(Error::Forked)),
        _ => Ok(()),
    }
}

/// Keeps `pthread_cancel` away from this thread. It unwinds the stack from a system call that blocks, which in the midst of
/// Rust ends the host.
struct Uncancelled(c_int);

impl Uncancelled {
    fn new() -> Self {
        let mut before = 0;
        // SAFETY: it writes one c_int through the pointer, which is valid for it. 1 is PTHREAD_CANCEL_DISABLE.
        unsafe { set_cancel_state(1, &mut before) };
        Uncancelled(before)
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY: a null pointer is allowed; the state is one that it gave.
        unsafe { set_cancel_state(self.0, std::ptr::null_mut()) };
    }
}

unsafe extern "C" {
    #[link_name = "pthread_setcancelstate"]
    fn set_cancel_state(state: c_int, old: *mut c_int) -> c_int;
    // The place of `errno`, in the C libraries of Linux.
    #[link_name = "__errno_location"]
    safe fn errno_location() -> *mut c_int;
}

fn set_errno(number: i32) {
    // SAFETY: the C library gives each thread a valid place for its errno.
    unsafe { *errno_location() = number };
}
