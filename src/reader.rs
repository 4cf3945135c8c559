//! The reader thread of one process: from the pipe into the output, until nobody holds the pipe.
//!
//! Its thread is on call until there is something to read. Owns the descriptors of the pipes, together with whoever holds a
//! [`Source`]. Promises: every byte goes to the output in order; callers that look out for bytes read them too, under the
//! output's lock, and meanwhile the thread is not woken by them; a silent process costs no CPU; a lossless output that is full
//! stops the reading and nothing else. It knows nothing of the process but [`Attended`]. End of file is not the exit of the
//! leader: that is the reaper's to say.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use crate::output::{Filled, Lookout, Output, Sighting};
use crate::sys::descriptor::{PollFd, Wake, available, poll, read_vectored};
use crate::sys::poller::{Entry, Event, Interest, MOST_EVENTS, Poller, Tap};
use crate::time::Deadline;

/// How many reads of one pipe follow each other before the other pipe and the orders are looked at.
const READS_IN_A_ROW: usize = 64;

/// How often an empty pipe that had data just now is tried again before the thread sleeps: the writer is most likely
/// about to write, and a sleep and a wake-up cost more than its next write takes.
const YIELDS: usize = 5;

/// A pipe and the output that it goes to.
#[derive(Debug)]
pub(crate) struct Source {
    pipe: Tap,
    output: Arc<Output>,
    /// Where the reader's job waits for it, until that has begun.
    first: Entry,
    has_begun: AtomicBool,
    /// Nothing will come any more.
    has_ended: AtomicBool,
    /// Wakes a caller that looks out for bytes; made for the first one.
    raised: OnceLock<Wake>,
}

/// What the reader serves.
pub(crate) trait Attended {
    /// Does what is due and says what to do next.
    fn attend(&self) -> Orders;
    /// Nobody will write to the output with this number any more; its pipe is done with.
    fn closed(&self, number: usize);
    /// There is nothing to read any more. True lets the reader go; it is not asked again then.
    fn leave(&self) -> bool;
}

/// What the reader is to do.
#[derive(Debug)]
pub(crate) struct Orders {
    /// When it must ask again.
    pub(crate) due: Deadline,
    /// Take what is in the pipes, and read no more.
    pub(crate) abandon: bool,
}

/// How a turn of reading ended.
pub(crate) enum Turn {
    /// There is nothing to read now.
    Empty,
    /// There may be more.
    More,
    /// The output is full.
    Full,
    /// Nobody will write any more.
    Closed,
}

impl Source {
    pub(crate) fn new(pipe: Tap, output: Arc<Output>, first: Entry) -> Self {
        Source {
            pipe,
            output,
            first,
            has_begun: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            raised: OnceLock::new(),
        }
    }

    /// The reader is there: from now on it waits itself.
    pub(crate) fn begin(&self) {
        // Who sees this late changes what is waited for no more, and does nothing.
        self.has_begun.store(true, Ordering::Relaxed);
        self.first.remove(self.pipe.as_fd());
    }

    /// Whether the reader is there.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Keeps the threads on call from it, even from its end.
    pub(crate) fn withhold(&self) {
        self.first.remove(self.pipe.as_fd());
    }

    /// Whether its end was found: nobody will write any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// The source as a caller's lookout; `None` if there is no descriptor to be had for that.
    pub(crate) fn lookout(self: &Arc<Self>) -> Option<Arc<dyn Lookout>> {
        if self.raised.get().is_none() {
            // If another thread was faster, its descriptor is the one.
            let _ = self.raised.set(Wake::new().ok()?);
        }
        Some(Arc::clone(self) as _)
    }

