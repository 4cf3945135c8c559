//! The process group of a leader, and when it is certain to be ours.
//!
//! A group's number is ours while its leader is not reaped, and after that while any member is left. But the end of the last
//! member and the next use of the number cannot be told apart from outside. A pidfd of the leader can: since Linux 6.9 a signal
//! through it goes to the group that the leader led, or to no process. On older kernels the number is used while the leader is
//! not reaped, and not after that.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::cookie::Cookie;
use crate::sweep::{self, Wanted};
use crate::sys::child::{Pid, signal_group};
use crate::sys::descriptor::poll;
use crate::sys::pidfd::PidFd;
use crate::sys::signal::{CONT, KILL};
use crate::sys::spawn::Spawned;
use crate::time::Deadline;

#[derive(Debug)]
pub(crate) struct Group {
    number: Pid,
    /// Gone once there is no use for it. A leaf, held for one signal.
    descriptor: Mutex<Option<Arc<PidFd>>>,
}

impl Group {
    /// The group of a leader that was just spawned and is not reaped.
    pub(super) fn new(leader: Spawned) -> Self {
        Group {
            number: leader.pid,
            descriptor: Mutex::new(leader.pidfd.map(Arc::new)),
        }
    }

    /// The pidfd of the leader, if there is one.
    pub(super) fn leader(&self) -> Option<Arc<PidFd>> {
        self.descriptor.lock().clone()
    }

    /// Signals the group. The caller knows that the leader is not reaped.
    pub(super) fn kill_unreaped(&self, signal: i32) -> io::Result<()> {
        match self.kill_by_pidfd(signal) {
            Some(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                // No member may be signalled, or a filter refuses the system call.
                signal_group(self.number, signal)
            }
            Some(sent) => sent,
            None => signal_group(self.number, signal),
        }
    }

    /// Signals what is left of the group, if that can be done for certain; `None` if it cannot.
    pub(super) fn kill_by_pidfd(&self, signal: i32) -> Option<io::Result<()>> {
        let descriptor = self.descriptor.lock();
        descriptor.as_ref()?.signal_group(signal)
    }

    /// Signals what the leader left behind in the group. False if there is nothing, or it is not certain.
    pub(super) fn kill_survivors(&self, signal: i32) -> bool {
        let sent = self.kill_by_pidfd(signal).is_some_and(|sent| sent.is_ok());
        if sent && signal != KILL {
            // A stopped process would not act upon it.
            self.kill_by_pidfd(CONT);
        }
        sent
    }

    /// Whether there are members, and they are certain to be ours. Zombies that nobody reaps count.
    pub(super) fn has_members(&self) -> bool {
        self.kill_by_pidfd(0).is_some_and(|sent| sent.is_ok())
    }

    /// Gives the descriptor back, unless there are members; then it is false.
    pub(super) fn release_if_empty(&self) -> bool {
        let is_empty = !self.has_members();
        if is_empty {
            self.descriptor.lock().take();
        }
        is_empty
    }

    /// Gives the descriptor back, unless there are members that live on without the output: whoever has wiped its
    /// environment is found by nothing else. Many programs close their output right before they exit, so members get a
    /// moment to do that.
    pub(super) fn release(&self) {
        if !self.has_lasting_members() {
            self.descriptor.lock().take();
        }
    }

    fn has_lasting_members(&self) -> bool {
        let deadline = Deadline::after(MOMENT);
        if let Ok(sight) = sweep::find(&Members(self), |_| ()) {
            if sight.unseen.is_none() {
                return !sweep::wait_for_end(&sight.found, deadline);
            }
        }
        // They cannot be looked at. Whoever is told that nobody can be looked for was promised that the group is ended, and
        // now the descriptor alone can reach it.
        while self.has_members() {
            if deadline.passed() {
                return true;
            }
            let _ = poll(&mut [], Some(BLIND_PAUSE));
        }
        false
    }
}

/// How long members of a group may take to exit after they have closed their output. The thread that waits has nothing
/// else to do.
const MOMENT: Duration = Duration::from_secs(1);

/// How far apart it is asked whether there are members when none can be waited for.
const BLIND_PAUSE: Duration = Duration::from_millis(10);

struct Members<'a>(&'a Group);

impl Wanted for Members<'_> {
    fn wants(&self, _cookie: Option<&Cookie>, group: Option<Pid>) -> bool {
        group == Some(self.0.number) && self.0.has_members()
    }
}
