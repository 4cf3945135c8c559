//! Reading the output of one process: from a pipe into the output, until nobody holds the pipe.
//!
//! Owns the descriptors of the pipes, together with whoever holds a [`Source`]. The thread that reads is on call until there
//! is something to read. Promises: every byte goes to the output in order; callers that look out for bytes read them too, under
//! the output's lock, and meanwhile no thread is woken by them; a silent process costs no CPU; a lossless output that is full
//! stops the reading and nothing else. It knows nothing of the process. End of file is not the exit of the leader: that is the
//! reaper's to say.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::output::{Filled, Lookout, Output, Sighting};
use crate::sys::descriptor::{PollFd, Wake, available, poll, read_vectored};
use crate::sys::poller::{Entry, Interest};
use crate::time::Deadline;

/// How many reads of one pipe follow each other before the other pipe and the orders are looked at.
const READS_IN_A_ROW: usize = 64;

/// How often an empty pipe that had data just now is tried again before the thread sleeps: the writer is most likely
/// about to write, and a sleep and a wake-up cost more than its next write takes.
const YIELDS: usize = 5;

/// A pipe and the output that it goes to.
#[derive(Debug)]
pub(crate) struct Source {
    pipe: OwnedFd,
    output: Arc<Output>,
    /// Where the threads on call wait for it.
    entry: Entry,
    /// Nothing will come any more.
    has_ended: AtomicBool,
    /// The threads can be woken by it.
    is_in: AtomicBool,
    /// They will not be any more.
    has_left: AtomicBool,
    /// Wakes a caller that looks out for bytes; made for the first one.
    raised: OnceLock<Wake>,
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
    pub(crate) fn new(pipe: OwnedFd, output: Arc<Output>, entry: Entry) -> Self {
        Source {
            pipe,
            output,
            entry,
            has_ended: AtomicBool::new(false),
            is_in: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            raised: OnceLock::new(),
        }
    }

    /// Lets one of the threads on call be woken by what is there, or comes next. Does nothing after [`leave`](Source::leave).
    ///
    /// Called by one at a time, as are the next two.
    pub(crate) fn listen(&self) -> io::Result<()> {
        if self.has_left.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (fd, interest) = (self.pipe.as_fd(), self.interest());
        match self.is_in.load(Ordering::Relaxed) {
            true => self.entry.change(fd, interest)?,
            false => self.entry.add(fd, interest)?,
        }
        self.is_in.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A full output waits for its readers, unless nobody is left who could write more.
    fn interest(&self) -> Interest {
        match self.output.is_stalled() {
            true => Interest::Hangup,
            false => Interest::Readable,
        }
    }

    /// Keeps the threads from it, even from its end, until they [listen](Source::listen) again.
    pub(crate) fn withhold(&self) {
        if self.is_in.swap(false, Ordering::Relaxed) {
            self.entry.remove(self.pipe.as_fd());
        }
    }

    /// No thread is woken by it any more, whoever has it still.
    pub(crate) fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        self.withhold();
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
                Ok(Filled::Full) if !self.is_hung_up() => return Turn::Full,
                // What is left in the pipe of a writer that is gone is kept beyond the size of the ring.
                Ok(Filled::Full) => {
                    self.drain();
                    return self.end();
                }
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

    /// Whether nobody is left who could write.
    fn is_hung_up(&self) -> bool {
        let mut set = [PollFd::readable(self.pipe.as_fd())];
        poll(&mut set, Some(Duration::ZERO)).is_ok() && set[0].hung_up()
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
        let _ = self.entry.change(self.pipe.as_fd(), Interest::Hangup);
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
        // Bytes that are there now wake the reader: none are left to nobody.
        let _ = self.entry.change(self.pipe.as_fd(), Interest::Readable);
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

impl Drop for Source {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Waits until there is something to read, but no longer than the pause.
pub(crate) fn watch(sources: &[Arc<Source>], pause: Duration) {
    let mut set: Vec<_> = sources
        .iter()
        .map(|source| match source.interest() {
            Interest::Readable => PollFd::readable(source.as_fd()),
            Interest::Hangup => PollFd::none(),
        })
        .collect();
    let _ = poll(&mut set, Some(pause));
}
