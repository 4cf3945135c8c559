//! Reaping the leader of one process: from its exit to the record of its end.
//!
//! The reaper thread of the process does this, and a caller that waits for the end does the same if it is scheduled first:
//! [`reap`] is idempotent. Promises: the leader is reaped under the lock that each caller takes that signals by number.

use std::os::unix::process::ExitStatusExt;

use crate::exit::ExitState;
use crate::status::{State, Usage};
use crate::sys::child::{self, Child, Exit};

/// Records the end of a leader that has exited. `before` runs under the exit state's lock, once, right before the record. True
/// if the end is recorded, now or before; false if the leader cannot be reaped yet: while it is traced, its tracer gets the exit
/// first.
pub(crate) fn reap(leader: Child<'_>, exit: &ExitState, before: impl FnOnce()) -> bool {
    exit.end(|| {
        let end = match child::reap(leader) {
            Ok(exit) => outcome(exit.as_ref()?),
            Err(_) => lost(),
        };
        before();
        Some(end)
    })
}

/// The end of a leader whose status is lost: the host has reaped it, or ignores SIGCHLD, so that the kernel has thrown the
/// status away.
pub(crate) fn lost() -> (State, Usage) {
    (State::Lost, Usage::default())
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
