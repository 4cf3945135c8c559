//! Reading the output of one process: from a pipe into the [`Output`], until no process holds the write
//! end.
//!
//! A [`Source`] owns the descriptor of one pipe and its registration with the reader thread's poller. Every
//! byte goes to the output in order. A silent process costs no CPU time. A full lossless output stops only
//! the reading. This module does not use the process: end of file is not the exit of the leader, which the
//! reaper reports.
//!
//! The reader thread is the only thread that reads the pipe, with one exception: the thread that publishes
//! the exit of the leader [drains](Source::drain) it. Both read under the output's lock, so bytes keep
//! their order.
//!
//! Lock order: [`registered`](Source::registered) first, then the output's lock.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::output::{Filled, Output};
use crate::sys::descriptor::{PollFd, available, poll, read_vectored};
use crate::sys::poller::{Interest, Poller};

/// The number of reads of one pipe before the other pipe is read.
const READS_IN_A_ROW: usize = 64;

/// How often the reader yields and reads again when a pipe that has just had data is empty. The writer
/// will probably write soon, and going to sleep and waking up takes longer than its next write.
const YIELDS: usize = 5;

/// A pipe and the output that its bytes go to.
#[derive(Debug)]
pub(crate) struct Source {
    pipe: OwnedFd,
    output: Arc<Output>,
    /// The poller of the reader thread.
    poller: Arc<Poller>,
    /// Whether the pipe is registered. Held while the registration is changed, so that the last change
    /// is made according to the latest state of the output.
    registered: Mutex<bool>,
    /// End of file was found.
    has_ended: AtomicBool,
}

/// The result of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// The pipe is empty, or the output is full.
    Wait,
    /// The pipe may have more bytes.
    More,
    /// End of file.
    Ended,
}

/// The state of a pipe at one moment.
struct PipeState {
    /// No process holds the write end, or the pipe cannot be polled.
    is_hung_up: bool,
    /// There are bytes to read.
    has_input: bool,
}

impl Source {
    /// Registers the pipe with the reader's poller, for the hang-up only. [`arm`](Source::arm) adds EPOLLIN.
    pub(crate) fn new(pipe: OwnedFd, output: Arc<Output>, poller: Arc<Poller>) -> io::Result<Self> {
        poller.add(pipe.as_fd(), Interest::Hangup)?;
        Ok(Source {
            pipe,
            output,
            poller,
            registered: Mutex::new(true),
            has_ended: AtomicBool::new(false),
        })
    }

    /// Arms the pipe: the reader is woken by bytes, or only by the hang-up while a lossless output is
    /// full.
    ///
    /// Called by the reader thread when it finds the output full, and by a caller that makes room. Both
    /// change the output before they call this, so the later call sees both changes, and no wake-up is
    /// lost.
    pub(crate) fn arm(&self) {
        let registered = self.registered.lock();
        if *registered {
            let interest = match self.output.clear_stall() {
                true => Interest::Readable,
                false => Interest::Hangup,
            };
            // EPOLL_CTL_MOD allocates no memory, so it does not fail.
            let _ = self.poller.modify(self.pipe.as_fd(), interest);
        }
    }

    /// Removes the pipe from the poller. It is never registered again.
    pub(crate) fn deregister(&self) {
        if std::mem::take(&mut *self.registered.lock()) {
            self.poller.remove(self.pipe.as_fd());
        }
    }

    /// Reads until the pipe is empty, the output is full, the pipe has ended, or [`READS_IN_A_ROW`] reads
    /// were tried.
    pub(crate) fn read_available(&self) -> ReadOutcome {
        if self.has_ended.load(Ordering::Relaxed) {
            return ReadOutcome::Ended;
        }
        let mut yields = YIELDS;
        for _ in 0..READS_IN_A_ROW {
            match self.fill(false) {
                Ok(Filled::Bytes(0)) => return self.end(),
                Ok(Filled::Bytes(_)) => yields = 0,
                // No process can write any more: what is left in the pipe is stored although the ring
                // is full.
                Ok(Filled::Full) if self.pipe_state().is_hung_up => return self.drain(),
                Ok(Filled::Full) => {
                    self.arm();
                    return ReadOutcome::Wait;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock if yields < YIELDS => {
                        yields += 1;
                        thread::yield_now();
                    }
                    io::ErrorKind::WouldBlock => {
                        self.output.end_burst();
                        return ReadOutcome::Wait;
                    }
                    // A descriptor that cannot be read counts as ended.
                    _ => return self.end(),
                },
            }
        }
        ReadOutcome::More
    }

