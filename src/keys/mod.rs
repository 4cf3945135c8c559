//! The table of keys. A key starts at most one process until its record is removed: by `forget`, or by a
//! refused start.
//!
//! The table holds one record for each key of each owner.
//!
//! - Of all callers that start the same key at the same time, one starts it. The others wait and get the
//!   outcome.
//! - A cancel that comes before the spawn prevents it. A later cancel gets the id of the process to
//!   stop.
//! - A record outlives the output of its process. It is removed by [`KeyTable::forget`], or when its start
//!   is refused, so that no process was started.
//! - A full table refuses new keys and never evicts a record.
//!
//! A record is pending from [`KeyTable::claim`] until its [`PendingStart`] is resolved.
//! [`PendingStart::check_not_canceled`] is the one point in between that decides between a cancel and the
//! spawn. Callers wait until the record is no longer pending, so they never get an answer that is out of
//! date.
//!
//! Lock order: the lock of the table is a leaf. While it is held, no other lock is taken and no process is
//! spawned. A thread that holds it waits on [`KeyTable::changed`] only. So a slow start of one key does not
//! delay other keys.

mod pending;

use std::collections::HashMap;
use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};

use crate::error::Error;
use crate::id::Id;
use crate::request::Request;
use crate::status::Status;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::time::Deadline;

pub(crate) use pending::PendingStart;

/// The number of keys that a manager remembers. A further key is refused until one is forgotten.
pub const MAX_KEYS: usize = 16_384;

/// A key and its owner. The same key with another owner is a different key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct OwnedKey {
    pub(crate) owner: Option<OsString>,
    pub(crate) key: Vec<u8>,
}

/// A hash of what a request asks for. Equal requests have equal fingerprints; the fingerprints of two
/// different requests are equal with a probability of 2^-128.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u64; 2]);

#[derive(Debug)]
pub(crate) struct KeyTable {
    /// Protects the records. A leaf.
    records: Mutex<Records>,
    /// Notified, with `records`, when a record is no longer pending and when the table is closed.
    changed: Condvar,
    max_keys: usize,
    hashers: [RandomState; 2],
}

#[derive(Debug)]
struct Records {
    by_key: HashMap<OwnedKey, Record>,
    by_id: HashMap<Id, OwnedKey>,
    closed: bool,
}

#[derive(Debug)]
enum Record {
    /// A caller is starting it.
    Pending {
        fingerprint: Fingerprint,
        id: Id,
        canceled: bool,
        /// The process has ended and was dropped before its [`PendingStart`] was resolved.
        expired: Option<Box<Status>>,
        /// The dropped process was forgotten. The record is removed when its [`PendingStart`] is resolved.
        forgotten: bool,
    },
    /// It was started and is in the manager's table of processes.
    Started { fingerprint: Fingerprint, id: Id },
    /// The start failed. It is not tried again.
    Failed {
        fingerprint: Fingerprint,
        error: Error,
    },
    /// It was canceled before it was started.
    Canceled,
    /// The process has ended and was dropped.
    Expired {
        fingerprint: Fingerprint,
        status: Box<Status>,
    },
}

/// The result of [`KeyTable::claim`].
#[derive(Debug)]
pub(crate) enum Claim<'a> {
    /// The caller must start it.
    Acquired(PendingStart<'a>),
    /// It was started before.
    Started(Id),
}

/// The result of [`KeyTable::cancel`].
#[derive(Debug)]
pub(crate) enum CancelOutcome {
    /// It was never started, and will never be.
    NeverStarted,
    /// It was started: the caller of `cancel` must stop it.
    Started(Id),
    /// The process had ended and was dropped.
    Expired(Box<Status>),
    /// The deadline passed while the start was pending. If it succeeds, the caller that starts it stops it.
    StillPending,
}

