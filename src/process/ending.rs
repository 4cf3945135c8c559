//! Ends processes: TERM, a grace period, KILL, to the group and to every process that left it.
//!
//! [`terminate`] returns when nothing is left of the processes, or when the kernel has not ended them
//! within [`KILL_TIMEOUT`] of KILL, and reports how many are left. It runs on the calling thread. No lock
//! is held for longer than a signal takes.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::ProcessInner;
use crate::cookie::Cookie;
use crate::error::Error;
use crate::id::Id;
use crate::status::EndedBy;
use crate::sweep::{self, Filter, FoundProcess, ScanResult};
use crate::sys;
use crate::sys::child::{Pid, group_of};
use crate::sys::descriptor::poll;
use crate::sys::signal::{CONT, KILL, TERM};
use crate::time::Deadline;

/// How long a process may take to end after KILL. One that takes longer hangs in the kernel.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for killed processes before the next scan, which finds those that fork faster than
/// one scan finds them.
pub(super) const SCAN_INTERVAL: Duration = Duration::from_millis(50);

/// The result of ending some processes.
#[derive(Debug, Default)]
pub(crate) struct TerminationOutcome {
    /// How many were signalled outside of the leaders' groups.
    pub(crate) beyond_group: usize,
    /// How many have not ended.
    pub(crate) left: usize,
    /// Why the scan of `/proc` was incomplete: processes that left the groups may be left.
    pub(crate) scan_error: Option<io::Error>,
}

/// Ends the processes, all at the same time; with an `instance` also every process that this manager
/// has started and dropped.
pub(crate) fn terminate(
    processes: &[Arc<ProcessInner>],
    instance: Option<Id>,
    by: EndedBy,
    grace: Duration,
) -> TerminationOutcome {
    let mut termination = Termination {
        targets: Targets::new(processes, instance),
        processes,
        outside_groups: HashSet::new(),
        scan_error: None,
    };
    let left = match !grace.is_zero() && termination.send_term(by, Deadline::after(grace)) {
        true => 0,
        false => termination.kill_all(by, Deadline::after(KILL_TIMEOUT)),
    };
    if left == 0 {
        // The pidfds of ended leaders were kept for these members.
        processes
            .iter()
            .for_each(|process| process.close_pidfd_if_done());
    }
    TerminationOutcome {
        beyond_group: termination.outside_groups.len(),
        left,
        scan_error: termination.scan_error,
    }
}

/// The processes whose members a scan finds.
pub(super) struct Targets<'a> {
    by_id: HashSet<Id>,
    by_group: HashMap<Pid, &'a ProcessInner>,
    instance: Option<Id>,
}

impl<'a> Targets<'a> {
    pub(super) fn new(processes: &'a [Arc<ProcessInner>], instance: Option<Id>) -> Self {
        Targets {
            by_id: processes.iter().map(|process| process.id).collect(),
            by_group: processes
                .iter()
                .map(|process| (process.pid, &**process))
                .collect(),
            instance,
        }
    }
}

impl Filter for Targets<'_> {
    fn matches(&self, _pid: Pid, cookie: Option<&Cookie>, group: Option<Pid>) -> bool {
        let carries = |cookie: &Cookie| {
            let instance = cookie.origin.map(|origin| origin.instance);
            cookie.is_inside(|id| self.by_id.contains(&id))
                || (instance.is_some() && instance == self.instance)
        };
        let process = group.and_then(|group| self.by_group.get(&group));
        cookie.is_some_and(carries) || process.is_some_and(|process| process.group.has_members())
    }
}

struct Termination<'a> {
    processes: &'a [Arc<ProcessInner>],
    targets: Targets<'a>,
    /// The processes outside of the groups that were signalled.
    outside_groups: HashSet<Pid>,
    /// Why the last scan failed or was incomplete.
    scan_error: Option<io::Error>,
}

impl TerminationOutcome {
    /// Fails unless it is certain that nothing is left.
    pub(crate) fn check(self) -> Result<(), Error> {
        if let Some(error) = self.scan_error {
            let what = "the process group was ended, but what left it cannot be looked for";
            return Err(Error::io(what, error));
        }
        match self.left {
            0 => Ok(()),
            left => {
                let what = format!("{left} processes did not end after KILL");
                Err(Error::io(what, sys::timed_out()))
            }
        }
    }
}

