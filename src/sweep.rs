//! Finding processes that left the group, or outlived their leader: by the cookie that they inherited, or by a group
//! that is certain to be ours.
//!
//! Owns nothing but the descriptors it hands out. Promises: what it finds is ours, and is reached through a descriptor
//! that can never mean another process. Takes no lock.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;

use crate::cookie::Cookie;
use crate::sys::child::{Pid, group_of};
use crate::sys::descriptor::{PollFd, poll};
use crate::sys::pidfd::PidFd;
use crate::time::Deadline;

/// A process that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) pid: Pid,
    process: PidFd,
}

impl Found {
    /// Sends it a signal; one that is gone by now has nothing to be told.
    pub(crate) fn signal(&self, signal: i32) {
        let _ = self.process.signal(signal);
    }

    fn has_ended(&self) -> bool {
        let mut set = [PollFd::readable(self.process.as_fd())];
        poll(&mut set, Some(std::time::Duration::ZERO)).is_ok() && set[0].has_input()
    }
}

/// Which processes are looked for.
pub(crate) trait Wanted {
    /// Whether a process with this cookie is.
    fn carries(&self, cookie: &Cookie) -> bool;

    /// Whether a process in this group is, because the group is ours at this moment. Asked before and after the process
    /// is taken hold of: a group that is still ours then was ours meanwhile.
    fn has_group(&self, _group: Pid) -> bool {
        false
    }
}

impl<F: Fn(&Cookie) -> bool> Wanted for F {
    fn carries(&self, cookie: &Cookie) -> bool {
        self(cookie)
    }
}

/// Finds all processes that are wanted and run. Each is handed to `each` at once, so that one that forks without pause
/// has little time to be another one.
pub(crate) fn find(wanted: &impl Wanted, mut each: impl FnMut(&Found)) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut buffer = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<Pid>().ok()) else {
            continue;
        };
        let mut is_wanted = || {
            cookie(pid, &mut buffer).is_some_and(|cookie| wanted.carries(&cookie))
                || group_of(pid).is_ok_and(|group| wanted.has_group(group))
        };
        if !is_wanted() {
            continue;
        }
        // The pid may have become another process's since we looked. The descriptor means one process for ever: if what
        // was seen is seen again, and that process has not ended when it is signalled, the two are the same.
        let Ok(process) = PidFd::open(pid) else {
            continue;
        };
        let one = Found { pid, process };
        if is_wanted() && !one.has_ended() {
            each(&one);
            found.push(one);
        }
    }
    Ok(found)
}

/// The cookie in the environment that a process was started with. `None` too for one that has exited, or that is
/// not ours to look at.
fn cookie(pid: Pid, buffer: &mut Vec<u8>) -> Option<Cookie> {
    buffer.clear();
    File::open(format!("/proc/{pid}/environ"))
        .ok()?
        .read_to_end(buffer)
        .ok()?;
    Cookie::find(buffer)
}

/// Waits until all of them have ended, or the deadline. False if the deadline came first.
pub(crate) fn wait_for_end(found: &[Found], deadline: Deadline) -> bool {
    let mut left: Vec<_> = found.iter().collect();
    while !left.is_empty() {
        let mut set: Vec<_> = left
            .iter()
            .map(|one| PollFd::readable(one.process.as_fd()))
            .collect();
        if poll(&mut set, deadline.left()).is_err() {
            return false;
        }
        let mut ended = set.iter().map(|entry| entry.has_input() || entry.hung_up());
        left.retain(|_| !ended.next().unwrap_or(false));
        if !left.is_empty() && deadline.passed() {
            return false;
        }
    }
    true
}