impl KeyTable {
    pub(crate) fn new(max_keys: usize) -> Self {
        KeyTable {
            records: Mutex::new(Records {
                by_key: HashMap::new(),
                by_id: HashMap::new(),
                closed: false,
            }),
            changed: Condvar::new(),
            max_keys,
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// The fingerprint of what the request starts: of all fields but key, owner and start timeout.
    pub(crate) fn fingerprint(&self, request: &Request) -> Fingerprint {
        let fields = request.fields();
        // The hash of each byte string includes its length, so no two sequences of fields run together.
        Fingerprint(
            self.hashers
                .each_ref()
                .map(|hasher| hasher.hash_one(&fields)),
        )
    }

    /// Claims a key for a start. Waits while another caller is starting it.
    pub(crate) fn claim(
        &self,
        key: &OwnedKey,
        fingerprint: Fingerprint,
        id: Id,
        deadline: Deadline,
    ) -> Result<Claim<'_>, Error> {
        let mut records = self.records.lock();
        loop {
            let known = match records.by_key.get(key) {
                Some(Record::Canceled) => return Err(Error::Canceled),
                Some(Record::Started { fingerprint, id }) => (fingerprint, Ok(Claim::Started(*id))),
                Some(Record::Failed { fingerprint, error }) => (fingerprint, Err(error.clone())),
                Some(Record::Expired {
                    fingerprint,
                    status,
                }) => (fingerprint, Err(Error::expired(status))),
                Some(Record::Pending { fingerprint, .. }) => {
                    (fingerprint, Err(Error::StartPending))
                }
                None => {
                    records.check_new(id, self.max_keys)?;
                    let record = Record::Pending {
                        fingerprint,
                        id,
                        canceled: false,
                        expired: None,
                        forgotten: false,
                    };
                    records.by_key.insert(key.clone(), record);
                    records.by_id.insert(id, key.clone());
                    return Ok(Claim::Acquired(PendingStart::new(self, key.clone())));
                }
            };
            match known {
                (other, _) if *other != fingerprint => return Err(Error::Conflict),
                (_, Err(Error::StartPending)) => {}
                (_, answer) => return answer,
            }
            if records.closed {
                return Err(Error::Closed);
            }
            if deadline.passed() {
                return Err(Error::StartPending);
            }
            self.wait(&mut records, deadline);
        }
    }

    /// Cancels a key. Waits while it is being started.
    pub(crate) fn cancel(
        &self,
        key: &OwnedKey,
        deadline: Deadline,
    ) -> Result<CancelOutcome, Error> {
        let mut records = self.records.lock();
        loop {
            match records.by_key.get_mut(key) {
                None => {
                    records.check_room(self.max_keys)?;
                    records.by_key.insert(key.clone(), Record::Canceled);
                    return Ok(CancelOutcome::NeverStarted);
                }
                Some(Record::Canceled | Record::Failed { .. }) => {
                    return Ok(CancelOutcome::NeverStarted);
                }
                Some(Record::Started { id, .. }) => return Ok(CancelOutcome::Started(*id)),
                Some(Record::Expired { status, .. }) => {
                    return Ok(CancelOutcome::Expired(status.clone()));
                }
                Some(Record::Pending { canceled, .. }) => *canceled = true,
            }
            if records.closed {
                // `close` refuses the pending start, or ends the process.
                return Err(Error::Closed);
            }
            if deadline.passed() {
                return Ok(CancelOutcome::StillPending);
            }
            self.wait(&mut records, deadline);
        }
    }

    /// The process that a key has started, dropped or not.
    pub(crate) fn find(&self, key: &OwnedKey) -> Option<Id> {
        match self.records.lock().by_key.get(key)? {
            Record::Started { id, .. } => Some(*id),
            Record::Expired { status, .. } => Some(status.id),
            Record::Pending { .. } | Record::Failed { .. } | Record::Canceled => None,
        }
    }

    /// Whether a key was started, or is being started, with this id.
    pub(crate) fn knows(&self, id: Id) -> bool {
        self.records.lock().by_id.contains_key(&id)
    }

    /// The final status of the process with this id and its owner, if a key has started it and it was
    /// dropped.
    pub(crate) fn expired(&self, id: Id) -> Option<(Option<OsString>, Box<Status>)> {
        let records = self.records.lock();
        let key = records.by_id.get(&id)?;
        match records.by_key.get(key)? {
            Record::Expired { status, .. } => Some((key.owner.clone(), status.clone())),
            _ => None,
        }
    }

    /// Stores the final status of a process that is about to be dropped.
    pub(crate) fn expire(&self, status: Status) {
        let mut records = self.records.lock();
        let Some(key) = records.by_id.get(&status.id).cloned() else {
            return;
        };
        let status = Box::new(status);
        match records.by_key.get_mut(&key) {
            Some(Record::Pending { expired, .. }) => *expired = Some(status),
            Some(record) => {
                if let Record::Started { fingerprint, .. } = *record {
                    *record = Record::Expired {
                        fingerprint,
                        status,
                    };
                }
            }
            None => {}
        }
    }

    /// Removes the record of a key, unless it is pending. A pending record whose process was dropped is
    /// removed when its start is resolved. True if the record is removed, now or then.
    pub(crate) fn forget(&self, key: &OwnedKey) -> bool {
        let mut records = self.records.lock();
        match records.by_key.get_mut(key) {
            Some(Record::Pending {
                expired: Some(_),
                forgotten,
                ..
            }) => {
                *forgotten = true;
                true
            }
            None | Some(Record::Pending { .. }) => false,
            Some(_) => {
                records.remove(key);
                true
            }
        }
    }

    /// The key that was started with this id.
    pub(crate) fn key_of(&self, id: Id) -> Option<OwnedKey> {
        self.records.lock().by_id.get(&id).cloned()
    }

    /// Wakes all waiting callers. No key can be claimed any more.
    pub(crate) fn close(&self) {
        self.records.lock().closed = true;
        self.changed.notify_all();
    }

    fn wait(&self, records: &mut MutexGuard<'_, Records>, deadline: Deadline) {
        match deadline.instant() {
            Some(at) => drop(self.changed.wait_until(records, at)),
            None => self.changed.wait(records),
        }
    }
}

impl Records {
    fn check_new(&self, id: Id, max_keys: usize) -> Result<(), Error> {
        if self.closed {
            return Err(Error::Closed);
        }
        if self.by_id.contains_key(&id) {
            return Err(Error::Conflict);
        }
        self.check_room(max_keys)
    }

    fn check_room(&self, max_keys: usize) -> Result<(), Error> {
        if self.by_key.len() >= max_keys {
            return Err(Error::Limit {
                what: "keys",
                limit: max_keys,
            });
        }
        Ok(())
    }

    fn remove(&mut self, key: &OwnedKey) {
        match self.by_key.remove(key) {
            Some(Record::Pending { id, .. } | Record::Started { id, .. }) => {
                self.by_id.remove(&id);
            }
            Some(Record::Expired { status, .. }) => {
                self.by_id.remove(&status.id);
            }
            Some(Record::Failed { .. } | Record::Canceled) | None => {}
        }
    }
}
