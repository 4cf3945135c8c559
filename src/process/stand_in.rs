//! The work of a process's threads, done by a thread that is awake anyway.
//!
//! To wake a thread costs more than all that the threads do for a short command. So a caller that waits for the end stands in
//! for both of them, and the one thread that an exit wakes is his; and where nobody waits, the reader's thread does the
//! reaper's work after its own, if the leader exits in a moment.
//!
//! Promises: there is one stand-in at most, and none for a process whose output somebody follows, whose events somebody is told
//! of, or that is to be ended. What a stand-in has taken on is the threads' again when he gives up, when somebody else follows,
//! subscribes or stops, and when somebody looks, waits or signals while there is something that he has not done yet: nobody who
//! wants to know depends on whether his thread runs. He never waits for longer than his deadline.
//!
//! He takes on nothing but what the threads' poller waits for. They may read and reap at the same time as he does: reading is
//! done under the output's lock, reaping under the life's, and a job that is at work is not there to be done by him. Then he gives
//! back what he has, since that job may have looked before there was something to be seen.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{Desk, Inner};
use crate::reader::{Source, Turn};
use crate::reaper;
use crate::sys::child::Child;
use crate::sys::descriptor::{PollFd, poll};
use crate::sys::pidfd::PidFd;
use crate::threads::Call;
use crate::time::Deadline;

/// How long after the end of its output a leader may exit for a thread to stay awake for that.
///
/// That is what a leader does most often that has closed its output: the kernel closes what it had open, and then it has
/// exited.
const EXIT_MOMENT: Duration = Duration::from_micros(50);

/// Who stands in for the threads. He is not woken when he does no more, but finds out when he is awake the next time.
pub(super) struct StandIn {
    leader: Arc<PidFd>,
}

/// The stand-in at work. Dropped, it gives back what it has.
struct Work<'a> {
    process: &'a Inner,
    own: Arc<StandIn>,
    read: Call,
    reap: Call,
    /// The pipes that may have something to read; none once the reader's work is done.
    sources: Vec<Arc<Source>>,
}

impl Inner {
    /// Waits for the exit of the leader and does what follows it, or comes back at the deadline.
    ///
    /// Who waits for the reaper instead is woken second, which takes twice as long.
    pub(super) fn wait_for_exit(&self, deadline: Deadline) {
        let Some(leader) = self.group.leader() else {
            return;
        };
        if let Some(work) = self.stand_in(&leader) {
            work.run(deadline);
        }
        if self.life.now().is_none()
            && wait_until_readable(&leader, deadline)
            && self.reap_exited(&leader)
        {
            self.tell_outputs();
        }
    }

    /// Reaps a leader that has exited, if nobody did before. False if it cannot be done here.
    fn reap_exited(&self, leader: &PidFd) -> bool {
        // One that is in the table and not attended yet is the reaper's: what it wrote cannot be taken by us.
        let is_attended = !self.desk.lock().sources.is_empty();
        let leader = Child::Descriptor(leader.as_fd());
        is_attended && reaper::end(leader, &self.life, || self.drain())
    }

    /// Gives the threads what a stand-in has, if there is one.
    pub(crate) fn dismiss_stand_in(&self) {
        self.desk.lock().dismiss();
    }

    /// Dismisses a stand-in who has not done yet what there is to do: he may be held. For whoever looks how things stand.
    pub(super) fn check_stand_in(&self) {
        let mut desk = self.desk.lock();
        let Some(stand_in) = desk.stand_in.clone() else {
            return;
        };
        let sources: Vec<_> = desk.open_sources().collect();
        let ready = ready(&stand_in.leader, &sources, Deadline::now());
        if ready.is_ok_and(|ready| ready.iter().any(is_ready)) {
            desk.dismiss();
        }
    }

    /// Takes on the threads' work, if it is to be had.
    fn stand_in(&self, leader: &Arc<PidFd>) -> Option<Work<'_>> {
        if self.observer.is_awaited(&self.about) {
            return None;
        }
        let work = self.take_on(leader)?;
        // Who subscribes looks for stand-ins after that, and has either found us or is found here.
        Some(work).filter(|_| !self.observer.is_awaited(&self.about))
    }

    fn take_on(&self, leader: &Arc<PidFd>) -> Option<Work<'_>> {
        let mut desk = self.desk.lock();
        if desk.stand_in.is_some() || desk.threads_only || desk.sources.is_empty() {
            return None;
        }
        let (read, reap) = (desk.read.clone()?, desk.reap.clone()?);
        let own = Arc::new(StandIn {
            leader: Arc::clone(leader),
        });
        let sources: Vec<_> = desk.open_sources().collect();
        sources.iter().for_each(|source| source.withhold());
        desk.ignore_exit(leader);
        desk.stand_in = Some(Arc::clone(&own));
        Some(Work {
            process: self,
            own,
            read,
            reap,
            sources,
        })
    }

    /// Does the reaper's work on the reader's thread, which has just been woken by the end of the output, if the leader exits
    /// in a moment: nobody need be woken by that. Who stands in for the threads sees to it himself.
    pub(super) fn take_over(&self) {
        let Some(leader) = self.group.leader() else {
            return;
        };
        let reap = {
            let mut desk = self.desk.lock();
            // Without a call the reaper is at work.
            let Some(reap) = desk.reap.clone().filter(|_| desk.stand_in.is_none()) else {
                return;
            };
            desk.ignore_exit(&leader);
            reap
        };
        if exits_in_a_moment(&leader) {
            // A thread may have been called before, and then has the job.
            reap.perform();
        } else {
            self.desk.lock().listen_for_exit(&leader);
        }
    }

    /// From now on the threads do all of their work themselves.
    pub(super) fn leave_to_threads(&self) {
        self.desk.lock().leave_to_threads();
    }
}

