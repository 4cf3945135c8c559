//! The keys of idempotent starts: one key starts at most one process while the manager lives.
//!
//! Owns a record for each key of each owner. Promises: of all callers with one key one starts, and the others are told
//! what came of it; a cancel that comes before the spawn prevents it, and one that comes later is told what to end; a
//! record stays when its process's output is dropped, and goes only when it is forgotten; a full ledger refuses new keys.
//!
//! The order of events that holds: a record is pending from [`Ledger::claim`] until its [`Ticket`] is resolved, and
//! [`Ticket::begin_spawn`] is the one moment in between that decides between a cancel and the spawn. Whoever waits, waits
//! for a record that is not pending any more, so no answer can be given from a state that is passed.
//!
//! One lock, a leaf: nothing is locked, spawned or waited for (but for a change of the ledger) while it is held. So a
//! slow start of one key delays nobody else.

use std::collections::HashMap;
use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};

use crate::error::Error;
use crate::id::Id;
use crate::request::Request;
use crate::status::Status;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::time::Deadline;

/// How many keys a manager remembers. One more is refused until a key is forgotten.
pub const MAX_KEYS: usize = 16_384;

/// A key and whose it is. The same key of another owner is another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) owner: Option<OsString>,
    pub(crate) key: Vec<u8>,
}

/// What a request asks for, as a number: equal for equal requests, and otherwise different but for one chance in 2^128.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u64; 2]);

#[derive(Debug)]
pub(crate) struct Ledger {
    /// Protects the records. A leaf.
    inner: Mutex<Inner>,
    /// Signalled, with `inner`, when a record is not pending any more, and when the ledger is closed.
    changed: Condvar,
    most: usize,
    hashers: [RandomState; 2],
}

#[derive(Debug)]
struct Inner {
    records: HashMap<Name, Record>,
    by_id: HashMap<Id, Name>,
    closed: bool,
}

#[derive(Debug)]
enum Record {
    /// Somebody is starting it.
    Pending {
        fingerprint: Fingerprint,
        id: Id,
        canceled: bool,
        /// It has ended and was dropped before whoever started it came to say that it was started.
        expired: Option<Box<Status>>,
    },
    /// It was started and is in the manager's table.
    Started { fingerprint: Fingerprint, id: Id },
    /// It could not be started, and will not be.
    Failed {
        fingerprint: Fingerprint,
        error: Error,
    },
    /// It was canceled before it was started.
    Fenced,
    /// It has ended and its output is gone.
    Expired {
        fingerprint: Fingerprint,
        status: Box<Status>,
    },
}

/// What came of a claim that found no reason against the start.
#[derive(Debug)]
pub(crate) enum Claim<'a> {
    /// The key is the caller's to start.
    Ours(Ticket<'a>),
    /// It was started before.
    Started(Id),
}

/// What a cancel saw.
#[derive(Debug)]
pub(crate) enum Seen {
    /// It was never started, and never will be.
    Never,
    /// It was started: the caller is to end it.
    Started(Id),
    /// It had ended.
    Expired(Box<Status>),
    /// It is being started. Once it is, whoever starts it ends it.
    StillPending,
}

impl Ledger {
    pub(crate) fn new(most: usize) -> Self {
        Ledger {
            inner: Mutex::new(Inner {
                records: HashMap::new(),
                by_id: HashMap::new(),
                closed: false,
            }),
            changed: Condvar::new(),
            most,
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// The fingerprint of a request, of all that it asks for and of nothing that is worked out from it.
    pub(crate) fn fingerprint(&self, request: &Request) -> Fingerprint {
        let fields = request.fields();
        // The hash of a tuple of byte strings has the length of each in front of it.
        Fingerprint(
            self.hashers
                .each_ref()
                .map(|hasher| hasher.hash_one(&fields)),
        )
    }

    /// Claims a key for a start. Waits while somebody else is starting it.
    pub(crate) fn claim(
        &self,
        name: &Name,
        fingerprint: Fingerprint,
        id: Id,
        deadline: Deadline,
    ) -> Result<Claim<'_>, Error> {
        let mut inner = self.inner.lock();
        loop {
            let known = match inner.records.get(name) {
                Some(Record::Fenced) => return Err(Error::Canceled),
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
                    inner.check(id, self.most)?;
                    let record = Record::Pending {
                        fingerprint,
                        id,
                        canceled: false,
                        expired: None,
                    };
                    inner.records.insert(name.clone(), record);
                    inner.by_id.insert(id, name.clone());
                    return Ok(Claim::Ours(Ticket {
                        ledger: self,
                        name: name.clone(),
                    }));
                }
            };
            match known {
                (other, _) if *other != fingerprint => return Err(Error::Conflict),
                (_, Err(Error::StartPending)) => {}
                (_, answer) => return answer,
            }
            if inner.closed {
                return Err(Error::Closed);
            }
            if deadline.passed() {
                return Err(Error::StartPending);
            }
            self.wait(&mut inner, deadline);
        }
    }

    /// Cancels a key. Waits for a start under way.
    pub(crate) fn cancel(&self, name: &Name, deadline: Deadline) -> Result<Seen, Error> {
        let mut inner = self.inner.lock();
        loop {
            match inner.records.get_mut(name) {
                None => {
                    inner.check_room(self.most)?;
                    inner.records.insert(name.clone(), Record::Fenced);
                    return Ok(Seen::Never);
                }
                Some(Record::Fenced | Record::Failed { .. }) => return Ok(Seen::Never),
                Some(Record::Started { id, .. }) => return Ok(Seen::Started(*id)),
                Some(Record::Expired { status, .. }) => return Ok(Seen::Expired(status.clone())),
                Some(Record::Pending { canceled, .. }) => *canceled = true,
            }
            if inner.closed {
                // Closing refuses that start, or ends what it has started.
                return Err(Error::Closed);
            }
            if deadline.passed() {
                return Ok(Seen::StillPending);
            }
            self.wait(&mut inner, deadline);
        }
    }

