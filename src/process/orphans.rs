//! Ends the processes of hosts that have ended.
//!
//! An orphan carries the cookie of a host that is certainly gone, or is in the process group of one that
//! does and carries no cookie. The calling program and its ancestors are never orphans, although it may
//! have been started by a host that is gone. No lock is held while a process is signalled.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::ending::{KILL_TIMEOUT, SCAN_INTERVAL};
use crate::cookie::{Cookie, Mark};
use crate::error::Error;
use crate::host::{Host, Namespaces};
use crate::sweep::{self, Filter, FoundProcess};
use crate::sys;
use crate::sys::child::{Pid, exists};
use crate::sys::proc::Stat;
use crate::sys::signal::KILL;
use crate::time::Deadline;

/// Ends the processes of hosts that have ended, and returns their number.
pub(crate) fn end_orphans() -> Result<usize, Error> {
    let failed = |error| Error::io("cannot look for orphans", error);
    let deadline = Deadline::after(KILL_TIMEOUT);
    let orphans = Orphans::new().map_err(failed)?;
    let mut ended = HashSet::new();
    loop {
        let result = sweep::find(&orphans, deadline, |one| {
            one.signal(KILL);
        })
        .map_err(failed)?;
        let left = result.found;
        ended.extend(left.iter().map(|one| one.pid));
        if left.is_empty() {
            return match result.scan_error {
                Some(error) => Err(failed(error)),
                None => Ok(ended.len()),
            };
        }
        if left.iter().all(FoundProcess::is_refused) {
            let what = format!("{} processes may not be ended", left.len());
            return Err(Error::io(what, sys::not_permitted()));
        }
        if deadline.passed() {
            let what = format!("{} processes did not end after KILL", left.len());
            return Err(Error::io(what, sys::timed_out()));
        }
        sweep::wait_for_end(&left, Deadline::after(SCAN_INTERVAL).min(deadline));
    }
}

struct Orphans {
    own: Namespaces,
    /// This program, and its ancestors as far as they can be seen.
    lineage: HashSet<Pid>,
    /// The groups of this program and of its ancestors.
    own_groups: HashSet<Pid>,
    /// The processes that this program was started in. Its children have their cookies until they execute a
    /// program.
    own_marks: Vec<Mark>,
    /// Whether all ancestors were seen. If not, one of them may have a cookie of `own_marks`.
    lineage_is_complete: bool,
    /// The hosts that are gone, and stay so.
    gone: RefCell<HashSet<Host>>,
    /// The groups of the orphans that were found, with the last start time at which a process was
    /// certainly a member of the same group.
    groups: RefCell<HashMap<Pid, u64>>,
}

impl Orphans {
    fn new() -> std::io::Result<Self> {
        let mut stat = Stat::own()?;
        let mut lineage = HashSet::from([std::process::id().cast_signed()]);
        let mut own_groups = HashSet::from([stat.group]);
        let mut lineage_is_complete = true;
        // 0: the parent is outside of this pid namespace.
        while stat.parent != 0 && lineage.insert(stat.parent) {
            stat = match Stat::of(stat.parent) {
                Ok(stat) => stat,
                // It has ended, or `/proc` does not show it.
                Err(_) => {
                    lineage_is_complete = false;
                    break;
                }
            };
            own_groups.insert(stat.group);
        }
        let own_ancestors = Cookie::own_ancestors().into_iter();
        Ok(Orphans {
            own: Namespaces::own()?,
            lineage,
            own_groups,
            own_marks: own_ancestors.map(|ancestor| ancestor.mark).collect(),
            lineage_is_complete,
            gone: RefCell::default(),
            groups: RefCell::default(),
        })
    }

    fn is_gone(&self, host: Host) -> bool {
        let mut gone = self.gone.borrow_mut();
        gone.contains(&host) || (host.is_gone(self.own) && gone.insert(host))
    }

    /// Whether a process that carries a cookie of this program's own may be a child of it, or an ancestor.
    fn may_be_related(&self, pid: Pid) -> bool {
        /// More generations than any process has.
        const MANY: usize = 1_000;
        let own = std::process::id().cast_signed();
        let mut at = pid;
        for _ in 0..MANY {
            match Stat::of(at) {
                Ok(stat) if stat.parent == own => return true,
                Ok(stat) if stat.parent <= 1 => return !self.lineage_is_complete,
                Ok(stat) => at = stat.parent,
                Err(_) => return true,
            }
        }
        true
    }

    /// Whether the process is in a group in which an orphan was found.
    ///
    /// The orphan was a member when its group was noted, so the number of the group was not free. A
    /// process that had been started by then and is in the group now is in the same group: the kernel
    /// would have to allocate all pids in a hundredth of a second to give the number to another one.
    fn is_in_group_of_orphan(&self, pid: Pid, group: Pid) -> bool {
        let until = self.groups.borrow().get(&group).copied();
        until.is_some_and(|until| Stat::of(pid).is_ok_and(|stat| stat.start_time <= until))
    }
}

impl Filter for Orphans {
    fn matches(&self, pid: Pid, cookie: Option<&Cookie>, group: Option<Pid>) -> bool {
        if self.lineage.contains(&pid) {
            return false;
        }
        let group = group.filter(|group| !self.own_groups.contains(group));
        let is_orphan = match cookie {
            Some(cookie) => {
                let host = cookie.origin.and_then(|origin| origin.host);
                let is_own = cookie.marks().any(|mark| self.own_marks.contains(&mark));
                host.is_some_and(|host| self.is_gone(host)) && !(is_own && self.may_be_related(pid))
            }
            None => group.is_some_and(|group| self.is_in_group_of_orphan(pid, group)),
        };
        // A group that another process leads is not the orphan's: it may have joined it.
        let is_of_orphan = |group: &Pid| {
            *group == pid || self.groups.borrow().contains_key(group) || !exists(*group)
        };
        if let Some(group) = group.filter(|group| is_orphan && is_of_orphan(group)) {
            self.groups
                .borrow_mut()
                .insert(group, sys::clock::now_in_ticks());
        }
        is_orphan
    }
}
