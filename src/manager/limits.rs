//! Time limits of processes.
//!
//! A limit that is reached while the leader runs stops the process on a thread of its own. The limit of a
//! process whose leader has ended before ends what it left behind. That needs a scan of `/proc`, so one
//! thread does it for all processes whose limits are reached at about the same time.
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
        let thread = self.threads.spawn_thread(move || inner.end_late());
        late.has_thread = thread.is_ok();
        drop(late);
        if let Err(error) = thread {
            // They are ended together with the next ones, or by the close.
            let text =
                format!("no thread to end what process {id} left at its time limit: {error}");
            self.config.warn(&text);
        }
    }

    /// Ends what the processes have left whose limits were reached. Those that come after this has begun are
    /// ended by another thread, because the grace period may be long.
    fn end_late(&self) {
        let (processes, dropped) = {
            let mut late = self.late_limits.lock();
            late.has_thread = false;
            (take(&mut late.processes), take(&mut late.dropped))
        };
        let (by, grace) = (EndedBy::Limit, self.config.stop_grace);
        let is_used = |id| {
            let table = self.table.lock();
            table.processes.contains_key(&id) || table.reserved.contains(&id)
        };
        let asked = &self.asked;
        let outcome =
            process::terminate_with_dropped(&processes, dropped, &is_used, by, grace, asked);
        if let Err(error) = outcome.check() {
            let text = format!("what processes left at their time limits: {error}");
            self.config.warn(&text);
        }
    }
}
