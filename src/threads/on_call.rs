//! Threads on call: each sleeps until something happens that one of the jobs waits for, and whoever is woken takes that job.
//!
//! To wake a thread takes longer than anything else that a start does beside the spawn. So a start wakes nobody: it adds what
//! its job waits for to the one poller in which all of these threads sleep. A [`Place`] is the promise of a thread for one job
//! at a time, the next of which the job itself may give it. There are never fewer threads than places, so that each job
//! finds one, if need be the one that was at work for its place before.
//!
//! They sleep without a limit, since the latest sleeper is woken first, whatever it is woken for: those that nobody needs would
//! not be those whose time is over. So others keep the time ([`Pool::dismiss`]): as many as were spare all the while are
//! dismissed, and any that is spare then leaves.
//!
//! The lock is the pool's; nothing else is locked while it is held.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use super::{Inner, Pool, do_job};
use crate::sys::descriptor::poll;
use crate::sys::poller::{Entry, Interest, Poller};

/// Who is on call, and for what.
#[derive(Default)]
pub(super) struct OnCall {
    /// All of them, those included that are being made.
    threads: usize,
    /// What was promised: never more than threads.
    places: usize,
    /// Jobs for which nothing has happened, by the number of their place.
    waiting: HashMap<u64, (Place, Job)>,
    /// Jobs that shall begin, the one first that was called first.
    called: VecDeque<(Place, Job)>,
    /// When some may have been spare for long enough.
    due: Option<Instant>,
    /// The fewest that were spare since that was set.
    fewest: usize,
    /// How many shall leave: never more than are spare.
    dismissed: usize,
}

impl OnCall {
    /// How many could leave.
    fn spare(&self) -> usize {
        self.threads - self.places
    }

    /// Some may be spare from now on. True if the time is to be kept for them.
    fn count_spare(&mut self, idle_time: Duration) -> bool {
        let begins = self.due.is_none() && self.spare() > 0;
        if begins {
            self.due = Instant::now().checked_add(idle_time);
            self.fewest = self.spare();
        }
        begins
    }

    /// Fewer may be spare.
    fn need(&mut self) {
        self.fewest = self.fewest.min(self.spare());
        self.dismissed = self.dismissed.min(self.spare());
    }

    /// Whether one that is spare is to leave.
    fn may_leave(&self, closed: bool) -> bool {
        self.spare() > 0 && (closed || self.dismissed > 0)
    }

    fn call(&mut self, number: u64) -> bool {
        let job = self.waiting.remove(&number);
        let is_there = job.is_some();
        self.called.extend(job);
        is_there
    }

    fn call_all(&mut self) {
        self.called.extend(self.waiting.drain().map(|(_, job)| job));
    }
}

/// The promise of a thread. Dropped, it is given back: at the end of its last job, or without any.
pub(crate) struct Place(Call);

/// What a job does is given the place, for the next one.
type Job = Box<dyn FnOnce(Place) + Send>;

/// How a job is called that was given to a [`Place`].
#[derive(Clone)]
pub(crate) struct Call {
    pool: Arc<Pool>,
    /// In the poller of the threads.
    entry: Entry,
}

impl Inner {
    pub(super) fn porch(&mut self) -> io::Result<Arc<Poller>> {
        let porch = match self.porch.take() {
            Some(porch) => porch,
            None => Arc::new(Poller::new()?),
        };
        Ok(Arc::clone(self.porch.insert(porch)))
    }
}

