//! One process: the only place where reading and reaping meet.
//!
//! Owns the life of the leader, the outputs, and what its threads are to do. Promises: an end is published after
//! all that the leader wrote is in the outputs; every caller that waits is woken by the end; nothing is signalled that
//! may not be ours. Knows nothing of the table that it stands in but an [`Observer`].
//!
//! Lock order: the life's lock is never held together with the others. The desk's comes before that of an output and that of
//! the threads.

mod ending;
mod follow;
mod group;
mod handle;
mod reading;
mod stand_in;
#[cfg(test)]
mod tests;

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::{Error, Step};
use crate::id::Id;
use crate::life::{Asked, End, Life};
use crate::output::{Lookout, Output, Sizes};
use crate::reader;
use crate::reaper;
use crate::signal::Signal;
use crate::status::{About, EndedBy, State, Status};
use crate::sweep;
use crate::sys;
use crate::sys::child::{Child, Pid, Presence, presence};
use crate::sys::signal::KILL;
use crate::threads::{Call, Place, Pool};
use crate::time::Deadline;

use ending::Targets;
pub(crate) use ending::{end_orphans, terminate};
pub use follow::Follow;
use group::Group;
pub use handle::Process;
pub(crate) use handle::Source;
use reading::Reading;
use stand_in::StandIn;

/// A stream of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output; standard error too, unless the streams are separate.
    Stdout,
    /// Standard error, if the streams are separate.
    Stderr,
}

/// Is told what happens to a process. Called without a lock, on the process's own threads or on that of a caller that waits.
pub(crate) trait Observer: Send + Sync {
    /// The leader has ended.
    fn ended(&self, id: Id, about: &About);
    /// Every output is closed.
    fn output_closed(&self, id: Id, about: &About);
    /// The leader has ended and every output is closed.
    fn done(&self, id: Id, about: &About);
    /// A stop in the background is over.
    fn stopped(&self, id: Id, about: &About);
    /// Whether there is somebody who is told of these, and does not ask.
    fn is_awaited(&self, about: &About) -> bool;
}

/// What a process needs of its manager.
pub(crate) struct Settings {
    pub(crate) sizes: Sizes,
    pub(crate) max_line_bytes: usize,
    pub(crate) stop_grace: Duration,
    pub(crate) pool: Arc<Pool>,
    pub(crate) observer: Box<dyn Observer>,
}

/// A process that was started, and stays what it is after it has ended.
pub(crate) struct Inner {
    pub(crate) id: Id,
    pub(crate) pid: Pid,
    pub(crate) about: Arc<About>,
    host: u32,
    life: Life,
    group: Group,
    outputs: Vec<Arc<Output>>,
    max_line_bytes: usize,
    stop_grace: Duration,
    pool: Arc<Pool>,
    observer: Box<dyn Observer>,
    /// How many of leader and outputs have not ended.
    open: AtomicUsize,
    /// What the threads are to do, and what they are called by. The threads' lock and that of an output are taken while it is
    /// held, and no other.
    desk: Mutex<Desk>,
}

struct Desk {
    /// For the reader's job; `None` before there is one and once it is over.
    read: Option<Call>,
    /// Where the outputs come from, until they are closed.
    sources: Vec<Weak<reader::Source>>,
    /// Take what is in the pipes, and read no more.
    abandon: bool,
    /// For the reaper's job; `None` before there is one and once it has begun.
    reap: Option<Call>,
    /// It is called by the exit.
    hears_exit: bool,
    /// Who does the threads' work.
    stand_in: Option<Arc<StandIn>>,
    /// Nobody may stand in any more.
    threads_only: bool,
}

/// The threads, which must be had before the leader may be started, so that nothing can fail after it was.
#[derive(Debug)]
pub(crate) struct Crew {
    reader: Place,
    reaper: Place,
}

impl Crew {
    pub(crate) fn gather(pool: &Arc<Pool>) -> Result<Self, Error> {
        let thread = |what| {
            move |error: std::io::Error| match error.raw_os_error().map(sys::failure) {
                Some(sys::Failure::Descriptors) => {
                    let what = "descriptor for its threads to wait with";
                    Error::spawn(Step::Pipe, what, error)
                }
                _ => Error::spawn(Step::Thread, what, error),
            }
        };
        Ok(Crew {
            reader: pool.place().map_err(thread("its reader"))?,
            reaper: pool.place().map_err(thread("its reaper"))?,
        })
    }
}