    /// Takes what is in the pipe at this moment, even when the output is full.
    ///
    /// Called when a writer has exited, this is all that it wrote: what the reader thread has taken out of the pipe
    /// before is in the output, because it reads under the output's lock, and our last look needs that lock too.
    pub(crate) fn drain(&self) {
        let mut left = match self.has_ended() {
            true => 0,
            false => available(self.pipe.as_fd()).unwrap_or(0),
        };
        while left > 0 {
            match self.fill(true) {
                Ok(Filled::Bytes(count @ 1..)) => left = left.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
    }

    fn fill(&self, beyond: bool) -> io::Result<Filled> {
        self.output
            .fill(beyond, |pieces| read_vectored(self.pipe.as_fd(), pieces))
    }

    /// Reads what there is, as far as it may go on.
    pub(crate) fn turn(&self) -> Turn {
        let mut yields = YIELDS;
        for _ in 0..READS_IN_A_ROW {
            match self.fill(false) {
                Ok(Filled::Bytes(0)) => return self.end(),
                Ok(Filled::Bytes(_)) => yields = 0,
                Ok(Filled::Full) => return Turn::Full,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock if yields < YIELDS => {
                        yields += 1;
                        thread::yield_now();
                    }
                    io::ErrorKind::WouldBlock => {
                        self.output.cool();
                        return Turn::Empty;
                    }
                    // Nothing more can come from a descriptor that cannot be read.
                    _ => return self.end(),
                },
            }
        }
        Turn::More
    }

    fn end(&self) -> Turn {
        self.has_ended.store(true, Ordering::Relaxed);
        Turn::Closed
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl Lookout for Source {
    fn wait(&self, deadline: Deadline) -> Sighting {
        let raised = self.raised.get();
        let mut set = [
            PollFd::readable(self.pipe.as_fd()),
            raised.map_or(PollFd::none(), |raised| PollFd::readable(raised.as_fd())),
        ];
        // The bytes shall wake the caller, and not the reader thread too: each thread that is woken costs the writer more
        // than its write.
        match self.has_begun() {
            true => self.pipe.listen(Interest::Hangup),
            false => self.first.change(self.pipe.as_fd(), Interest::HangupOnce),
        }
        // It fails only for want of kernel memory; then whoever asks looks again.
        let waited = poll(&mut set, deadline.left()).is_ok();
        let [pipe, was_raised] = set;
        if was_raised.has_input() {
            raised.iter().for_each(|raised| raised.take());
        }
        match (pipe.has_input(), pipe.hung_up()) {
            (true, _) => Sighting::Bytes,
            (false, true) => Sighting::Closed,
            (false, false) if waited => Sighting::Nothing,
            (false, false) => Sighting::Bytes,
        }
    }

    fn hand_back(&self) {
        // Bytes that are there now wake the reader: none are left to nobody. If it has begun meanwhile, it listens already.
        match self.has_begun() {
            true => self.pipe.listen(Interest::Readable),
            false => self.first.change(self.pipe.as_fd(), Interest::ReadableOnce),
        }
    }

    fn read(&self, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        read_vectored(self.pipe.as_fd(), pieces)
    }

    fn raise(&self) {
        if let Some(raised) = self.raised.get() {
            raised.raise();
        }
    }
}

/// Reads until all pipes are closed and nothing is due. The sources are in the poller, under their numbers.
pub(crate) fn run(sources: Vec<Arc<Source>>, poller: &Poller, attended: &dyn Attended) {
    let mut sources: Vec<_> = sources.into_iter().map(Some).collect();
    let mut full = vec![false; sources.len()];
    loop {
        let orders = attended.attend();
        for (number, place) in sources.iter_mut().enumerate() {
            if orders.abandon {
                place.iter().for_each(|source| source.drain());
            }
            if orders.abandon || place.as_ref().is_some_and(|source| source.has_ended()) {
                close(place, number, attended);
            }
        }
        if sources.iter().all(Option::is_none) && attended.leave() {
            return;
        }
        let Ok(events) = poller.wait(MOST_EVENTS, orders.due.left()) else {
            // No kernel has another reason for this than a poller that is none.
            return;
        };
        for event in events {
            match event {
                Event::Rung => {
                    for (place, full) in sources.iter().zip(&mut full) {
                        if std::mem::take(full) {
                            let listen =
                                |source: &Arc<Source>| source.pipe.listen(Interest::Readable);
                            place.iter().for_each(listen);
                        }
                    }
                }
                Event::Ready {
                    number,
                    has_input,
                    hung_up,
                } => {
                    let number = usize::try_from(number).unwrap_or(usize::MAX);
                    let Some(place) = sources.get_mut(number) else {
                        continue;
                    };
                    let Some(source) = place else { continue };
                    let turn = match (has_input, hung_up) {
                        (true, _) => source.turn(),
                        (false, true) => {
                            // Without input this means that the pipe is empty, that the output is full, or that a caller
                            // looks out: what is left in the pipe of a writer that is gone is kept beyond the size of the
                            // ring.
                            source.drain();
                            Turn::Closed
                        }
                        (false, false) => continue,
                    };
                    match turn {
                        Turn::Empty | Turn::More => {}
                        Turn::Full => {
                            full[number] = true;
                            // A full output waits for its readers, unless nobody is left who could write more.
                            source.pipe.listen(Interest::Hangup);
                        }
                        Turn::Closed => close(place, number, attended),
                    }
                }
            }
        }
    }
}

fn close(place: &mut Option<Arc<Source>>, number: usize, attended: &dyn Attended) {
    if let Some(source) = place.take() {
        // A caller may have it still, and it would be found closed again and again.
        source.pipe.leave();
        // The descriptor goes before anybody is told that the output is closed.
        drop(source);
        attended.closed(number);
    }
}
