//! Time limits of processes.
//!
//! A limit that is reached while the leader runs stops the process on a thread of its own. The limit of a
//! process whose leader has ended before ends what it left behind. That needs a scan of `/proc`, so one
//! thread at a time does it for all processes whose limits are reached meanwhile.
//!
//! Lock order: `late_limits` before that of the threads. It is not held while processes are ended.

use std::mem::take;
use std::sync::Arc;
use std::time::Instant;

use super::shared::ManagerInner;
use crate::cookie::Mark;
use crate::id::Id;
use crate::process::{self, ProcessInner};
use crate::status::EndedBy;

impl ManagerInner {
    /// The time limit of a process is reached.
    pub(super) fn reach_limit(self: &Arc<Self>, id: Id, at: Instant) {
        let process = self.table.lock().processes.get(&id).cloned();
        let is_limit_of = |process: &ProcessInner| {
            let limit = process.about.ends_at;
            limit == Some(at) || limit.map(|limit| self.expiry.late_limit(limit)) == Some(at)
        };
        match process {
            // The process was dropped, and another one has its id.
            Some(process) if !is_limit_of(&process) => {}
            Some(process) if process.status().is_running() => process.reach_limit(),
            process => self.end_survivors(id, process),
        }
    }

    /// Ends what an ended process has left behind, on a thread.
    fn end_survivors(self: &Arc<Self>, id: Id, process: Option<Arc<ProcessInner>>) {
        let instance = self.origin.instance;
        let mut late = self.late_limits.lock();
        match process {
            Some(process) => late.processes.push(process),
            None => drop(late.dropped.insert(Mark { instance, id })),
        }
        if late.has_thread {
            return;
        }
        let inner = Arc::clone(self);
        // Without a thread they are ended together with the next ones, or by the close.
        late.has_thread = self
            .threads
            .spawn_thread(move || while inner.end_late() {})
            .is_ok();
    }

    /// Ends what the processes have left whose limits were reached. False if there are none.
    fn end_late(&self) -> bool {
        let (processes, dropped) = {
            let mut late = self.late_limits.lock();
            let all = (take(&mut late.processes), take(&mut late.dropped));
            late.has_thread = !(all.0.is_empty() && all.1.is_empty());
            all
        };
        let is_empty = processes.is_empty() && dropped.is_empty();
        let (by, grace) = (EndedBy::Limit, self.config.stop_grace);
        if !processes.is_empty() {
            process::terminate(&processes, None, by, grace, &self.asked);
        }
        if !dropped.is_empty() {
            process::terminate_dropped(dropped, by, grace, &self.asked);
        }
        !is_empty
    }
}
