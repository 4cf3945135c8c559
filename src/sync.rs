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

use base::atomic::{AtomicUsize, Ordering};

#[derive(Default)]
pub(crate) struct Mutex<T>(base::Mutex<T>);

/// `None` only during a wait on a condition variable and while it is [unlocked](MutexGuard::unlocked).
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    guard: Option<base::MutexGuard<'a, T>>,
}

/// A condition variable that is used with one lock, under which the condition is changed before a
/// notification.
#[derive(Default)]
pub(crate) struct Condvar {
    base: base::Condvar,
    /// How many threads wait. Changed by a waiter while it holds the lock, so a notification finds each
    /// waiter that has seen the old condition. Without a waiter it makes no system call.
    waiters: AtomicUsize,
}

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
        Condvar {
            base: base::Condvar::new(),
            waiters: AtomicUsize::new(0),
        }
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(locked) = guard.guard.take() {
            self.waiters.fetch_add(1, Ordering::Relaxed);
            let locked = self.base.wait(locked);
            guard.guard = Some(locked.unwrap_or_else(PoisonError::into_inner));
            self.waiters.fetch_sub(1, Ordering::Relaxed);
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
            self.waiters.fetch_add(1, Ordering::Relaxed);
            let waited = self.base.wait_timeout(locked, left);
            let (locked, result) = waited.unwrap_or_else(PoisonError::into_inner);
            guard.guard = Some(locked);
            self.waiters.fetch_sub(1, Ordering::Relaxed);
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

    /// Wakes all waiters. The caller has changed the condition under the lock; it may have released the
    /// lock since.
    pub(crate) fn notify_all(&self) {
        if self.waiters.load(Ordering::Relaxed) > 0 {
            self.base.notify_all();
        }
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
