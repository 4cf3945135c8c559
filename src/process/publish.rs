//! The end of a process, and the callers that wait for it.
//!
//! To publish the end is to record it in the exit state and to notify the callers that wait. The thread that
//! is first to see the exit of the leader does this: the reaper, or a caller in `wait`. Publishing is
//! idempotent, so the other thread may do it too. When a caller sees the end, everything that the leader
//! wrote is in the outputs, an output whose pipe no process holds is closed, and the slot is free if all
//! outputs are closed.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::ProcessInner;
use crate::error::Error;
use crate::exit::{ExitRecord, Waited};
use crate::output::Output;
use crate::reader::{ReadOutcome, Source};
use crate::reaper;
use crate::sys;
use crate::sys::child::{Child, Pid};
use crate::sys::descriptor::{EventFd, PollFd, poll};
use crate::sys::pidfd::PidFd;
use crate::time::Deadline;

/// How long the thread that publishes an end waits for the hang-up of a pipe, which a child of another start
/// may hold until its exec.
const HANGUP_TIMEOUT: Duration = Duration::from_millis(1);

/// Wakes the callers that poll for the end of a process when a close could not end every process of the
/// manager. One for each manager.
#[derive(Debug)]
pub(crate) struct CloseSignal(Mutex<Option<Arc<EventFd>>>);

impl CloseSignal {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(CloseSignal(Mutex::new(Some(Arc::new(EventFd::new()?)))))
    }

    /// Wakes the callers that poll, and each later one.
    pub(crate) fn set(&self) {
        if let Some(eventfd) = self.get() {
            eventfd.set();
        }
    }

    /// Closes the descriptor: every process has ended.
    pub(crate) fn release(&self) {
        self.0.lock().take();
    }

    fn get(&self) -> Option<Arc<EventFd>> {
        self.0.lock().clone()
    }
}

impl ProcessInner {
    /// Waits for the end. Fails with [`Error::Closed`] if a close could not end the leader.
    ///
    /// The caller polls the pidfd, as the reaper does, and publishes the end if it is scheduled first.
    /// Waiting for the reaper to publish it would cost a second wake-up. A close that fails wakes all callers
    /// that poll, of every process of the manager; these go on to wait on the condition variable.
    pub(super) fn wait(&self, deadline: Deadline) -> Result<Option<ExitRecord>, Error> {
        let pidfd = self.group.leader_pidfd();
        if let Some(pidfd) = pidfd.as_ref().and_then(|pidfd| pidfd.pollable()) {
            let close_signal = self.close_signal.get();
            while self.exit.now().is_none() && !deadline.passed() {
                let mut set = [
                    PollFd::readable(pidfd),
                    close_signal
                        .as_ref()
                        .map_or_else(PollFd::none, |signal| PollFd::readable(signal.as_fd())),
                ];
                let is_polled = poll(&mut set, deadline.left()).is_ok();
                if !is_polled || set[0].hung_up() || set[1].has_input() {
                    break;
                }
                // A traced leader cannot be reaped yet. The reaper waits until it can.
                if set[0].has_input() && !self.record_end() {
                    break;
                }
            }
        }
        match self.exit.wait_unless_abandoned(deadline) {
            Waited::Ended(record) => Ok(Some(record)),
            Waited::TimedOut => Ok(None),
            Waited::Abandoned => Err(Error::Closed),
        }
    }

    /// Wakes the callers that wait for the end if the leader could not be ended. The caller of this sets
    /// the manager's `close_signal` after it.
    pub(crate) fn abandon(&self) {
        self.exit.abandon();
    }

    /// Publishes the end of a leader that has exited, after everything that it wrote is in the outputs.
    /// Idempotent. True if the end is recorded, now or before; false if the leader cannot be reaped yet.
    pub(super) fn record_end(&self) -> bool {
        if self.exit.now().is_some() {
            return true;
        }
        self.drain();
        let pidfd = self.group.leader_pidfd();
        let leader = child(&pidfd, self.pid);
        let is_ended = reaper::reap(leader, &self.exit, || self.before_record());
        if is_ended {
            self.after_record();
        }
        is_ended
    }

    /// Publishes that the status of the leader is lost.
    pub(super) fn record_lost(&self) {
        self.drain();
        self.exit.end(|| {
            self.before_record();
            Some(reaper::lost())
        });
        self.after_record();
    }

    /// Frees the slot and marks the outputs, right before the end is recorded and under the same lock. So
    /// a caller that finds the record finds both done.
    fn before_record(&self) {
        self.free_slot();
        let outputs = self.outputs.iter();
        outputs.for_each(|output| output.set_process_ended());
    }

    /// Frees the slot and notifies the callers that wait, after the end is recorded. Idempotent: each thread
    /// that has seen the exit calls it.
    pub(super) fn after_record(&self) {
        // An output may have been closed since the check before the record.
        self.free_slot();
        let outputs = self.outputs.iter();
        outputs.for_each(|output| output.notify_process_ended());
    }

    /// Drains the pipes, and closes the outputs that have ended.
    fn drain(&self) {
        for (source, output) in self.sources.iter().zip(&self.outputs) {
            // The reader drops a source that has ended before it closes the output.
            let source = source.upgrade();
            if source.is_none_or(|source| drain_to_end(&source)) {
                self.close_output(output);
            }
        }
    }

    /// Closes an output that has ended. Frees the slot if the leader has ended and this was the last
    /// output.
    pub(super) fn close_output(&self, output: &Output) {
        output.close();
        if self.exit.now().is_some() {
            self.free_slot();
        }
    }

    /// Frees the slot if every output is closed. Called when the leader has ended, or right before its
    /// end is recorded.
    ///
    /// One thread may close the last output while another records the end. Each checks for the other's
    /// change after its own, so at least one of them sees both.
    fn free_slot(&self) {
        if !self.output_open() {
            drop(self.slot.lock().take());
        }
    }
}

/// Drains the pipe of a leader that has exited. True if no process holds the write end any more.
///
/// A child of another start may hold a copy of the write end until it closes the copy or executes its
/// program. So while the clone of another start is under way, this function waits up to [`HANGUP_TIMEOUT`]
/// for the hang-up: then the output is closed and the slot is free when the end is published. It waits for
/// the whole time if a survivor holds the pipe.
fn drain_to_end(source: &Source) -> bool {
    let mut outcome = source.drain();
    if outcome != ReadOutcome::Ended && sys::spawn::is_under_way() {
        source.wait_for_hangup(HANGUP_TIMEOUT);
        outcome = source.drain();
    }
    outcome == ReadOutcome::Ended
}

/// The leader, by its pidfd if that can be polled, else by its pid.
pub(super) fn child(pidfd: &Option<Arc<PidFd>>, pid: Pid) -> Child<'_> {
    let pidfd = pidfd.as_ref().and_then(|pidfd| pidfd.pollable());
    pidfd.map_or(Child::Number(pid), Child::Descriptor)
}