impl Inner {
    /// Takes charge of a leader that was just spawned. [`attend`](Inner::attend) sets the crew to work.
    pub(crate) fn new(
        id: Id,
        pid: Pid,
        streams: usize,
        about: About,
        settings: Settings,
    ) -> Arc<Self> {
        Arc::new(Inner {
            id,
            pid,
            host: std::process::id(),
            life: Life::new(),
            group: Group::new(pid),
            outputs: (0..streams)
                .map(|_| Arc::new(Output::new(settings.sizes)))
                .collect(),
            max_line_bytes: settings.max_line_bytes,
            stop_grace: settings.stop_grace,
            pool: settings.pool,
            observer: settings.observer,
            open: AtomicUsize::new(1 + streams),
            desk: Mutex::new(Desk {
                read: None,
                sources: Vec::new(),
                abandon: false,
                reap: None,
                hears_exit: false,
                stand_in: None,
                threads_only: false,
            }),
            about: Arc::new(about),
        })
    }

    /// Sets the reader to work from the moment on at which there is something in a pipe, or nobody who could write; and the
    /// reaper from the exit of the leader on. Nobody is woken before.
    pub(crate) fn attend(self: &Arc<Self>, crew: Crew, readers: Vec<OwnedFd>) {
        let Crew { reader, reaper } = crew;
        let (read, reap) = (reader.call().clone(), reaper.call().clone());
        let sources: Vec<_> = readers
            .into_iter()
            .zip(&self.outputs)
            .map(|(pipe, output)| {
                let output = Arc::clone(output);
                Arc::new(reader::Source::new(pipe, output, read.entry().clone()))
            })
            .collect();
        let reading = Reading::new(self, &sources);
        reader.stand_by(|place| reading.run(place));
        let guard = ReaperGuard(Arc::clone(self));
        reaper.stand_by(|_place| {
            guard.0.reap();
            drop(guard);
        });
        // Both jobs look here first, and find all of it.
        let mut desk = self.desk.lock();
        desk.sources = sources.iter().map(Arc::downgrade).collect();
        desk.read = Some(read);
        desk.reap = Some(reap.clone());
        match self.group.leader() {
            Some(leader) => desk.listen_for_exit(&leader),
            // On older kernels the reaper has to wait for the exit itself.
            None => reap.now(),
        }
        // An order may have come before the reader.
        if !desk.listen() || desk.abandon {
            desk.call_reader();
        }
    }

    /// The reaper's work.
    fn reap(&self) {
        let leader = self.group.leader();
        {
            // From now on nobody needs to be called for it.
            let mut desk = self.desk.lock();
            leader.iter().for_each(|leader| desk.ignore_exit(leader));
            desk.reap = None;
        }
        if self.life.now().is_some() {
            // A caller that waited has done it.
            return;
        }
        let leader = match &leader {
            Some(leader) => Child::Descriptor(leader.as_fd()),
            None => Child::Number(self.pid),
        };
        reaper::run(leader, &self.life, || self.drain());
    }

