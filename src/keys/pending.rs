//! The start of a key that is under way.
//!
//! A [`PendingStart`] stands for the pending record of its key. However the start ends, the record is
//! resolved once, and all callers that wait for it are woken. Each method takes the lock of the
//! [`KeyTable`], a leaf.

use super::{KeyTable, OwnedKey, Record};
use crate::error::Error;

/// The right to start a key. If it is dropped unresolved, the record is removed, as if the key had not been
/// claimed. If the key was canceled meanwhile, it stays canceled.
#[derive(Debug)]
pub(crate) struct PendingStart<'a> {
    table: &'a KeyTable,
    key: OwnedKey,
}

impl<'a> PendingStart<'a> {
    /// The record of `key` in `table` is pending.
    pub(super) fn new(table: &'a KeyTable, key: OwnedKey) -> Self {
        PendingStart { table, key }
    }

    /// The last point at which a cancel prevents the start. A later cancel waits for the outcome.
    pub(crate) fn check_not_canceled(&self) -> Result<(), Error> {
        match self.table.records.lock().by_key.get(&self.key) {
            Some(Record::Pending { canceled: true, .. }) => Err(Error::Canceled),
            _ => Ok(()),
        }
    }

    /// Records that the process was started. It is in the manager's table. True if the key was canceled
    /// after [`check_not_canceled`](PendingStart::check_not_canceled): then the caller must stop the process,
    /// because the cancel may have timed out.
    pub(crate) fn mark_started(self) -> bool {
        let mut was_canceled = false;
        self.resolve(|pending| match pending {
            Record::Pending {
                fingerprint,
                id,
                canceled,
                expired,
                forgotten,
            } => {
                was_canceled = canceled;
                let record = match expired {
                    None => Record::Started { fingerprint, id },
                    Some(status) => Record::Expired {
                        fingerprint,
                        status,
                    },
                };
                (!forgotten).then_some(record)
            }
            other => Some(other),
        });
        was_canceled
    }

    /// Records that the start failed. It is not tried again.
    pub(crate) fn fail(self, error: &Error) {
        self.resolve(|pending| match pending {
            Record::Pending { fingerprint, .. } => Some(Record::Failed {
                fingerprint,
                error: error.clone(),
            }),
            other => Some(other),
        });
    }

    /// Replaces the pending record by the result of `outcome`, or removes it, and wakes the callers that
    /// wait for it.
    fn resolve(&self, outcome: impl FnOnce(Record) -> Option<Record>) {
        let mut records = self.table.records.lock();
        let Some(pending) = records.by_key.remove(&self.key) else {
            return;
        };
        let Record::Pending { id, .. } = pending else {
            // Resolved before. This call comes from the drop after `mark_started` or `fail`.
            records.by_key.insert(self.key.clone(), pending);
            return;
        };
        let record = outcome(pending);
        if !matches!(
            record,
            Some(Record::Started { .. } | Record::Expired { .. })
        ) {
            records.by_id.remove(&id);
        }
        if let Some(record) = record {
            records.by_key.insert(self.key.clone(), record);
        }
        self.table.changed.notify_all();
    }
}

impl Drop for PendingStart<'_> {
    fn drop(&mut self) {
        self.resolve(|pending| match pending {
            Record::Pending { canceled: true, .. } => Some(Record::Canceled),
            _ => None,
        });
    }
}
