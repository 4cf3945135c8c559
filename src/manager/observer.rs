//! The manager's side of what its processes report.
//!
//! Owns nothing: a process outlives its manager, so the observer has a weak reference and does nothing
//! once the manager is gone. Promises: each report is sent to the subscribers.
//!
//! Lock order: called without a lock. Takes those of the timer, the subscribers and the table one after
//! the other, each released before the next.

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
                inner.expiry.remove_limit(id, at);
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
