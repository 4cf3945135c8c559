//! The tasks of the two threads of a process, from its start to its end.
//!
//! The reader's task ends with the last output, the reaper's with the leader. Each reports its own end
//! to the observer; the later one also reports that both are done. The end is published by the thread
//! that is first to see the leader's exit: the reaper, or a caller in `wait`. The reaper is woken in
//! either case, and the ends are reported by the two threads only, so nothing depends on the thread of
//! a caller.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::group::Group;
use super::publish::child;
use super::{ProcessInner, Settings};
use crate::error::Error;
use crate::exit::ExitState;
use crate::id::Id;
use crate::output::{Output, Sizes};
use crate::reader::{ReadOutcome, Source};
use crate::spawn::no_pipe;
use crate::status::About;
use crate::sys::child::wait_exit;
use crate::sys::pidfd::PidFd;
use crate::sys::poller::{Interest, Poller, Wakeup};
use crate::sys::signal::KILL;
use crate::sys::spawn::Spawned;
use crate::threads::{AcquiredPair, Progress, Threads};

/// The threads and outputs of a process, acquired before its leader is spawned. After the spawn, no error
/// fails the start: if the pidfd cannot be registered, the reaper blocks in `waitid`.
pub(crate) struct Preparation {
    pair: AcquiredPair,
    outputs: Vec<Arc<Output>>,
    sources: Vec<Arc<Source>>,
}

impl Preparation {
    /// Acquires a pair of threads, and makes an output for each pipe.
    pub(crate) fn new(
        threads: &Arc<Threads>,
        pipes: Vec<OwnedFd>,
        sizes: Sizes,
    ) -> Result<Self, Error> {
        let pair = AcquiredPair::acquire(threads)?;
        let (mut outputs, mut sources) = (Vec::new(), Vec::new());
        for pipe in pipes {
            let output = Arc::new(Output::new(sizes, Vec::new()));
            let source = Source::new(pipe, Arc::clone(&output), Arc::clone(pair.reader_poller()));
            sources.push(Arc::new(source.map_err(no_pipe)?));
            outputs.push(output);
        }
        Ok(Preparation {
            pair,
            outputs,
            sources,
        })
    }
}

/// The tasks of the two threads of a process, before they are started.
pub(crate) struct ProcessTasks {
    pair: AcquiredPair,
    read_task: ReadTask,
    reap_task: ReapTask,
}

impl ProcessInner {
    /// Makes the process of a leader that was just spawned. [`ProcessTasks::start`] starts its tasks.
    pub(crate) fn new(
        id: Id,
        spawned: Spawned,
        preparation: Preparation,
        about: About,
        settings: Settings,
    ) -> (Arc<Self>, ProcessTasks) {
        let Preparation {
            pair,
            outputs,
            sources,
        } = preparation;
        let process = Arc::new(ProcessInner {
            id,
            pid: spawned.pid,
            host_pid: std::process::id(),
            exit: ExitState::new(),
            group: Group::new(spawned),
            outputs,
            sources: sources.iter().map(Arc::downgrade).collect(),
            reader_poller: Arc::downgrade(pair.reader_poller()),
            detached: AtomicBool::new(false),
            max_line_bytes: settings.max_line_bytes,
            stop_grace: settings.stop_grace,
            instance: settings.instance,
            asked: settings.asked,
            close_signal: settings.close_signal,
            was_sent_term: AtomicBool::new(false),
            background_stops: Mutex::default(),
            threads: settings.threads,
            observer: settings.observer,
            slot: Mutex::new(settings.slot),
            tasks: AtomicUsize::new(2),
            about: Arc::new(about),
        });
        let tasks = ProcessTasks {
            read_task: ReadTask {
                process: Arc::clone(&process),
                sources: sources.into_iter().enumerate().collect(),
            },
            reap_task: ReapTask {
                process: Arc::clone(&process),
                leader_pidfd: process.group.leader_pidfd(),
                reaper_poller: Arc::clone(pair.reaper_poller()),
                is_registered: false,
            },
            pair,
        };
        (process, tasks)
    }

    /// Re-arms the pipes for the reader, which has found a lossless output full. See [`Source::arm`].
    pub(super) fn rearm_pipes(&self) {
        for source in self.sources.iter().filter_map(|source| source.upgrade()) {
            source.arm();
        }
    }

    /// Makes the reader drain the pipes and close the outputs, even if other processes hold the pipes.
    pub(crate) fn detach_output(&self) {
        self.detached.store(true, Ordering::Release);
        if let Some(poller) = self.reader_poller.upgrade() {
            poller.wake();
        }
    }

    /// Kills the group because a task has panicked: without it, the process would not be read or reaped.
    fn kill(&self) {
        self.signal_unreaped(KILL, |_| ());
    }

    fn warn_of_failure(&self, thread: &str) {
        let text = format!("the {thread} of process {} failed: it was killed", self.id);
        self.observer.warn(&text);
    }