impl Desk {
    pub(super) fn leave_to_threads(&mut self) {
        self.threads_only = true;
        self.dismiss();
    }

    /// Gives the threads what the stand-in has, whatever he is doing.
    fn dismiss(&mut self) {
        let Some(stand_in) = self.stand_in.take() else {
            return;
        };
        if !self.listen() {
            self.call_reader();
        }
        self.listen_for_exit(&stand_in.leader);
    }

    /// Lets the reaper be called by the exit, unless somebody stands in for it or it is at work.
    pub(super) fn listen_for_exit(&mut self, leader: &PidFd) {
        if let (false, None, Some(reap)) = (self.hears_exit, &self.stand_in, &self.reap) {
            reap.once_readable(leader.as_fd());
            self.hears_exit = true;
        }
    }

    /// Does not let it be called by the exit.
    pub(super) fn ignore_exit(&mut self, leader: &PidFd) {
        if let (true, Some(reap)) = (self.hears_exit, &self.reap) {
            reap.entry().remove(leader.as_fd());
            self.hears_exit = false;
        }
    }

    fn is_stand_in(&self, one: &Arc<StandIn>) -> bool {
        self.stand_in
            .as_ref()
            .is_some_and(|stand_in| Arc::ptr_eq(stand_in, one))
    }
}

impl Work<'_> {
    /// Works until the leader has ended, the deadline, or the threads are to do it.
    fn run(mut self, deadline: Deadline) {
        while !deadline.passed() {
            let Ok(ready) = ready(&self.own.leader, &self.sources, deadline) else {
                return;
            };
            let [leader, pipes @ ..] = ready;
            let has_exited = is_ready(&leader);
            if !self.process.desk.lock().is_stand_in(&self.own) {
                return;
            }
            let mut is_full = false;
            for (source, pipe) in self.sources.iter().zip(&pipes) {
                let turn = match (pipe.has_input(), pipe.hung_up()) {
                    (true, _) => source.turn(),
                    (false, true) => source.last_turn(),
                    (false, false) => continue,
                };
                is_full |= matches!(turn, Turn::Full);
            }
            let open = self.sources.iter().filter(|source| !source.has_ended());
            let (open, all) = (open.count(), self.sources.len());
            if is_full || (1..all).contains(&open) {
                // Its readers say when there is room, or its reader says that one of two has ended.
                return;
            }
            if open == 0 && all > 0 {
                self.sources.clear();
                // A reader that is at work may have looked before the end was there, and then waits to be called for it.
                if !self.read.perform() && self.process.desk.lock().read.is_some() {
                    return;
                }
            }
            if has_exited {
                if self.process.reap_exited(&self.own.leader) {
                    self.reap.perform();
                }
                return;
            }
        }
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        let mut desk = self.process.desk.lock();
        if desk.is_stand_in(&self.own) {
            desk.dismiss();
        }
    }
}

/// Waits until the leader has exited, or there is something to read or nobody to write, and says which; or until the deadline.
fn ready<'a>(
    leader: &'a PidFd,
    sources: &'a [Arc<Source>],
    deadline: Deadline,
) -> io::Result<[PollFd<'a>; 3]> {
    let pipe = |number: usize| match sources.get(number) {
        Some(source) => PollFd::readable(source.as_fd()),
        None => PollFd::none(),
    };
    // The leader first: when its exit is seen, the end of its output is seen in the same look.
    let mut set = [PollFd::readable(leader.as_fd()), pipe(0), pipe(1)];
    poll(&mut set, deadline.left())?;
    Ok(set)
}

fn is_ready(entry: &PollFd<'_>) -> bool {
    entry.has_input() || entry.hung_up()
}

fn exits_in_a_moment(leader: &PidFd) -> bool {
    let moment = Deadline::after(EXIT_MOMENT);
    while !wait_until_readable(leader, Deadline::now()) {
        if moment.passed() {
            return false;
        }
        thread::yield_now();
    }
    true
}

/// False at the deadline, and if there is nothing to wait with.
fn wait_until_readable(leader: &PidFd, deadline: Deadline) -> bool {
    let mut set = [PollFd::readable(leader.as_fd())];
    loop {
        if poll(&mut set, deadline.left()).is_err() {
            return false;
        }
        if set[0].has_input() || deadline.passed() {
            return set[0].has_input();
        }
    }
}
