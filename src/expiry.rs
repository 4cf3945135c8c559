//! The timer of a manager: time limits of processes, and the retention time of ended ones.
//!
//! The timer holds the queues of ended processes and the set of time limits.
//!
//! - A time limit is reported once, when it is reached, also if the process has ended before: then
//!   within a second.
//! - Each ended process is returned once to be dropped. The timer thread drops it when its retention time
//!   is over. A thread that adds one process too many drops the oldest, and does not wake the timer thread
//!   for that. `list` drops nothing.
//! - The timer thread sleeps without a timeout if nothing is scheduled. It is woken only if a new
//!   deadline is earlier than its next wake-up.
//!
//! Lock order: the lock of the schedule is a leaf. It is not held while an expiry is handled.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::id::Id;
use crate::sync::{Condvar, Mutex, MutexGuard};

#[derive(Debug)]
pub(crate) struct Expiry {
    /// The number of ended processes that are kept.
    max_ended: usize,
    opened: Instant,
    /// Protects the schedule. A leaf.
    schedule: Mutex<Schedule>,
    /// Notified, with `schedule`, when an earlier deadline was added and when the timer is closed.
    changed: Condvar,
}

#[derive(Debug)]
struct Schedule {
    /// The ended processes: those started without a key, then those started with one.
    queues: [Queue; 2],
    /// The time limits of running processes.
    limits: BTreeSet<(Instant, Id)>,
    /// The time at which the timer thread wakes up; `None` if it has no timeout.
    next_wakeup: Option<Instant>,
    closed: bool,
}

/// What the timer thread has to handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    /// The retention time of an ended process has passed: it must be dropped.
    Retention(Id),
    /// A process has reached this time limit.
    TimeLimit(Id, Instant),
}

/// Ended processes with the same retention time, in the order in which they ended.
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

    /// The time at which the first one expires. `None` if the queue is empty, or if that time overflows
    /// an `Instant`.
    fn next_expiry(&self) -> Option<Instant> {
        self.ended.front()?.0.checked_add(self.keep)
    }
}

impl Expiry {
    pub(crate) fn new(keep: Duration, keep_keyed: Duration, max_ended: usize) -> Self {
        Expiry {
            max_ended,
            opened: Instant::now(),
            schedule: Mutex::new(Schedule {
                queues: [Queue::new(keep), Queue::new(keep_keyed)],
                limits: BTreeSet::new(),
                next_wakeup: None,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Starts the retention time of a process that is done. Returns the oldest ended process if there
    /// are now more than `max_ended`: the caller must drop it.
    pub(crate) fn add_ended(&self, id: Id, keyed: bool) -> Option<Id> {
        let mut schedule = self.schedule.lock();
        let queue = &mut schedule.queues[usize::from(keyed)];
        queue.ended.push_back((Instant::now(), id));
        if let Some(at) = queue.next_expiry() {
            self.wake_before(&schedule, at);
        }
        let too_many = !schedule.closed && schedule.ended_count() > self.max_ended;
        too_many.then(|| schedule.take_oldest())?
    }

    /// Removes an ended process that the caller drops. Its id may be used again, so it must not stay in
    /// a queue.
    pub(crate) fn remove_ended(&self, id: Id) {
        let mut schedule = self.schedule.lock();
        for queue in &mut schedule.queues {
            queue.ended.retain(|(_, other)| *other != id);
        }
    }

    /// Adds the time limit of a running process.
    pub(crate) fn add_limit(&self, id: Id, at: Instant) {
        let mut schedule = self.schedule.lock();
        schedule.limits.insert((at, id));
        self.wake_before(&schedule, at);
    }

    /// Moves the time limit of a process that has ended before it to [`late_limit`](Self::late_limit).
    pub(crate) fn delay_limit(&self, id: Id, at: Instant) {
        let mut schedule = self.schedule.lock();
        // It is not there if it was reached at the same time.
        if schedule.limits.remove(&(at, id)) {
            schedule.limits.insert((self.late_limit(at), id));
        }
    }

    /// When the limit of an ended process is handled: at the end of the second. What it left behind is looked
    /// for in all of `/proc`, so the limits of many short commands are handled together.
    pub(crate) fn late_limit(&self, at: Instant) -> Instant {
        let whole = at.saturating_duration_since(self.opened).as_secs() + 1;
        self.opened
            .checked_add(Duration::from_secs(whole))
            .unwrap_or(at)
    }

    /// Wakes the timer thread if it would sleep past `at`.
    fn wake_before(&self, schedule: &Schedule, at: Instant) {
        if schedule.next_wakeup.is_none_or(|wakeup| at < wakeup) {
            self.changed.notify_all();
        }
    }

    /// The timer thread: calls `handle` for whatever expires, until it is closed.
    pub(crate) fn run(&self, handle: impl Fn(Expired)) {
        let mut schedule = self.schedule.lock();
        while !schedule.closed {
            if let Some(expired) = schedule.take_expired() {
                MutexGuard::unlocked(&mut schedule, || handle(expired));
                continue;
            }
            let retention = schedule.queues.iter().filter_map(Queue::next_expiry);
            let limit = schedule.limits.first().map(|(at, _)| *at);
            schedule.next_wakeup = retention.chain(limit).min();
            match schedule.next_wakeup {
                Some(at) => drop(self.changed.wait_until(&mut schedule, at)),
                None => self.changed.wait(&mut schedule),
            }
        }
    }

    /// Ends the timer thread. Ended processes stay in their queues.
    pub(crate) fn close(&self) {
        self.schedule.lock().closed = true;
        self.changed.notify_all();
    }
}

impl Schedule {
    fn ended_count(&self) -> usize {
        self.queues.iter().map(|queue| queue.ended.len()).sum()
    }

    /// Removes and returns one entry whose time has come.
    fn take_expired(&mut self) -> Option<Expired> {
        let now = Instant::now();
        if self.limits.first().is_some_and(|(at, _)| *at <= now) {
            return self
                .limits
                .pop_first()
                .map(|(at, id)| Expired::TimeLimit(id, at));
        }
        let has_expired =
            |queue: &&mut Queue| queue.next_expiry().is_some_and(|expiry| expiry <= now);
        let queue = self.queues.iter_mut().find(has_expired)?;
        queue
            .ended
            .pop_front()
            .map(|(_, id)| Expired::Retention(id))
    }

    /// Removes and returns the process that ended first.
    fn take_oldest(&mut self) -> Option<Id> {
        let has_ended = |queue: &&mut Queue| !queue.ended.is_empty();
        let queues = self.queues.iter_mut().filter(has_ended);
        let queue = queues.min_by_key(|queue| queue.ended.front().map(|front| front.0))?;
        queue.ended.pop_front().map(|(_, id)| id)
    }
}
