//! Ending processes for certain: TERM, a grace period, KILL, and everything that got away from the group.
//!
//! Promises: returns when nothing is left of the processes, or when the kernel has not ended them within
//! [`PATIENCE`] of KILL, and says what is left. Works on the caller's thread. Takes no lock for longer than a signal.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use crate::cookie::Cookie;
use crate::error::Error;
use crate::id::Id;
use crate::status::EndedBy;
use crate::sweep::{self, Found, Wanted};
use crate::sys;
use crate::sys::child::{Pid, group_of};
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
    /// How many were signalled beyond the groups of running leaders.
    pub(crate) beyond_group: usize,
    /// How many are still there.
    pub(crate) left: usize,
}

/// Ends the processes, all at the same time; with an `instance` also what that manager started and has forgotten.
pub(crate) fn terminate(
    processes: &[Arc<Inner>],
    instance: Option<Id>,
    by: EndedBy,
    grace: Duration,
) -> Outcome {
    let mut work = Work {
        targets: Targets::new(processes, instance),
        processes,
        beyond: HashSet::new(),
    };
    if !grace.is_zero() && work.ask(by, Deadline::after(grace)) {
        return Outcome {
            beyond_group: work.beyond.len(),
            left: 0,
        };
    }
    let left = work.force(by, Deadline::after(PATIENCE));
    Outcome {
        beyond_group: work.beyond.len(),
        left,
    }
}

/// Whose processes are looked for.
pub(super) struct Targets<'a> {
    by_id: HashSet<Id>,
    by_group: HashMap<Pid, &'a Inner>,
    instance: Option<Id>,
}

impl<'a> Targets<'a> {
    pub(super) fn new(processes: &'a [Arc<Inner>], instance: Option<Id>) -> Self {
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
    fn carries(&self, cookie: &Cookie) -> bool {
        let of_instance = |origin| self.instance == Some(origin);
        cookie.is_inside(|id| self.by_id.contains(&id))
            || cookie
                .origin
                .is_some_and(|origin| of_instance(origin.instance))
    }

    fn has_group(&self, group: Pid) -> bool {
        self.by_group
            .get(&group)
            .is_some_and(|process| process.group.has_members())
    }
}

struct Work<'a> {
    processes: &'a [Arc<Inner>],
    targets: Targets<'a>,
    /// Who was signalled that is not in the group of a running leader.
    beyond: HashSet<Pid>,
}

impl Work<'_> {
    /// TERM to everything, once. True if nothing was left before the deadline.
    fn ask(&mut self, by: EndedBy, deadline: Deadline) -> bool {
        let groups = self.signal_groups(by, TERM);
        let beyond = &mut self.beyond;
        let told = sweep::find(&self.targets, |one| {
            // Members of a group have been told. A second TERM means "at once" to many programs.
            if !is_in(&groups, one) {
                beyond.insert(one.pid);
                one.signal(TERM);
                one.signal(CONT);
            }
        });
        drop(told);
        for process in self.processes {
            if process.life.wait(deadline).is_none() {
                return false;
            }
        }
        loop {
            let left = self.look(|_| ());
            if left.is_empty() {
                return true;
            }
            if !sweep::wait_for_end(&left, deadline) {
                return false;
            }
        }
    }

    /// KILL to everything, until nothing is found. Gives the number of those that are left at the deadline.
    fn force(&mut self, by: EndedBy, deadline: Deadline) -> usize {
        let groups = self.signal_groups(by, KILL);
        let stuck = self
            .processes
            .iter()
            .filter(|process| process.life.wait(deadline).is_none())
            .count();
        // One look without a find is enough where there was nothing to find. Where there was, a process may have been
        // overlooked while it executed another program, when it shows no environment.
        let mut looks = 1;
        loop {
            let mut beyond = std::mem::take(&mut self.beyond);
            let left = self.look(|one| {
                if !is_in(&groups, one) {
                    beyond.insert(one.pid);
                }
                one.signal(KILL);
            });
            self.beyond = beyond;
            if left.is_empty() {
                looks -= 1;
                if looks == 0 || deadline.passed() {
                    return stuck;
                }
                continue;
            }
            if deadline.passed() {
                return left.len().max(stuck);
            }
            looks = 2;
            sweep::wait_for_end(&left, Deadline::after(ROUND).min(deadline));
        }
    }

    /// Signals the groups of the processes, and names those that are led by a running leader.
    fn signal_groups(&self, by: EndedBy, signal: i32) -> HashSet<Pid> {
        let mut groups = HashSet::new();
        for process in self.processes {
            if process.ask_to_end(by, signal) {
                groups.insert(process.pid);
                if signal != KILL {
                    // A stopped process would not see it.
                    process.ask_to_end(by, CONT);
                }
            }
        }
        groups
    }

    /// Without a process table to look through there is nobody to be found.
    fn look(&self, each: impl FnMut(&Found)) -> Vec<Found> {
        sweep::find(&self.targets, each).unwrap_or_default()
    }
}

fn is_in(groups: &HashSet<Pid>, one: &Found) -> bool {
    group_of(one.pid).is_ok_and(|group| groups.contains(&group))
}

/// Ends what hosts that are gone have left behind, and gives their number.
pub(crate) fn end_orphans() -> Result<usize, Error> {
    let deadline = Deadline::after(PATIENCE);
    let is_orphan = |cookie: &Cookie| {
        let host = cookie.origin.and_then(|origin| origin.host);
        host.is_some_and(|host| host.is_gone())
    };
    let mut ended = HashSet::new();
    loop {
        let failed = |error| Error::io("cannot look for orphans", error);
        let left = sweep::find(&is_orphan, |one| one.signal(KILL)).map_err(failed)?;
        ended.extend(left.iter().map(|one| one.pid));
        if left.is_empty() {
            return Ok(ended.len());
        }
        if deadline.passed() {
            let what = format!("{} processes did not end after KILL", left.len());
            return Err(Error::io(what, sys::timed_out()));
        }
        sweep::wait_for_end(&left, Deadline::after(ROUND).min(deadline));
    }
}
