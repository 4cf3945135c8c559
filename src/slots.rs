//! The limit of live processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The slots of a manager.
#[derive(Debug)]
pub(crate) struct Slots {
    limit: usize,
    used: AtomicUsize,
}

/// The slot of one live process, or of a start under way. Dropping it frees it.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Slots {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Slots {
            limit,
            used: AtomicUsize::new(0),
        })
    }

    /// Takes a free slot; `None` if all are in use.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        let one_more = |used| (used < self.limit).then_some(used + 1);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .ok()
            .map(|_| Slot(Arc::clone(self)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_when_it_is_dropped() {
        let slots = Slots::new(2);
        let first = slots.take().expect("two are free");
        let _second = slots.take().expect("one is free");
        assert!(slots.take().is_none());
        drop(first);
        let _third = slots.take().expect("one is free");
        assert!(slots.take().is_none());
    }
}