impl Pool {
    /// Promises a thread, making one if there are too few.
    pub(crate) fn place(self: &Arc<Self>) -> io::Result<Place> {
        let (number, porch, is_missing) = {
            let mut inner = self.inner.lock();
            // A start may come this far after the pool was closed, and is refused later.
            let porch = inner.porch()?;
            inner.next += 1;
            inner.on_call.places += 1;
            let is_missing = inner.on_call.places > inner.on_call.threads;
            if is_missing {
                inner.on_call.threads += 1;
                inner.alive += 1;
            }
            inner.on_call.need();
            (inner.next, porch, is_missing)
        };
        if is_missing {
            let sleep_in = Arc::clone(&porch);
            self.make(number, move |pool| pool.stand(number, &sleep_in))
                .inspect_err(|_| {
                    let mut inner = self.inner.lock();
                    inner.on_call.places -= 1;
                    inner.on_call.threads -= 1;
                    drop(inner);
                    self.leave(number);
                })?;
        }
        Ok(Place(Call {
            pool: Arc::clone(self),
            entry: Entry::new(&porch, number),
        }))
    }

    /// The life of a thread on call.
    fn stand(&self, number: u64, porch: &Poller) {
        let mut inner = self.inner.lock();
        loop {
            if let Some((place, job)) = inner.on_call.called.pop_front() {
                // One ring may stand for several calls.
                let are_more = !inner.on_call.called.is_empty();
                MutexGuard::unlocked(&mut inner, || {
                    if are_more {
                        porch.ring();
                    }
                    do_job(|| job(place));
                });
                continue;
            }
            if inner.on_call.may_leave(inner.closed) {
                break;
            }
            match MutexGuard::unlocked(&mut inner, || porch.wait()) {
                // Another thread may have been woken by another descriptor of the same job.
                Ok(Some(number)) => drop(inner.on_call.call(number)),
                Ok(None) => {}
                Err(_) => {
                    // The host has closed the poller under our feet: each job finds out for itself what it still has. We
                    // look for more of them from time to time.
                    inner.on_call.call_all();
                    if inner.on_call.called.is_empty() {
                        MutexGuard::unlocked(&mut inner, || {
                            let _ = poll(&mut [], Some(BLIND_PAUSE));
                        });
                    }
                }
            }
        }
        inner.on_call.threads -= 1;
        inner.on_call.dismissed = inner.on_call.dismissed.saturating_sub(1);
        inner.on_call.need();
        let may_another = inner.on_call.may_leave(inner.closed);
        drop(inner);
        if may_another {
            porch.ring();
        }
        self.leave(number);
    }

    /// Lets the time be kept for those that are spare now.
    fn keep_time(&self, inner: &mut MutexGuard<'_, Inner>) {
        if inner.on_call.count_spare(self.idle_time) {
            MutexGuard::unlocked(inner, || (self.timekeeper)());
        }
    }

    /// When [`dismiss`](Pool::dismiss) is to be called next. If there was no such time before, the timekeeper is told.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.inner.lock().on_call.due
    }

    /// Lets as many threads leave as were spare for the idle time, if that is over.
    pub(crate) fn dismiss(&self) {
        let mut inner = self.inner.lock();
        let on_call = &mut inner.on_call;
        if on_call.due.is_none_or(|due| due > Instant::now()) {
            return;
        }
        on_call.due = None;
        on_call.dismissed = on_call.fewest;
        if on_call.spare() > on_call.dismissed {
            // The others have their time from now on. Who keeps it is here, and need not be told.
            on_call.count_spare(self.idle_time);
            on_call.fewest -= on_call.dismissed;
        }
        let porch = inner.porch.clone().filter(|_| inner.on_call.dismissed > 0);
        drop(inner);
        porch.iter().for_each(|porch| porch.ring());
    }
}

/// How often a thread looks for jobs that has no poller any more.
const BLIND_PAUSE: Duration = Duration::from_secs(1);

impl Place {
    /// How the job is called that is given here.
    pub(crate) fn call(&self) -> &Call {
        &self.0
    }

    /// Gives a thread the job to begin once it is called. Wakes nobody.
    pub(crate) fn stand_by(self, job: impl FnOnce(Place) + Send + 'static) {
        let (pool, number) = (Arc::clone(&self.0.pool), self.0.entry.number());
        let job: Job = Box::new(job);
        pool.inner
            .lock()
            .on_call
            .waiting
            .insert(number, (self, job));
    }
}

