//! Ends processes: TERM, a grace period, KILL, to the group and to every process that left it.
//!
//! [`terminate`] returns when nothing is left of the processes, or when the kernel has not ended them
//! within [`KILL_TIMEOUT`] of KILL, and reports how many are left. It runs on the calling thread. No lock
//! is held for longer than a signal takes.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

use super::ProcessInner;
use crate::cookie::{Cookie, Mark, OwnerMark};
use crate::error::Error;
use crate::exit::Waited;
use crate::id::Id;
use crate::status::EndedBy;
use crate::sweep::{self, Filter, FoundProcess, ScanResult, Sent};
use crate::sys;
use crate::sys::child::{Pid, group_of};
use crate::sys::descriptor::poll;
use crate::sys::proc::{self, Stat};
use crate::sys::signal::{CONT, KILL, TERM};
use crate::time::Deadline;

/// How long a process may take to end after KILL. One that takes longer hangs in the kernel.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for killed processes before the next scan, which finds those that fork faster than
/// one scan finds them.
pub(super) const SCAN_INTERVAL: Duration = Duration::from_millis(50);

/// How long the leaders may take to end after KILL before the first scan.
const FIRST_WAIT: Duration = Duration::from_secs(1);

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

/// All processes of a manager, or of one owner in it, also those whose records were dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScopeMark {
    pub(crate) instance: Id,
    pub(crate) owner: Option<OwnerMark>,
}

impl ScopeMark {
    fn includes(&self, cookie: &Cookie) -> bool {
        let is_inside = |(mark, owner): (Mark, Option<OwnerMark>)| {
            mark.instance == self.instance && (self.owner.is_none() || self.owner == owner)
        };
        cookie.owned_marks().any(is_inside)
    }
}

/// The processes that were sent TERM by the stops of one manager. A program may exit at once at a second
/// TERM, without cleaning up.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<AskedProcesses>);

#[derive(Debug, Default)]
struct AskedProcesses {
    /// Pids and start times.
    all: HashSet<(Pid, u64)>,
    /// At this number, those that have ended are removed.
    limit: usize,
}

impl Asked {
    /// Notes a process, and returns whether it was not noted before.
    fn note(&self, process: &FoundProcess) -> bool {
        const LEAST_LIMIT: usize = 256;
        let mut asked = self.0.lock();
        if asked.all.len() >= asked.limit.max(LEAST_LIMIT) {
            asked.all.retain(|(pid, start)| match Stat::of(*pid) {
                Ok(stat) => stat.start_time == *start,
                Err(error) => !proc::is_absent(&error),
            });
            asked.limit = asked.all.len() * 2;
        }
        asked.all.insert((process.pid, process.start_time))
    }

    /// Removes a process that has not been asked after all.
    fn forget(&self, process: &FoundProcess) {
        self.0.lock().all.remove(&(process.pid, process.start_time));
    }
}

/// Ends the processes, all at the same time, and everything that belongs to the scope, if there is one.
pub(crate) fn terminate(
    processes: &[Arc<ProcessInner>],
    scope: Option<ScopeMark>,
    by: EndedBy,
    grace: Duration,
    asked: &Asked,
) -> TerminationOutcome {
    terminate_targets(Targets::new(processes, scope), processes, by, grace, asked)
}

/// Ends the processes, and what is left of those whose records were dropped. `is_used` says whether an id is
/// used again by a later start.
pub(crate) fn terminate_with_dropped(
    processes: &[Arc<ProcessInner>],
    marks: HashSet<Mark>,
    is_used: &dyn Fn(Id) -> bool,
    by: EndedBy,
    grace: Duration,
    asked: &Asked,
) -> TerminationOutcome {
    let mut targets = Targets::new(processes, None);
    targets.dropped = Some(Dropped { marks, is_used });
    terminate_targets(targets, processes, by, grace, asked)
}

