//! Ending processes for certain: TERM, a grace period, KILL, and everything that got away from the group.
//!
//! Promises: returns when nothing is left of the processes, or when the kernel has not ended them within
//! [`PATIENCE`] of KILL, and says what is left. Works on the caller's thread. Takes no lock for longer than a signal.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::ProcessInner;
use crate::cookie::Cookie;
use crate::error::Error;
use crate::id::Id;
use crate::status::EndedBy;
use crate::sweep::{self, Found, Sight, Wanted};
use crate::sys;
use crate::sys::child::{Pid, group_of};
use crate::sys::descriptor::poll;
use crate::sys::signal::{CONT, KILL, TERM};
use crate::time::Deadline;

/// How long after KILL a process may take to vanish. One that takes longer hangs in the kernel.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long processes that were sent KILL are waited for before the next look: those that fork faster than they can be
/// found are found again.
const ROUND: Duration = Duration::from_millis(50);

/// What ending some processes did.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How many were signalled beyond the groups of the leaders.
    pub(crate) beyond_group: usize,
    /// How many are still there.
    pub(crate) left: usize,
    /// Why the process table could not be looked through to its end: what left the groups may be there.
    pub(crate) blind: Option<io::Error>,
}

/// Ends the processes, all at the same time; with an `instance` also what that manager started and has forgotten.
pub(crate) fn terminate(
    processes: &[Arc<ProcessInner>],
    instance: Option<Id>,
    by: EndedBy,
    grace: Duration,
) -> Outcome {
    let mut work = Work {
        targets: Targets::new(processes, instance),
        processes,
        beyond: HashSet::new(),
        blind: None,
    };
    let left = match !grace.is_zero() && work.ask(by, Deadline::after(grace)) {
        true => 0,
        false => work.force(by, Deadline::after(PATIENCE)),
    };
    Outcome {
        beyond_group: work.beyond.len(),
        left,
        blind: work.blind,
    }
}

/// Whose processes are looked for.
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

impl Wanted for Targets<'_> {
    fn wants(&self, cookie: Option<&Cookie>, group: Option<Pid>) -> bool {
        let carries = |cookie: &Cookie| {
            let instance = cookie.origin.map(|origin| origin.instance);
            cookie.is_inside(|id| self.by_id.contains(&id))
                || (instance.is_some() && instance == self.instance)
        };
        let process = group.and_then(|group| self.by_group.get(&group));
        cookie.is_some_and(carries) || process.is_some_and(|process| process.group.has_members())
    }
}

struct Work<'a> {
    processes: &'a [Arc<ProcessInner>],
    targets: Targets<'a>,
    /// Who was signalled that is not in one of the groups.
    beyond: HashSet<Pid>,
    /// Why the last look was none, or not one at everything.
    blind: Option<io::Error>,
}

