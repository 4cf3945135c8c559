//! What is done with a key of an idempotent start: cancel, find, forget.
//!
//! The records of the keys are in the [`KeyTable`](crate::keys::KeyTable). The answer to a call comes from
//! the record of the key or, while the record is `Started`, from the process.
//!
//! Lock order: the locks of the key table, the timer and the table of processes are leaves. Each is
//! released before the next one is taken.

use std::ffi::OsStr;
use std::time::Duration;

use super::scope::Scope;
use crate::error::Error;
use crate::id::Id;
use crate::keys::{CancelOutcome, OwnedKey};
use crate::request::check_key;
use crate::status::{EndedBy, Status};
use crate::time::Deadline;

/// The result of [`Manager::cancel`](crate::Manager::cancel).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Canceled {
    /// The key has not started a process, and will not.
    NeverStarted,
    /// The process of the key has ended. [`Status::ended_by`] says whether this cancel has ended it.
    Ended(Box<Status>),
    /// The timeout passed first. The status is that of the process, which is being ended. `None` if it
    /// is still being started: then the start is prevented, or the process is ended after it.
    TimedOut(Option<Box<Status>>),
}

impl Scope {
    pub(super) fn cancel(&self, key: &[u8], timeout: Option<Duration>) -> Result<Canceled, Error> {
        let key = self.owned_key(key)?;
        let deadline = Deadline::from(timeout);
        loop {
            let id = match self.inner.keys.cancel(&key, deadline)? {
                CancelOutcome::NeverStarted => return Ok(Canceled::NeverStarted),
                CancelOutcome::Expired(status) => return Ok(Canceled::Ended(status)),
                CancelOutcome::StillPending => return Ok(Canceled::TimedOut(None)),
                CancelOutcome::Started(id) => id,
            };
            let process = self.inner.table.lock().processes.get(&id).cloned();
            // A key is marked as expired before its process leaves the table, so the next iteration
            // finds that.
            let Some(process) = process else { continue };
            process
                .stop_until(EndedBy::Cancel, deadline)
                .map_err(|error| Error::io("no thread to end the process", error))?;
            let status = Box::new(process.status());
            return Ok(match status.is_running() {
                true => Canceled::TimedOut(Some(status)),
                false => Canceled::Ended(status),
            });
        }
    }

    pub(super) fn find(&self, key: &[u8]) -> Result<Id, Error> {
        let key = self.owned_key(key)?;
        self.inner.keys.find(&key).ok_or(Error::UnknownKey)
    }

    pub(super) fn forget(&self, id: Id) -> Result<(), Error> {
        let status = match self.get(id) {
            Ok(process) => Some(process.status()?),
            Err(Error::Expired { .. }) => None,
            Err(error) => return Err(error),
        };
        if status.as_ref().is_some_and(Status::is_running) {
            return Err(Error::StillRunning { id });
        }
        self.inner.expiry.remove_ended(id);
        // The key is marked as expired, then the process leaves the table, then the key is forgotten: a
        // caller that looks for the key meanwhile finds the process in the table or the key as expired,
        // and a new start of the key does not find the old process.
        if let Some(status) = status.filter(|status| status.about.keyed) {
            self.inner.keys.expire(status.without_texts());
        }
        let dropped = self.inner.table.lock().processes.remove(&id);
        if let Some(key) = self.inner.keys.key_of(id) {
            self.inner.keys.forget(&key);
        }
        // The memory is freed after the lock is released.
        drop(dropped);
        Ok(())
    }

    pub(super) fn forget_key(&self, key: &[u8]) -> Result<(), Error> {
        let key = self.owned_key(key)?;
        match self.inner.keys.find(&key) {
            Some(id) => self.forget(id),
            None if self.inner.keys.forget(&key) => Ok(()),
            None => Err(Error::UnknownKey),
        }
    }

    /// A key of the scope's owner.
    fn owned_key(&self, key: &[u8]) -> Result<OwnedKey, Error> {
        check_key(key)?;
        Ok(OwnedKey {
            owner: self.owner.as_deref().map(OsStr::to_os_string),
            key: key.to_vec(),
        })
    }
}
