//! What the two threads of a process do, from its start to its end.
//!
//! The reader's work ends with the last output, the reaper's with the leader. Each of them tells the observer of its own end;
//! the last one of what follows both. An end is published by whichever thread finds it first: the reaper's, or one that waits
//! for it. What depends on that happens on the threads of the process in any case, because they are woken too: nothing depends
//! on the thread of a caller.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::group::Group;
use super::{ProcessInner, Settings};
use crate::error::Error;
use crate::exit::{ExitRecord, ExitState};
use crate::id::Id;
use crate::output::{Output, Sizes};
use crate::reader::{ReadOutcome, Source};
use crate::reaper;
use crate::spawn::no_pipe;
use crate::status::About;
use crate::sys::child::{Child, Pid, wait_exit};
use crate::sys::descriptor::{PollFd, poll};
use crate::sys::pidfd::PidFd;
use crate::sys::poller::{Interest, Poller, Wakeup};
use crate::sys::signal::KILL;
use crate::sys::spawn::Spawned;
use crate::threads::{Progress, ThreadPair, Threads};
use crate::time::Deadline;

/// What serves a process, all of it taken before its leader is spawned: nothing that can fail is left for after that.
pub(crate) struct Preparation {
    pair: ThreadPair,
    outputs: Vec<Arc<Output>>,
    sources: Vec<Arc<Source>>,
}

