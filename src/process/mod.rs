//! One process: the only place where reading and reaping meet.
//!
//! Owns the exit state of the leader, the outputs, and the work of its two threads ([`work`]).
//! Promises: an end is published after all that the leader wrote is in the outputs; every caller that
//! waits is woken by the end; nothing is signalled that may not be ours. Knows nothing of the table
//! that it stands in but an [`Observer`].
//!
//! Lock order: the exit state's lock, then that of the group's descriptor, of an output, or of the
//! slot, one at a time.

mod ending;
mod follow;
mod group;
mod handle;
#[cfg(test)]
mod tests;
mod work;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::Error;
use crate::exit::{ExitState, StopRequests};
use crate::id::Id;
use crate::output::Output;
use crate::reader::Source;
use crate::signal::Signal;
use crate::slots::Slot;
use crate::status::{About, EndedBy, State, Status};
use crate::sweep;
use crate::sys::child::{Child, Pid, Presence, presence};
use crate::sys::poller::Poller;
use crate::sys::signal::KILL;
use crate::threads::Threads;
use crate::time::Deadline;

use ending::Targets;
pub(crate) use ending::{end_orphans, terminate};
pub use follow::Follow;
use group::Group;
pub(crate) use handle::Origin;
pub use handle::Process;
pub(crate) use work::Preparation;

/// A stream of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output; standard error too, unless the streams are separate.
    Stdout,
    /// Standard error, if the streams are separate.
    Stderr,
}

/// Is told what happens to a process. Called without a lock, on the threads of the process.
pub(crate) trait Observer: Send + Sync {
    /// The leader has ended.
    fn ended(&self, id: Id, about: &About);
    /// Every output is closed.
    fn output_closed(&self, id: Id, about: &About);
    /// The leader has ended and every output is closed.
    fn done(&self, id: Id, about: &About);
    /// A stop in the background is over.
    fn stopped(&self, id: Id, about: &About);
    /// Something went wrong that no call can report.
    fn warn(&self, text: &str);
}

/// What a process needs of its manager.
pub(crate) struct Settings {
    pub(crate) max_line_bytes: usize,
    pub(crate) stop_grace: Duration,
    pub(crate) threads: Arc<Threads>,
    pub(crate) observer: Box<dyn Observer>,
    pub(crate) slot: Option<Slot>,
}

/// A process that was started, and stays what it is after it has ended.
pub(crate) struct ProcessInner {
    pub(crate) id: Id,
    pub(crate) pid: Pid,
    pub(crate) about: Arc<About>,
    host: u32,
    exit: ExitState,
    group: Group,
    outputs: Vec<Arc<Output>>,
    /// Where the outputs come from; gone once they are closed. The reader owns them.
    sources: Vec<Weak<Source>>,
    /// Where the reader's thread waits, to be woken for an order. It goes before the record does.
    reader: Weak<Poller>,
    /// The reader takes what is in the pipes, and reads no more.
    detached: AtomicBool,
    max_line_bytes: usize,
    stop_grace: Duration,
    threads: Arc<Threads>,
    observer: Box<dyn Observer>,
    /// Free when the leader and every output have ended. A leaf.
    slot: Mutex<Option<Slot>>,
    /// How many of the two threads have work left.
    works: AtomicUsize,
}

impl ProcessInner {
    /// Where things stand.
    pub(crate) fn status(&self) -> Status {
        // The outputs after the exit: an ended process is then never shown with less than it wrote.
        let end = self.exit.now();
        Status {
            id: self.id,
            pid: self.pid.unsigned_abs(),
            state: end.map_or(State::Running, |end| end.state),
            ended_by: end.map_or(EndedBy::Nobody, |end| end.ended_by),
            output_open: self.output_open(),
            started_at: self.about.started_at,
            ended_at: end.map(|end| end.at),
            duration: end
                .map_or_else(Instant::now, |end| end.instant)
                .saturating_duration_since(self.about.started),
            output_bytes: self.outputs.iter().map(|output| output.total()).sum(),
            usage: end.map(|end| end.usage).unwrap_or_default(),
            about: Arc::clone(&self.about),
        }
    }

    /// Whether the leader has ended and every output is closed.
    pub(crate) fn is_done(&self) -> bool {
        self.exit.now().is_some() && !self.output_open()
    }

    fn output(&self, stream: Stream) -> Result<&Arc<Output>, Error> {
        match stream {
            Stream::Stdout => Ok(&self.outputs[0]),
            Stream::Stderr => self.outputs.get(1).ok_or_else(|| {
                Error::invalid(
                    "stream",
                    "standard error is not separate: it is in standard output",
                )
            }),
        }
    }

