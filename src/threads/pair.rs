//! A pair of threads: the reader and the reaper of one live process at a time.
//!
//! A pair is made once and reused. Each of its threads waits in its own poller. A start stores a task
//! for each thread and registers descriptors with the pollers, which wakes no thread; a thread runs its
//! task when a descriptor is ready. The pair is idle when both tasks are done. Both threads of an idle
//! pair exit after a timeout.
//!
//! Whether a pair is idle, in use or retired is decided under the lock of [`Threads`], so that a pair
//! that is acquired for a start does not exit. At least one thread of an idle pair waits with a deadline.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{Threads, isolate};
use crate::error::{Error, Step};
use crate::sys::poller::{Poller, Waker, Wakeup};
use crate::sys::{Shortage, shortage};
use crate::time::Deadline;

/// The task of one thread of a pair for one process. Called when a descriptor is ready or the poller
/// was woken, and dropped when it is done or has panicked.
pub(crate) type PairTask = Box<dyn FnMut(Wakeup) -> Progress + Send>;

/// Whether a task continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is called again when a descriptor is ready or the poller was woken.
    Waiting,
    /// It is done.
    Done,
}

pub(super) struct Pair {
    reader: Worker,
    reaper: Worker,
    /// The number of the two tasks that are not done.
    tasks: AtomicUsize,
    /// Its threads must exit. Set with the lock of [`Threads`] held, after the pair was removed from
    /// the idle list.
    retired: AtomicBool,
}

/// One thread of a pair.
struct Worker {
    /// The poller that the thread waits in.
    poller: Arc<Poller>,
    /// The task; `None` while it runs, and if the thread has none. A leaf, not held while the task runs.
    task: Mutex<Option<PairTask>>,
}

impl Worker {
    fn new(waker: &Arc<Waker>) -> io::Result<Self> {
        Ok(Worker {
            poller: Arc::new(Poller::new(waker)?),
            task: Mutex::new(None),
        })
    }
}

impl Pair {
    /// Makes both threads exit, each of them when it has no task.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        self.reader.poller.wake();
        self.reaper.poller.wake();
    }
}

/// A pair that was acquired for a start. If it is dropped before [`start`](AcquiredPair::start), the pair
/// becomes idle again, or is removed if it was made for this start: a start that fails leaves no thread and
/// no descriptor.
pub(crate) struct AcquiredPair {
    threads: Arc<Threads>,
    pair: Arc<Pair>,
    /// The numbers of the threads if they were made for this start.
    fresh: Vec<u64>,
    started: bool,
}

impl AcquiredPair {
    /// Takes an idle pair, or makes a new one.
    pub(crate) fn acquire(threads: &Arc<Threads>) -> Result<Self, Error> {
        let (idle, waker) = {
            let mut state = threads.state.lock();
            let waker = state.waker.clone().filter(|_| !state.closed);
            (state.idle.pop(), waker.ok_or(Error::Closed)?)
        };
        let (pair, fresh) = match idle {
            Some((pair, _)) => (pair, Vec::new()),
            None => threads.make_pair(&waker).map_err(no_pair)?,
        };
        Ok(AcquiredPair {
            threads: Arc::clone(threads),
            pair,
            fresh,
            started: false,
        })
    }

    /// The poller of the reader thread.
    pub(crate) fn reader_poller(&self) -> &Arc<Poller> {
        &self.pair.reader.poller
    }

    /// The poller of the reaper thread.
    pub(crate) fn reaper_poller(&self) -> &Arc<Poller> {
        &self.pair.reaper.poller
    }

    /// Stores the task of each thread. Wakes no thread: the descriptors are registered before or after
    /// this call.
    pub(crate) fn start(mut self, read: PairTask, reap: PairTask) {
        self.started = true;
        self.pair.tasks.store(2, Ordering::Relaxed);
        *self.pair.reader.task.lock() = Some(read);
        *self.pair.reaper.task.lock() = Some(reap);
    }
}

/// The error of a start that gets no threads.
fn no_pair(error: io::Error) -> Error {
    match shortage(&error) {
        Some(Shortage::Descriptors) => {
            let what = "descriptor for its threads to wait with";
            Error::spawn(Step::Pipe, what, error)
        }
        _ => Error::spawn(Step::Thread, "its reader and its reaper", error),
    }
}

impl Drop for AcquiredPair {
    fn drop(&mut self) {
        if self.started {
            return;
        }
        if self.fresh.is_empty() {
            self.threads.put_back(&self.pair);
            // The reaper is woken so that it waits with the deadline of the idle pair.
            self.pair.reaper.poller.wake();
        } else {
            self.pair.retire();
            self.threads.join(&self.fresh);
        }
    }
}