impl Outcome {
    /// Whether it is certain that nothing is left.
    pub(crate) fn check(self) -> Result<(), Error> {
        if let Some(error) = self.blind {
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

impl Work<'_> {
    /// TERM to everything, once. True if nothing was left before the deadline.
    fn ask(&mut self, by: EndedBy, deadline: Deadline) -> bool {
        let groups = self.signal_groups(by, TERM);
        let mut sight = self.look(&groups, TERM);
        for process in self.processes {
            if process.exit.wait(deadline).is_none() {
                return false;
            }
        }
        loop {
            if !self.wait_for_end(&sight.found, deadline) {
                return false;
            }
            if sight.is_still_all() {
                return true;
            }
            // Nobody is told twice: a second TERM means "at once" to many programs.
            sight = self.look(&groups, 0);
            if sight.found.is_empty() && !self.groups_have_members() {
                return true;
            }
        }
    }

    /// KILL to everything, until nothing is found. Gives the number of those that are left at the deadline.
    fn force(&mut self, by: EndedBy, deadline: Deadline) -> usize {
        let groups = self.signal_groups(by, KILL);
        let stuck = self
            .processes
            .iter()
            .filter(|process| process.exit.wait(deadline).is_none())
            .count();
        // One look without a find is enough where there was nothing to find. Where there was, another one makes sure
        // that it had not just then become a new process with a lower number, unless none was made since.
        let mut looks = 1;
        // What was killed and has not ended. The next look may not find it: an exiting process shows no environment.
        let mut dying: Vec<Found> = Vec::new();
        loop {
            let mut sight = self.look(&groups, KILL);
            // A pid is in use for as long as its process has not ended.
            dying.retain(|one| !one.has_ended());
            sight
                .found
                .retain(|one| dying.iter().all(|other| other.pid != one.pid));
            dying.append(&mut sight.found);
            if dying.is_empty() && !self.groups_have_members() {
                looks -= 1;
                if looks == 0 || deadline.passed() {
                    return stuck;
                }
                continue;
            }
            if deadline.passed() {
                return dying.len().max(stuck);
            }
            looks = 2;
            let ended = self.wait_for_end(&dying, Deadline::after(ROUND).min(deadline));
            if ended && sight.is_still_all() {
                return stuck;
            }
        }
    }

    /// Signals the groups of the processes that are certain to be ours, and names them.
    fn signal_groups(&self, by: EndedBy, signal: i32) -> HashSet<Pid> {
        let mut groups = HashSet::new();
        for process in self.processes {
            if process.ask_to_end(by, signal) {
                groups.insert(process.pid);
                if signal != KILL {
                    // A stopped process would not see it.
                    process.ask_to_end(by, CONT);
                }
            } else if process.group.kill_survivors(signal) {
                groups.insert(process.pid);
            }
        }
        groups
    }

    /// Looks for all that is left, and signals what is not in one of the groups; to be killed, members of these too.
    fn look(&mut self, groups: &HashSet<Pid>, signal: i32) -> Sight {
        let beyond = &mut self.beyond;
        let found = sweep::find(&self.targets, |one| {
            // One that is gone by now, by the signal to its group perhaps, is in no group and was not signalled here.
            let is_member = group_of(one.pid).map_or(true, |group| groups.contains(&group));
            if !is_member && signal != 0 {
                beyond.insert(one.pid);
            }
            if signal == KILL || (signal != 0 && !is_member) {
                one.signal(signal);
            }
            if signal == TERM && !is_member {
                one.signal(CONT);
            }
        });
        // Without a process table to look through there is nobody to be found, but in the groups.
        let (sight, blind) = match found {
            Ok(mut sight) => {
                let unseen = sight.take_unseen();
                (sight, unseen)
            }
            Err(error) => (Sight::default(), Some(error)),
        };
        self.blind = blind;
        sight
    }

    /// Whether a group has members although none can be looked for.
    fn groups_have_members(&self) -> bool {
        let mut processes = self.processes.iter();
        self.blind.is_some() && processes.any(|process| process.group.has_members())
    }

    /// Waits until all of them have ended, or the deadline, which it says by false. Members of groups that cannot be
    /// looked for give no sign; they are looked at again after a while.
    fn wait_for_end(&self, found: &[Found], deadline: Deadline) -> bool {
        if found.is_empty() && self.groups_have_members() {
            let _ = poll(&mut [], deadline.min(Deadline::after(ROUND)).left());
            return !deadline.passed();
        }
        sweep::wait_for_end(found, deadline)
    }
}

/// What carries the cookie of a host that runs no more.
struct Orphans;

impl Wanted for Orphans {
    fn wants(&self, cookie: Option<&Cookie>, _group: Option<Pid>) -> bool {
        let host = cookie.and_then(|cookie| cookie.origin?.host);
        host.is_some_and(|host| host.is_gone())
    }
}

/// Ends what hosts that are gone have left behind, and gives their number.
pub(crate) fn end_orphans() -> Result<usize, Error> {
    let deadline = Deadline::after(PATIENCE);
    let mut ended = HashSet::new();
    loop {
        let failed = |error| Error::io("cannot look for orphans", error);
        let sight = sweep::find(&Orphans, |one| one.signal(KILL)).map_err(failed)?;
        let left = sight.found;
        ended.extend(left.iter().map(|one| one.pid));
        if left.is_empty() {
            return match sight.unseen {
                Some(error) => Err(failed(error)),
                None => Ok(ended.len()),
            };
        }
        if deadline.passed() {
            let what = format!("{} processes did not end after KILL", left.len());
            return Err(Error::io(what, sys::timed_out()));
        }
        sweep::wait_for_end(&left, Deadline::after(ROUND).min(deadline));
    }
}
