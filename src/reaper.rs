//! The reaper thread of one process: from the exit of the leader to the end of its life.
//!
//! Its thread is on call until the exit; a caller that waits for the end, or the reader's thread if it is still there, does this
//! work in its place. Owns the right to reap: nobody waits for this child but the reaper, and a caller that waits for the end and does the same
//! in its place if it is there first ([`end`]). Promises: the end is recorded after `drain` has run on a leader that has
//! exited, and reaping happens under the life's lock, which everybody takes who signals by number.

use std::os::unix::process::ExitStatusExt;

use crate::life::Life;
use crate::status::{State, Usage};
use crate::sys::child::{self, Child, Exit};

/// Waits for the leader's exit and ends its life.
pub(crate) fn run(leader: Child<'_>, life: &Life, drain: impl FnOnce()) {
    if child::wait_exit(leader).is_ok() {
        end(leader, life, drain);
    } else {
        // A caller was faster, and then the life has ended; or nobody can know the exit any more. It is not asked for again: the
        // number may be another child's by now.
        drain();
        life.end(lost);
    }
}

/// Ends the life of a leader that has exited, or whose exit nobody can know of any more. True if it has ended, now or
/// before; false if it cannot be reaped yet: a tracer is told of the exit before we are, and takes the time it wants.
///
/// The leader is reaped by whoever comes first, and the other one finds its life ended: both hold the lock meanwhile.
pub(crate) fn end(leader: Child<'_>, life: &Life, drain: impl FnOnce()) -> bool {
    drain();
    life.end(|| match child::reap(leader) {
        Ok(exit) => exit.as_ref().map(outcome),
        Err(_) => lost(),
    })
}

/// The end of a leader of which nobody can know more: somebody else took the status, or the kernel threw it away because the host
/// ignores SIGCHLD.
pub(crate) fn lost() -> Option<(State, Usage)> {
    Some((State::Lost, Usage::default()))
}

/// What the kernel says of an exit, in the words of a status.
fn outcome(exit: &Exit) -> (State, Usage) {
    let usage = Usage {
        user: exit.user,
        system: exit.system,
        max_rss_kib: exit.max_rss_kib,
    };
    let state = match (exit.status.code(), exit.status.signal()) {
        (Some(code), _) => State::Exited(code),
        (None, Some(signal)) => State::Signaled {
            signal,
            core_dumped: exit.status.core_dumped(),
        },
        (None, None) => State::Lost,
    };
    (state, usage)
}