fn terminate_targets<'a>(
    targets: Targets<'a>,
    processes: &'a [Arc<ProcessInner>],
    by: EndedBy,
    grace: Duration,
    asked: &'a Asked,
) -> TerminationOutcome {
    let mut termination = Termination {
        targets,
        processes,
        asked,
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

/// Processes whose records were dropped.
struct Dropped<'a> {
    marks: HashSet<Mark>,
    /// Whether an id is used again by a later start.
    is_used: &'a dyn Fn(Id) -> bool,
}

/// The processes whose members a scan finds.
pub(super) struct Targets<'a> {
    marks: HashSet<Mark>,
    /// By the pid of the leader, which is the number of its group.
    by_group: HashMap<Pid, &'a ProcessInner>,
    scope: Option<ScopeMark>,
    dropped: Option<Dropped<'a>>,
}

impl<'a> Targets<'a> {
    pub(super) fn new(processes: &'a [Arc<ProcessInner>], scope: Option<ScopeMark>) -> Self {
        Targets {
            marks: processes.iter().map(|process| process.mark()).collect(),
            by_group: processes
                .iter()
                .map(|process| (process.pid, &**process))
                .collect(),
            scope,
            dropped: None,
        }
    }

    fn includes(&self, cookie: &Cookie) -> bool {
        // The cookie was read before the id is looked up: a later start has its id before its process is
        // made. If the id is used again, the processes of both starts look the same.
        let was_dropped = |dropped: &Dropped<'_>| {
            let is_dropped = |mark: &Mark| dropped.marks.contains(mark);
            cookie
                .marks()
                .any(|mark| is_dropped(&mark) && !(dropped.is_used)(mark.id))
        };
        cookie.marks().any(|mark| self.marks.contains(&mark))
            || self.scope.is_some_and(|scope| scope.includes(cookie))
            || self.dropped.as_ref().is_some_and(was_dropped)
    }
}

impl Filter for Targets<'_> {
    fn matches(&self, pid: Pid, cookie: Option<&Cookie>, group: Option<Pid>) -> bool {
        let process = group.and_then(|group| self.by_group.get(&group));
        // A leader may have moved to another group.
        let is_leader = || {
            let process = self.by_group.get(&pid);
            process.is_some_and(|process| process.exit.now().is_none())
        };
        cookie.is_some_and(|cookie| self.includes(cookie))
            || process.is_some_and(|process| process.has_member(pid))
            || is_leader()
    }
}

struct Termination<'a> {
    processes: &'a [Arc<ProcessInner>],
    targets: Targets<'a>,
    asked: &'a Asked,
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
                let what =
                    format!("{left} processes did not end after KILL, or may not be signalled");
                Err(Error::io(what, sys::timed_out()))
            }
        }
    }
}

