//! One process: its exit state, its outputs, and the tasks of its two threads.
//!
//! [`ProcessInner`] holds the exit state and the outputs. The two tasks ([`tasks`]) hold it. The end is
//! [published](publish) after everything that the leader wrote is in the outputs. Every caller that waits is
//! woken by the end. No unrelated process is signalled. A process reports to its manager through an
//! [`Observer`], and uses nothing else of it.
//!
//! Lock order: the lock of the exit state is taken first. While it is held, the locks of the leader's pidfd,
//! of an output and of the slot are taken, one at a time. These three are leaves.

mod ending;
mod follow;
mod group;
mod handle;
mod orphans;
mod publish;
mod tasks;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use crate::cookie::Mark;
use crate::error::Error;
use crate::exit::{ExitState, StopRequests};
use crate::id::Id;
use crate::output::Output;
use crate::reader::Source;
use crate::signal::Signal;
use crate::slots::Slot;
use crate::status::{About, EndedBy, State, Status};
use crate::sweep::{self, Sent};
use crate::sys;
use crate::sys::child::{Pid, Presence, group_of, presence};
use crate::sys::poller::Poller;
use crate::sys::signal::KILL;
use crate::threads::Threads;
use crate::time::Deadline;

pub(crate) use ending::{Asked, ScopeMark, terminate, terminate_with_dropped};
use ending::{Targets, TerminationOutcome};
pub use follow::Follow;
use group::Group;
pub(crate) use handle::HandleKind;
pub use handle::Process;
pub(crate) use orphans::end_orphans;
pub(crate) use publish::CloseSignal;
pub(crate) use tasks::Preparation;

/// A stream of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output; standard error too, unless the streams are separate.
    Stdout,
    /// Standard error, if the streams are separate.
    Stderr,
}

/// Receives the reports of a process. Called without a lock, on threads of the library.
pub(crate) trait Observer: Send + Sync {
    /// The leader has ended.
    fn ended(&self, id: Id, about: &About);
    /// Every output is closed.
    fn output_closed(&self, id: Id, about: &About);
    /// The leader has ended and every output is closed.
    fn done(&self, id: Id, about: &About);
    /// A background stop has ended.
    fn stopped(&self, id: Id, about: &About);
    /// A failure that no call can report.
    fn warn(&self, text: &str);
}

/// The settings and services that a process gets from its manager.
pub(crate) struct Settings {
    pub(crate) max_line_bytes: usize,
    pub(crate) stop_grace: Duration,
    /// The instance id of the manager.
    pub(crate) instance: Id,
    pub(crate) asked: Arc<Asked>,
    /// Set when a close of the manager or of a scope has not ended every process.
    pub(crate) close_signal: Arc<CloseSignal>,
    pub(crate) threads: Arc<Threads>,
    pub(crate) observer: Box<dyn Observer>,
    pub(crate) slot: Option<Slot>,
}

/// A process that was started. The record stays after the process has ended.
pub(crate) struct ProcessInner {
    pub(crate) id: Id,
    pub(crate) pid: Pid,
    pub(crate) about: Arc<About>,
    host_pid: u32,
    exit: ExitState,
    group: Group,
    outputs: Vec<Arc<Output>>,
    /// The sources of the outputs. The reader's task owns them, and drops each before its output is closed.
    sources: Vec<Weak<Source>>,
    /// The poller of the reader thread. It may be dropped before this process is.
    reader_poller: Weak<Poller>,
    /// The reader must drain the pipes, and read no more after that.
    detached: AtomicBool,
    max_line_bytes: usize,
    stop_grace: Duration,
    instance: Id,
    /// The processes that stops have sent TERM, of all processes of the manager.
    asked: Arc<Asked>,
    close_signal: Arc<CloseSignal>,
    /// A stop has sent TERM to the group.
    was_sent_term: AtomicBool,
    /// The stops on threads of the library that are under way. A leaf.
    background_stops: Mutex<Vec<BackgroundStop>>,
    threads: Arc<Threads>,
    observer: Box<dyn Observer>,
    /// `None`, which frees the slot, when the leader and every output have ended. A leaf.
    slot: Mutex<Option<Slot>>,
    /// The number of the two tasks that are not done.
    tasks: AtomicUsize,
}

/// A stop on a thread of the library.
struct BackgroundStop {
    /// When it sends KILL; `None` is never.
    kill_at: Option<Instant>,
    /// Disconnected when the stop is over.
    over: Receiver<()>,
}

