//! Finding processes by the cookie that they inherited: those that left the group, or outlived their leader.
//!
//! Owns nothing but the descriptors it hands out. Promises: what it finds carried the cookie, and is reached through a
//! descriptor that can never mean another process. Takes no lock.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;

use memchr::memmem;

use crate::environment::ID_VARIABLE;
use crate::id::Id;
use crate::sys::child::Pid;
use crate::sys::descriptor::{PollFd, poll};
use crate::sys::pidfd::PidFd;
use crate::time::Deadline;

/// A process that carries the cookie of one of ours.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) pid: Pid,
    pub(crate) id: Id,
    process: PidFd,
}

impl Carrier {
    /// Sends it a signal; one that is gone by now has nothing to be told.
    pub(crate) fn signal(&self, signal: i32) {
        let _ = self.process.signal(signal);
    }
}

/// All processes that carry the cookie of one that is `wanted`.
pub(crate) fn carriers(wanted: impl Fn(Id) -> bool) -> io::Result<Vec<Carrier>> {
    let mut found = Vec::new();
    let mut environment = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<Pid>().ok()) else {
            continue;
        };
        let Some(id) = cookie(pid, &mut environment).filter(|id| wanted(*id)) else {
            continue;
        };
        // The pid may have become another process's since we looked. The descriptor means one process for ever: if the
        // cookie is there when looked at again, and that process is not gone when it is signalled, they are the same.
        if let Ok(process) = PidFd::open(pid) {
            if cookie(pid, &mut environment) == Some(id) {
                found.push(Carrier { pid, id, process });
            }
        }
    }
    Ok(found)
}

/// The cookie in the environment that a process was started with. `None` too for one that has exited, or that is
/// not ours to look at.
fn cookie(pid: Pid, buffer: &mut Vec<u8>) -> Option<Id> {
    buffer.clear();
    File::open(format!("/proc/{pid}/environ"))
        .ok()?
        .read_to_end(buffer)
        .ok()?;
    let name = ID_VARIABLE.as_bytes();
    memmem::find_iter(buffer, name).find_map(|at| {
        let begins = at == 0 || buffer[at - 1] == 0;
        let value = buffer[at + name.len()..].strip_prefix(b"=")?;
        let value = value.split(|byte| *byte == 0).next()?;
        let value = std::str::from_utf8(value).ok()?;
        begins.then(|| value.parse().ok()).flatten()
    })
}

/// Waits until all of them have ended, or the deadline. False if the deadline came first.
pub(crate) fn wait_for_end(carriers: &[Carrier], deadline: Deadline) -> bool {
    let mut left: Vec<_> = carriers.iter().collect();
    while !left.is_empty() {
        let mut set: Vec<_> = left
            .iter()
            .map(|carrier| PollFd::readable(carrier.process.as_fd()))
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