impl Termination<'_> {
    /// Sends TERM to every process once. True if nothing was left before the deadline.
    fn send_term(&mut self, by: EndedBy, deadline: Deadline) -> bool {
        let groups = self.signal_groups(by, TERM);
        let mut result = self.scan(&groups, TERM, deadline);
        for process in self.processes {
            let waited = process.exit.wait_unless_abandoned(deadline);
            if !matches!(waited, Waited::Ended(_)) {
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
            result = self.scan(&groups, 0, deadline);
            if result.found.is_empty() && !self.groups_have_members() {
                return true;
            }
        }
    }

    /// Sends KILL to every process until a scan finds none. Returns the number of those that are left
    /// at the deadline.
    fn kill_all(&mut self, by: EndedBy, deadline: Deadline) -> usize {
        let groups = self.signal_groups(by, KILL);
        // Most end at once, and then a scan need not find them. One that does not end must not keep the
        // others from being looked for.
        self.count_leaders_left(Deadline::after(FIRST_WAIT).min(deadline));
        // If the first scan finds nothing, it is enough. Else two scans in a row must find nothing,
        // because a process may fork during a scan and its child may get a lower pid; or no process was
        // made since the scan.
        let mut scans_left = 1;
        // Killed processes that have not ended. The next scan may not find them: an exiting process
        // shows no environment.
        let mut dying: Vec<FoundProcess> = Vec::new();
        let mut has_waited = false;
        loop {
            let mut result = self.scan(&groups, KILL, deadline);
            // A pid is in use for as long as its process has not ended.
            dying.retain(|one| !one.has_ended());
            result
                .found
                .retain(|one| dying.iter().all(|other| other.pid != one.pid));
            dying.append(&mut result.found);
            if dying.is_empty() && !self.groups_have_members() {
                scans_left -= 1;
                if scans_left == 0 || deadline.passed() {
                    return self.count_leaders_left(deadline);
                }
                continue;
            }
            // None of them may be signalled, and the end of the others has not ended them.
            let is_hopeless = has_waited && dying.iter().all(FoundProcess::is_refused);
            if deadline.passed() || (is_hopeless && !dying.is_empty()) {
                return dying.len().max(self.count_leaders_left(Deadline::now()));
            }
            has_waited = true;
            scans_left = 2;
            let ended = self.wait_for_end(&dying, Deadline::after(SCAN_INTERVAL).min(deadline));
            if ended && result.is_still_complete() {
                return self.count_leaders_left(deadline);
            }
        }
    }

    /// Waits until all leaders have ended or the deadline has passed. Returns how many have not ended.
    fn count_leaders_left(&self, deadline: Deadline) -> usize {
        let processes = self.processes.iter();
        let left = processes.filter(|process| process.exit.wait(deadline).is_none());
        left.count()
    }

    /// Signals the groups that are certain to be ours, and returns them.
    ///
    /// A member that was started after TERM counts as signalled: it may be what another member cleans up with.
    fn signal_groups(&self, by: EndedBy, signal: i32) -> HashSet<Pid> {
        let mut groups = HashSet::new();
        for process in self.processes {
            let was_sent_term = &process.was_sent_term;
            // Another stop has sent it.
            if signal == TERM && was_sent_term.swap(true, Ordering::AcqRel) {
                groups.insert(process.pid);
                continue;
            }
            if process.signal_for_end(by, signal) {
                groups.insert(process.pid);
                if signal != KILL {
                    // A stopped process does not handle the signal before CONT.
                    process.signal_for_end(by, CONT);
                }
            } else if process.group.signal_remaining_members(signal) {
                groups.insert(process.pid);
            } else if signal == TERM {
                was_sent_term.store(false, Ordering::Release);
            }
        }
        groups
    }

    /// Scans for all that is left, and sends the signal to processes outside of the groups; KILL also
    /// to their members.
    fn scan(&mut self, groups: &HashSet<Pid>, signal: i32, deadline: Deadline) -> ScanResult {
        let (outside_groups, asked) = (&mut self.outside_groups, self.asked);
        let leaders = &self.targets.by_group;
        let found = sweep::find(&self.targets, deadline, |one| {
            // A process that has ended meanwhile, perhaps by the signal to its group, is in no group
            // and does not count.
            let group = group_of(one.pid).ok();
            // Before Linux 6.9, a group whose leader is reaped is not signalled as a whole. A leader is
            // signalled with its group, also if it has moved to another one.
            let is_signalled =
                group.is_none_or(|group| groups.contains(&group)) || groups.contains(&one.pid);
            let is_outside = group.is_some_and(|group| !leaders.contains_key(&group));
            if is_outside && signal != 0 {
                outside_groups.insert(one.pid);
            }
            if signal == KILL {
                one.signal(KILL);
            }
            if signal == TERM && asked.note(one) && !is_signalled {
                match one.signal(TERM) {
                    Sent::Refused => asked.forget(one),
                    Sent::Delivered | Sent::Ended => {
                        one.signal(CONT);
                    }
                }
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
