//! A pair of threads: the reader and the reaper of one live child at a time.
//!
//! A pair is made once and used again. Each of its threads waits in a poller of its own, which was made with it. A start puts
//! the work into the pair and registers descriptors with its pollers, which wakes no thread; each thread runs its work when
//! something is ready. The pair is idle when both works are done. An idle pair leaves after a while, both threads together.
//!
//! Whether a pair is idle, in use or dismissed is decided under the lock of [`Threads`], so that a pair that is taken for a
//! start is never one that leaves. The thread that made the pair idle keeps the time: only it waits with a deadline.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{Threads, isolate};
use crate::error::{Error, Step};
use crate::sys::poller::{Poller, Waker, Wakeup};
use crate::sys::{Failure, failure};
use crate::time::Deadline;

/// What one thread of a pair does for one process. Called when something is ready or its poller was woken, and dropped when it
/// is done or has panicked.
pub(crate) type Work = Box<dyn FnMut(Wakeup) -> Progress + Send>;

/// Whether a work goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is to be called again when something is ready.
    Waiting,
    /// It is over.
    Done,
}

pub(super) struct Pair {
    reader: Side,
    reaper: Side,
    /// How many of the two works are not over.
    works: AtomicUsize,
    /// Its threads are to leave. Set with the lock of [`Threads`] held, on a pair that is not in the list any more.
    dismissed: AtomicBool,
}

/// One thread of a pair.
struct Side {
    /// Where it waits.
    poller: Arc<Poller>,
    /// What the thread does when it is woken; absent while it is being done. A leaf, held for a moment.
    work: Mutex<Option<Work>>,
}

impl Side {
    fn new(waker: &Arc<Waker>) -> io::Result<Self> {
        Ok(Side {
            poller: Arc::new(Poller::new(waker)?),
            work: Mutex::new(None),
        })
    }
}

impl Pair {
    /// Makes both threads leave that wait for nothing.
    pub(super) fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Relaxed);
        self.reader.poller.wake();
        self.reaper.poller.wake();
    }
}

/// A pair that is taken for a start. Dropped before [`start`](ThreadPair::start), it is idle again, or gone if it was made for
/// this start: a start that fails leaves no thread and no descriptor.
pub(crate) struct ThreadPair {
    threads: Arc<Threads>,
    pair: Arc<Pair>,
    /// The numbers of the threads, if they were made for this start.
    fresh: Vec<u64>,
    started: bool,
}

impl ThreadPair {
    /// Takes an idle pair, or makes one.
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
        Ok(ThreadPair {
            threads: Arc::clone(threads),
            pair,
            fresh,
            started: false,
        })
    }

    /// Where the reader's thread waits.
    pub(crate) fn reader(&self) -> &Arc<Poller> {
        &self.pair.reader.poller
    }

    /// Where the reaper's thread waits.
    pub(crate) fn reaper(&self) -> &Arc<Poller> {
        &self.pair.reaper.poller
    }

    /// Gives each thread its work. No thread is woken: what the works wait for is registered before or after this.
    pub(crate) fn start(mut self, read: Work, reap: Work) {
        self.started = true;
        self.pair.works.store(2, Ordering::Relaxed);
        *self.pair.reader.work.lock() = Some(read);
        *self.pair.reaper.work.lock() = Some(reap);
    }
}

/// The error of a start that has no threads.
fn no_pair(error: io::Error) -> Error {
    match error.raw_os_error().map(failure) {
        Some(Failure::Descriptors) => {
            let what = "descriptor for its threads to wait with";
            Error::spawn(Step::Pipe, what, error)
        }
        _ => Error::spawn(Step::Thread, "its reader and its reaper", error),
    }
}

impl Drop for ThreadPair {
    fn drop(&mut self) {
        if self.started {
            return;
        }
        if self.fresh.is_empty() {
            self.threads.put_back(&self.pair);
            // It keeps the time from now on.
            self.pair.reaper.poller.wake();
        } else {
            self.pair.dismiss();
            self.threads.join(&self.fresh);
        }
    }
}

impl Threads {
    /// Makes a pair, and gives the numbers of its threads.
    fn make_pair(self: &Arc<Self>, waker: &Arc<Waker>) -> io::Result<(Arc<Pair>, Vec<u64>)> {
        let pair = Arc::new(Pair {
            reader: Side::new(waker)?,
            reaper: Side::new(waker)?,
            works: AtomicUsize::new(0),
            dismissed: AtomicBool::new(false),
        });
        let mut numbers = Vec::new();
        let sides: [fn(&Pair) -> &Side; 2] = [|pair| &pair.reader, |pair| &pair.reaper];
        for side in sides {
            let (threads, own) = (Arc::clone(self), Arc::clone(&pair));
            match self.spawn(move || threads.serve(&own, side(&own))) {
                Ok(number) => numbers.push(number),
                Err(error) => {
                    // Without the second thread the first one leaves.
                    pair.dismiss();
                    self.join(&numbers);
                    return Err(error);
                }
            }
        }
        Ok((pair, numbers))
    }

