//! The place of a start in the table of processes, from its admission until its process is in the table.
//!
//! A reservation holds one of the `max_processes` slots, the id of the start, and the sequence number of its
//! spawn. If it is dropped before its process is inserted, it leaves nothing in the table.
//!
//! Lock order: each step takes the lock of the table, a leaf.

use std::ffi::OsStr;
use std::sync::Arc;

use super::scope::Scope;
use super::shared::Table;
use crate::error::Error;
use crate::id::Id;
use crate::process::ProcessInner;
use crate::slots::Slot;

/// The reservation of a start. Its entries are removed from the table when it is dropped.
pub(super) struct StartReservation<'a> {
    scope: &'a Scope,
    id: Id,
    slot: Option<Slot>,
    /// The sequence number of the spawn, while it is under way.
    spawning: Option<u64>,
    inserted: bool,
}

impl<'a> StartReservation<'a> {
    /// Reserves a slot and an id.
    pub(super) fn new(scope: &'a Scope, id: Id) -> Result<Self, Error> {
        let mut table = scope.inner.table.lock();
        scope.check_open(&table)?;
        let Some(slot) = scope.inner.slots.take() else {
            let (what, limit) = ("max_processes", scope.inner.config.max_processes);
            return Err(Error::Limit { what, limit });
        };
        if table.processes.contains_key(&id) || !table.reserved.insert(id) {
            return Err(Error::Conflict);
        }
        Ok(StartReservation {
            scope,
            id,
            slot: Some(slot),
            spawning: None,
            inserted: false,
        })
    }

    /// The last point at which a close prevents the start. A later close waits for the spawn and ends
    /// the process. Returns the sequence number of the start.
    pub(super) fn begin_spawn(&mut self, owner: Option<Arc<OsStr>>) -> Result<u64, Error> {
        let mut table = self.scope.inner.table.lock();
        self.scope.check_open(&table)?;
        table.sequence += 1;
        let number = table.sequence;
        table.spawning.insert(number, owner);
        self.spawning = Some(number);
        Ok(number)
    }

    /// The slot, for the process. Called once.
    pub(super) fn take_slot(&mut self) -> Option<Slot> {
        self.slot.take()
    }

    /// Adds the process to the table and ends its spawn in one step: a close sees either the spawn or
    /// the process.
    pub(super) fn insert(mut self, process: &Arc<ProcessInner>) {
        self.inserted = true;
        let mut table = self.scope.inner.table.lock();
        table.processes.insert(process.id, Arc::clone(process));
        self.remove_from_starts(&mut table);
    }

    /// Removes the id and the spawn from the starts under way, and wakes a close that waits for the spawn.
    fn remove_from_starts(&mut self, table: &mut Table) {
        table.reserved.remove(&self.id);
        if let Some(number) = self.spawning.take() {
            table.spawning.remove(&number);
            self.scope.inner.spawn_finished.notify_all();
        }
    }
}

impl Drop for StartReservation<'_> {
    fn drop(&mut self) {
        if !self.inserted {
            let inner = &self.scope.inner;
            let mut table = inner.table.lock();
            self.remove_from_starts(&mut table);
        }
    }
}
