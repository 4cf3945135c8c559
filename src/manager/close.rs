//! Closing a manager or a scope.
//!
//! Each start through a closed scope either never runs its command, or the close waits for it and ends
//! its process. When the close of a manager succeeds, no process that the manager has started is left, and
//! every caller that waited was woken. The close waits for the threads of the manager for at most
//! [`THREAD_EXIT_TIMEOUT`].
//!
//! Lock order: a close takes the lock of the table, and waits on its condition variable for spawns under
//! way. It releases the lock before it ends processes, and before it closes the key table, the timer, the
//! threads and the events.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::scope::Scope;
use super::shared::Closing;
use crate::cookie::OwnerMark;
use crate::error::Error;
use crate::process::{self, ProcessInner, ScopeMark};
use crate::status::EndedBy;
use crate::time::Deadline;

/// How long a close waits for the threads to exit after the processes have ended.
const THREAD_EXIT_TIMEOUT: Duration = Duration::from_secs(1);

impl Scope {
    /// Closes it, unless a close of the manager has failed before: then the result is that error.
    pub(super) fn close_once(&self) -> Result<(), Error> {
        if self.owner.is_none() {
            let mut table = self.inner.table.lock();
            while matches!(table.closing, Closing::UnderWay) {
                self.inner.spawn_finished.wait(&mut table);
            }
            if let Closing::Incomplete(error) = &table.closing {
                return Err(error.clone());
            }
        }
        self.close()
    }

    pub(super) fn close(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let is_manager = self.owner.is_none();
        let processes = {
            let mut table = inner.table.lock();
            self.closed.store(true, Ordering::Relaxed);
            if is_manager {
                while matches!(table.closing, Closing::UnderWay) {
                    inner.spawn_finished.wait(&mut table);
                }
                if matches!(table.closing, Closing::Done) {
                    return Ok(());
                }
                table.closing = Closing::UnderWay;
            }
            // From here on, no start through this scope reaches its spawn. Wait for the spawns that have
            // begun. Later ones come through another scope and are not ended.
            let last = table.sequence;
            while table
                .spawning
                .iter()
                .any(|(number, owner)| *number <= last && self.sees(owner.as_deref()))
            {
                inner.spawn_finished.wait(&mut table);
            }
            self.visible(&table)
        };
        let instance = inner.origin.instance;
        let owner = self.owner.as_deref();
        let scope = ScopeMark {
            instance,
            owner: owner.map(|owner| OwnerMark::new(instance, owner)),
        };
        let grace = inner.config.close_grace;
        let (by, asked) = (EndedBy::Close, &inner.asked);
        let outcome = process::terminate(&processes, Some(scope), by, grace, asked);
        processes.iter().for_each(|process| process.detach_output());
        let is_running = |process: &&Arc<ProcessInner>| process.status().is_running();
        let mut left = processes.iter().filter(is_running).peekable();
        if left.peek().is_some() {
            left.for_each(|process| process.abandon());
            inner.close_signal.set();
        }
        if is_manager {
            inner.keys.close();
            inner.expiry.close();
            inner.threads.close(Deadline::after(THREAD_EXIT_TIMEOUT));
            inner.events.close();
        }
        let result = outcome.check();
        if is_manager {
            inner.table.lock().closing = match &result {
                Ok(()) => {
                    inner.close_signal.release();
                    Closing::Done
                }
                Err(error) => Closing::Incomplete(error.clone()),
            };
            inner.spawn_finished.notify_all();
        }
        result
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if self.owner.is_none() && self.inner.is_in_host() {
            // There is no caller to report an error to.
            let _ = self.close_once();
        }
    }
}
