//! The registry of processes: admits starts, finds processes, closes.
//!
//! Owns the table, the threads and the keeper. Promises: no lock is held while a command is spawned; a start that the
//! closing does not wait for never runs its command; after closing nothing that this manager started is left.
//!
//! Lock order: the table's lock is a leaf. Nothing is called with it held that locks, waits or makes a system call.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use crate::config::Config;
use crate::cookie::{Cookie, Host, Origin};
use crate::directory::{Directories, Directory};
use crate::environment::Base;
use crate::error::Error;
use crate::events::{Event, Events, Hub};
use crate::id::Id;
use crate::keeper::{Due, Keeper};
use crate::ledger::{Claim, Ledger, MAX_KEYS, Name, Seen, Ticket};
use crate::process::{self, Crew, Observer, Process, Settings, Source};
use crate::request::{Form, Request, check_key, check_text, check_variable};
use crate::spawn::{self, Description, Pipes, Prepared};
use crate::status::{About, EndedBy, Listing, Status};
use crate::sys::texts::Texts;
use crate::threads::Pool;
use crate::time::Deadline;

/// How long closing waits for its threads once their processes are gone.
const THREADS_PATIENCE: Duration = Duration::from_secs(1);

/// A registry of processes: the whole of it, or the view of one owner.
///
/// [`open`](Manager::open) makes one, and [`scope`](Manager::scope) a view that sees, starts and ends only one owner's
/// processes. Clones mean the same. When the last clone of the whole is dropped, it is [closed](Manager::close); to drop
/// a view changes nothing.
///
/// Every method may be called from any thread at any time, and fails with [`Error::Forked`] in a forked copy of the host.
#[derive(Clone)]
pub struct Manager {
    view: Arc<View>,
}

struct View {
    house: Arc<House>,
    /// Whose processes are seen; `None` is everybody's.
    owner: Option<Arc<OsStr>>,
    /// Set and read with the table's lock held, so that it falls before or after an admission.
    closed: AtomicBool,
}

struct House {
    config: Config,
    host: u32,
    pool: Arc<Pool>,
    keeper: Arc<Keeper>,
    ledger: Ledger,
    /// What the environment of each process begins with.
    environment: Base,
    directories: Directories,
    prepared: Prepared,
    /// Who starts the processes, for their cookies.
    origin: Origin,
    events: Arc<Hub>,
    /// Protects the registry. A leaf.
    table: Mutex<Table>,
    /// Signalled, with `table`, when a spawn is over and when closing is.
    settled: Condvar,
}

#[derive(Default)]
struct Table {
    processes: HashMap<Id, Arc<process::Inner>>,
    /// Spawns under way, by their number, with their owners.
    spawning: HashMap<u64, Option<Arc<OsStr>>>,
    /// The ids of starts under way.
    reserved: HashSet<Id>,
    /// Processes that are not done, and starts under way.
    live: usize,
    /// The number of the last start.
    sequence: u64,
    closing: Closing,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Closing {
    #[default]
    No,
    UnderWay,
    /// Something may be left: the next one tries again.
    Incomplete,
    Done,
}

impl Manager {
    /// Opens a manager.
    ///
    /// Fails with [`Error::Invalid`] for a configuration that makes no sense, and with [`Error::Io`] if there is no
    /// thread to be had for the keeper, which drops what has expired, or no descriptor: a manager holds two until it is
    /// closed.
    pub fn open(config: Config) -> Result<Self, Error> {
        config.check()?;
        let keeper = Arc::new(Keeper::new(
            config.keep_ended,
            config.keep_keyed,
            config.max_ended,
        ));
        let timekeeper = Arc::clone(&keeper);
        let pool = Pool::new(move || timekeeper.look())
            .map_err(|error| Error::io("no descriptor for the threads to wait with", error))?;
        let worker = pool
            .worker()
            .map_err(|error| Error::io("no thread for the keeper", error))?;
        let origin = Origin {
            instance: Id::random(),
            host: Host::own(),
        };
        let house = Arc::new(House {
            environment: Base::new(&config, origin, &Cookie::own_ancestors()),
            directories: Directories::default(),
            prepared: Prepared::default(),
            config,
            host: std::process::id(),
            pool,
            keeper: Arc::clone(&keeper),
            ledger: Ledger::new(MAX_KEYS),
            origin,
            events: Arc::default(),
            table: Mutex::default(),
            settled: Condvar::new(),
        });
        let weak = Arc::downgrade(&house);
        let threads = Arc::clone(&house.pool);
        worker.run(move || {
            keeper.run(&threads, |due| {
                if let Some(house) = weak.upgrade() {
                    house.expire(due);
                }
            });
        });
        Ok(Manager {
            view: Arc::new(View::new(house, None)),
        })
    }

