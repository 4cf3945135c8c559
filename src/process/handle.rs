//! The public handle of a process.

use std::sync::Arc;
use std::time::Duration;

use super::{Follow, ProcessInner, Stream};
use crate::error::Error;
use crate::id::Id;
use crate::output::{Chunk, MAX_CHARACTER_BYTES, Notify, ReadOptions, Snapshot};
use crate::signal::Signal;
use crate::status::{EndedBy, Status, Stopped};

/// A process that was started.
///
/// A cheap handle: clones refer to the same process, and a handle stays valid after the manager has
/// dropped its record. Dropping handles does not affect the process; closing its manager ends it.
///
/// In a forked copy of the host, every method that returns a `Result` fails with [`Error::Forked`].
#[derive(Debug, Clone)]
pub struct Process(Arc<ProcessInner>, HandleKind);

/// How the handle was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandleKind {
    /// By the start that made the process, or by a look-up.
    Own,
    /// By a start of a key that had been started before.
    Attached,
}

impl Process {
    pub(crate) fn new(inner: Arc<ProcessInner>, origin: HandleKind) -> Self {
        Process(inner, origin)
    }

    /// Whether the start that returned this handle found its key started before, and started no
    /// process.
    pub fn is_attached(&self) -> bool {
        self.1 == HandleKind::Attached
    }

    /// Its id.
    pub fn id(&self) -> Id {
        self.0.id
    }

    /// The pid of its leader, which is the number of its process group.
    pub fn pid(&self) -> u32 {
        self.0.pid.unsigned_abs()
    }

    /// Its status. Does not block.
    pub fn status(&self) -> Result<Status, Error> {
        self.0.check_host()?;
        Ok(self.0.status())
    }

    /// Waits for its end. Returns as soon as its leader has ended and everything that the leader wrote
    /// can be read, even if other processes hold its output.
    ///
    /// Fails with [`Error::Closed`] if its manager or scope was closed and the system did not end it.
    pub fn wait(&self) -> Result<Status, Error> {
        self.wait_until(None).map(|status| status.1)
    }

    /// Waits for its end, up to `timeout`; `None` if the timeout passes first. The process is not
    /// affected.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<Status>, Error> {
        let (ended, status) = self.wait_until(Some(timeout))?;
        Ok(ended.then_some(status))
    }

    fn wait_until(&self, timeout: Option<Duration>) -> Result<(bool, Status), Error> {
        self.0.check_host()?;
        let ended = self.0.wait(timeout.into())?.is_some();
        Ok((ended, self.0.status()))
    }

    /// Reads the bytes of a stream from `cursor` on, waiting up to `timeout` (`None`: without a limit)
    /// for the first one.
    ///
    /// Any number of callers can read, each with its own cursor. Callers do not affect each other, except
    /// in a [lossless](crate::Request::lossless) stream: bytes before the highest cursor of any caller may
    /// be dropped. If the bytes at the cursor were dropped, reading continues at the first kept byte after
    /// them, and the chunk says how many were lost. With an empty buffer, the call reports whether there is
    /// a byte to read.
    ///
    /// Fails with [`Error::Invalid`] for [`Stream::Stderr`] when the streams are not separate, and for
    /// a buffer that is too small for [`ReadOptions::whole_characters`].
    pub fn read(
        &self,
        stream: Stream,
        cursor: u64,
        buffer: &mut [u8],
        timeout: Option<Duration>,
        options: ReadOptions,
    ) -> Result<Chunk, Error> {
        self.0.check_host()?;
        let output = self.0.output(stream)?;
        if options.whole_characters && (1..MAX_CHARACTER_BYTES).contains(&buffer.len()) {
            let reason = format!(
                "{} bytes do not hold every character, which takes up to {MAX_CHARACTER_BYTES}",
                buffer.len()
            );
            return Err(Error::invalid("buffer", reason));
        }
        let rearm = || self.0.rearm_pipes();
        Ok(output.read(cursor, buffer, options, timeout.into(), rearm))
    }

    /// A stream as a [`Read`](std::io::Read), from its beginning to the end of the process.
    pub fn follow(&self, stream: Stream) -> Follow {
        Follow::new(self.clone(), stream)
    }

    /// The bounded text of a stream, as it is at this moment. Does not block.
    pub fn output(&self, stream: Stream) -> Result<Snapshot, Error> {
        self.0.check_host()?;
        Ok(self.0.output(stream)?.snapshot(self.0.max_line_bytes))
    }

    /// Sends a signal to its process group; after its leader has ended, to each process that it left
    /// behind.
    ///
    /// Fails with [`Error::NotRunning`] if nothing of it is left, and with [`Error::Io`] if its leader
    /// has ended and the scan for what it left behind is incomplete: `/proc` is not mounted, or the
    /// system is out of file descriptors. Does not block before the end of its leader; the scan after it
    /// waits for processes that are executing a program.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.0.check_host()?;
        self.0.signal(signal)
    }

    /// Ends it: sends TERM to all of it and to what it left behind, waits up to `grace`, sends KILL,
    /// and waits for the end.
    ///
    /// Returns when nothing of it is left; immediately, if that is already so. A grace period of zero
    /// sends KILL at once. Blocks up to the grace period, and then until the kernel has ended the
    /// processes, up to ten seconds.
    ///
    /// Fails with [`Error::Io`] if its group was ended but the scan for processes that left it is
    /// incomplete: `/proc` is not mounted, or the system is out of file descriptors.
    pub fn stop(&self, grace: Duration) -> Result<Stopped, Error> {
        self.0.check_host()?;
        let outcome = self.0.terminate(EndedBy::Stop, grace);
        let (beyond_group, left) = (outcome.beyond_group, outcome.left);
        match outcome.check() {
            Err(error) if left == 0 => Err(error),
            _ => Ok(Stopped {
                status: self.0.status(),
                beyond_group,
                left,
            }),
        }
    }

    /// Does what [`stop`](Process::stop) does without waiting for it.
    /// [`Event::Stopped`](crate::Event::Stopped) reports its end. If such a stop of the process is under way
    /// that sends KILL no later, the call joins it: there is one event for both. Fails with [`Error::Io`] if the
    /// system is out of threads.
    pub fn stop_in_background(&self, grace: Duration) -> Result<(), Error> {
        self.0.check_host()?;
        self.0
            .stop_in_background(EndedBy::Stop, grace)
            .map(drop)
            .map_err(|error| Error::io("no thread to stop the process", error))
    }

    pub(crate) fn watch(
        &self,
        stream: Stream,
        cursor: u64,
        watch: Arc<dyn Notify>,
    ) -> Result<(), Error> {
        self.0.check_host()?;
        self.0.output(stream)?.watch(cursor, watch);
        Ok(())
    }
}
