//! A process in the hands of a caller.

use std::sync::Arc;
use std::time::Duration;

use super::{Follow, ProcessInner, Stream, terminate};
use crate::error::Error;
use crate::id::Id;
use crate::output::{Chunk, MAX_CHARACTER_BYTES, Notify, ReadOptions, Snapshot};
use crate::signal::Signal;
use crate::status::{EndedBy, Status, Stopped};

/// A process that was started.
///
/// A cheap handle: clones mean the same process, and a handle stays good after the manager has dropped its record.
/// Dropping handles does nothing to the process; its manager ends it when it is closed.
///
/// Every method fails with [`Error::Forked`] in a forked copy of the host.
#[derive(Debug, Clone)]
pub struct Process(Arc<ProcessInner>, Origin);

/// How the handle was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// By the start itself, or by a look-up.
    Own,
    /// By a start of a key that had been started before.
    Attached,
}

impl Process {
    pub(crate) fn new(inner: Arc<ProcessInner>, origin: Origin) -> Self {
        Process(inner, origin)
    }

    /// Whether the start that gave this handle found its key started before, and started nothing.
    pub fn is_attached(&self) -> bool {
        self.1 == Origin::Attached
    }

    /// Its id.
    pub fn id(&self) -> Id {
        self.0.id
    }

    /// The pid of its leader, which is the number of its process group.
    pub fn pid(&self) -> u32 {
        self.0.pid.unsigned_abs()
    }

    /// Where it stands. Does not block.
    pub fn status(&self) -> Result<Status, Error> {
        self.0.check_host()?;
        Ok(self.0.status())
    }

    /// Waits for its end. Returns as soon as its leader has ended and all that the leader wrote can be read, whoever
    /// else may hold its output.
    pub fn wait(&self) -> Result<Status, Error> {
        self.wait_until(None).map(|status| status.1)
    }

    /// Waits for its end, no longer than `timeout`; `None` when the time is up first, and the process goes on.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<Status>, Error> {
        let (ended, status) = self.wait_until(Some(timeout))?;
        Ok(ended.then_some(status))
    }

    fn wait_until(&self, timeout: Option<Duration>) -> Result<(bool, Status), Error> {
        self.0.check_host()?;
        let ended = self.0.wait(timeout.into()).is_some();
        Ok((ended, self.0.status()))
    }

    /// Reads the bytes of a stream from `cursor` on, waiting up to `timeout` (`None`: for ever; else rounded up to milliseconds) for
    /// the first one.
    ///
    /// Reading takes nothing away: any number of readers can read, each with its own cursor. Where the bytes at the
    /// cursor are gone, reading goes on at the first kept byte after them, and the chunk says how many were lost. An
    /// empty buffer tells whether there is something to read.
    ///
    /// Fails with [`Error::Invalid`] for [`Stream::Stderr`] when the streams are not separate, and for a buffer that is
    /// too small for [`ReadOptions::whole_characters`].
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
        let resume = || self.0.resume_reading();
        Ok(output.read(cursor, buffer, options, timeout.into(), resume))
    }

    /// A stream as an ordinary [`Read`](std::io::Read), from its beginning to the end of the process.
    pub fn follow(&self, stream: Stream) -> Follow {
        Follow::new(self.clone(), stream)
    }

    /// The bounded text of a stream, as it is at this moment. Does not block.
    pub fn output(&self, stream: Stream) -> Result<Snapshot, Error> {
        self.0.check_host()?;
        Ok(self.0.output(stream)?.snapshot(self.0.max_line_bytes))
    }

    /// Sends a signal to its process group; once its leader has ended, to each process that it left behind.
    ///
    /// Fails with [`Error::NotRunning`] when nothing of it is left, and with [`Error::Io`] when its leader has ended and
    /// what it left behind cannot all be looked for: `/proc` is not mounted, or there is no descriptor to be had. Does not
    /// block.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.0.check_host()?;
        self.0.signal(signal)
    }

    /// Ends it: TERM to everything that it is and left behind, up to `grace` of waiting, KILL, and waiting for the end.
    ///
    /// Returns when nothing of it is left; at once, with the end that it had, when that was so before. A grace period of
    /// zero sends KILL at once. Blocks for the grace period at most, and for as long as the kernel takes after KILL,
    /// which is given up after ten seconds.
    ///
    /// Fails with [`Error::Io`] if its group was ended but what left the group cannot be looked for: `/proc` is not
    /// mounted, or there is no descriptor to be had.
    pub fn stop(&self, grace: Duration) -> Result<Stopped, Error> {
        self.0.check_host()?;
        let outcome = terminate(std::slice::from_ref(&self.0), None, EndedBy::Stop, grace);
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

    /// Does what [`stop`](Process::stop) does without waiting for it; [`Event::Stopped`](crate::Event::Stopped) tells
    /// when it is over. Fails with [`Error::Io`] if there is no thread to be had for it.
    pub fn stop_in_background(&self, grace: Duration) -> Result<(), Error> {
        self.0.check_host()?;
        self.0
            .stop_in_background(EndedBy::Stop, grace)
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
