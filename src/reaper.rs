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
    // Without success somebody else took the status, or the kernel threw it away because the host ignores SIGCHLD; or a
    // caller was faster, and then the life has ended.
    let exited = child::wait_exit(leader).is_ok();
    end(leader, exited, life, drain);
}

/// Ends the life of a leader that has exited, or whose exit nobody can know of any more. Does nothing if it has ended.
///
/// The leader is reaped by whoever comes first, and the other one finds its life ended: both hold the lock meanwhile.
pub(crate) fn end(leader: Child<'_>, exited: bool, life: &Life, drain: impl FnOnce()) {
    drain();
    life.end(|| match exited.then(|| child::reap(leader)) {
        Some(Ok(exit)) => outcome(&exit),
        _ => (State::Lost, Usage::default()),
    });
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