impl Preparation {
    /// Takes a pair of threads, and gives each pipe an output.
    pub(crate) fn new(
        threads: &Arc<Threads>,
        pipes: Vec<OwnedFd>,
        sizes: Sizes,
    ) -> Result<Self, Error> {
        let pair = ThreadPair::acquire(threads)?;
        let (mut outputs, mut sources) = (Vec::new(), Vec::new());
        for pipe in pipes {
            let output = Arc::new(Output::new(sizes, Vec::new()));
            let source = Source::new(pipe, Arc::clone(&output), Arc::clone(pair.reader()));
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

/// The work of the two threads of a process, not begun.
pub(crate) struct Works {
    pair: ThreadPair,
    reading: Reading,
    reaping: Reaping,
}

impl ProcessInner {
    /// Takes charge of a leader that was just spawned. [`Works::begin`] sets its threads to work.
    pub(crate) fn new(
        id: Id,
        leader: Spawned,
        preparation: Preparation,
        about: About,
        settings: Settings,
    ) -> (Arc<Self>, Works) {
        let Preparation {
            pair,
            outputs,
            sources,
        } = preparation;
        let process = Arc::new(ProcessInner {
            id,
            pid: leader.pid,
            host: std::process::id(),
            exit: ExitState::new(),
            group: Group::new(leader),
            outputs,
            sources: sources.iter().map(Arc::downgrade).collect(),
            reader: Arc::downgrade(pair.reader()),
            detached: AtomicBool::new(false),
            max_line_bytes: settings.max_line_bytes,
            stop_grace: settings.stop_grace,
            threads: settings.threads,
            observer: settings.observer,
            slot: Mutex::new(settings.slot),
            works: AtomicUsize::new(2),
            about: Arc::new(about),
        });
        let works = Works {
            reading: Reading {
                process: Arc::clone(&process),
                sources: sources.into_iter().enumerate().collect(),
            },
            reaping: Reaping {
                process: Arc::clone(&process),
                leader: process.group.leader(),
                reaper: Arc::clone(pair.reaper()),
            },
            pair,
        };
        (process, works)
    }

    /// Waits for the end; `None` when the deadline comes first.
    ///
    /// The caller is woken by the exit itself, as the reaper is, and publishes the end if it is scheduled first: to wait until
    /// the reaper has done it would be a second wake-up.
    pub(super) fn wait(&self, deadline: Deadline) -> Option<ExitRecord> {
        let leader = self.group.leader();
        if let Some(leader) = leader.as_ref().and_then(|leader| leader.pollable()) {
            while self.exit.now().is_none() && !deadline.passed() {
                let mut set = [PollFd::readable(leader)];
                if poll(&mut set, deadline.left()).is_err() || set[0].hung_up() {
                    break;
                }
                // A traced leader cannot be reaped yet: the reaper's thread waits for that.
                if set[0].has_input() && !self.publish_exit() {
                    break;
                }
            }
        }
        self.exit.wait(deadline)
    }

    /// Publishes the end of a leader that has exited, once. All that it wrote is in the outputs before. True if the end is
    /// published, now or before; false if the leader cannot be reaped yet.
    fn publish_exit(&self) -> bool {
        if self.exit.now().is_some() {
            return true;
        }
        self.drain();
        let leader = self.group.leader();
        let leader = child(&leader, self.pid);
        let is_ended = reaper::reap(leader, &self.exit, || self.free_slot());
        if is_ended {
            self.after_exit();
        }
        is_ended
    }

    /// The status of the leader is lost.
    fn publish_lost(&self) {
        self.drain();
        self.exit.end(|| {
            self.free_slot();
            Some(reaper::lost())
        });
        self.after_exit();
    }

    /// What follows the record of the end, done by whichever thread has found it: no harm comes of doing it twice.
    fn after_exit(&self) {
        // An output may have been closed since the look that preceded the record.
        self.free_slot();
        // Followers end at the end of the process, and find it recorded.
        self.outputs
            .iter()
            .for_each(|output| output.process_ended());
    }

    /// Takes what is in the pipes, and closes the outputs that have ended.
    fn drain(&self) {
        for (source, output) in self.sources.iter().zip(&self.outputs) {
            // The reader drops a source that has ended, and closes its output after that.
            let source = source.upgrade();
            if source.is_none_or(|source| source.drain() == ReadOutcome::Ended) {
                self.close_output(output);
            }
        }
    }

    /// Closes an output that has ended. If the leader has ended too, this may have been the last one.
    fn close_output(&self, output: &Output) {
        output.close();
        if self.exit.now().is_some() {
            self.free_slot();
        }
    }

    /// Frees the slot if every output is closed. The leader has ended, or its end is recorded right after this.
    ///
    /// The last output may be closed by one thread while another one records the end. Each looks at the other's part after it
    /// has done its own, so that one of them finds both.
    fn free_slot(&self) {
        if !self.output_open() {
            drop(self.slot.lock().take());
        }
    }

    /// Lets the reader go on that found a lossless output full.
    pub(super) fn resume_reading(&self) {
        for source in self.sources.iter().filter_map(|source| source.upgrade()) {
            source.arm();
        }
    }

    /// Lets the reader take what is in the pipes and close the outputs, even if other processes hold the pipes.
    pub(crate) fn detach_output(&self) {
        self.detached.store(true, Ordering::Release);
        if let Some(reader) = self.reader.upgrade() {
            reader.wake();
        }
    }

    /// One of the threads cannot go on, after a defect: the process is not left without it.
    fn fail(&self, thread: &str) {
        self.signal_unreaped(KILL, |_| ());
        let text = format!("the {thread} of process {} failed: it was killed", self.id);
        self.observer.warn(&text);
    }

    /// One of the two works is over.
    fn work_done(self: &Arc<Self>) {
        if self.works.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.observer.done(self.id, &self.about);
            self.release_group();
        }
    }

    fn release_group(self: &Arc<Self>) {
        if self.group.release_if_empty() {
            return;
        }
        // That takes a while, and this thread may be needed for another process. Without another thread the group stays within
        // reach.
        let process = Arc::clone(self);
        let _ = self.threads.spawn(move || process.group.release());
    }
}

/// How the leader is waited for: by its pidfd, or else by its number.
fn child(leader: &Option<Arc<PidFd>>, pid: Pid) -> Child<'_> {
    let descriptor = leader.as_ref().and_then(|leader| leader.pollable());
    descriptor.map_or(Child::Number(pid), Child::Descriptor)
}

impl Works {
    /// Sets the two threads to work: the reader from the first byte on, the reaper at the exit of the leader. No thread is woken
    /// before, but for a leader whose exit can only be waited for in a call that blocks.
    pub(crate) fn begin(self) {
        let Works {
            pair,
            mut reading,
            mut reaping,
        } = self;
        let leader = reaping.leader.clone();
        let reaper = Arc::clone(&reaping.reaper);
        let sources: Vec<_> = reading
            .sources
            .iter()
            .map(|(_, source)| source)
            .cloned()
            .collect();
        pair.start(
            Box::new(move |_| reading.run()),
            Box::new(move |wakeup| reaping.run(wakeup)),
        );
        sources.iter().for_each(|source| source.arm());
        let registered = leader
            .as_ref()
            .and_then(|leader| leader.pollable())
            .is_some_and(|leader| reaper.add(leader, Interest::Readable).is_ok());
        if !registered {
            reaper.wake();
        }
    }
}

/// The reader's work.
struct Reading {
    process: Arc<ProcessInner>,
    /// What has not ended, with the numbers of the outputs.
    sources: Vec<(usize, Arc<Source>)>,
}

impl Reading {
    /// Reads what there is in all pipes, and closes those that have ended.
    fn run(&mut self) -> Progress {
        let mut are_more = true;
        while are_more && !self.sources.is_empty() {
            are_more = false;
            let is_detached = self.process.detached.load(Ordering::Acquire);
            for (number, source) in std::mem::take(&mut self.sources) {
                let outcome = match is_detached {
                    true => source.drain(),
                    false => source.read_available(),
                };
                are_more |= outcome == ReadOutcome::More;
                if is_detached || outcome == ReadOutcome::Ended {
                    source.deregister();
                    // The descriptor goes before the output is said to be closed.
                    drop(source);
                    self.process.close_output(&self.process.outputs[number]);
                } else {
                    self.sources.push((number, source));
                }
            }
        }
        match self.sources.is_empty() {
            true => Progress::Done,
            false => Progress::Waiting,
        }
    }
}

impl Drop for Reading {
    /// Whatever ends the work, no output stays open that no thread reads.
    fn drop(&mut self) {
        let process = &self.process;
        if process.output_open() {
            process.fail("reader");
        }
        self.sources.clear();
        for output in &process.outputs {
            process.close_output(output);
        }
        process.observer.output_closed(process.id, &process.about);
        process.work_done();
    }
}

/// The reaper's work.
struct Reaping {
    process: Arc<ProcessInner>,
    leader: Option<Arc<PidFd>>,
    reaper: Arc<Poller>,
}

impl Reaping {
    /// Publishes the end; waits for it first if the pidfd has not told of it.
    fn run(&mut self, wakeup: Wakeup) -> Progress {
        let process = &self.process;
        if wakeup != Wakeup::Ready || !process.publish_exit() {
            // There is no pidfd to wait for, or the tracer of the leader gets its exit first. An error means that the status is
            // lost; then the number may be another child's, and is not used again.
            match wait_exit(child(&self.leader, process.pid)) {
                Ok(()) => _ = process.publish_exit(),
                Err(_) => process.publish_lost(),
            }
        }
        Progress::Done
    }
}

impl Drop for Reaping {
    /// Whatever ends the work, no caller waits for ever.
    fn drop(&mut self) {
        let process = &self.process;
        if let Some(leader) = self.leader.as_ref().and_then(|leader| leader.pollable()) {
            self.reaper.remove(leader);
        }
        if process.exit.now().is_none() {
            process.fail("reaper");
            process.publish_lost();
        }
        process.after_exit();
        process.observer.ended(process.id, &process.about);
        process.work_done();
    }
}