    /// Reads the bytes that are in the pipe now, also into a full output, and checks whether the pipe
    /// has ended.
    ///
    /// If this is called after the exit of a writer, it reads everything that the writer wrote. A byte that
    /// another thread has read by then is in the output before the output's lock is released.
    pub(crate) fn drain(&self) -> ReadOutcome {
        while !self.has_ended.load(Ordering::Relaxed) {
            let mut left = available(self.pipe.as_fd()).unwrap_or(0);
            while left > 0 {
                match self.fill(true) {
                    Ok(Filled::Bytes(count @ 1..)) => left = left.saturating_sub(count),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // Another thread has read the bytes.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // Out of memory: a full lossless output cannot grow.
                    Ok(Filled::Full) if !self.pipe_state().is_hung_up => {
                        return ReadOutcome::Wait;
                    }
                    Ok(_) | Err(_) => return self.end(),
                }
            }
            let state = self.pipe_state();
            if !state.is_hung_up {
                return ReadOutcome::Wait;
            }
            if !state.has_input {
                return self.end();
            }
            // The last writer has written and exited since.
        }
        ReadOutcome::Ended
    }

    fn fill(&self, grow: bool) -> io::Result<Filled> {
        self.output
            .fill(grow, |pieces| read_vectored(self.pipe.as_fd(), pieces))
    }

    fn pipe_state(&self) -> PipeState {
        let mut set = [PollFd::readable(self.pipe.as_fd())];
        // A poll that fails will fail again: nothing more can be waited for.
        let failed = poll(&mut set, Some(Duration::ZERO)).is_err();
        PipeState {
            is_hung_up: failed || set[0].hung_up(),
            has_input: set[0].has_input(),
        }
    }

    /// Blocks until no process holds the write end, up to the limit.
    pub(crate) fn wait_for_hangup(&self, limit: Duration) {
        let _ = poll(&mut [PollFd::hangup(self.pipe.as_fd())], Some(limit));
    }

    fn end(&self) -> ReadOutcome {
        self.has_ended.store(true, Ordering::Relaxed);
        ReadOutcome::Ended
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.deregister();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::output::{ReadOptions, ReadState, Sizes};
    use crate::sys::descriptor::set_nonblocking;
    use crate::sys::poller::Waker;
    use crate::time::Deadline;

    const TIMEOUT: Duration = Duration::from_secs(30);

    /// A source that has not been read, and its write end.
    fn source(lossless: bool) -> (Source, io::PipeWriter) {
        let waker = Arc::new(Waker::new().expect("descriptors"));
        let poller = Arc::new(Poller::new(&waker).expect("descriptors"));
        let (pipe, writer) = io::pipe().expect("a pipe");
        set_nonblocking(pipe.as_fd()).expect("it is open");
        let sizes = Sizes {
            head: 1 << 10,
            tail: 1 << 10,
            lossless,
        };
        let output = Arc::new(Output::new(sizes, Vec::new()));
        let source = Source::new(pipe.into(), output, poller);
        (source.expect("memory"), writer)
    }

    /// The kernel checks for bytes and then for writers. If the last writer writes and exits in
    /// between, poll reports the hang-up alone.
    #[test]
    fn what_was_written_last_is_read() {
        for bytes in ["", "bytes"] {
            let (source, mut writer) = source(false);
            writer.write_all(bytes.as_bytes()).expect("room");
            drop(writer);
            // A child that another test starts may hold the pipe until its exec.
            let deadline = Deadline::after(TIMEOUT);
            while source.drain() != ReadOutcome::Ended {
                assert!(!deadline.passed(), "a process holds it");
                thread::yield_now();
            }
            assert_eq!(source.read_available(), ReadOutcome::Ended);
            assert_eq!(source.output.total(), bytes.len() as u64);
        }
    }

    /// The last bytes of a leader are stored although the ring is full, and reading continues after
    /// that.
    #[test]
    fn a_full_output_is_drained() {
        let (source, mut writer) = source(true);
        set_nonblocking(writer.as_fd()).expect("it is open");
        let mut written = 0;
        loop {
            while let Ok(count) = writer.write(&[0; 4096]) {
                written += count as u64;
            }
            let total = source.output.total();
            assert_eq!(source.read_available(), ReadOutcome::Wait);
            if source.output.total() == total {
                break;
            }
        }
        assert!(!source.output.clear_stall());
        assert_eq!(source.drain(), ReadOutcome::Wait);
        assert_eq!(source.output.total(), written);
    }

    /// The reader finds the output full at the moment at which a follower makes room. The last one to
    /// arm the pipe sees both changes.
    #[test]
    fn a_reader_and_a_follower_arm_in_any_order() {
        const BYTES: u64 = 20 << 20;
        let (source, mut writer) = source(true);
        source.arm();
        thread::scope(|scope| {
            scope.spawn(|| {
                while source.read_available() != ReadOutcome::Ended {
                    source.poller.wait(Deadline::NEVER).expect("it is open");
                }
            });
            scope.spawn(move || {
                let piece = [7; 4096];
                for _ in 0..BYTES / 4096 {
                    writer.write_all(&piece).expect("it is read");
                }
            });
            let mut buffer = vec![0; 100_000];
            let (mut cursor, options) = (0, ReadOptions::default());
            while cursor < BYTES {
                let deadline = Deadline::after(TIMEOUT);
                let rearm = || source.arm();
                let output = &source.output;
                let chunk = output.read(cursor, &mut buffer, options, deadline, rearm);
                assert_eq!((chunk.state, chunk.lost), (ReadState::Data, 0), "{cursor}");
                cursor = chunk.cursor;
            }
        });
    }
}