impl Termination<'_> {
    /// Sends TERM to every process once. True if nothing was left before the deadline.
    fn send_term(&mut self, by: EndedBy, deadline: Deadline) -> bool {
        let groups = self.signal_groups(by, TERM);
        let mut result = self.scan(&groups, TERM);
        for process in self.processes {
            if process.exit.wait(deadline).is_none() {
                return false;
            }
        }
        loop {
            if !self.wait_for_end(&result.found, deadline) {
                return false;
            }
            if result.is_still_complete() {
                return true;
            }
            // TERM is not sent twice: many programs exit at once at the second one.
            result = self.scan(&groups, 0);
            if result.found.is_empty() && !self.groups_have_members() {
                return true;
            }
        }
    }

    /// Sends KILL to every process until a scan finds none. Returns the number of those that are left
    /// at the deadline.
    fn kill_all(&mut self, by: EndedBy, deadline: Deadline) -> usize {
        let groups = self.signal_groups(by, KILL);
        let stuck = self
            .processes
            .iter()
            .filter(|process| process.exit.wait(deadline).is_none())
            .count();
        // If the first scan finds nothing, it is enough. Else two scans in a row must find nothing,
        // because a process may fork during a scan and its child may get a lower pid; or no process was
        // made since the scan.
        let mut scans_left = 1;
        // Killed processes that have not ended. The next scan may not find them: an exiting process
        // shows no environment.
        let mut dying: Vec<FoundProcess> = Vec::new();
        loop {
            let mut result = self.scan(&groups, KILL);
            // A pid is in use for as long as its process has not ended.
            dying.retain(|one| !one.has_ended());
            result
                .found
                .retain(|one| dying.iter().all(|other| other.pid != one.pid));
            dying.append(&mut result.found);
            if dying.is_empty() && !self.groups_have_members() {
                scans_left -= 1;
                if scans_left == 0 || deadline.passed() {
                    return stuck;
                }
                continue;
            }
            if deadline.passed() {
                return dying.len().max(stuck);
            }
            scans_left = 2;
            let ended = self.wait_for_end(&dying, Deadline::after(SCAN_INTERVAL).min(deadline));
            if ended && result.is_still_complete() {
                return stuck;
            }
        }
    }

    /// Signals the groups that are certain to be ours, and returns them.
    fn signal_groups(&self, by: EndedBy, signal: i32) -> HashSet<Pid> {
        let mut groups = HashSet::new();
        for process in self.processes {
            if process.signal_for_end(by, signal) {
                groups.insert(process.pid);
                if signal != KILL {
                    // A stopped process does not handle the signal before CONT.
                    process.signal_for_end(by, CONT);
                }
            } else if process.group.signal_remaining_members(signal) {
                groups.insert(process.pid);
            }
        }
        groups
    }

    /// Scans for all that is left, and sends the signal to processes outside of the groups; KILL also
    /// to their members.
    fn scan(&mut self, groups: &HashSet<Pid>, signal: i32) -> ScanResult {
        let outside_groups = &mut self.outside_groups;
        let leaders = &self.targets.by_group;
        let found = sweep::find(&self.targets, |one| {
            // A process that has ended meanwhile, perhaps by the signal to its group, is in no group
            // and does not count.
            let group = group_of(one.pid).ok();
            // Before Linux 6.9, a group whose leader is reaped is not signalled as a whole.
            let is_signalled = group.is_none_or(|group| groups.contains(&group));
            let is_outside = group.is_some_and(|group| !leaders.contains_key(&group));
            if is_outside && signal != 0 {
                outside_groups.insert(one.pid);
            }
            if signal == KILL || (signal != 0 && !is_signalled) {
                one.signal(signal);
            }
            if signal == TERM && !is_signalled {
                one.signal(CONT);
            }
        });
        // Without `/proc`, only the groups are known.
        let (result, scan_error) = match found {
            Ok(mut result) => {
                let scan_error = result.take_scan_error();
                (result, scan_error)
            }
            Err(error) => (ScanResult::default(), Some(error)),
        };
        self.scan_error = scan_error;
        result
    }

    /// Whether a group has members although the scan has failed.
    fn groups_have_members(&self) -> bool {
        let mut processes = self.processes.iter();
        self.scan_error.is_some() && processes.any(|process| process.group.has_members())
    }

    /// Waits until all of them have ended or the deadline has passed. False if the deadline passed.
    /// Members of groups that a scan cannot find cannot be polled, so they are checked again after a
    /// while.
    fn wait_for_end(&self, found: &[FoundProcess], deadline: Deadline) -> bool {
        if found.is_empty() && self.groups_have_members() {
            let _ = poll(&mut [], deadline.min(Deadline::after(SCAN_INTERVAL)).left());
            return !deadline.passed();
        }
        sweep::wait_for_end(found, deadline)
    }
}
