//! The reaper thread of one process: from the exit of the leader to the end of its life.
//!
//! Owns the right to reap: nobody else waits for this pid, so the number stays the leader's until the life has ended.
//! Promises: the end is recorded after `drain` has run on a leader that has exited, and reaping happens under the
//! life's lock, which everybody takes who signals by number.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::life::Life;
use crate::status::{State, Usage};
use crate::sys::child::{self, Pid};

/// Waits for the leader's exit, calls `drain`, and ends the life.
pub(crate) fn run(pid: Pid, life: &Life, drain: impl FnOnce()) {
    let exited = child::wait_exit(pid);
    drain();
    life.end(|| match exited.and_then(|()| child::reap(pid)) {
        Ok(reaped) => {
            let usage = Usage {
                user: reaped.user,
                system: reaped.system,
                max_rss_kib: reaped.max_rss_kib,
            };
            (state(reaped.status), usage)
        }
        // Somebody else took the status, or the kernel threw it away because the host ignores SIGCHLD.
        Err(_) => (State::Lost, Usage::default()),
    });
}

fn state(status: ExitStatus) -> State {
    match (status.code(), status.signal()) {
        (Some(code), _) => State::Exited(code),
        (None, Some(signal)) => State::Signaled {
            signal,
            core_dumped: status.core_dumped(),
        },
        (None, None) => State::Lost,
    }
}