impl Call {
    /// The job has not begun, and is not about to.
    pub(crate) fn is_waiting(&self) -> bool {
        let inner = self.pool.inner.lock();
        inner.on_call.waiting.contains_key(&self.entry.number())
    }

    /// Lets the job begin, if it waits.
    pub(crate) fn now(&self) {
        let is_waiting = self.pool.inner.lock().on_call.call(self.entry.number());
        if is_waiting {
            self.entry.poller().ring();
        }
    }

    /// Does the job on the caller's own thread, if it waits.
    pub(crate) fn perform(&self) -> bool {
        let waiting = {
            let mut inner = self.pool.inner.lock();
            inner.on_call.waiting.remove(&self.entry.number())
        };
        let is_waiting = waiting.is_some();
        if let Some((place, job)) = waiting {
            do_job(|| job(place));
        }
        is_waiting
    }

    /// Lets the job begin once the descriptor is readable, or the other side of it is gone; at once if that cannot be waited
    /// for. The job waits already, so that whoever is woken finds it, and takes the descriptor out when it has begun.
    pub(crate) fn once_readable(&self, fd: BorrowedFd<'_>) {
        if self.entry.add(fd, Interest::Readable).is_err() {
            self.now();
        }
    }

    /// Where the descriptors are that the job waits for.
    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("entry", &self.entry)
            .finish_non_exhaustive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let pool = &self.0.pool;
        let mut inner = pool.inner.lock();
        inner.on_call.places -= 1;
        pool.keep_time(&mut inner);
        let may_leave = inner.on_call.may_leave(inner.closed);
        drop(inner);
        if may_leave {
            self.0.entry.poller().ring();
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::thread;

    use crossbeam_channel::bounded;

    use super::*;
    use crate::sys::descriptor::Wake;
    use crate::time::Deadline;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn pool() -> Arc<Pool> {
        Pool::new(|| ()).expect("descriptors")
    }

    /// Threads on call, and promises.
    fn counts(pool: &Pool) -> (usize, usize) {
        let inner = pool.inner.lock();
        (inner.on_call.threads, inner.on_call.places)
    }

    /// Waits until there are as many threads and promises, doing something meanwhile.
    fn eventually(pool: &Pool, expected: (usize, usize), meanwhile: impl Fn()) {
        let deadline = Deadline::after(PATIENCE);
        while counts(pool) != expected {
            let now = counts(pool);
            assert!(!deadline.passed(), "{now:?} and not {expected:?}");
            meanwhile();
            thread::yield_now();
        }
    }

    fn places(pool: &Arc<Pool>, count: usize) -> Vec<Place> {
        (0..count)
            .map(|_| pool.place().expect("a thread"))
            .collect()
    }

    #[test]
    fn a_job_begins_when_something_happens_and_not_before() {
        let pool = pool();
        let (tell, told) = bounded(8);
        let wakes: Vec<Wake> = (0..3).map(|_| Wake::new().expect("a descriptor")).collect();
        let calls: Vec<Call> = wakes
            .iter()
            .zip(0..)
            .map(|(wake, number)| {
                let place = pool.place().expect("a thread");
                let (call, tell) = (place.call().clone(), tell.clone());
                place.stand_by(move |_| tell.send(number).expect("it is awaited"));
                call.once_readable(wake.as_fd());
                call
            })
            .collect();
        assert_eq!(counts(&pool).1, 3);
        assert!(told.is_empty());
        wakes[1].raise();
        assert_eq!(told.recv_timeout(PATIENCE), Ok(1));
        calls[2].now();
        assert_eq!(told.recv_timeout(PATIENCE), Ok(2));
        // It has begun, so there is nothing to call.
        calls[1].now();
        calls[2].now();
        assert!(calls[0].perform());
        assert!(!calls[0].perform());
        assert_eq!(told.recv_timeout(PATIENCE), Ok(0));
        assert!(told.is_empty());
        for (call, wake) in calls.iter().zip(&wakes) {
            call.entry().remove(wake.as_fd());
        }
        assert!(pool.close(Deadline::NEVER));
    }

    /// A job that waits again at its place has a thread all the while.
    #[test]
    fn a_job_may_wait_again() {
        fn again(place: Place, left: u32, tell: crossbeam_channel::Sender<u32>) {
            if left > 0 {
                let call = place.call().clone();
                place.stand_by(move |place| {
                    tell.send(left).expect("it is awaited");
                    again(place, left - 1, tell);
                });
                call.now();
            }
        }
        let pool = pool();
        let (tell, told) = bounded(8);
        let place = pool.place().expect("a thread");
        again(place, 100, tell);
        for left in (1..=100).rev() {
            assert_eq!(told.recv_timeout(PATIENCE), Ok(left));
        }
        eventually(&pool, (1, 0), || ());
        assert!(pool.close(Deadline::NEVER));
    }

    /// Several calls may come before the first thread is awake, and then it is woken once for all of them.
    #[test]
    fn each_of_many_calls_is_heard() {
        let pool = pool();
        let (tell, told) = bounded(64);
        for _ in 0..50 {
            let places: Vec<_> = (0..4).map(|_| pool.place().expect("a thread")).collect();
            // All four are needed at once: each waits for the others.
            let barrier = Arc::new(std::sync::Barrier::new(4));
            let calls: Vec<_> = places.iter().map(|place| place.call().clone()).collect();
            for place in places {
                let (tell, barrier) = (tell.clone(), Arc::clone(&barrier));
                place.stand_by(move |_| {
                    barrier.wait();
                    tell.send(()).expect("it is awaited");
                });
            }
            calls.iter().for_each(Call::now);
            for _ in 0..4 {
                told.recv_timeout(PATIENCE).expect("it began");
            }
        }
        assert!(pool.close(Deadline::NEVER));
    }

    #[test]
    fn those_that_were_spare_all_the_while_leave_and_no_others() {
        let (tell, told) = bounded(8);
        let idle_time = Duration::from_millis(20);
        let pool = Pool::with_idle_time(idle_time, move || _ = tell.send(())).expect("descriptors");
        let time_is_kept = || told.recv_timeout(PATIENCE).expect("the timekeeper is told");
        let dismiss = || pool.dismiss();

        // Places that were not used.
        drop(places(&pool, 5));
        time_is_kept();
        eventually(&pool, (0, 0), dismiss);

        // Jobs that are over, while two threads are needed.
        for place in places(&pool, 5) {
            let call = place.call().clone();
            place.stand_by(|_| ());
            call.now();
        }
        time_is_kept();
        eventually(&pool, (5, 0), || ());
        let kept = places(&pool, 2);
        eventually(&pool, (2, 2), dismiss);

        // A thread that does another one's job too.
        let [first, second]: [Place; 2] = kept.try_into().expect("two");
        let (begin, other) = (first.call().clone(), second.call().clone());
        second.stand_by(|_| ());
        first.stand_by(move |_| assert!(other.perform()));
        begin.now();
        eventually(&pool, (0, 0), dismiss);
        assert!(pool.close(Deadline::NEVER));
    }

    /// A thread that was not spare for a moment is not dismissed: it is needed again and again.
    #[test]
    fn who_was_needed_meanwhile_stays() {
        let pool = Pool::with_idle_time(Duration::ZERO, || ()).expect("descriptors");
        drop(places(&pool, 3));
        assert!(pool.due().is_some());
        drop(places(&pool, 2));
        pool.dismiss();
        eventually(&pool, (2, 0), || ());
        assert!(pool.close(Deadline::NEVER));
    }

    #[test]
    fn a_thread_survives_a_panic_of_its_job() {
        let pool = pool();
        let place = pool.place().expect("a thread");
        let call = place.call().clone();
        place.stand_by(|_| std::panic::resume_unwind(Box::new(())));
        call.now();
        eventually(&pool, (1, 0), || ());
        assert!(pool.close(Deadline::NEVER));
    }
}
