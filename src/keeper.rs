//! What expires when: drops ended processes by time and by number.
//!
//! Owns the order in which ended processes go. Promises: each is dropped once, on time, by the keeper's own thread, and
//! by nobody's call of `list`; with nothing to drop the thread sleeps without a timeout. One lock, a leaf: the function
//! that drops is called without it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::id::Id;

#[derive(Debug)]
pub(crate) struct Keeper {
    /// How many are kept.
    most: usize,
    /// Protects the queues.
    inner: Mutex<Inner>,
    /// Signalled, with `inner`, when there is something new.
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    /// Those that were started without and with a key.
    queues: [Queue; 2],
    closed: bool,
}

/// Processes that are kept for the same time, the one that ended first in front.
#[derive(Debug)]
struct Queue {
    keep: Duration,
    ended: VecDeque<(Instant, Id)>,
}

impl Queue {
    fn new(keep: Duration) -> Self {
        Queue {
            keep,
            ended: VecDeque::new(),
        }
    }

    /// When the first one is to go; `None` if there is none, or at no time that can be counted.
    fn due(&self) -> Option<Instant> {
        self.ended.front()?.0.checked_add(self.keep)
    }
}

impl Keeper {
    pub(crate) fn new(keep: Duration, keep_keyed: Duration, most: usize) -> Self {
        Keeper {
            most,
            inner: Mutex::new(Inner {
                queues: [Queue::new(keep), Queue::new(keep_keyed)],
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// A process is done: keep it for a while.
    pub(crate) fn add(&self, id: Id, keyed: bool) {
        let mut inner = self.inner.lock();
        let queue = &mut inner.queues[usize::from(keyed)].ended;
        queue.push_back((Instant::now(), id));
        // The thread sleeps until the first of a queue is due, so one behind it changes nothing.
        let is_first = queue.len() == 1;
        if is_first || inner.count() > self.most {
            self.changed.notify_all();
        }
    }

    /// Somebody else has dropped a process that was kept. Its id may be used again, so it must not be found here.
    pub(crate) fn remove(&self, id: Id) {
        let mut inner = self.inner.lock();
        for queue in &mut inner.queues {
            queue.ended.retain(|(_, other)| *other != id);
        }
    }

    /// The life of the keeper's thread: calls `drop_one` for each process whose time has come, until it is closed.
    pub(crate) fn run(&self, drop_one: impl Fn(Id)) {
        let mut inner = self.inner.lock();
        while !inner.closed {
            if let Some(id) = inner.take_one(self.most) {
                MutexGuard::unlocked(&mut inner, || drop_one(id));
                continue;
            }
            match inner.queues.iter().filter_map(Queue::due).min() {
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

impl Inner {
    fn count(&self) -> usize {
        self.queues.iter().map(|queue| queue.ended.len()).sum()
    }

    /// Takes out one whose time has come, or the one that ended first if there are too many.
    fn take_one(&mut self, most: usize) -> Option<Id> {
        let now = Instant::now();
        let too_many = self.count() > most;
        let queue = if too_many {
            let fronts = self
                .queues
                .iter_mut()
                .filter(|queue| !queue.ended.is_empty());
            fronts.min_by_key(|queue| queue.ended.front().map(|front| front.0))?
        } else {
            let due = |queue: &&mut Queue| queue.due().is_some_and(|due| due <= now);
            self.queues.iter_mut().find(due)?
        };
        queue.ended.pop_front().map(|(_, id)| id)
    }
}