    /// Called when one of the two tasks is done.
    fn task_done(self: &Arc<Self>) {
        if self.tasks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.observer.done(self.id, &self.about);
            self.close_group_pidfd();
        }
    }

    /// Closes the leader's pidfd if the process is done and its group has no members.
    pub(super) fn close_pidfd_if_done(&self) {
        if self.tasks.load(Ordering::Acquire) == 0 {
            self.group.close_pidfd_if_empty();
        }
    }

    /// Closes the leader's pidfd, now or on another thread, unless members of the group run on.
    fn close_group_pidfd(self: &Arc<Self>) {
        if self.group.close_pidfd_if_empty() {
            return;
        }
        // This takes up to a second, and this thread may be needed for another process. If no other
        // thread can be made, the pidfd stays open.
        let process = Arc::clone(self);
        let _ = self
            .threads
            .spawn_thread(move || process.group.wait_and_close_pidfd());
    }
}

impl ProcessTasks {
    /// Starts the two tasks and registers the descriptors. The reader is woken by the first byte, the
    /// reaper by the exit of the leader; this call wakes neither. If the pidfd cannot be polled, it
    /// wakes the reaper, which then blocks in `waitid`.
    pub(crate) fn start(self) {
        let ProcessTasks {
            pair,
            mut read_task,
            mut reap_task,
        } = self;
        let leader_pidfd = reap_task.leader_pidfd.clone();
        let reaper_poller = Arc::clone(&reap_task.reaper_poller);
        let sources: Vec<_> = read_task
            .sources
            .iter()
            .map(|(_, source)| source)
            .cloned()
            .collect();
        // Registered before the task is stored. If the leader has exited, its pidfd stays readable until
        // the task runs.
        let is_registered = leader_pidfd
            .as_ref()
            .and_then(|pidfd| pidfd.pollable())
            .is_some_and(|pidfd| reaper_poller.add(pidfd, Interest::Readable).is_ok());
        reap_task.is_registered = is_registered;
        pair.start(
            Box::new(move |_| read_task.run()),
            Box::new(move |wakeup| reap_task.run(wakeup)),
        );
        sources.iter().for_each(|source| source.arm());
        if !is_registered {
            reaper_poller.wake();
        }
    }
}

/// The task of the reader thread.
struct ReadTask {
    process: Arc<ProcessInner>,
    /// The sources that have not ended, with the indices of their outputs.
    sources: Vec<(usize, Arc<Source>)>,
}

impl ReadTask {
    /// Reads all pipes until they are empty, and closes those that have ended.
    fn run(&mut self) -> Progress {
        let mut are_more = true;
        while are_more && !self.sources.is_empty() {
            are_more = false;
            let is_detached = self.process.detached.load(Ordering::Acquire);
            // In place: a thread that has no memory can still read.
            let mut index = 0;
            while let Some((_, source)) = self.sources.get(index) {
                let outcome = match is_detached {
                    true => source.drain(),
                    false => source.read_available(),
                };
                are_more |= outcome == ReadOutcome::More;
                if is_detached || outcome == ReadOutcome::Ended {
                    let (number, source) = self.sources.remove(index);
                    source.deregister();
                    // The descriptor is closed before the output is.
                    drop(source);
                    self.process.close_output(&self.process.outputs[number]);
                } else {
                    index += 1;
                }
            }
        }
        match self.sources.is_empty() {
            true => Progress::Done,
            false => Progress::Waiting,
        }
    }
}

impl Drop for ReadTask {
    /// Closes the outputs when the task ends, also after a panic, so that no output stays open without
    /// a reader.
    fn drop(&mut self) {
        let process = &self.process;
        let has_failed = process.output_open();
        if has_failed {
            process.kill();
        }
        self.sources.clear();
        for output in &process.outputs {
            process.close_output(output);
        }
        if has_failed {
            process.warn_of_failure("reader");
        }
        process.observer.output_closed(process.id, &process.about);
        process.task_done();
    }
}

/// The task of the reaper thread.
struct ReapTask {
    process: Arc<ProcessInner>,
    leader_pidfd: Option<Arc<PidFd>>,
    reaper_poller: Arc<Poller>,
    /// Whether the reaper polls the pidfd.
    is_registered: bool,
}

impl ReapTask {
    /// Publishes the end. Waits for the exit first if the pidfd is not polled.
    fn run(&mut self, wakeup: Wakeup) -> Progress {
        let process = &self.process;
        if self.is_registered && wakeup != Wakeup::Ready {
            return Progress::Waiting;
        }
        if self.is_registered && process.record_end() {
            return Progress::Done;
        }
        // There is no pidfd to poll, or the tracer of the leader gets its exit first. An error means that
        // the status is lost. Then the pid may be reused, and is not used again.
        while wait_exit(child(&self.leader_pidfd, process.pid)).is_ok() {
            if process.record_end() {
                return Progress::Done;
            }
        }
        process.record_lost();
        Progress::Done
    }
}

impl Drop for ReapTask {
    /// Publishes an end when the task ends, also after a panic, so that no caller waits for ever.
    fn drop(&mut self) {
        let process = &self.process;
        let pidfd = self.leader_pidfd.as_ref();
        if let Some(pidfd) = pidfd.and_then(|pidfd| pidfd.pollable()) {
            self.reaper_poller.remove(pidfd);
        }
        let has_failed = process.exit.now().is_none();
        if has_failed {
            process.kill();
            process.record_lost();
            process.warn_of_failure("reaper");
        }
        process.after_record();
        process.observer.ended(process.id, &process.about);
        process.task_done();
    }
}
