//! Ending processes for certain: TERM, a grace period, KILL, and everything that got away from the group.
//!
//! Promises: returns when nothing is left of the processes, or when the kernel has not ended them within
//! [`PATIENCE`] of KILL, and says what is left. Works on the caller's thread. Takes no lock for longer than a signal.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use crate::id::Id;
use crate::status::EndedBy;
use crate::sweep::{self, Carrier};
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

/// Ends the processes, all at the same time.
pub(crate) fn terminate(processes: &[Arc<Inner>], by: EndedBy, grace: Duration) -> Outcome {
    let mut work = Work {
        processes,
        ids: processes.iter().map(|process| process.id).collect(),
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

struct Work<'a> {
    processes: &'a [Arc<Inner>],
    ids: HashSet<Id>,
    /// Who was signalled that is not in the group of a running leader.
    beyond: HashSet<Pid>,
}

impl Work<'_> {
    /// TERM to everything, once. True if nothing was left before the deadline.
    fn ask(&mut self, by: EndedBy, deadline: Deadline) -> bool {
        let groups = self.signal_groups(by, TERM);
        for carrier in self.carriers() {
            // Members of a group have been told. A second TERM means "at once" to many programs.
            if groups.get(&carrier.id) != group_of(carrier.pid).ok().as_ref() {
                self.signal_beyond(&carrier, TERM);
                carrier.signal(CONT);
            }
        }
        for process in self.processes {
            if process.life.wait(deadline).is_none() {
                return false;
            }
        }
        loop {
            let left = self.carriers();
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
        self.signal_groups(by, KILL);
        let stuck = self
            .processes
            .iter()
            .filter(|process| process.life.wait(deadline).is_none())
            .count();
        loop {
            let left = self.carriers();
            if left.is_empty() || deadline.passed() {
                return left.len().max(stuck);
            }
            for carrier in &left {
                self.signal_beyond(carrier, KILL);
            }
            sweep::wait_for_end(&left, Deadline::after(ROUND).min(deadline));
        }
    }

    /// Signals the groups of the leaders that run, and names these groups.
    fn signal_groups(&self, by: EndedBy, signal: i32) -> HashMap<Id, Pid> {
        let mut groups = HashMap::new();
        for process in self.processes {
            if process.ask_to_end(by, signal) {
                groups.insert(process.id, process.pid);
                if signal != KILL {
                    // A stopped process would not see it.
                    process.ask_to_end(by, CONT);
                }
            }
        }
        groups
    }

    fn signal_beyond(&mut self, carrier: &Carrier, signal: i32) {
        self.beyond.insert(carrier.pid);
        carrier.signal(signal);
    }

    /// Without a process table to look through there is nobody to be found.
    fn carriers(&self) -> Vec<Carrier> {
        sweep::carriers(|id| self.ids.contains(&id)).unwrap_or_default()
    }
}