impl Threads {
    /// Makes a pair, and returns the numbers of its threads.
    fn make_pair(self: &Arc<Self>, waker: &Arc<Waker>) -> io::Result<(Arc<Pair>, Vec<u64>)> {
        let pair = Arc::new(Pair {
            reader: Worker::new(waker)?,
            reaper: Worker::new(waker)?,
            tasks: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
        });
        let mut numbers = Vec::new();
        let sides: [fn(&Pair) -> &Worker; 2] = [|pair| &pair.reader, |pair| &pair.reaper];
        for side in sides {
            let (threads, own) = (Arc::clone(self), Arc::clone(&pair));
            match self.spawn_thread(move || threads.serve(&own, side(&own))) {
                Ok(number) => numbers.push(number),
                Err(error) => {
                    // Without the second thread, the first one exits.
                    pair.retire();
                    self.join(&numbers);
                    return Err(error);
                }
            }
        }
        Ok((pair, numbers))
    }

    /// The main loop of one thread of a pair.
    fn serve(&self, pair: &Arc<Pair>, worker: &Worker) {
        let mut deadline = Deadline::NEVER;
        // The wait fails if the host has closed the epoll descriptor. Then the task is dropped, as
        // after a panic.
        while let Ok(wakeup) = worker.poller.wait(deadline) {
            // The deadline is that of an idle pair, which may have been acquired for a start meanwhile.
            let task = match wakeup {
                Wakeup::TimedOut => None,
                Wakeup::Ready | Wakeup::Woken => worker.task.lock().take(),
            };
            let next = match task {
                Some(task) => self.run(pair, worker, task, wakeup),
                None => self.idle_deadline(pair),
            };
            match next {
                Some(next) => deadline = next,
                None => return,
            }
        }
        self.withdraw(pair);
        let task = worker.task.lock().take();
        isolate(move || drop(task));
    }

    /// Runs the task once. Returns the deadline of the next wait, or `None` if the thread must exit.
    fn run(
        &self,
        pair: &Arc<Pair>,
        worker: &Worker,
        mut task: PairTask,
        wakeup: Wakeup,
    ) -> Option<Deadline> {
        if isolate(|| task(wakeup)) == Some(Progress::Waiting) {
            *worker.task.lock() = Some(task);
            return Some(Deadline::NEVER);
        }
        isolate(move || drop(task));
        if pair.tasks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.put_back(pair);
            self.idle_deadline(pair)
        } else {
            Some(Deadline::NEVER)
        }
    }

    /// Removes a pair from the idle list and retires it, because one of its threads is exiting.
    fn withdraw(&self, pair: &Arc<Pair>) {
        let mut state = self.state.lock();
        state.idle.retain(|(idle, _)| !Arc::ptr_eq(idle, pair));
        pair.retire();
    }

    /// Adds a pair without tasks to the idle list, or retires it if the threads are closed.
    fn put_back(&self, pair: &Arc<Pair>) {
        let mut state = self.state.lock();
        if state.closed {
            pair.retire();
        } else {
            let deadline = Deadline::after(self.idle_time);
            state.idle.push((Arc::clone(pair), deadline));
        }
    }

    /// The deadline of a thread without a task; `None` if it must exit.
    fn idle_deadline(&self, pair: &Arc<Pair>) -> Option<Deadline> {
        let mut state = self.state.lock();
        if pair.retired.load(Ordering::Relaxed) {
            return None;
        }
        let mut idle = state.idle.iter();
        let Some(at) = idle.position(|(idle, _)| Arc::ptr_eq(idle, pair)) else {
            // The pair is in use: the other thread's task is not done.
            return Some(Deadline::NEVER);
        };
        let deadline = state.idle[at].1;
        if !deadline.passed() {
            return Some(deadline);
        }
        state.idle.remove(at);
        pair.retire();
        None
    }
}

