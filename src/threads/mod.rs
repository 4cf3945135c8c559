//! Threads for blocking work, kept for the next job when one is done.
//!
//! Owns the threads and the list of those that are idle. Promises: a job that was given a [`Worker`] or a [`Place`] always
//! runs, since the thread exists before the job does; each thread blocks all signals; a panic ends a job and not its thread;
//! idle threads leave after [`IDLE_TIME`].
//!
//! A job may also be done by somebody who is awake anyway ([`Call::perform`]), on a thread that is not ours.
//!
//! There are two kinds: a [`Worker`] is one thread that is woken with its job; behind a [`Place`] is any of the threads that
//! are [on call](on_call), for a job that begins when something happens.
//!
//! Lock order: the list of threads, then the inbox of one of them. Nothing else is locked while one is held.
//!
//! A worker waits for its job without trying again before it sleeps, which a channel does: with a start in the other half of
//! its work on the other processor, such tries only take time from the child.

mod on_call;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::sys::poller::Poller;
use crate::sys::signal::with_all_blocked;
use crate::time::Deadline;

use on_call::OnCall;
pub(crate) use on_call::{Call, Place};

/// How long a thread waits for its next job.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// The stack of a thread. The work is shallow, and only what is touched takes memory.
const STACK_BYTES: usize = 64 << 10;

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Threads that are kept for reuse.
pub(crate) struct Pool {
    /// Protects the list of threads.
    inner: Mutex<Inner>,
    /// Signalled, with `inner`, when the last thread of a closed pool leaves.
    left: Condvar,
    /// [`IDLE_TIME`], but for tests.
    idle_time: Duration,
    /// Is told when the time is to be kept.
    timekeeper: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Inner {
    /// Those that wait for a job; the last one has waited for the shortest time.
    idle: Vec<Seat>,
    on_call: OnCall,
    /// Where the threads on call sleep; `None` after the last one of a closed pool.
    porch: Option<Arc<Poller>>,
    /// How many threads there are, those included that are being made.
    alive: usize,
    handles: HashMap<u64, JoinHandle<()>>,
    next: u64,
    closed: bool,
}

/// The only way to a waiting thread. A thread whose seat is dropped leaves.
struct Seat {
    number: u64,
    inbox: Arc<Inbox>,
}

/// What a thread waits for.
#[derive(Default)]
struct Inbox {
    /// Protects the one place.
    mail: Mutex<Mail>,
    /// Signalled, with `mail`, when there is some.
    arrived: Condvar,
}

#[derive(Default)]
enum Mail {
    #[default]
    Nothing,
    Work(Work),
    /// The seat is gone: no work will ever come.
    Last,
}

impl Inbox {
    fn put(&self, mail: Mail) {
        *self.mail.lock() = mail;
        self.arrived.notify_one();
    }

    /// Takes what has come by the deadline.
    fn take(&self, deadline: Deadline) -> Mail {
        let mut mail = self.mail.lock();
        while let Mail::Nothing = *mail {
            let timed_out = match deadline.instant() {
                Some(at) => self.arrived.wait_until(&mut mail, at).timed_out(),
                None => {
                    self.arrived.wait(&mut mail);
                    false
                }
            };
            if timed_out {
                break;
            }
        }
        std::mem::take(&mut mail)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.inbox.put(Mail::Last);
    }
}

/// What a job serves is marked as failed by the job's own guards; the thread goes on.
fn do_job(job: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(job));
}

/// A job, and the seat to give back after it.
struct Work {
    job: Job,
    seat: Seat,
}

/// A thread that waits for a job. Dropped without one, it goes back to the idle ones.
pub(crate) struct Worker {
    seat: Option<Seat>,
}

impl Pool {
    /// `timekeeper` is called, without a lock, when there is a time at which [`dismiss`](Pool::dismiss) is due.
    pub(crate) fn new(timekeeper: impl Fn() + Send + Sync + 'static) -> io::Result<Arc<Self>> {
        Self::with_idle_time(IDLE_TIME, timekeeper)
    }