impl ProcessInner {
    /// What the cookies of everything that belongs to it say.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            instance: self.instance,
            id: self.id,
        }
    }

    /// Whether a process whose group has the number of this one's is a member of it.
    fn has_member(&self, pid: Pid) -> bool {
        let leader_end = self.exit.now().map(|end| end.ticks);
        self.group.has_member(pid, leader_end)
    }

    /// The status at this moment.
    pub(crate) fn status(&self) -> Status {
        // The exit state is read before the outputs, so that the byte count of an ended process
        // includes everything that its leader wrote.
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

    /// Fails in a forked copy of the host, before any lock is taken: a copied lock may be held for
    /// ever.
    pub(crate) fn check_host(&self) -> Result<(), Error> {
        if self.host_pid == std::process::id() {
            Ok(())
        } else {
            Err(Error::Forked)
        }
    }

    /// Signals the group, or, after the end of the leader, each survivor.
    pub(crate) fn signal(self: &Arc<Self>, signal: Signal) -> Result<(), Error> {
        let number = signal.number();
        let sent = self.signal_unreaped(number, |requests| {
            requests.signal(number, signal.asks_to_end());
        });
        if let Some(sent) = sent {
            return sent.map_err(|error| Error::io(format!("cannot send {signal}"), error));
        }
        // The leader has ended, so a scan finds each survivor and signals it. A signal to the group as
        // a whole would also succeed if only unreaped zombies were left.
        let this = std::slice::from_ref(self);
        let (mut is_signalled, mut is_refused) = (false, false);
        let found =
            sweep::find(
                &Targets::new(this, None),
                Deadline::NEVER,
                |survivor| match survivor.signal(number) {
                    Sent::Delivered => is_signalled = true,
                    Sent::Refused => is_refused = true,
                    Sent::Ended => {}
                },
            );
        let scan_error = match found {
            Ok(result) => result.scan_error,
            Err(error) => Some(error),
        };
        // The scan was incomplete and has found no process, so the group is signalled as a whole.
        let signals_group = || {
            self.group
                .signal_through_pidfd(number)
                .is_some_and(|sent| sent.is_ok())
        };
        match scan_error {
            None if is_signalled => Ok(()),
            None if is_refused => {
                let what = format!("cannot send {signal}");
                Err(Error::io(what, sys::not_permitted()))
            }
            None => Err(Error::NotRunning { id: self.id }),
            Some(_) if !is_signalled && signals_group() => Ok(()),
            Some(error) => {
                let what = "cannot look for all that is left of the process";
                Err(Error::io(what, error))
            }
        }
    }

    /// Sends `signal` to the group. Records `by` as the reason if the leader is alive. True if the signal was
    /// sent.
    pub(crate) fn signal_for_end(&self, by: EndedBy, signal: i32) -> bool {
        self.signal_unreaped(signal, |requests| requests.end(by))
            .is_some_and(|sent| sent.is_ok())
    }

    /// Signals the group while the leader is not reaped, so that the group is certain to be ours. `ask`
    /// records the request, unless the leader has exited. `None` if no signal was sent, because the end is
    /// recorded, or because the leader was reaped elsewhere and its group cannot be signalled.
    ///
    /// The leader is reaped under the exit state's lock, which is held here, so it is at least a zombie
    /// until the signal is sent. If another part of the host has reaped it (`waitpid(-1)`), only the
    /// pidfd is used.
    fn signal_unreaped(
        &self,
        number: i32,
        ask: impl FnOnce(&mut StopRequests),
    ) -> Option<std::io::Result<()>> {
        self.exit
            .with_unreaped(|requests| {
                match presence(publish::child(&self.group.leader_pidfd(), self.pid)) {
                    Presence::Gone => self.group.signal_through_pidfd(number),
                    Presence::Zombie => Some(self.group.signal_unreaped_group(number)),
                    Presence::Alive => {
                        ask(requests);
                        let sent = self.group.signal_unreaped_group(number);
                        // The leader may have moved to another group.
                        let has_moved = group_of(self.pid).is_ok_and(|group| group != self.pid);
                        Some(match has_moved {
                            true => self.group.signal_unreaped_leader(number),
                            false => sent,
                        })
                    }
                }
            })
            .flatten()
    }

    /// Ends it on the calling thread, with everything that it left behind.
    fn terminate(self: &Arc<Self>, by: EndedBy, grace: Duration) -> TerminationOutcome {
        terminate(std::slice::from_ref(self), None, by, grace, &self.asked)
    }

    /// Stops a process that has not ended, and waits for the stop until the deadline. After the
    /// deadline the stop continues in the background.
    pub(crate) fn stop_until(
        self: &Arc<Self>,
        by: EndedBy,
        deadline: Deadline,
    ) -> std::io::Result<()> {
        if self.exit.now().is_some() {
            return Ok(());
        }
        let over = self.stop_in_background(by, self.stop_grace)?;
        match deadline.instant() {
            Some(at) => drop(over.recv_deadline(at)),
            None => drop(over.recv()),
        }
        Ok(())
    }

    /// Stops the process on another thread, for callers that must not wait. The returned channel is
    /// disconnected when the stop is over.
    ///
    /// If a stop is under way that sends KILL no later, no other one is begun: a caller that repeats a
    /// request would need a thread for each.
    fn stop_in_background(
        self: &Arc<Self>,
        by: EndedBy,
        grace: Duration,
    ) -> std::io::Result<Receiver<()>> {
        let kill_at = Deadline::after(grace).instant();
        let is_soon_enough = |stop: &&BackgroundStop| match (stop.kill_at, kill_at) {
            (Some(under_way), Some(asked)) => under_way <= asked,
            (under_way, asked) => under_way.is_some() || asked.is_none(),
        };
        let mut stops = self.background_stops.lock();
        if let Some(stop) = stops.iter().find(is_soon_enough) {
            return Ok(stop.over.clone());
        }
        let (done, over) = crossbeam_channel::bounded::<()>(0);
        let own = over.clone();
        let process = Arc::clone(self);
        self.threads.spawn_thread(move || {
            // Removed also after a panic.
            let under_way = UnderWay(&process, own);
            process.terminate(by, grace);
            // Before the event: a stop that is attached to this one is told by the same event.
            drop(under_way);
            process.observer.stopped(process.id, &process.about);
            drop(done);
        })?;
        stops.push(BackgroundStop {
            kill_at,
            over: over.clone(),
        });
        Ok(over)
    }

    /// Called by the timer thread when the time limit is reached. It does not wait for the grace
    /// period.
    pub(crate) fn reach_limit(self: &Arc<Self>) {
        if self
            .stop_in_background(EndedBy::Limit, self.stop_grace)
            .is_err()
        {
            // Out of threads to wait for a grace period: KILL at once.
            self.signal_for_end(EndedBy::Limit, KILL);
        }
    }
}

/// A background stop of a process, until it is dropped.
struct UnderWay<'a>(&'a ProcessInner, Receiver<()>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut stops = self.0.background_stops.lock();
        stops.retain(|stop| !stop.over.same_channel(&self.1));
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
