//! What expires when: drops ended processes by time and by number.
//!
//! Owns the order in which ended processes go. Promises: each is dropped once and by nobody's call of `list`: on time by the
//! keeper's own thread; when there are too many, by the thread whose process is one more, which wakes nobody. With nothing to
//! drop the keeper's thread sleeps without a timeout. It keeps the time of idle threads too. One lock, which comes before that of
//! the threads; what drops is called without it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::id::Id;
use crate::threads::Pool;

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

    /// A process is done: keep it for a while. Gives the one that is to be dropped for it, if there are too many.
    pub(crate) fn add(&self, id: Id, keyed: bool) -> Option<Id> {
        let mut inner = self.inner.lock();
        let queue = &mut inner.queues[usize::from(keyed)].ended;
        queue.push_back((Instant::now(), id));
        // The thread sleeps until the first of a queue is due, so one behind it changes nothing.
        if queue.len() == 1 {
            self.changed.notify_all();
        }
        let are_too_many = !inner.closed && inner.count() > self.most;
        are_too_many.then(|| inner.take_first())?
    }

    /// Somebody else has dropped a process that was kept. Its id may be used again, so it must not be found here.
    pub(crate) fn remove(&self, id: Id) {
        let mut inner = self.inner.lock();
        for queue in &mut inner.queues {
            queue.ended.retain(|(_, other)| *other != id);
        }
    }

    /// Something else is due at some time.
    pub(crate) fn look(&self) {
        // Under the lock, so that the thread has either not asked for that time yet or waits.
        let _inner = self.inner.lock();
        self.changed.notify_all();
    }

    /// The life of the keeper's thread: calls `drop_one` for each process whose time has come, and dismisses threads of the pool
    /// when that is due, until it is closed.
    pub(crate) fn run(&self, pool: &Pool, drop_one: impl Fn(Id)) {
        let mut inner = self.inner.lock();
        while !inner.closed {
            if let Some(id) = inner.take_due() {
                MutexGuard::unlocked(&mut inner, || drop_one(id));
                continue;
            }
            pool.dismiss();
            let dues = inner.queues.iter().filter_map(Queue::due);
            match dues.chain(pool.due()).min() {
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

    /// Takes out one whose time has come.
    fn take_due(&mut self) -> Option<Id> {
        let now = Instant::now();
        let due = |queue: &&mut Queue| queue.due().is_some_and(|due| due <= now);
        let queue = self.queues.iter_mut().find(due)?;
        queue.ended.pop_front().map(|(_, id)| id)
    }

    /// Takes out the one that ended first.
    fn take_first(&mut self) -> Option<Id> {
        let ended = |queue: &&mut Queue| !queue.ended.is_empty();
        let queues = self.queues.iter_mut().filter(ended);
        let queue = queues.min_by_key(|queue| queue.ended.front().map(|front| front.0))?;
        queue.ended.pop_front().map(|(_, id)| id)
    }
}
