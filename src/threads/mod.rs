//! The library's threads: pairs of a reader and a reaper thread, and threads for background tasks.
//!
//! [`Threads`] holds the handles of the threads and the list of idle [pairs](pair). Each thread blocks all
//! signals that `pthread_sigmask` can block. A panic ends only the task in which it happens. The threads of
//! an idle pair exit after [`IDLE_TIME`]. [`close`](Threads::close) waits for all threads up to a deadline,
//! which is one second later when a manager is closed.
//!
//! Lock order: the lock of [`Threads`] is a leaf. No task runs while it is held.

mod pair;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::sync::{Condvar, Mutex};
use crate::sys::poller::Waker;
use crate::sys::signal::with_all_blocked;
use crate::time::Deadline;

use pair::Pair;
pub(crate) use pair::{AcquiredPair, Progress};

/// How long a pair stays idle before its threads exit.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// The size of a thread's stack. The tasks need little, and only pages that are touched take memory.
const STACK_BYTES: usize = 64 << 10;

/// The threads of one manager.
pub(crate) struct Threads {
    /// Protects the lists. A leaf.
    state: Mutex<State>,
    /// Notified, with `state`, when the last thread exits after closing.
    all_left: Condvar,
    /// [`IDLE_TIME`], except in tests.
    idle_time: Duration,
}

struct State {
    /// Wakes the threads of pairs. `None` after the last thread of a closed manager has exited.
    waker: Option<Arc<Waker>>,
    /// Idle pairs and their deadlines. The pair that became idle last is at the end.
    idle: Vec<(Arc<Pair>, Deadline)>,
    /// The number of threads that have not exited.
    count: usize,
    handles: HashMap<u64, JoinHandle<()>>,
    /// The numbers of threads that are exiting and not joined.
    exiting: Vec<u64>,
    last_number: u64,
    closed: bool,
}

impl Threads {
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        Self::with_idle_time(IDLE_TIME)
    }

    fn with_idle_time(idle_time: Duration) -> io::Result<Arc<Self>> {
        let state = State {
            waker: Some(Arc::new(Waker::new()?)),
            idle: Vec::new(),
            count: 0,
            handles: HashMap::new(),
            exiting: Vec::new(),
            last_number: 0,
            closed: false,
        };
        Ok(Arc::new(Threads {
            state: Mutex::new(state),
            all_left: Condvar::new(),
            idle_time,
        }))
    }

    /// Runs a task on a new thread, and returns the number of the thread.
    pub(crate) fn spawn_thread(
        self: &Arc<Self>,
        task: impl FnOnce() + Send + 'static,
    ) -> io::Result<u64> {
        // Joined and not detached: a detached thread may still be exiting when the program ends.
        let exiting = std::mem::take(&mut self.state.lock().exiting);
        self.join(&exiting);
        // The lock is held until the handle is stored, so that an exiting thread has one.
        let mut state = self.state.lock();
        let number = state.last_number + 1;
        let threads = Arc::clone(self);
        let handle = with_all_blocked(|| {
            thread::Builder::new()
                .name(format!("procmgr-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || {
                    isolate(task);
                    threads.leave(number);
                })
        })?;
        state.last_number = number;
        state.count += 1;
        state.handles.insert(number, handle);
        Ok(number)
    }

    /// Blocks until these threads have ended. They are exiting.
    fn join(&self, numbers: &[u64]) {
        for number in numbers {
            let handle = self.state.lock().handles.remove(number);
            // The result is no panic: those are caught.
            let _ = handle.map(JoinHandle::join);
        }
    }

    /// Called by a thread right before it ends.
    fn leave(&self, number: u64) {
        let mut state = self.state.lock();
        state.count -= 1;
        if !state.closed {
            state.exiting.push(number);
        } else if state.count == 0 {
            self.all_left.notify_all();
        }
    }

    /// Makes idle threads exit now, and each other one at the end of its task. Blocks until all have
    /// exited or the deadline has passed. True if none is left.
    pub(crate) fn close(&self, deadline: Deadline) -> bool {
        let mut state = self.state.lock();
        state.closed = true;
        std::mem::take(&mut state.idle)
            .iter()
            .for_each(|(pair, _)| pair.retire());
        while state.count > 0 && !deadline.passed() {
            match deadline.instant() {
                Some(at) => drop(self.all_left.wait_until(&mut state, at)),
                None => self.all_left.wait(&mut state),
            }
        }
        let all_left = state.count == 0;
        if all_left {
            state.waker = None;
        }
        let handles = std::mem::take(&mut state.handles);
        drop(state);
        for (_, handle) in handles {
            // A thread that was counted as exited only has to return.
            if all_left || handle.is_finished() {
                let _ = handle.join();
            }
        }
        all_left
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

/// Runs `work` and catches its panic, which returns `None`. Its guards clean up.
fn isolate<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn closing_waits_for_tasks_until_the_deadline() {
        let threads = Threads::new().expect("descriptors");
        let (go, wait) = bounded::<()>(0);
        threads
            .spawn_thread(move || _ = wait.recv())
            .expect("a thread");
        assert!(!threads.close(Deadline::after(Duration::ZERO)));
        drop(go);
        assert!(threads.close(Deadline::NEVER));
    }

    #[test]
    fn a_panic_of_a_task_is_not_missed_by_closing() {
        let threads = Threads::new().expect("descriptors");
        threads
            .spawn_thread(|| std::panic::resume_unwind(Box::new(())))
            .expect("a thread");
        assert!(threads.close(Deadline::NEVER));
        assert!(threads.state.lock().handles.is_empty());
    }
}
