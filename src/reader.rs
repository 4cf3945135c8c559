//! The reader thread of one process: from the pipe into the output, until nobody holds the pipe.
//!
//! Owns the descriptors of the pipes, together with whoever holds a [`Source`]. Promises: every byte goes to the output
//! in order, and callers that look out for bytes read it too, under the output's lock; a silent process costs no CPU; a lossless output that is full stops the reading and nothing else. It knows
//! nothing of the process but [`Attended`]. End of file is not the exit of the leader: that is the reaper's to say.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::output::{Filled, Lookout, Output, Sighting};
use crate::sys::descriptor::{PollFd, Wake, available, poll, read_vectored};
use crate::time::Deadline;

/// How many reads of one pipe follow each other before the other pipe and the orders are looked at.
const READS_IN_A_ROW: usize = 64;

/// How often an empty pipe that had data just now is tried again before the thread sleeps: the writer is most likely
/// about to write, and a sleep and a wake-up cost more than its next write takes.
const YIELDS: usize = 5;

/// How long bytes are left to a caller that looks out for them and was woken by them too. If the reader took them, it would
/// have to wake the caller a second time.
const COURTESY: Duration = Duration::from_micros(50);

/// A pipe and the output that it goes to.
#[derive(Debug)]
pub(crate) struct Source {
    pipe: OwnedFd,
    output: Arc<Output>,
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
enum Turn {
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
    pub(crate) fn new(pipe: OwnedFd, output: Arc<Output>) -> Self {
        Source {
            pipe,
            output,
            raised: OnceLock::new(),
        }
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
        let mut left = available(self.pipe.as_fd()).unwrap_or(0);
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

    fn turn(&self) -> Turn {
        if self.output.is_watched() {
            let deadline = Deadline::after(COURTESY);
            while !deadline.passed() {
                thread::yield_now();
                if !self.output.is_watched() {
                    // Without the lock: the caller has it.
                    return Turn::Empty;
                }
            }
        }
        let mut yields = YIELDS;
        for _ in 0..READS_IN_A_ROW {
            match self.fill(false) {
                Ok(Filled::Bytes(0)) => return Turn::Closed,
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
                    _ => return Turn::Closed,
                },
            }
        }
        Turn::More
    }
}

impl Lookout for Source {
    fn wait(&self, deadline: Deadline) -> Sighting {
        let raised = self.raised.get();
        let mut set = [
            PollFd::readable(self.pipe.as_fd()),
            raised.map_or(PollFd::none(), |raised| PollFd::readable(raised.as_fd())),
        ];
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

    fn read(&self, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        read_vectored(self.pipe.as_fd(), pieces)
    }

    fn raise(&self) {
        if let Some(raised) = self.raised.get() {
            raised.raise();
        }
    }
}

/// Reads until all pipes are closed and nothing is due.
pub(crate) fn run(sources: Vec<Arc<Source>>, wake: &Wake, attended: &dyn Attended) {
    let mut sources: Vec<_> = sources.into_iter().map(Some).collect();
    let mut full = vec![false; sources.len()];
    loop {
        let orders = attended.attend();
        for (number, place) in sources.iter_mut().enumerate() {
            if orders.abandon {
                place.iter().for_each(|source| source.drain());
                close(place, number, attended);
            }
        }
        if sources.iter().all(Option::is_none) && attended.leave() {
            return;
        }
        let mut set = [
            PollFd::readable(wake.as_fd()),
            PollFd::none(),
            PollFd::none(),
        ];
        for (entry, (place, full)) in set[1..].iter_mut().zip(sources.iter().zip(&full)) {
            *entry = match place {
                None => PollFd::none(),
                // A full output waits for its readers, unless nobody is left who could write more.
                Some(source) if *full => PollFd::hangup(source.pipe.as_fd()),
                Some(source) => PollFd::readable(source.pipe.as_fd()),
            };
        }
        // It fails only for want of kernel memory; then the pipes are tried without having waited.
        let waited = poll(&mut set, orders.due.left()).is_ok();
        let ready = set.map(|entry| (entry.has_input() || !waited, entry.hung_up()));
        if ready[0].0 {
            wake.take();
            full.fill(false);
        }
        for (number, place) in sources.iter_mut().enumerate() {
            let Some(source) = place else { continue };
            let turn = match ready[number + 1] {
                (true, _) => source.turn(),
                (false, true) => {
                    // Without input this means that the pipe is empty, or that the output is full: what is left in the
                    // pipe of a writer that is gone is kept beyond the size of the ring.
                    source.drain();
                    Turn::Closed
                }
                (false, false) => continue,
            };
            match turn {
                Turn::Empty | Turn::More => {}
                Turn::Full => full[number] = true,
                Turn::Closed => close(place, number, attended),
            }
        }
    }
}

fn close(place: &mut Option<Arc<Source>>, number: usize, attended: &dyn Attended) {
    if let Some(source) = place.take() {
        // The descriptor goes before anybody is told that the output is closed.
        drop(source);
        attended.closed(number);
    }
}