    /// The process that a key has started, whether its output is still there or not.
    pub(crate) fn find(&self, name: &Name) -> Option<Id> {
        match self.inner.lock().records.get(name)? {
            Record::Started { id, .. } => Some(*id),
            Record::Expired { status, .. } => Some(status.id),
            Record::Pending { .. } | Record::Failed { .. } | Record::Fenced => None,
        }
    }

    /// Whether a key was started, or is being started, under this id.
    pub(crate) fn knows(&self, id: Id) -> bool {
        self.inner.lock().by_id.contains_key(&id)
    }

    /// How the process with this id ended, if a key has started it and its output is gone.
    pub(crate) fn expired(&self, id: Id) -> Option<(Option<OsString>, Box<Status>)> {
        let inner = self.inner.lock();
        let name = inner.by_id.get(&id)?;
        match inner.records.get(name)? {
            Record::Expired { status, .. } => Some((name.owner.clone(), status.clone())),
            _ => None,
        }
    }

    /// The output of a process is about to be dropped. What its key has started is remembered.
    pub(crate) fn expire(&self, status: Status) {
        let mut inner = self.inner.lock();
        let Some(name) = inner.by_id.get(&status.id).cloned() else {
            return;
        };
        let status = Box::new(status);
        match inner.records.get_mut(&name) {
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

    /// Frees the record of a key, unless it is being started. True if there was one.
    pub(crate) fn forget(&self, name: &Name) -> bool {
        let mut inner = self.inner.lock();
        match inner.records.get(name) {
            None | Some(Record::Pending { .. }) => false,
            Some(_) => {
                inner.remove(name);
                true
            }
        }
    }

    /// The name of the key that was started under this id.
    pub(crate) fn name_of(&self, id: Id) -> Option<Name> {
        self.inner.lock().by_id.get(&id).cloned()
    }

    /// Wakes everybody who waits. Nothing new is started from here on.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
        self.changed.notify_all();
    }

    fn wait(&self, inner: &mut MutexGuard<'_, Inner>, deadline: Deadline) {
        match deadline.instant() {
            Some(at) => drop(self.changed.wait_until(inner, at)),
            None => self.changed.wait(inner),
        }
    }
}

impl Inner {
    fn check(&self, id: Id, most: usize) -> Result<(), Error> {
        if self.closed {
            return Err(Error::Closed);
        }
        if self.by_id.contains_key(&id) {
            return Err(Error::Conflict);
        }
        self.check_room(most)
    }

    fn check_room(&self, most: usize) -> Result<(), Error> {
        if self.records.len() >= most {
            return Err(Error::Limit {
                what: "keys",
                limit: most,
            });
        }
        Ok(())
    }

    fn remove(&mut self, name: &Name) {
        match self.records.remove(name) {
            Some(Record::Pending { id, .. } | Record::Started { id, .. }) => {
                self.by_id.remove(&id);
            }
            Some(Record::Expired { status, .. }) => {
                self.by_id.remove(&status.id);
            }
            Some(Record::Failed { .. } | Record::Fenced) | None => {}
        }
    }
}

/// The right to start a key. Dropped without a word, it gives the key back as if it had not been claimed; what was
/// canceled meanwhile stays canceled.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    ledger: &'a Ledger,
    name: Name,
}

impl Ticket<'_> {
    /// The last moment at which a cancel prevents the start. One that comes later waits for the outcome.
    pub(crate) fn begin_spawn(&self) -> Result<(), Error> {
        match self.ledger.inner.lock().records.get(&self.name) {
            Some(Record::Pending { canceled: true, .. }) => Err(Error::Canceled),
            _ => Ok(()),
        }
    }

    /// It was started, and is in the manager's table. True if it was canceled after [`begin_spawn`](Ticket::begin_spawn):
    /// then the caller ends it, since a cancel that has given up waiting will not.
    pub(crate) fn publish(self) -> bool {
        let mut was_canceled = false;
        self.resolve(|pending| match pending {
            Record::Pending {
                fingerprint,
                id,
                canceled,
                expired,
            } => {
                was_canceled = canceled;
                Some(match expired {
                    None => Record::Started { fingerprint, id },
                    Some(status) => Record::Expired {
                        fingerprint,
                        status,
                    },
                })
            }
            other => Some(other),
        });
        was_canceled
    }

    /// It could not be started, and will not be.
    pub(crate) fn fail(self, error: &Error) {
        self.resolve(|pending| match pending {
            Record::Pending { fingerprint, .. } => Some(Record::Failed {
                fingerprint,
                error: error.clone(),
            }),
            other => Some(other),
        });
    }

    /// Puts another record, or none, in the place of the pending one and wakes who waits for it.
    fn resolve(&self, outcome: impl FnOnce(Record) -> Option<Record>) {
        let mut inner = self.ledger.inner.lock();
        let Some(pending) = inner.records.remove(&self.name) else {
            return;
        };
        let Record::Pending { id, .. } = pending else {
            // Resolved before: this is the drop that follows.
            inner.records.insert(self.name.clone(), pending);
            return;
        };
        let record = outcome(pending);
        if !matches!(
            record,
            Some(Record::Started { .. } | Record::Expired { .. })
        ) {
            inner.by_id.remove(&id);
        }
        if let Some(record) = record {
            inner.records.insert(self.name.clone(), record);
        }
        self.ledger.changed.notify_all();
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.resolve(|pending| match pending {
            Record::Pending { canceled: true, .. } => Some(Record::Fenced),
            _ => None,
        });
    }
}