    /// Whether the leader has ended and every output is closed.
    pub(crate) fn is_done(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    /// Where things stand.
    pub(crate) fn status(&self) -> Status {
        self.check_stand_in();
        // The outputs after the life: an ended process is then never shown with less than it wrote.
        let end = self.life.now();
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

    /// For a caller that waits for bytes of a stream; `None` if it has no pipe any more. If he has made room in a full output,
    /// its reader goes on.
    fn lookout(&self, stream: Stream, resumed: bool) -> Option<Arc<dyn Lookout>> {
        let number = match stream {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
        };
        let mut desk = self.desk.lock();
        // Who stands in is woken by the same bytes, which would be one too many.
        desk.leave_to_threads();
        let source = desk.sources.get(number)?.upgrade()?;
        let is_first = !source.is_shared();
        let is_shared = !is_first || source.share().is_ok();
        if is_first || resumed {
            desk.resume_reading();
        }
        is_shared.then_some(source as _)
    }

    fn output_open(&self) -> bool {
        self.outputs.iter().any(|output| output.is_open())
    }

    /// Waits for the end; `None` when the deadline comes first.
    fn wait(&self, deadline: Deadline) -> Option<End> {
        if self.life.now().is_none() && !deadline.passed() {
            self.wait_for_exit(deadline);
        }
        self.life.wait(deadline)
    }

    /// Tells who follows an output that the process has ended.
    fn tell_outputs(&self) {
        self.outputs
            .iter()
            .for_each(|output| output.process_ended());
    }

    /// Refuses to work in a forked copy of the host, before any lock is touched: it may be held for ever there.
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
        self.check_stand_in();
        let sent = self.signal_running(number, |asked| asked.signal(number, signal.asks_to_end()));
        if let Some(sent) = sent {
            return sent.map_err(|error| Error::io(format!("cannot send {signal}"), error));
        }
        // The leader is gone, so each of what it left behind is found and told. The group as a whole would answer for
        // zombies too, which nobody has reaped yet.
        let this = std::slice::from_ref(self);
        let told = sweep::find(&Targets::new(this, None), |survivor| {
            survivor.signal(number)
        });
        let (is_told, unseen) = match told {
            Ok(sight) => (!sight.found.is_empty(), sight.unseen),
            Err(error) => (false, Some(error)),
        };
        // Where nobody was told, the group may be, which is better than nothing.
        let tells_group = || {
            self.group
                .signal_certain(number)
                .is_some_and(|sent| sent.is_ok())
        };
        match unseen {
            None if is_told => Ok(()),
            None => Err(Error::NotRunning { id: self.id }),
            Some(_) if !is_told && tells_group() => Ok(()),
            Some(error) => {
                let what = "cannot look for all that is left of the process";
                Err(Error::io(what, error))
            }
        }
    }

    /// Asks the group for its end on somebody's behalf. False if the leader has ended before.
    pub(crate) fn ask_to_end(&self, by: EndedBy, signal: i32) -> bool {
        self.signal_running(signal, |asked| asked.end(by))
            .is_some_and(|sent| sent.is_ok())
    }

    /// Signals the group while it is certain to be ours because the leader is not reaped. `ask` records who wanted it,
    /// unless the leader has exited already and only waits for the reaper.
    ///
    /// The reaper takes the life's lock to reap, and we hold it here, so the leader is at least a zombie until we have
    /// signalled. Somebody else in the host may have reaped it though (`waitpid(-1)`): then only a descriptor is certain.
    fn signal_running(
        &self,
        number: i32,
        ask: impl FnOnce(&mut Asked),
    ) -> Option<std::io::Result<()>> {
        self.life
            .while_running(|asked| match presence(Child::Number(self.pid)) {
                Presence::Gone => self.group.signal_certain(number),
                Presence::Zombie => Some(self.group.signal_pinned(number)),
                Presence::Alive => {
                    ask(asked);
                    Some(self.group.signal_pinned(number))
                }
            })
            .flatten()
    }

    /// What the reaper's thread leaves behind, in whichever way it goes: a process that has ended.
    fn leader_gone(self: &Arc<Self>) {
        // Does nothing but after a defect: whoever waits must not wait for ever.
        self.life.end(reaper::lost);
        // After the end, so that a reader that is told of it finds it.
        self.tell_outputs();
        self.observer.ended(self.id, &self.about);
        self.one_less();
    }

    fn output_gone(self: &Arc<Self>, output: &Output) {
        if output.close() {
            if !self.output_open() {
                self.observer.output_closed(self.id, &self.about);
            }
            self.one_less();
        }
    }

    /// The leader or an output is done with. The last of them tells the observer.
    fn one_less(self: &Arc<Self>) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.observer.done(self.id, &self.about);
            self.release_group();
        }
    }

    fn release_group(self: &Arc<Self>) {
        if self.group.release_if_empty() {
            return;
        }
        // That takes a while, and the thread may be that of a caller who waits for the end. Without another one the group
        // stays within reach.
        if let Ok(worker) = self.pool.worker() {
            let process = Arc::clone(self);
            worker.run(move || process.group.release());
        }
    }

    /// Stops a process that has not ended, and waits for that until the deadline. The stop itself goes on.
    pub(crate) fn stop_until(
        self: &Arc<Self>,
        by: EndedBy,
        deadline: Deadline,
    ) -> std::io::Result<()> {
        if self.life.now().is_some() {
            return Ok(());
        }
        let process = Arc::clone(self);
        let (done, over) = crossbeam_channel::bounded::<()>(0);
        self.pool.worker()?.run(move || {
            terminate(std::slice::from_ref(&process), None, by, process.stop_grace);
            // Dropped at the end, and by a panic too.
            drop(done);
        });
        match deadline.instant() {
            Some(at) => drop(over.recv_deadline(at)),
            None => drop(over.recv()),
        }
        Ok(())
    }

    /// Stops the process on a thread of its own, for callers that must not wait.
    fn stop_in_background(self: &Arc<Self>, by: EndedBy, grace: Duration) -> std::io::Result<()> {
        let process = Arc::clone(self);
        self.pool.worker()?.run(move || {
            terminate(std::slice::from_ref(&process), None, by, grace);
            process.observer.stopped(process.id, &process.about);
        });
        Ok(())
    }

    /// The time limit has come. Whoever keeps the time cannot wait out the grace period.
    pub(crate) fn reach_limit(self: &Arc<Self>) {
        if self.life.now().is_some() {
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

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.id)
            .field("pid", &self.pid)
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// Held by the reaper's job: whatever ends it, the process has ended.
struct ReaperGuard(Arc<Inner>);

impl Drop for ReaperGuard {
    fn drop(&mut self) {
        self.0.leader_gone();
    }
}
