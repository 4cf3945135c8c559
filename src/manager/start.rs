//! Starting a process: a request is resolved, its leader is spawned, and the process enters the table.
//!
//! A start that fails leaves no process, no thread, no descriptor and no entry in the table of processes.
//! No lock is held while a command is spawned. A cancel or a close that comes before the spawn prevents it.
//!
//! Lock order: a start takes the locks of the key table and of the table of processes, both leaves, one at
//! a time.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::observer::ManagerObserver;
use super::reservation::StartReservation;
use super::scope::Scope;
use super::shared::ManagerInner;
use crate::directory::Directory;
use crate::error::Error;
use crate::events::Event;
use crate::id::Id;
use crate::keys::{Claim, OwnedKey, PendingStart};
use crate::process::{HandleKind, Preparation, Process, ProcessInner, Settings};
use crate::request::{Form, Request};
use crate::spawn::{self, OutputPipes, SpawnSpec};
use crate::status::{About, EndedBy};
use crate::sys::cstrings::CStrings;
use crate::sys::spawn::Spawned;
use crate::time::Deadline;

impl Scope {
    pub(super) fn start(&self, request: &Request) -> Result<Process, Error> {
        request.check()?;
        let owner = self.owner_of(request)?;
        let id = request.id.unwrap_or_else(Id::random);
        match &request.key {
            Some(key) => self.start_keyed(request, key, id, owner),
            None if self.inner.keys.knows(id) => Err(Error::Conflict),
            None => {
                let process = self.start_process(request, id, owner, None)?;
                Ok(Process::new(process, HandleKind::Own))
            }
        }
    }

    /// Starts a process unless its key has been started before. Waits while another caller is starting it.
    fn start_keyed(
        &self,
        request: &Request,
        key: &[u8],
        id: Id,
        owner: Option<Arc<OsStr>>,
    ) -> Result<Process, Error> {
        let key = OwnedKey {
            owner: owner.as_deref().map(OsStr::to_os_string),
            key: key.to_vec(),
        };
        let keys = &self.inner.keys;
        let fingerprint = keys.fingerprint(request);
        let deadline = Deadline::from(request.start_timeout);
        loop {
            let pending = match keys.claim(&key, fingerprint, id, deadline)? {
                Claim::Acquired(pending) => pending,
                Claim::Started(id) => {
                    // A key is marked as expired before its process leaves the table, so the next
                    // iteration finds that.
                    let process = self.inner.table.lock().processes.get(&id).cloned();
                    let Some(process) = process else { continue };
                    return Ok(Process::new(process, HandleKind::Attached));
                }
            };
            return match self.start_process(request, id, owner, Some(&pending)) {
                Ok(process) => {
                    if pending.mark_started() {
                        // The cancel may have timed out.
                        let _ = process.stop_until(EndedBy::Cancel, Deadline::now());
                    }
                    Ok(Process::new(process, HandleKind::Own))
                }
                Err(error) => {
                    // Every `Error::Spawn` is remembered, also if a pipe or a thread was missing. A start
                    // that failed with another error may be tried again.
                    if matches!(error, Error::Spawn { .. }) {
                        pending.fail(&error);
                    }
                    Err(error)
                }
            };
        }
    }