    fn with_idle_time(
        idle_time: Duration,
        timekeeper: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Arc<Self>> {
        let pool = Pool {
            inner: Mutex::default(),
            left: Condvar::new(),
            idle_time,
            timekeeper: Box::new(timekeeper),
        };
        pool.inner.lock().porch()?;
        Ok(Arc::new(pool))
    }

    /// An idle thread, or a new one.
    pub(crate) fn worker(self: &Arc<Self>) -> io::Result<Worker> {
        let (number, seat) = {
            let mut inner = self.inner.lock();
            let seat = inner.idle.pop();
            if seat.is_none() {
                inner.alive += 1;
                inner.next += 1;
            }
            (inner.next, seat)
        };
        let seat = match seat {
            Some(seat) => seat,
            None => {
                let inbox = Arc::<Inbox>::default();
                let calls = Arc::clone(&inbox);
                self.make(number, move |pool| pool.serve(number, &calls))
                    .inspect_err(|_| self.leave(number))?;
                Seat { number, inbox }
            }
        };
        Ok(Worker { seat: Some(seat) })
    }

    fn make(
        self: &Arc<Self>,
        number: u64,
        live: impl FnOnce(&Pool) + Send + 'static,
    ) -> io::Result<()> {
        let pool = Arc::clone(self);
        let handle = with_all_blocked(|| {
            thread::Builder::new()
                .name(format!("procmgr-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || live(&pool))
        })?;
        self.inner.lock().handles.insert(number, handle);
        Ok(())
    }

    /// The life of a thread that is woken with its jobs.
    fn serve(&self, number: u64, calls: &Inbox) {
        // The first job is on its way.
        let mut patience = Deadline::NEVER;
        loop {
            match calls.take(patience) {
                Mail::Work(Work { job, seat }) => {
                    do_job(job);
                    self.put_back(seat);
                    patience = Deadline::after(self.idle_time);
                }
                Mail::Last => break,
                Mail::Nothing => {
                    // Without a seat there is the last mail in a moment. Somebody may have taken it though: then a job comes.
                    let mut inner = self.inner.lock();
                    inner.idle.retain(|seat| seat.number != number);
                    patience = Deadline::NEVER;
                }
            }
        }
        self.leave(number);
    }

    /// A seat without a job waits for the next one, unless the pool is closed.
    fn put_back(&self, seat: Seat) {
        let mut inner = self.inner.lock();
        if !inner.closed {
            inner.idle.push(seat);
        }
    }

    /// A thread is gone, or will be in a moment.
    fn leave(&self, number: u64) {
        let mut inner = self.inner.lock();
        inner.alive -= 1;
        if !inner.closed {
            inner.handles.remove(&number);
        } else if inner.alive == 0 {
            inner.porch = None;
            self.left.notify_all();
        }
    }

    /// Lets the idle threads leave, and each other one after its job; waits for them until the deadline. True if none
    /// is left.
    pub(crate) fn close(&self, deadline: Deadline) -> bool {
        let (idle, porch) = {
            let mut inner = self.inner.lock();
            inner.closed = true;
            (std::mem::take(&mut inner.idle), inner.porch.clone())
        };
        // Each of them is woken by this, and needs the lock to leave. Of those on call each wakes the next.
        drop(idle);
        porch.iter().for_each(|porch| porch.ring());
        drop(porch);
        let mut inner = self.inner.lock();
        while inner.alive > 0 && !deadline.passed() {
            match deadline.instant() {
                Some(at) => drop(self.left.wait_until(&mut inner, at)),
                None => self.left.wait(&mut inner),
            }
        }
        let all_left = inner.alive == 0;
        let handles = std::mem::take(&mut inner.handles);
        drop(inner);
        for (_, handle) in handles {
            // A thread that has left only has to return.
            if all_left || handle.is_finished() {
                let _ = handle.join();
            }
        }
        all_left
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Worker {
    /// Gives the thread its job.
    pub(crate) fn run(mut self, job: impl FnOnce() + Send + 'static) {
        self.give(Box::new(job));
    }

    fn give(&mut self, job: Job) {
        if let Some(seat) = self.seat.take() {
            let inbox = Arc::clone(&seat.inbox);
            // The place is free, since who holds the seat is the only sender; the thread listens while its seat exists.
            inbox.put(Mail::Work(Work { job, seat }));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // From now on it counts its idle time.
        self.give(Box::new(|| ()));
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn a_thread_is_used_again_also_after_a_panic() {
        let pool = Pool::new(|| ()).expect("descriptors");
        let (tell, told) = bounded(1);
        for round in 0..3 {
            let tell = tell.clone();
            let worker = pool.worker().expect("a thread");
            let number = worker.seat.as_ref().map(|seat| seat.number);
            worker.run(move || {
                // The sender is dropped by the unwinding, after the message.
                let _ = tell.send(number);
                if round == 1 {
                    std::panic::resume_unwind(Box::new(()));
                }
            });
            assert_eq!(told.recv(), Ok(Some(1)), "round {round}");
            // The seat comes back a moment after the job's last word.
            while pool.inner.lock().idle.is_empty() {
                thread::yield_now();
            }
        }
        drop(pool.worker().expect("a thread"));
        assert!(pool.close(Deadline::NEVER));
        assert!(pool.inner.lock().handles.is_empty());
    }

    #[test]
    fn closing_waits_for_jobs_until_the_deadline() {
        let pool = Pool::new(|| ()).expect("descriptors");
        let (go, wait) = bounded::<()>(0);
        pool.worker()
            .expect("a thread")
            .run(move || _ = wait.recv());
        assert!(!pool.close(Deadline::after(Duration::ZERO)));
        drop(go);
        assert!(pool.close(Deadline::NEVER));
    }
}