impl fmt::Debug for AcquiredPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquiredPair").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam_channel::{Sender, bounded};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    /// A task that sends its name when it is called, and is done.
    fn reports(called: &Sender<&'static str>, name: &'static str) -> PairTask {
        let called = called.clone();
        Box::new(move |_| {
            called.send(name).expect("it is awaited");
            Progress::Done
        })
    }

    /// Runs both tasks of a pair once.
    fn run_once(threads: &Arc<Threads>) -> Arc<Pair> {
        let (called, calls) = bounded(2);
        let pair = AcquiredPair::acquire(threads).expect("threads");
        let inner = Arc::clone(&pair.pair);
        pair.start(reports(&called, "reader"), reports(&called, "reaper"));
        inner.reader.poller.wake();
        inner.reaper.poller.wake();
        let mut called = [(); 2].map(|()| calls.recv_timeout(TIMEOUT).expect("it is called"));
        called.sort_unstable();
        assert_eq!(called, ["reader", "reaper"]);
        inner
    }

    fn wait_until(what: &str, condition: impl Fn() -> bool) {
        let deadline = Deadline::after(TIMEOUT);
        while !condition() {
            assert!(!deadline.passed(), "{what}");
            std::thread::yield_now();
        }
    }

    fn idle(threads: &Threads) -> usize {
        threads.state.lock().idle.len()
    }

    #[test]
    fn a_pair_is_used_again_also_after_a_panic() {
        let threads = Threads::new().expect("descriptors");
        let first = run_once(&threads);
        wait_until("it is idle", || idle(&threads) == 1);
        let pair = AcquiredPair::acquire(&threads).expect("threads");
        pair.start(
            Box::new(|_| std::panic::resume_unwind(Box::new(()))),
            Box::new(|_| std::panic::resume_unwind(Box::new(()))),
        );
        first.reader.poller.wake();
        first.reaper.poller.wake();
        wait_until("it is idle", || idle(&threads) == 1);
        assert!(Arc::ptr_eq(&first, &run_once(&threads)));
        assert_eq!(threads.state.lock().count, 2);
        assert!(threads.close(Deadline::after(TIMEOUT)));
    }

    #[test]
    fn a_work_that_waits_is_called_again() {
        let threads = Threads::new().expect("descriptors");
        let (called, calls) = bounded(2);
        let pair = AcquiredPair::acquire(&threads).expect("threads");
        let inner = Arc::clone(&pair.pair);
        let mut times = 0;
        let read = move |_| {
            times += 1;
            called.send(times).expect("it is awaited");
            match times {
                3 => Progress::Done,
                _ => Progress::Waiting,
            }
        };
        pair.start(Box::new(read), Box::new(|_| Progress::Done));
        inner.reaper.poller.wake();
        for time in 1..=3 {
            inner.reader.poller.wake();
            assert_eq!(calls.recv_timeout(TIMEOUT), Ok(time));
        }
        assert!(threads.close(Deadline::after(TIMEOUT)));
    }

    #[test]
    fn both_threads_of_an_idle_pair_leave() {
        let threads = Threads::with_idle_time(Duration::from_millis(20)).expect("descriptors");
        let pair = run_once(&threads);
        wait_until("they leave", || threads.state.lock().count == 0);
        assert_eq!(idle(&threads), 0);
        // They are joined by the next start.
        drop(AcquiredPair::acquire(&threads).expect("threads"));
        assert_eq!(threads.state.lock().handles.len(), 0);
        // No other reference keeps their descriptors open.
        assert_eq!(Arc::strong_count(&pair), 1);
    }

    /// A start that fails removes the pair that it has made, and keeps one that was idle before.
    #[test]
    fn a_pair_that_was_not_used_leaves_nothing_new() {
        let threads = Threads::new().expect("descriptors");
        drop(AcquiredPair::acquire(&threads).expect("threads"));
        assert_eq!(threads.state.lock().count, 0);
        let first = run_once(&threads);
        wait_until("it is idle", || idle(&threads) == 1);
        drop(AcquiredPair::acquire(&threads).expect("threads"));
        assert_eq!((idle(&threads), threads.state.lock().count), (1, 2));
        assert!(Arc::ptr_eq(&first, &run_once(&threads)));
        assert!(threads.close(Deadline::after(TIMEOUT)));
    }

    /// A start may acquire a pair at the moment at which its deadline passes: then either the pair
    /// stays, or the start gets another one. If a pair exited with its task, this test would time out.
    #[test]
    fn a_pair_that_is_taken_does_not_leave() {
        let idle_time = Duration::from_millis(1);
        let threads = Threads::with_idle_time(idle_time).expect("descriptors");
        for round in 0..400 {
            run_once(&threads);
            // From right before the deadline to right after it.
            let deadline =
                std::time::Instant::now() + idle_time + Duration::from_micros(round % 300);
            while std::time::Instant::now() < deadline {
                std::hint::spin_loop();
            }
        }
        assert!(threads.close(Deadline::after(TIMEOUT)));
    }
}