    /// Starts a process and inserts it into the table. `pending` is the start of its key, if it has one.
    fn start_process(
        &self,
        request: &Request,
        id: Id,
        owner: Option<Arc<OsStr>>,
        pending: Option<&PendingStart<'_>>,
    ) -> Result<Arc<ProcessInner>, Error> {
        let inner = &self.inner;
        let mut reservation = StartReservation::new(self, id)?;
        let mut resolved = Resolved::new(inner, request, owner.as_deref(), id);
        let (pipes, read_ends) = OutputPipes::new(request.separate_streams)?;
        let sizes = inner.config.sizes(request.lossless);
        let preparation = Preparation::new(&inner.threads, read_ends, sizes)?;
        // The last points at which a cancel and a close prevent the start.
        pending.map_or(Ok(()), PendingStart::check_not_canceled)?;
        let sequence = reservation.begin_spawn(owner.clone())?;
        let (started_at, started) = (SystemTime::now(), Instant::now());
        let spawned = resolved.spawn_leader(inner, &pipes)?;
        // The host's write ends are closed before the end can be published, so that an output that has
        // ended is seen to have ended.
        drop(pipes);

        // From here on nothing can fail, so that the process cannot be lost before it is in the table.
        let about = About {
            command: request.command_text(),
            directory: resolved.directory.report(),
            owner,
            background: request.background,
            keyed: request.key.is_some(),
            started_at,
            started,
            ends_at: request
                .time_limit
                .and_then(|limit| started.checked_add(limit)),
            sequence,
        };
        let settings = Settings {
            max_line_bytes: inner.config.max_line_bytes,
            stop_grace: inner.config.stop_grace,
            instance: inner.origin.instance,
            asked: Arc::clone(&inner.asked),
            close_signal: Arc::clone(&inner.close_signal),
            threads: Arc::clone(&inner.threads),
            observer: Box::new(ManagerObserver(Arc::downgrade(inner))),
            slot: reservation.take_slot(),
        };
        let (process, tasks) = ProcessInner::new(id, spawned, preparation, about, settings);
        reservation.insert(&process);
        // Before the tasks begin, so that the event of the start is sent before that of the end.
        inner.send(Event::Started(id), &process.about);
        if let Some(at) = process.about.ends_at {
            inner.expiry.add_limit(id, at);
        }
        tasks.start();
        Ok(process)
    }
}

/// A request with everything filled in that the manager decides.
struct Resolved<'a> {
    spec: SpawnSpec<'a>,
    directory: Directory,
}

impl<'a> Resolved<'a> {
    fn new(inner: &'a ManagerInner, request: &'a Request, owner: Option<&OsStr>, id: Id) -> Self {
        let config = &inner.config;
        let environment = inner
            .environment
            .block(config, &request.variables, owner, id);
        let directory = match &request.directory {
            Some(directory) => Directory::given(directory.clone()),
            None => inner.directories.choose(config),
        };
        let (program, command) = match &request.form {
            Form::Program(program) => (program.as_os_str(), None),
            Form::Shell(command) => (config.shell.as_os_str(), Some(command)),
        };
        let mut arguments = CStrings::default();
        arguments.push(&[program.as_bytes()]);
        if let Some(command) = command {
            arguments.push(&[b"-c"]);
            arguments.push(&[command.as_bytes()]);
        }
        for argument in &request.arguments {
            arguments.push(&[argument.as_bytes()]);
        }
        let spec = SpawnSpec {
            program,
            arguments,
            directory: directory.path.clone(),
            environment,
            method: config.start_method,
        };
        Resolved { spec, directory }
    }

    /// Spawns the leader. If the directory was a guess that turns out to be wrong, the leader is spawned in
    /// the next choice.
    fn spawn_leader(
        &mut self,
        inner: &ManagerInner,
        pipes: &OutputPipes,
    ) -> Result<Spawned, Error> {
        match spawn::spawn(&self.spec, pipes) {
            Err(Error::Spawn { .. }) if self.directory.is_wrong_guess() => {
                self.directory = inner.directories.choose_again(&inner.config);
                self.spec.directory = self.directory.path.clone();
                spawn::spawn(&self.spec, pipes)
            }
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// The id of a process is known from its event before its start has returned, so the process can end
    /// and be forgotten while its key is pending. The key can then be started again.
    #[test]
    fn a_process_is_forgotten_before_its_start_returns() {
        let inner = ManagerInner::open(Config::new()).expect("a manager");
        let scope = Scope::new(inner, None);
        let request = Request::new("true").key("key");
        let key = OwnedKey {
            owner: None,
            key: b"key".to_vec(),
        };
        let (keys, id) = (&scope.inner.keys, Id::random());
        let claim = keys.claim(&key, keys.fingerprint(&request), id, Deadline::NEVER);
        let Ok(Claim::Acquired(pending)) = claim else {
            panic!("{claim:?}");
        };
        let process = scope
            .start_process(&request, id, None, Some(&pending))
            .expect("it starts");
        Process::new(process, HandleKind::Own)
            .wait()
            .expect("it ends");
        scope.forget(id).expect("it has ended");
        assert!(matches!(scope.get(id), Err(Error::NotFound { .. })));
        assert!(!pending.mark_started());
        assert_eq!(keys.find(&key), None);
        let again = scope.start(&request).expect("it starts");
        assert!(!again.is_attached());
        assert_ne!(again.id(), id);
    }
}
