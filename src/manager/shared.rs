//! The state that a manager and its scopes share.
//!
//! It holds the configuration, the threads, the timer, the keys, the events and the table of processes.
//! A key that has started a process is marked as expired before the process leaves the table.
//!
//! Lock order: the lock of the table is a leaf.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::sync::Arc;

use crate::config::Config;
use crate::cookie::{Cookie, Mark, Origin};
use crate::directory::Directories;
use crate::environment::Base;
use crate::error::Error;
use crate::events::{Broadcaster, Event};
use crate::expiry::{Expired, Expiry};
use crate::host::Host;
use crate::id::Id;
use crate::keys::{KeyTable, MAX_KEYS};
use crate::process::{Asked, CloseSignal, ProcessInner};
use crate::slots::Slots;
use crate::status::About;
use crate::sync::{Condvar, Mutex};
use crate::threads::Threads;

/// The state of a manager. Its scopes and the observers of its processes refer to it.
pub(super) struct ManagerInner {
    pub(super) config: Config,
    /// The pid of the process that opened the manager. A forked copy of the host has another pid.
    host_pid: u32,
    pub(super) threads: Arc<Threads>,
    pub(super) slots: Arc<Slots>,
    pub(super) expiry: Arc<Expiry>,
    pub(super) keys: KeyTable,
    /// The variables that the environment of each process begins with.
    pub(super) environment: Base,
    pub(super) directories: Directories,
    /// What the cookies of the processes say of their manager and host.
    pub(super) origin: Origin,
    pub(super) events: Arc<Broadcaster>,
    /// The processes that were sent TERM.
    pub(super) asked: Arc<Asked>,
    /// Set when a close has not ended every process, for callers that wait for one.
    pub(super) close_signal: Arc<CloseSignal>,
    /// Processes whose time limits were reached after their ends, until a thread ends what they left.
    pub(super) late_limits: Mutex<LateLimits>,
    /// Protects the table of processes. A leaf.
    pub(super) table: Mutex<Table>,
    /// Notified, with `table`, when a spawn has finished and when a close has.
    pub(super) spawn_finished: Condvar,
}

/// The processes of a manager and its starts under way.
#[derive(Default)]
pub(super) struct Table {
    pub(super) processes: HashMap<Id, Arc<ProcessInner>>,
    /// The owners of the spawns under way, by sequence number.
    pub(super) spawning: HashMap<u64, Option<Arc<OsStr>>>,
    /// The ids of the starts under way.
    pub(super) reserved: HashSet<Id>,
    /// The sequence number of the last spawn.
    pub(super) sequence: u64,
    pub(super) closing: Closing,
}

/// Processes that had ended when their time limits were reached.
#[derive(Default)]
pub(super) struct LateLimits {
    pub(super) processes: Vec<Arc<ProcessInner>>,
    /// Those whose records were dropped.
    pub(super) dropped: HashSet<Mark>,
    /// A thread was started that will end what they have left.
    pub(super) has_thread: bool,
}

/// How far a manager is closed.
#[derive(Default)]
pub(super) enum Closing {
    #[default]
    No,
    UnderWay,
    /// The last close failed: something may be left. The next one tries again.
    Incomplete(Error),
    Done,
}

impl ManagerInner {
    /// Makes a manager and starts its timer thread.
    pub(super) fn open(config: Config) -> Result<Arc<Self>, Error> {
        config.check()?;
        let expiry = Arc::new(Expiry::new(
            config.keep_ended,
            config.keep_keyed,
            config.max_ended,
        ));
        let threads = Threads::new()
            .map_err(|error| Error::io("no descriptor for the threads to wait with", error))?;
        let close_signal = CloseSignal::new()
            .map_err(|error| Error::io("no descriptor to wake callers with", error))?;
        let origin = Origin {
            instance: Id::random(),
            host: Host::own(),
        };
        let inner = Arc::new(ManagerInner {
            environment: Base::new(&config, origin, &Cookie::own_ancestors()),
            directories: Directories::default(),
            slots: Slots::new(config.max_processes),
            config,
            host_pid: std::process::id(),
            threads,
            expiry: Arc::clone(&expiry),
            keys: KeyTable::new(MAX_KEYS),
            origin,
            events: Arc::default(),
            asked: Arc::default(),
            close_signal: Arc::new(close_signal),
            late_limits: Mutex::default(),
            table: Mutex::default(),
            spawn_finished: Condvar::new(),
        });
        // The timer thread does not keep the manager alive.
        let weak = Arc::downgrade(&inner);
        let timer = move || {
            expiry.run(|expired| {
                if let Some(inner) = weak.upgrade() {
                    inner.handle_expired(expired);
                }
            });
        };
        inner
            .threads
            .spawn_thread(timer)
            .map_err(|error| Error::io("no thread for the timer", error))?;
        Ok(inner)
    }

    /// False in a forked copy of the host.
    pub(super) fn is_in_host(&self) -> bool {
        self.host_pid == std::process::id()
    }

    /// Sends an event of a process to the subscribers that see it.
    pub(super) fn send(&self, event: Event, about: &About) {
        self.events.send(event, about.owner.as_deref());
    }

    fn handle_expired(self: &Arc<Self>, expired: Expired) {
        match expired {
            Expired::Retention(id) => self.drop_ended(id),
            Expired::TimeLimit(id, at) => self.reach_limit(id, at),
        }
    }

    /// Drops an ended process. Its key, if it has one, is marked as expired first: a caller that looks
    /// for the key meanwhile finds the process in the table or the key as expired.
    pub(super) fn drop_ended(&self, id: Id) {
        let process = self.table.lock().processes.get(&id).cloned();
        let Some(process) = process.filter(|process| process.is_done()) else {
            // It was forgotten, and its id may have been used again.
            return;
        };
        if process.about.keyed {
            self.keys.expire(process.status().without_texts());
        }
        let dropped = self.table.lock().processes.remove(&id);
        // Frees the memory after the lock is released.
        drop(dropped);
    }
}
