//! The registry of processes: it starts them, finds them and ends them.
//!
//! Each method of the public [`Manager`] refuses a forked copy of the host and calls the [`Scope`]. The
//! modules:
//!
//! - `shared`: [`ManagerInner`](shared::ManagerInner), the state that all scopes share, and its table of
//!   processes.
//! - `scope`: a manager limited to one owner, and the queries.
//! - `start`: from a request to a process in the table.
//! - `reservation`: the place of a start in the table, until its process is there.
//! - `keyed`: what is done with a key of an idempotent start.
//! - `observer`: what the processes report.
//! - `close`: ending everything.
//!
//! No lock is held while a command is spawned. A start through the closed manager or scope never runs its
//! command, unless the close waits for it. After a close has succeeded, no process that the manager or scope
//! has started is left.
//!
//! Lock order: the lock of the table is a leaf. No other lock of the library is taken while it is held.
//! A thread that holds it waits on one condition variable only, for the end of a spawn or of another close.

mod close;
mod keyed;
mod limits;
mod observer;
mod reservation;
mod scope;
mod shared;
mod start;

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::error::Error;
use crate::events::Events;
use crate::id::Id;
use crate::process::{self, Process};
use crate::request::Request;
use crate::status::Listing;

pub use keyed::Canceled;
use scope::Scope;
use shared::ManagerInner;

/// A registry of processes: all of it, or a scope that is limited to one owner.
///
/// [`open`](Manager::open) makes a manager. [`scope`](Manager::scope) makes a scope of it, which sees,
/// starts and ends only one owner's processes. Clones refer to the same manager or scope. When the last
/// clone of the manager itself is dropped, the manager is [closed](Manager::close). Dropping a scope
/// changes nothing.
///
/// Every method may be called from any thread at any time. In a forked copy of the host, every method
/// that returns a `Result` fails with [`Error::Forked`].
#[derive(Clone)]
pub struct Manager {
    scope: Arc<Scope>,
}

impl Manager {
    /// Opens a manager.
    ///
    /// Fails with [`Error::Invalid`] if the configuration is invalid, and with [`Error::Io`] if the
    /// system is out of threads or file descriptors. A manager has one thread and one descriptor of its
    /// own until it is closed.
    pub fn open(config: Config) -> Result<Self, Error> {
        let inner = ManagerInner::open(config)?;
        Ok(Manager {
            scope: Arc::new(Scope::new(inner, None)),
        })
    }

    /// Makes a scope, which sees, starts and ends only the processes of one owner.
    ///
    /// A scope of a scope must have the same owner.
    pub fn scope(&self, owner: impl Into<OsString>) -> Result<Self, Error> {
        let scope = self.checked()?.narrow(owner.into())?;
        Ok(Manager {
            scope: Arc::new(scope),
        })
    }

    /// The id of this manager, different for each manager that is opened. With it, a caller can
    /// distinguish a key that was never started here from one that was started by another manager.
    pub fn instance(&self) -> Result<Id, Error> {
        Ok(self.checked()?.inner.origin.instance)
    }

    /// Whether this is a scope.
    pub fn is_scope(&self) -> bool {
        self.scope.owner.is_some()
    }

    /// Starts a process; or, if the request's [key](Request::key) has been started before, returns
    /// [that process](Process::is_attached).
    ///
    /// Returns when `execve` has succeeded. On failure the error says which step failed, and nothing is
    /// left of the start. Blocks until `execve` has succeeded or failed, while the environment hook runs,
    /// and, with a key, while another start of the same key is under way.
    ///
    /// If the start of a key has failed, later starts of it fail with the same error. Fails with
    /// [`Conflict`](Error::Conflict) if the key or the id belongs to a different request, with
    /// [`Canceled`](Error::Canceled) if the key was canceled, and with [`Expired`](Error::Expired) if
    /// the process of the key has ended and was dropped.
    pub fn start(&self, request: &Request) -> Result<Process, Error> {
        self.checked()?.start(request)
    }

