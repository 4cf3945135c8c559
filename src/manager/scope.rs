//! A manager as one owner sees it, and the queries: get, list, events.
//!
//! A scope holds its owner and whether it is closed. Through a scope, a process of another owner is not
//! found, not listed and not reported. The manager itself is the scope without an owner, which sees every
//! process.
//!
//! Lock order: a method that takes the lock of the table, a leaf, releases it before it calls a process.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::shared::{Closing, ManagerInner, Table};
use crate::error::Error;
use crate::events::Events;
use crate::id::Id;
use crate::process::{HandleKind, Process, ProcessInner};
use crate::request::{Request, check_text, check_variable};
use crate::status::{Listing, Status};

/// A manager, limited to one owner or not.
pub(super) struct Scope {
    pub(super) inner: Arc<ManagerInner>,
    /// Only processes of this owner are seen; `None` is every process.
    pub(super) owner: Option<Arc<OsStr>>,
    /// Written and read with the lock of the table held: a close then comes either before or after a
    /// reservation.
    pub(super) closed: AtomicBool,
}

impl Scope {
    pub(super) fn new(inner: Arc<ManagerInner>, owner: Option<Arc<OsStr>>) -> Self {
        Scope {
            inner,
            owner,
            closed: AtomicBool::new(false),
        }
    }

    /// A scope of this one for an owner.
    pub(super) fn narrow(&self, owner: OsString) -> Result<Self, Error> {
        check_text("owner", &owner)?;
        self.check_owner(&owner)?;
        if !matches!(self.inner.table.lock().closing, Closing::No) {
            return Err(Error::Closed);
        }
        Ok(Scope::new(Arc::clone(&self.inner), Some(owner.into())))
    }

    pub(super) fn check_open(&self, table: &Table) -> Result<(), Error> {
        if matches!(table.closing, Closing::No) && !self.closed.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(Error::Closed)
        }
    }

    /// Refuses an owner other than that of the scope.
    fn check_owner(&self, owner: &OsStr) -> Result<(), Error> {
        match &self.owner {
            Some(own) if **own != *owner => {
                let reason = format!(
                    "{} is not that of this scope, {}",
                    owner.to_string_lossy(),
                    own.to_string_lossy()
                );
                Err(Error::invalid("owner", reason))
            }
            _ => Ok(()),
        }
    }

    /// The owner of what a request starts: that of the request, else that of the scope.
    pub(super) fn owner_of(&self, request: &Request) -> Result<Option<Arc<OsStr>>, Error> {
        let owner = match &request.owner {
            Some(owner) => {
                self.check_owner(owner)?;
                Some(Arc::from(owner.as_os_str()))
            }
            None => self.owner.clone(),
        };
        if let (Some(name), Some(owner)) = (&self.inner.config.owner_variable, &owner) {
            check_variable(name, owner)?;
        }
        Ok(owner)
    }

    /// Whether processes of this owner are seen.
    pub(super) fn sees(&self, owner: Option<&OsStr>) -> bool {
        self.owner.is_none() || self.owner.as_deref() == owner
    }

    /// The processes that are seen.
    pub(super) fn visible(&self, table: &Table) -> Vec<Arc<ProcessInner>> {
        let all = table.processes.values();
        all.filter(|process| self.sees(process.about.owner.as_deref()))
            .cloned()
            .collect()
    }

    pub(super) fn get(&self, id: Id) -> Result<Process, Error> {
        let process = self.inner.table.lock().processes.get(&id).cloned();
        if let Some(process) = process {
            if self.sees(process.about.owner.as_deref()) {
                return Ok(Process::new(process, HandleKind::Own));
            }
        } else if let Some((owner, status)) = self.inner.keys.expired(id) {
            if self.sees(owner.as_deref()) {
                return Err(Error::Expired { status });
            }
        }
        Err(Error::NotFound { id: id.to_string() })
    }

    pub(super) fn list(&self, limit: Option<usize>) -> Listing {
        let visible = self.visible(&self.inner.table.lock());
        let mut processes: Vec<Status> = visible.iter().map(|process| process.status()).collect();
        processes.sort_by_key(|status| (!status.is_running(), u64::MAX - status.sequence()));
        let total = processes.len();
        processes.truncate(limit.unwrap_or(total));
        Listing { processes, total }
    }

    pub(super) fn events(&self) -> Result<Events, Error> {
        self.inner.events.subscribe(self.owner.clone())
    }
}