    /// The view of one owner: it sees, starts and ends only that owner's processes.
    ///
    /// A view of a view must be of the same owner.
    pub fn scope(&self, owner: impl Into<OsString>) -> Result<Self, Error> {
        let house = self.house()?;
        let owner = owner.into();
        check_text("owner", &owner)?;
        self.check_owner(&owner)?;
        if house.table.lock().closing != Closing::No {
            return Err(Error::Closed);
        }
        Ok(Manager {
            view: Arc::new(View::new(Arc::clone(house), Some(owner.into()))),
        })
    }

    /// The name of this manager among all that ever were: by it a caller can tell "never started here" from "started by
    /// another instance".
    pub fn instance(&self) -> Result<Id, Error> {
        Ok(self.house()?.origin.instance)
    }

    /// Whether this is the view of one owner.
    pub fn is_scope(&self) -> bool {
        self.view.owner.is_some()
    }

    /// Starts what the request describes; or, if its [key](Request::key) has been started before, gives
    /// [that process](Process::is_attached).
    ///
    /// Returns when the program has been executed, or says which step of the start failed: then nothing of it is left.
    /// Blocks for as long as the kernel and the environment hook take, and with a key for as long as another start of
    /// the same key takes.
    ///
    /// A key whose start failed gives the same failure again. One that belongs to a different request is a
    /// [`Conflict`](Error::Conflict), one that was canceled is [`Canceled`](Error::Canceled), and one whose process has
    /// ended and was dropped is [`Expired`](Error::Expired).
    pub fn start(&self, request: &Request) -> Result<Process, Error> {
        let house = self.house()?;
        request.check()?;
        let owner = self.owner_of(request)?;
        let id = request.id.unwrap_or_else(Id::random);
        let Some(key) = &request.key else {
            if house.ledger.knows(id) {
                return Err(Error::Conflict);
            }
            let process = self.spawn(request, id, owner, None)?;
            return Ok(Process::new(process, Source::Own));
        };
        let name = Name {
            owner: owner.as_deref().map(OsStr::to_os_string),
            key: key.clone(),
        };
        let fingerprint = house.ledger.fingerprint(request);
        let deadline = Deadline::from(request.start_timeout);
        loop {
            match house.ledger.claim(&name, fingerprint, id, deadline)? {
                Claim::Started(id) => {
                    // It is remembered as expired before it leaves the table, so the next look finds out.
                    if let Some(process) = house.table.lock().processes.get(&id) {
                        return Ok(Process::new(Arc::clone(process), Source::Attached));
                    }
                }
                Claim::Ours(ticket) => {
                    return match self.spawn(request, id, owner, Some(&ticket)) {
                        Ok(process) => {
                            if ticket.publish() {
                                // The cancel may have given up waiting.
                                let _ = process.stop_until(EndedBy::Cancel, Deadline::now());
                            }
                            Ok(Process::new(process, Source::Own))
                        }
                        Err(error) => {
                            // Only the outcome of a start is remembered, and not a refusal to begin one.
                            if matches!(error, Error::Spawn { .. }) {
                                ticket.fail(&error);
                            }
                            Err(error)
                        }
                    };
                }
            }
        }
    }