    /// Makes sure that the process of a key does not run, now or later.
    ///
    /// If the key was never started, later starts of it fail. A process that is being started or runs is
    /// ended: TERM, the manager's stop grace, KILL. One that has ended stays as it is.
    ///
    /// Blocks until the process has ended, up to `timeout` (`None`: without a limit). The process is
    /// ended also after a timeout.
    pub fn cancel(&self, key: &[u8], timeout: Option<Duration>) -> Result<Canceled, Error> {
        self.checked()?.cancel(key, timeout)
    }

    /// The id of the process that a key has started, dropped or not. Fails with [`Error::UnknownKey`] if
    /// the key has not started a process, or not yet.
    pub fn find(&self, key: &[u8]) -> Result<Id, Error> {
        self.checked()?.find(key)
    }

    /// Drops an ended process, and the record of its key if it has one. The key can then be started again.
    ///
    /// What the process left behind runs on until the manager is closed. Fails with
    /// [`Error::StillRunning`] if the process has not ended.
    pub fn forget(&self, id: Id) -> Result<(), Error> {
        self.checked()?.forget(id)
    }

    /// Removes the record of a key. The key can then be started again.
    ///
    /// The key has started no process, because its start failed or it was canceled before; or its
    /// process has ended, and is dropped. Fails with [`Error::UnknownKey`] if there is no record, and
    /// with [`Error::StillRunning`] if the process of the key has not ended.
    pub fn forget_key(&self, key: &[u8]) -> Result<(), Error> {
        self.checked()?.forget_key(key)
    }

    /// The process with this id.
    ///
    /// Fails with [`Error::NotFound`] if there is none or it has another owner, and with
    /// [`Error::Expired`] if it was started with a key, has ended and was dropped.
    pub fn get(&self, id: Id) -> Result<Process, Error> {
        self.checked()?.get(id)
    }

    /// The processes, running ones first, newest first, at most `limit` of them.
    pub fn list(&self, limit: Option<usize>) -> Result<Listing, Error> {
        Ok(self.checked()?.list(limit))
    }

    /// Subscribes to the events of the processes that this manager or scope sees, from now on.
    pub fn events(&self) -> Result<Events, Error> {
        self.checked()?.events()
    }

    /// Ends the processes that hosts that have ended had started, through any of their managers.
    /// Returns the number of processes that were ended.
    ///
    /// For a program that was killed and starts again. It finds every process that carries the cookie of
    /// a host that is certainly gone, and the members of its group. Processes of a host that may run are
    /// left alone, also if it cannot be looked at; so are those of hosts in other pid or time namespaces,
    /// this program and its ancestors.
    ///
    /// Blocks until they have ended, at most ten seconds. Fails with [`Error::Io`] if some have not
    /// ended by then, or if `/proc` cannot be read.
    pub fn sweep_orphans(&self) -> Result<usize, Error> {
        self.checked()?;
        process::end_orphans()
    }

    /// Refuses new starts, ends all processes that it sees and what they left behind, and waits for
    /// that. Ended processes can be read as long as there is a handle.
    ///
    /// On a scope, this is for the processes of its owner, and for starts through this scope and its
    /// clones. Closing again changes nothing; of two callers at the same time, the second waits for the
    /// first.
    ///
    /// Fails with [`Error::Io`] if a process has not ended ten seconds after KILL, or if processes that
    /// left their process group cannot be searched for, because `/proc` is not mounted or the system is
    /// out of file descriptors. After a failure, closing again tries again.
    pub fn close(&self) -> Result<(), Error> {
        self.checked()?.close()
    }

    /// Does what [`close`](Manager::close) does, unless a close has failed before: then it returns that
    /// error at once. Dropping the last clone of a manager does the same.
    pub fn close_once(&self) -> Result<(), Error> {
        self.checked()?.close_once()
    }

    /// The scope, unless this is a forked copy of the host: there, a lock may be held for ever, so none
    /// may be taken.
    fn checked(&self) -> Result<&Scope, Error> {
        if self.scope.inner.is_in_host() {
            Ok(&self.scope)
        } else {
            Err(Error::Forked)
        }
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("owner", &self.scope.owner)
            .finish_non_exhaustive()
    }
}
