//! What expires when: drops ended processes by time and by number.
//!
//! Owns the order in which ended processes go. Promises: each is dropped once, on time, by the keeper's own thread, and
//! by nobody's call of `list`; with nothing to drop the thread sleeps without a timeout. One lock, a leaf: the function
//! that drops is called without it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::id::Id;

#[derive(Debug)]
pub(crate) struct Keeper {
    keep: Duration,
    most: usize,
    /// Protects the queue.
    inner: Mutex<Inner>,
    /// Signalled, with `inner`, when there is something new.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    /// When each one ended, the oldest first.
    ended: VecDeque<(Instant, Id)>,
    closed: bool,
}

impl Keeper {
    pub(crate) fn new(keep: Duration, most: usize) -> Self {
        Keeper {
            keep,
            most,
            inner: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// A process is done: keep it for a while.
    pub(crate) fn add(&self, id: Id) {
        let mut inner = self.inner.lock();
        inner.ended.push_back((Instant::now(), id));
        // The thread sleeps until the first one is due, or for ever; a later one is not its next.
        if inner.ended.len() == 1 || inner.ended.len() > self.most {
            self.changed.notify_all();
        }
    }

    /// The life of the keeper's thread: calls `drop_one` for each process whose time has come, until it is closed.
    pub(crate) fn run(&self, drop_one: impl Fn(Id)) {
        let mut inner = self.inner.lock();
        while !inner.closed {
            let Some(&(ended, id)) = inner.ended.front() else {
                self.changed.wait(&mut inner);
                continue;
            };
            let due = ended.checked_add(self.keep);
            let is_due = due.is_some_and(|due| due <= Instant::now());
            if inner.ended.len() > self.most || is_due {
                inner.ended.pop_front();
                parking_lot::MutexGuard::unlocked(&mut inner, || drop_one(id));
                continue;
            }
            match due {
                Some(due) => drop(self.changed.wait_until(&mut inner, due)),
                None => self.changed.wait(&mut inner),
            }
        }
    }

    /// Lets the thread go; what is kept stays kept.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
        self.changed.notify_all();
    }
}
