//! The manager's side of what its processes report.
//!
//! A process can outlive its manager. So the observer has a weak reference to the manager, and does nothing
//! after the manager is dropped. Three reports are sent to the subscribers as events: the end of the leader,
//! the end of the output, and the end of a background stop.
//!
//! Lock order: the observer is called without a lock. It takes the locks of the timer, the subscribers, the
//! key table, the table of processes and a process that it drops, and releases each before it takes the next
//! one.

use std::sync::Weak;

use super::shared::ManagerInner;
use crate::events::Event;
use crate::id::Id;
use crate::process::Observer;
use crate::status::About;

/// Reports to a manager what happens to one process.
pub(super) struct ManagerObserver(pub(super) Weak<ManagerInner>);

impl ManagerObserver {
    fn send(&self, event: Event, about: &About) {
        if let Some(inner) = self.0.upgrade() {
            inner.send(event, about);
        }
    }
}

impl Observer for ManagerObserver {
    fn ended(&self, id: Id, about: &About) {
        if let Some(inner) = self.0.upgrade() {
            if let Some(at) = about.ends_at {
                inner.expiry.delay_limit(id, at);
            }
            inner.send(Event::Ended(id), about);
        }
    }

    fn output_closed(&self, id: Id, about: &About) {
        self.send(Event::OutputClosed(id), about);
    }

    fn done(&self, id: Id, about: &About) {
        if let Some(inner) = self.0.upgrade() {
            let is_forgotten = !inner.table.lock().processes.contains_key(&id);
            if !is_forgotten {
                let oldest = inner.expiry.add_ended(id, about.keyed);
                oldest.into_iter().for_each(|id| inner.drop_ended(id));
            }
        }
    }

    fn stopped(&self, id: Id, about: &About) {
        self.send(Event::Stopped(id), about);
    }

    fn warn(&self, text: &str) {
        if let Some(inner) = self.0.upgrade() {
            inner.config.warn(text);
        }
    }
}