    /// Makes sure that a key is not started any more: what was never started never will be, what is being started or
    /// runs is ended (TERM, the manager's grace period, KILL), what has ended stays as it is.
    ///
    /// Waits up to `timeout` (`None`: for as long as it takes) for that; the ending goes on after it.
    pub fn cancel(&self, key: &[u8], timeout: Option<Duration>) -> Result<Canceled, Error> {
        let house = self.house()?;
        check_key(key)?;
        let name = self.name(key);
        let deadline = Deadline::from(timeout);
        loop {
            let id = match house.ledger.cancel(&name, deadline)? {
                Seen::Never => return Ok(Canceled::NeverStarted),
                Seen::Expired(status) => return Ok(Canceled::Ended(status)),
                Seen::StillPending => return Ok(Canceled::TimedOut(None)),
                Seen::Started(id) => id,
            };
            let process = house.table.lock().processes.get(&id).cloned();
            // It is remembered as expired before it leaves the table, so the next look finds out.
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

    /// The id of the process that a key has started, also when its output is gone. Fails with [`Error::UnknownKey`] for
    /// a key that has started nothing (yet).
    pub fn find(&self, key: &[u8]) -> Result<Id, Error> {
        let house = self.house()?;
        check_key(key)?;
        let name = self.name(key);
        house.ledger.find(&name).ok_or(Error::UnknownKey)
    }

    /// Drops an ended process and the record of its key, if it was started with one: the key is then as if it had never
    /// been used. What it left behind goes on, until the manager is closed. Fails with [`Error::StillRunning`] before the
    /// end.
    pub fn forget(&self, id: Id) -> Result<(), Error> {
        let house = self.house()?;
        match self.get(id) {
            Ok(process) if process.status()?.is_running() => {
                return Err(Error::StillRunning { id });
            }
            Ok(_) | Err(Error::Expired { .. }) => {}
            Err(error) => return Err(error),
        }
        house.keeper.remove(id);
        let dropped = house.table.lock().processes.remove(&id);
        // The key second: who starts it anew must not find the process.
        if let Some(name) = house.ledger.name_of(id) {
            house.ledger.forget(&name);
        }
        drop(dropped);
        Ok(())
    }

    /// Frees the record of a key that has started nothing, because its start failed or it was canceled before, or whose
    /// process has ended: the key is then as if it had never been used. Fails with [`Error::UnknownKey`] if there is no
    /// record, and with [`Error::StillRunning`] before the end of its process.
    pub fn forget_key(&self, key: &[u8]) -> Result<(), Error> {
        let house = self.house()?;
        check_key(key)?;
        let name = self.name(key);
        match house.ledger.find(&name) {
            Some(id) => self.forget(id),
            None if house.ledger.forget(&name) => Ok(()),
            None => Err(Error::UnknownKey),
        }
    }

    fn name(&self, key: &[u8]) -> Name {
        Name {
            owner: self.view.owner.as_deref().map(OsStr::to_os_string),
            key: key.to_vec(),
        }
    }

    /// Starts a process, whatever its key.
    fn spawn(
        &self,
        request: &Request,
        id: Id,
        owner: Option<Arc<OsStr>>,
        ticket: Option<&Ticket<'_>>,
    ) -> Result<Arc<process::Inner>, Error> {
        let house = &self.view.house;
        let mut admission = Admission::new(&self.view, id)?;
        let config = &house.config;
        let environment = house
            .environment
            .block(config, &request.variables, owner.as_deref(), id);
        let mut directory = match &request.directory {
            Some(directory) => Directory::given(directory.clone()),
            None => house.directories.choose(config),
        };
        let (program, command) = match &request.form {
            Form::Program(program) => (program.as_os_str(), None),
            Form::Shell(command) => (config.shell.as_os_str(), Some(command)),
        };
        let mut arguments = Texts::default();
        arguments.push(&[program.as_bytes()]);
        if let Some(command) = command {
            arguments.push(&[b"-c"]);
            arguments.push(&[command.as_bytes()]);
        }
        for argument in &request.arguments {
            arguments.push(&[argument.as_bytes()]);
        }
        let mut description = Description {
            program,
            arguments,
            directory: directory.path.clone(),
            environment,
            method: config.start_method,
            prepared: &house.prepared,
        };

        let crew = Crew::gather(&house.pool)?;
        let pipes = Pipes::new(request.separate_streams)?;
        // Each of these two decides against somebody who comes at the same time: a cancel, a close.
        ticket.map_or(Ok(()), Ticket::begin_spawn)?;
        let sequence = admission.begin_spawn(owner.clone())?;
        let (started_at, started) = (SystemTime::now(), Instant::now());
        let pid = match spawn::spawn(&description, &pipes) {
            Err(Error::Spawn { .. }) if directory.is_wrong_guess() => {
                directory = house.directories.choose_again(config);
                description.directory = directory.path.clone();
                spawn::spawn(&description, &pipes)
            }
            outcome => outcome,
        }?;
        let readers = pipes.into_readers();

        // Nothing can fail from here on: the process is in the table before anybody can miss it.
        let about = About {
            command: request.command_text(),
            directory: directory.report(),
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
            sizes: config.sizes(request.lossless),
            max_line_bytes: config.max_line_bytes,
            stop_grace: config.stop_grace,
            pool: Arc::clone(&house.pool),
            observer: Box::new(Registrar(Arc::downgrade(house))),
        };
        let process = process::Inner::new(id, pid, readers.len(), about, settings);
        admission.publish(&process);
        // Before its threads can tell of its end.
        house.tell(Event::Started(id), &process.about);
        if let Some(at) = process.about.ends_at {
            house.keeper.add_limit(id, at);
        }
        process.attend(crew, readers);
        Ok(process)
    }

    /// The process with this id. One of another owner is not found. One that was started with a key and whose output is
    /// gone is [`Expired`](Error::Expired).
    pub fn get(&self, id: Id) -> Result<Process, Error> {
        let house = self.house()?;
        let found = house.table.lock().processes.get(&id).cloned();
        if let Some(process) = found {
            if self.view.sees(process.about.owner.as_deref()) {
                return Ok(Process::new(process, Source::Own));
            }
        } else if let Some((owner, status)) = house.ledger.expired(id) {
            if self.view.sees(owner.as_deref()) {
                return Err(Error::Expired { status });
            }
        }
        Err(Error::NotFound { id: id.to_string() })
    }

    /// The processes, running ones first, newest first, at most `limit` of them.
    pub fn list(&self, limit: Option<usize>) -> Result<Listing, Error> {
        let house = self.house()?;
        let seen = self.view.seen(&house.table.lock());
        let mut processes: Vec<Status> = seen.iter().map(|process| process.status()).collect();
        processes.sort_by_key(|status| (!status.is_running(), u64::MAX - status.sequence()));
        let total = processes.len();
        processes.truncate(limit.unwrap_or(total));
        Ok(Listing { processes, total })
    }

    /// Subscribes to what happens to the processes that this manager or scope sees, from now on.
    pub fn events(&self) -> Result<Events, Error> {
        let house = self.house()?;
        let events = house.events.subscribe(self.view.owner.clone())?;
        // A caller who waits for a process may be held, and is not to tell of its end from now on.
        let seen = self.view.seen(&house.table.lock());
        seen.iter().for_each(|process| process.dismiss_stand_in());
        Ok(events)
    }

    /// Ends what hosts that are gone have left behind, whichever manager of theirs started it: what carries the cookie of
    /// a host that runs no more. Returns how many processes were ended. Touches nothing of a host that lives, or that
    /// lives in another pid namespace.
    ///
    /// For a program that was killed and starts again. Blocks for as long as the kernel takes to end them, at most ten
    /// seconds; fails with [`Error::Io`] if something is left then, or if there is no process table to look through.
    pub fn sweep_orphans(&self) -> Result<usize, Error> {
        self.house()?;
        process::end_orphans()
    }

    /// Refuses new starts, ends every process that it sees together with all that these left behind, and waits for
    /// that. Ended processes stay readable while a handle exists.
    ///
    /// On a view this is for its owner's processes, and for starts through this view and its clones. Closing again
    /// changes nothing; a second caller waits for the first. Fails with [`Error::Io`] if the kernel did not end a
    /// process within ten seconds of KILL, and if what left a process group cannot be looked for because `/proc` is not
    /// mounted or there is no descriptor to be had. Closing again tries again then.
    pub fn close(&self) -> Result<(), Error> {
        self.house()?;
        self.view.close()
    }

    /// The house, unless this is a forked copy of the host: then no lock may be touched.
    fn house(&self) -> Result<&Arc<House>, Error> {
        if self.view.house.is_here() {
            Ok(&self.view.house)
        } else {
            Err(Error::Forked)
        }
    }

    fn check_owner(&self, owner: &OsStr) -> Result<(), Error> {
        match &self.view.owner {
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

    fn owner_of(&self, request: &Request) -> Result<Option<Arc<OsStr>>, Error> {
        let owner = match &request.owner {
            Some(owner) => {
                self.check_owner(owner)?;
                Some(Arc::from(owner.as_os_str()))
            }
            None => self.view.owner.clone(),
        };
        if let (Some(name), Some(owner)) = (&self.view.house.config.owner_variable, &owner) {
            check_variable(name, owner)?;
        }
        Ok(owner)
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("owner", &self.view.owner)
            .finish_non_exhaustive()
    }
}

impl View {
    fn new(house: Arc<House>, owner: Option<Arc<OsStr>>) -> Self {
        View {
            house,
            owner,
            closed: AtomicBool::new(false),
        }
    }

    fn check_open(&self, table: &Table) -> Result<(), Error> {
        if table.closing == Closing::No && !self.closed.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(Error::Closed)
        }
    }

    fn sees(&self, owner: Option<&OsStr>) -> bool {
        self.owner.is_none() || self.owner.as_deref() == owner
    }

    fn seen(&self, table: &Table) -> Vec<Arc<process::Inner>> {
        let all = table.processes.values();
        all.filter(|process| self.sees(process.about.owner.as_deref()))
            .cloned()
            .collect()
    }

    fn close(&self) -> Result<(), Error> {
        let house = &self.house;
        let is_root = self.owner.is_none();
        let seen = {
            let mut table = house.table.lock();
            self.closed.store(true, Ordering::Relaxed);
            if is_root {
                while table.closing == Closing::UnderWay {
                    house.settled.wait(&mut table);
                }
                if table.closing == Closing::Done {
                    return Ok(());
                }
                table.closing = Closing::UnderWay;
            }
            // From here on no start of ours gets as far as to spawn. Those that have are waited for; those that come
            // after them, through another view, are not ours to end.
            let last = table.sequence;
            while table
                .spawning
                .iter()
                .any(|(number, owner)| *number <= last && self.sees(owner.as_deref()))
            {
                house.settled.wait(&mut table);
            }
            self.seen(&table)
        };
        let instance = is_root.then_some(house.origin.instance);
        let grace = house.config.close_grace;
        let outcome = process::terminate(&seen, instance, EndedBy::Close, grace);
        seen.iter().for_each(|process| process.abandon_output());
        if is_root {
            house.ledger.close();
            house.keeper.close();
            house.pool.close(Deadline::after(THREADS_PATIENCE));
            house.events.close();
        }
        let outcome = outcome.check();
        if is_root {
            house.table.lock().closing = match outcome {
                Ok(()) => Closing::Done,
                Err(_) => Closing::Incomplete,
            };
            house.settled.notify_all();
        }
        outcome
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if self.owner.is_none() && self.house.is_here() {
            // Nobody is left to be told.
            let _ = self.close();
        }
    }
}

impl House {
    fn tell(&self, event: Event, about: &About) {
        self.events.tell(event, about.owner.as_deref());
    }

    fn expire(&self, due: Due) {
        match due {
            Due::Drop(id) => self.drop_process(id),
            Due::Limit(id, at) => {
                let process = self.table.lock().processes.get(&id).cloned();
                // It may have ended since, and its id been used again.
                let limited = process.filter(|process| process.about.ends_at == Some(at));
                limited.iter().for_each(|process| process.reach_limit());
            }
        }
    }

    /// Drops an ended process. What its key has started is remembered first, so that who looks for the key between the
    /// two finds the one or the other.
    fn drop_process(&self, id: Id) {
        let found = self.table.lock().processes.get(&id).cloned();
        let Some(process) = found.filter(|process| process.is_done()) else {
            // Forgotten, and perhaps its id was used again since.
            return;
        };
        if process.about.keyed {
            self.ledger.expire(process.status().without_texts());
        }
        let dropped = self.table.lock().processes.remove(&id);
        // Its memory is freed without the lock.
        drop(dropped);
    }

    fn is_here(&self) -> bool {
        self.host == std::process::id()
    }
}

/// A start on its way. Dropped before it is published, it leaves nothing in the table.
struct Admission<'a> {
    view: &'a View,
    id: Id,
    /// The number of its spawn, once that is under way.
    spawning: Option<u64>,
    published: bool,
}

impl<'a> Admission<'a> {
    /// Takes a place among the live processes.
    fn new(view: &'a View, id: Id) -> Result<Self, Error> {
        let mut table = view.house.table.lock();
        view.check_open(&table)?;
        let limit = view.house.config.max_processes;
        if table.live >= limit {
            let what = "max_processes";
            return Err(Error::Limit { what, limit });
        }
        if table.processes.contains_key(&id) || !table.reserved.insert(id) {
            return Err(Error::Conflict);
        }
        table.live += 1;
        Ok(Admission {
            view,
            id,
            spawning: None,
            published: false,
        })
    }

    /// The last moment at which closing can prevent the start: one that comes later waits for the spawn and ends it.
    /// Gives the start its number.
    fn begin_spawn(&mut self, owner: Option<Arc<OsStr>>) -> Result<u64, Error> {
        let mut table = self.view.house.table.lock();
        self.view.check_open(&table)?;
        table.sequence += 1;
        let number = table.sequence;
        table.spawning.insert(number, owner);
        self.spawning = Some(number);
        Ok(number)
    }

    /// Puts the process into the table, in one step with the end of its spawn: closing sees the one or the other.
    fn publish(mut self, process: &Arc<process::Inner>) {
        self.published = true;
        let mut table = self.view.house.table.lock();
        table.processes.insert(process.id, Arc::clone(process));
        self.leave(&mut table);
    }

    fn leave(&mut self, table: &mut Table) {
        table.reserved.remove(&self.id);
        if let Some(number) = self.spawning.take() {
            table.spawning.remove(&number);
            self.view.house.settled.notify_all();
        }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if !self.published {
            let house = &self.view.house;
            let mut table = house.table.lock();
            table.live -= 1;
            self.leave(&mut table);
        }
    }
}

/// Tells the house what happens to a process.
struct Registrar(Weak<House>);

impl Registrar {
    fn tell(&self, event: Event, about: &About) {
        if let Some(house) = self.0.upgrade() {
            house.tell(event, about);
        }
    }
}

impl Observer for Registrar {
    fn ended(&self, id: Id, about: &About) {
        if let Some(house) = self.0.upgrade() {
            if let Some(at) = about.ends_at {
                house.keeper.remove_limit(id, at);
            }
            house.tell(Event::Ended(id), about);
        }
    }

    fn output_closed(&self, id: Id, about: &About) {
        self.tell(Event::OutputClosed(id), about);
    }

    fn done(&self, id: Id, about: &About) {
        if let Some(house) = self.0.upgrade() {
            let mut table = house.table.lock();
            table.live -= 1;
            let is_forgotten = !table.processes.contains_key(&id);
            drop(table);
            if !is_forgotten {
                let too_many = house.keeper.add(id, about.keyed);
                too_many.into_iter().for_each(|id| house.drop_process(id));
            }
        }
    }

    fn stopped(&self, id: Id, about: &About) {
        self.tell(Event::Stopped(id), about);
    }

    fn is_awaited(&self, about: &About) -> bool {
        let house = self.0.upgrade();
        house.is_some_and(|house| house.events.has_subscriber(about.owner.as_deref()))
    }
}

/// What a [cancel](Manager::cancel) came to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Canceled {
    /// The key has started nothing, and never will.
    NeverStarted,
    /// What it had started has ended, by this cancel or before: [`Status::ended_by`] tells.
    Ended(Box<Status>),
    /// The time was up first. What it had started is being ended; `None` if it is still being started, and will be
    /// ended, or prevented, after that.
    TimedOut(Option<Box<Status>>),
}
