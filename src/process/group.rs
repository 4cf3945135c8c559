//! The process group of a leader, and when it is certain to be ours.
//!
//! A group's number is ours while its leader is not reaped, and after that while any member is left.
//! But the number does not show whether the last member has ended and the number was reused. A pidfd of
//! the leader does: since Linux 6.9 a signal through it goes to the group that the leader led, or to no
//! process. On older kernels the number is used for a signal only while the leader is not reaped; after that,
//! a process is known to be a member if it was started before the end of the leader.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::cookie::Cookie;
use crate::sweep::{self, Filter};
use crate::sys;
use crate::sys::child::{self, Pid, signal_group};
use crate::sys::descriptor::poll;
use crate::sys::pidfd::PidFd;
use crate::sys::proc::Stat;
use crate::sys::signal::{CONT, KILL};
use crate::sys::spawn::Spawned;
use crate::time::Deadline;

#[derive(Debug)]
pub(crate) struct Group {
    number: Pid,
    /// `None` if there is none, and after it was closed because no member is left. A leaf, held for one
    /// signal.
    leader_pidfd: Mutex<Option<Arc<PidFd>>>,
}

impl Group {
    /// The group of a leader that was just spawned and is not reaped.
    pub(super) fn new(spawned: Spawned) -> Self {
        Group {
            number: spawned.pid,
            leader_pidfd: Mutex::new(spawned.pidfd.map(Arc::new)),
        }
    }

    /// The pidfd of the leader, if there is one.
    pub(super) fn leader_pidfd(&self) -> Option<Arc<PidFd>> {
        self.leader_pidfd.lock().clone()
    }

    /// Signals the group. The caller knows that the leader is not reaped.
    pub(super) fn signal_unreaped_group(&self, signal: i32) -> io::Result<()> {
        match self.signal_through_pidfd(signal) {
            Some(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                // No member may be signalled, or a filter refuses the system call.
                signal_group(self.number, signal)
            }
            Some(sent) => sent,
            None => signal_group(self.number, signal),
        }
    }

    /// Signals a leader that is not reaped and has moved to another group.
    pub(super) fn signal_unreaped_leader(&self, signal: i32) -> io::Result<()> {
        let through_pidfd = self
            .leader_pidfd
            .lock()
            .as_ref()
            .map(|pidfd| pidfd.signal(signal));
        match through_pidfd {
            Some(Ok(())) => Ok(()),
            // There is none, or a filter refuses the system call.
            _ => child::signal(self.number, signal),
        }
    }

    /// Whether a process whose group has this number is a member of this group. `leader_end` is when the
    /// end of the leader was recorded, in clock ticks; `None` while the leader is not reaped.
    ///
    /// The number is not given to another group while this group has a member. A process that was started
    /// before the leader ended, and has this number as its group's now, is a member: to be in a later
    /// group with the same number, it would have to have moved there. One that was started in the same tick
    /// may lead such a group.
    pub(super) fn has_member(&self, pid: Pid, leader_end: Option<u64>) -> bool {
        match self.signal_through_pidfd(0) {
            Some(Ok(())) => true,
            Some(Err(error)) if sys::is_no_process(&error) => false,
            // There are members, of which none may be signalled.
            Some(Err(_)) if self.can_ask_kernel() => true,
            // The kernel cannot tell, or a filter refuses the system call.
            Some(Err(_)) | None => {
                leader_end.is_none_or(|end| Stat::of(pid).is_ok_and(|stat| stat.start_time < end))
            }
        }
    }

    /// Whether signal 0 to the leader is answered: a filter that refuses the system call refuses this too.
    fn can_ask_kernel(&self) -> bool {
        let pidfd = self.leader_pidfd.lock();
        let sent = pidfd.as_ref().map(|pidfd| pidfd.signal(0));
        match sent {
            Some(Err(error)) => sys::is_no_process(&error),
            sent => sent.is_some(),
        }
    }

    /// Signals the members that are left, through the pidfd. `None` if that is not possible.
    pub(super) fn signal_through_pidfd(&self, signal: i32) -> Option<io::Result<()>> {
        let pidfd = self.leader_pidfd.lock();
        pidfd.as_ref()?.signal_group(signal)
    }

    /// Signals the members that the leader left behind. False if there are none, or they are not
    /// certain to be ours.
    pub(super) fn signal_remaining_members(&self, signal: i32) -> bool {
        let sent = self
            .signal_through_pidfd(signal)
            .is_some_and(|sent| sent.is_ok());
        if sent && signal != KILL {
            // A stopped process does not handle the signal before CONT.
            self.signal_through_pidfd(CONT);
        }
        sent
    }

    /// Whether there may be members, and they are certain to be ours. Unreaped zombies count.
    pub(super) fn has_members(&self) -> bool {
        match self.signal_through_pidfd(0) {
            Some(Ok(())) => true,
            // There are some, of which none may be signalled; or a filter refuses the system call.
            Some(Err(error)) => error.kind() == io::ErrorKind::PermissionDenied,
            None => false,
        }
    }

    /// Closes the pidfd if there are no members. True if it is closed.
    pub(super) fn close_pidfd_if_empty(&self) -> bool {
        let is_empty = !self.has_members();
        if is_empty {
            self.leader_pidfd.lock().take();
        }
        is_empty
    }

    /// Waits up to [`GROUP_EXIT_GRACE`] until there are no members, and closes the pidfd if there are none.
    ///
    /// Many programs close their output right before they exit, so members get some time to exit. If
    /// members run on without the output, the pidfd stays open: a member that has overwritten its
    /// environment is reached through nothing else.
    pub(super) fn wait_and_close_pidfd(&self) {
        if !self.has_lasting_members() {
            self.leader_pidfd.lock().take();
        }
    }

    fn has_lasting_members(&self) -> bool {
        let deadline = Deadline::after(GROUP_EXIT_GRACE);
        if let Ok(result) = sweep::find(&Members(self), deadline, |_| ()) {
            if result.scan_error.is_none() {
                return !sweep::wait_for_end(&result.found, deadline);
            }
        }
        // A scan is not possible. A stop whose scan fails still ends the group, for which it needs the
        // pidfd.
        while self.has_members() {
            if deadline.passed() {
                return true;
            }
            let _ = poll(&mut [], Some(POLL_INTERVAL));
        }
        false
    }
}

/// How long members of a group may take to exit after they have closed their output. The waiting thread
/// has no other task.
const GROUP_EXIT_GRACE: Duration = Duration::from_secs(1);

/// The interval at which members are checked for if they cannot be polled.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

struct Members<'a>(&'a Group);

impl Filter for Members<'_> {
    fn matches(&self, _pid: Pid, _cookie: Option<&Cookie>, group: Option<Pid>) -> bool {
        group == Some(self.0.number) && self.0.has_members()
    }
}
