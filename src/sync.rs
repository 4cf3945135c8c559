//! The locks that have a condition variable, on which threads of the host wait.
//!
//! They are the standard library's, and in a model loom's. A lock of parking_lot is handed over to a
//! waiting thread, and a notification moves the waiters of a condition variable to the lock. If a
//! thread of the host is suspended in such a wait (by a signal handler that does not return, by a
//! debugger), it would be given the lock and keep it. A thread that waits for one of these locks takes
//! it itself when it runs. The locks without a condition variable, which are held briefly, are
//! parking_lot's.
//!
//! Poisoning is ignored: after a panic, guards restore the state.
//!
//! A model has no clock: in it, a wait with a deadline is a wait without one, so models use no
//! deadlines.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Instant;

#[cfg(all(loom, test))]
use loom::sync as base;
#[cfg(not(all(loom, test)))]
use std::sync as base;

#[derive(Default)]
pub(crate) struct Mutex<T>(base::Mutex<T>);

/// `None` only during a wait on a condition variable and while it is [unlocked](MutexGuard::unlocked).
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    guard: Option<base::MutexGuard<'a, T>>,
}

#[derive(Default)]
pub(crate) struct Condvar(base::Condvar);

/// Whether a wait has ended because of its deadline.
pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(base::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: self,
            guard: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl<T> MutexGuard<'_, T> {
    /// Runs `work` with the lock released.
    pub(crate) fn unlocked<R>(guard: &mut Self, work: impl FnOnce() -> R) -> R {
        guard.guard = None;
        let result = work();
        *guard = guard.mutex.lock();
        result
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_ref().expect("it is locked")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("it is locked")
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Condvar(base::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(locked) = guard.guard.take() {
            let locked = self.0.wait(locked);
            guard.guard = Some(locked.unwrap_or_else(PoisonError::into_inner));
        }
    }

    #[cfg(not(all(loom, test)))]
    pub(crate) fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(locked) = guard.guard.take() {
            let waited = self.0.wait_timeout(locked, left);
            let (locked, result) = waited.unwrap_or_else(PoisonError::into_inner);
            guard.guard = Some(locked);
            return WaitTimeoutResult(result.timed_out());
        }
        WaitTimeoutResult(false)
    }

    #[cfg(all(loom, test))]
    pub(crate) fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        _deadline: Instant,
    ) -> WaitTimeoutResult {
        self.wait(guard);
        WaitTimeoutResult(false)
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar")
    }
}
