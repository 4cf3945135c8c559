//! What expires when: time limits of processes, and ended ones that are kept no longer.
//!
//! Owns the order in which ended processes go, and the time limits of those that run. Promises: a limit is told of once, at its
//! time, unless its process has ended; each ended process is dropped once and by nobody's call of `list`: on time by the
//! keeper's own thread; when there are too many, by the thread whose process is one more, which wakes nobody. With nothing
//! due the keeper's thread sleeps without a timeout; it is woken only for what is due before that for which it will wake. It
//! keeps the time of idle threads too. One lock, which comes before that of the threads; what is due is told without it.

use std::collections::{BTreeSet, VecDeque};
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
    /// When which processes are to be ended.
    limits: BTreeSet<(Instant, Id)>,
    /// When the thread wakes, which looks for what is due before it sleeps.
    alarm: Option<Instant>,
    closed: bool,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// An ended process is to be dropped.
    Drop(Id),
    /// A process has reached its time limit, which was this one.
    Limit(Id, Instant),
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
                limits: BTreeSet::new(),
                alarm: None,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// A process is done: keep it for a while. Gives the one that is to be dropped for it, if there are too many.
    pub(crate) fn add(&self, id: Id, keyed: bool) -> Option<Id> {
        let mut inner = self.inner.lock();
        let queue = &mut inner.queues[usize::from(keyed)];
        queue.ended.push_back((Instant::now(), id));
        if let Some(due) = queue.due() {
            self.wake_for(&inner, due);
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

    /// A running process is to be ended at a time.
    pub(crate) fn add_limit(&self, id: Id, at: Instant) {
        let mut inner = self.inner.lock();
        inner.limits.insert((at, id));
        self.wake_for(&inner, at);
    }

    /// It has ended, or its time has come.
    pub(crate) fn remove_limit(&self, id: Id, at: Instant) {
        self.inner.lock().limits.remove(&(at, id));
    }

    fn wake_for(&self, inner: &Inner, due: Instant) {
        if inner.alarm.is_none_or(|alarm| due < alarm) {
            self.changed.notify_all();
        }
    }

    /// Something else is due at some time.
    pub(crate) fn look(&self) {
        // Under the lock, so that the thread has either not asked for that time yet or waits.
        let _inner = self.inner.lock();
        self.changed.notify_all();
    }

    /// The life of the keeper's thread: tells `act` of what is due, and dismisses threads of the pool when that is, until it
    /// is closed.
    pub(crate) fn run(&self, pool: &Pool, act: impl Fn(Due)) {
        let mut inner = self.inner.lock();
        while !inner.closed {
            if let Some(due) = inner.take_due() {
                MutexGuard::unlocked(&mut inner, || act(due));
                continue;
            }
            pool.dismiss();
            let kept = inner.queues.iter().filter_map(Queue::due);
            let limit = inner.limits.first().map(|(at, _)| *at);
            inner.alarm = kept.chain(limit).chain(pool.due()).min();
            match inner.alarm {
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

    /// Takes out something whose time has come.
    fn take_due(&mut self) -> Option<Due> {
        let now = Instant::now();
        if self.limits.first().is_some_and(|(at, _)| *at <= now) {
            return self.limits.pop_first().map(|(at, id)| Due::Limit(id, at));
        }
        let due = |queue: &&mut Queue| queue.due().is_some_and(|due| due <= now);
        let queue = self.queues.iter_mut().find(due)?;
        queue.ended.pop_front().map(|(_, id)| Due::Drop(id))
    }

    /// Takes out the one that ended first.
    fn take_first(&mut self) -> Option<Id> {
        let ended = |queue: &&mut Queue| !queue.ended.is_empty();
        let queues = self.queues.iter_mut().filter(ended);
        let queue = queues.min_by_key(|queue| queue.ended.front().map(|front| front.0))?;
        queue.ended.pop_front().map(|(_, id)| id)
    }
}
