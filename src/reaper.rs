//! Reaping the leader of one process: from its exit to the [exit state](ExitState).
//!
//! The reaper thread of the process calls [`reap`], and so does a caller that waits for the end, if it is
//! scheduled first: [`reap`] is idempotent. The leader is reaped under the exit state's lock. This lock is
//! also held during each signal to the number of the leader's group, so a signal never reaches a reused
//! number.

use std::os::unix::process::ExitStatusExt;

use crate::exit::ExitState;
use crate::status::{State, Usage};
use crate::sys::child::{self, Child, Exit};

/// Reaps a leader that has exited and records its end. `before` runs once, under the exit state's lock,
/// right before the record. True if the end is recorded, now or before; false if the leader cannot be
/// reaped yet: while it is traced, its tracer gets the exit first.
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

/// The end of a leader whose status is lost: the host has reaped it, or ignores SIGCHLD, so that the
/// kernel has discarded the status.
pub(crate) fn lost() -> (State, Usage) {
    (State::Lost, Usage::default())
}

/// The state and usage of an exit.
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