    /// The life of one thread of a pair.
    fn serve(&self, pair: &Arc<Pair>, side: &Side) {
        let mut deadline = Deadline::NEVER;
        // A poller fails when the host has closed it. Then no work can be waited for: it is dropped, as after a panic.
        while let Ok(wakeup) = side.poller.wait(deadline) {
            // A deadline is that of an idle pair, which may have been taken for a start meanwhile.
            let work = match wakeup {
                Wakeup::TimedOut => None,
                Wakeup::Ready | Wakeup::Woken => side.work.lock().take(),
            };
            let next = match work {
                Some(work) => self.run(pair, side, work, wakeup),
                None => self.idle_deadline(pair),
            };
            match next {
                Some(next) => deadline = next,
                None => return,
            }
        }
        self.abandon(pair);
        let work = side.work.lock().take();
        isolate(move || drop(work));
    }

    /// Runs the work once. Gives the deadline of the next wait, or `None` if the thread is to leave.
    fn run(
        &self,
        pair: &Arc<Pair>,
        side: &Side,
        mut work: Work,
        wakeup: Wakeup,
    ) -> Option<Deadline> {
        if isolate(|| work(wakeup)) == Some(Progress::Waiting) {
            *side.work.lock() = Some(work);
            return Some(Deadline::NEVER);
        }
        isolate(move || drop(work));
        if pair.works.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.put_back(pair);
            self.idle_deadline(pair)
        } else {
            Some(Deadline::NEVER)
        }
    }

    /// Takes a pair out of use one of whose threads is about to leave.
    fn abandon(&self, pair: &Arc<Pair>) {
        let mut state = self.state.lock();
        state.idle.retain(|(idle, _)| !Arc::ptr_eq(idle, pair));
        pair.dismiss();
    }

    /// A pair without work waits for the next start, unless the threads are closed.
    fn put_back(&self, pair: &Arc<Pair>) {
        let mut state = self.state.lock();
        if state.closed {
            pair.dismiss();
        } else {
            let until = Deadline::after(self.idle_time);
            state.idle.push((Arc::clone(pair), until));
        }
    }

    /// Until when a thread without work waits; `None` if it is to leave.
    fn idle_deadline(&self, pair: &Arc<Pair>) -> Option<Deadline> {
        let mut state = self.state.lock();
        if pair.dismissed.load(Ordering::Relaxed) {
            return None;
        }
        let mut idle = state.idle.iter();
        let Some(at) = idle.position(|(idle, _)| Arc::ptr_eq(idle, pair)) else {
            // In use, and the other thread is at work or will be.
            return Some(Deadline::NEVER);
        };
        let until = state.idle[at].1;
        if !until.passed() {
            return Some(until);
        }
        state.idle.remove(at);
        pair.dismiss();
        None
    }
}

impl fmt::Debug for ThreadPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPair").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam_channel::{Sender, bounded};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    /// A work that says so when it is called, and is over then.
    fn says(called: &Sender<&'static str>, name: &'static str) -> Work {
        let called = called.clone();
        Box::new(move |_| {
            called.send(name).expect("it is awaited");
            Progress::Done
        })
    }

    /// Lets both threads of a pair run once.
    fn run_once(threads: &Arc<Threads>) -> Arc<Pair> {
        let (called, calls) = bounded(2);
        let pair = ThreadPair::acquire(threads).expect("threads");
        let inner = Arc::clone(&pair.pair);
        pair.start(says(&called, "reader"), says(&called, "reaper"));
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
        let pair = ThreadPair::acquire(&threads).expect("threads");
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
        let pair = ThreadPair::acquire(&threads).expect("threads");
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
        assert!(threads.state.lock().handles.is_empty());
        // Their descriptors are theirs alone.
        assert_eq!(Arc::strong_count(&pair), 1);
    }

    /// A start that fails gives back what it has made, and keeps what was there.
    #[test]
    fn a_pair_that_was_not_used_leaves_nothing_new() {
        let threads = Threads::new().expect("descriptors");
        drop(ThreadPair::acquire(&threads).expect("threads"));
        assert_eq!(threads.state.lock().count, 0);
        let first = run_once(&threads);
        wait_until("it is idle", || idle(&threads) == 1);
        drop(ThreadPair::acquire(&threads).expect("threads"));
        assert_eq!((idle(&threads), threads.state.lock().count), (1, 2));
        assert!(Arc::ptr_eq(&first, &run_once(&threads)));
        assert!(threads.close(Deadline::after(TIMEOUT)));
    }

    /// A start may take a pair at the moment at which its idle time is over: then either the pair stays, or the start has got
    /// another one. A pair that left with its work would be missed here for ever.
    #[test]
    fn a_pair_that_is_taken_does_not_leave() {
        let idle_time = Duration::from_millis(1);
        let threads = Threads::with_idle_time(idle_time).expect("descriptors");
        for round in 0..400 {
            run_once(&threads);
            // Right before the end of the idle time, and right after it.
            let until = std::time::Instant::now() + idle_time + Duration::from_micros(round % 300);
            while std::time::Instant::now() < until {
                std::hint::spin_loop();
            }
        }
        assert!(threads.close(Deadline::after(TIMEOUT)));
    }
}