    fn output_open(&self) -> bool {
        self.outputs.iter().any(|output| output.is_open())
    }

    /// Refuses to work in a forked copy of the host, before any lock is touched: it may be held for
    /// ever there.
    pub(crate) fn check_host(&self) -> Result<(), Error> {
        if self.host == std::process::id() {
            Ok(())
        } else {
            Err(Error::Forked)
        }
    }

    /// Sends a signal to all of the process that can be found.
    pub(crate) fn signal(self: &Arc<Self>, signal: Signal) -> Result<(), Error> {
        let number = signal.number();
        let sent = self.signal_unreaped(number, |requests| {
            requests.signal(number, signal.asks_to_end());
        });
        if let Some(sent) = sent {
            return sent.map_err(|error| Error::io(format!("cannot send {signal}"), error));
        }
        // The leader is gone, so each process that it left behind is found and signalled. The group as
        // a whole would answer for unreaped zombies too.
        let this = std::slice::from_ref(self);
        let found = sweep::find(&Targets::new(this, None), |survivor| {
            survivor.signal(number)
        });
        let (is_signalled, scan_error) = match found {
            Ok(result) => (!result.found.is_empty(), result.scan_error),
            Err(error) => (false, Some(error)),
        };
        // Where no process was found, the group may have members, which is better than nothing.
        let signals_group = || {
            self.group
                .kill_by_pidfd(number)
                .is_some_and(|sent| sent.is_ok())
        };
        match scan_error {
            None if is_signalled => Ok(()),
            None => Err(Error::NotRunning { id: self.id }),
            Some(_) if !is_signalled && signals_group() => Ok(()),
            Some(error) => {
                let what = "cannot look for all that is left of the process";
                Err(Error::io(what, error))
            }
        }
    }

    /// Asks the group to end, for this reason. False if the leader has ended before.
    pub(crate) fn ask_to_end(&self, by: EndedBy, signal: i32) -> bool {
        self.signal_unreaped(signal, |requests| requests.end(by))
            .is_some_and(|sent| sent.is_ok())
    }

    /// Signals the group while it is certain to be ours because the leader is not reaped. `ask` records
    /// the request, unless the leader has exited and only waits to be reaped.
    ///
    /// The leader is reaped under the exit state's lock, which is held here: so it is at least a zombie
    /// until the signal is sent. Another part of the host may have reaped it though (`waitpid(-1)`):
    /// then only a pidfd is certain.
    fn signal_unreaped(
        &self,
        number: i32,
        ask: impl FnOnce(&mut StopRequests),
    ) -> Option<std::io::Result<()>> {
        self.exit
            .with_unreaped(|requests| match presence(Child::Number(self.pid)) {
                Presence::Gone => self.group.kill_by_pidfd(number),
                Presence::Zombie => Some(self.group.kill_unreaped(number)),
                Presence::Alive => {
                    ask(requests);
                    Some(self.group.kill_unreaped(number))
                }
            })
            .flatten()
    }

    /// Stops a process that has not ended, and waits for that until the deadline. The stop itself goes on.
    pub(crate) fn stop_until(
        self: &Arc<Self>,
        by: EndedBy,
        deadline: Deadline,
    ) -> std::io::Result<()> {
        if self.exit.now().is_some() {
            return Ok(());
        }
        let process = Arc::clone(self);
        let (done, over) = crossbeam_channel::bounded::<()>(0);
        self.threads.spawn(move || {
            terminate(std::slice::from_ref(&process), None, by, process.stop_grace);
            // Dropped at the end, and by a panic too.
            drop(done);
        })?;
        match deadline.instant() {
            Some(at) => drop(over.recv_deadline(at)),
            None => drop(over.recv()),
        }
        Ok(())
    }

    /// Stops the process on a thread of its own, for callers that must not wait.
    fn stop_in_background(self: &Arc<Self>, by: EndedBy, grace: Duration) -> std::io::Result<()> {
        let process = Arc::clone(self);
        let stop = move || {
            terminate(std::slice::from_ref(&process), None, by, grace);
            process.observer.stopped(process.id, &process.about);
        };
        self.threads.spawn(stop).map(drop)
    }

    /// The time limit has come. The thread that keeps the time cannot wait out the grace period.
    pub(crate) fn reach_limit(self: &Arc<Self>) {
        if self.exit.now().is_some() {
            // What it has left behind is free to go on.
            return;
        }
        if self
            .stop_in_background(EndedBy::Limit, self.stop_grace)
            .is_err()
        {
            // No thread to wait with: the limit itself still holds.
            self.ask_to_end(EndedBy::Limit, KILL);
        }
    }
}

impl fmt::Debug for ProcessInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.id)
            .field("pid", &self.pid)
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}
