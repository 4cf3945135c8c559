//! The registry of processes: admits starts, finds processes, closes.
//!
//! Owns the table, the threads and the keeper. Promises: no lock is held while a command is spawned; a start that the
//! closing does not wait for never runs its command; after closing nothing that this manager started is left.
//!
//! Lock order: the table's lock is a leaf. Nothing is called with it held that locks, waits or makes a system call.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use crate::config::Config;
use crate::environment;
use crate::error::Error;
use crate::events::{Event, Events, Hub};
use crate::id::Id;
use crate::keeper::Keeper;
use crate::life::EndedBy;
use crate::process::{self, About, Crew, Listing, Observer, Process, Settings, Status};
use crate::request::{Form, Request, check_text, check_variable};
use crate::spawn::{self, Description, Pipes};
use crate::sys;
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
    owner: Option<OsString>,
    /// Set and read with the table's lock held, so that it falls before or after an admission.
    closed: AtomicBool,
}

struct House {
    config: Config,
    host: u32,
    pool: Arc<Pool>,
    keeper: Arc<Keeper>,
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
    spawning: HashMap<u64, Option<OsString>>,
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
    Done,
}

impl Manager {
    /// Opens a manager.
    ///
    /// Fails with [`Error::Invalid`] for a configuration that makes no sense, and with [`Error::Io`] if there is no
    /// thread to be had for the keeper, which drops what has expired.
    pub fn open(config: Config) -> Result<Self, Error> {
        config.check()?;
        let pool = Pool::new();
        let keeper = Arc::new(Keeper::new(config.keep_ended, config.max_ended));
        let worker = pool
            .worker()
            .map_err(|error| Error::io("no thread for the keeper", error))?;
        let house = Arc::new(House {
            config,
            host: std::process::id(),
            pool,
            keeper: Arc::clone(&keeper),
            events: Arc::default(),
            table: Mutex::default(),
            settled: Condvar::new(),
        });
        let weak = Arc::downgrade(&house);
        worker.run(move || {
            keeper.run(|id| {
                if let Some(house) = weak.upgrade() {
                    let dropped = house.table.lock().processes.remove(&id);
                    // Its memory is freed without the lock.
                    drop(dropped);
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
            view: Arc::new(View::new(Arc::clone(house), Some(owner))),
        })
    }

    /// Whether this is the view of one owner.
    pub fn is_scope(&self) -> bool {
        self.view.owner.is_some()
    }

    /// Starts what the request describes.
    ///
    /// Returns when the program has been executed, or says which step of the start failed: then nothing of it is left.
    /// Blocks for as long as the kernel and the environment hook take.
    pub fn start(&self, request: &Request) -> Result<Process, Error> {
        let house = self.house()?;
        request.check()?;
        let owner = self.owner_of(request)?;
        let mut admission = Admission::new(&self.view)?;
        let id = Id::random();

        let config = &house.config;
        let variables = request.variables.iter();
        let environment = environment::build(
            config,
            variables.map(|(name, value)| (name.as_os_str(), value.as_os_str())),
            owner.as_deref(),
            id,
        );
        let (directory, reported) = working_directory(request, config);
        let (program, mut arguments) = match &request.form {
            Form::Program(program) => (program.clone(), Vec::new()),
            Form::Shell(command) => (
                config.shell.clone().into(),
                vec!["-c".into(), command.clone()],
            ),
        };
        arguments.extend_from_slice(&request.arguments);
        let description = Description {
            program,
            arguments,
            directory,
            environment,
        };

        let crew = Crew::gather(&house.pool)?;
        let pipes = Pipes::new(request.separate_streams)?;
        let sequence = admission.begin_spawn(owner.clone())?;
        let (started_at, started) = (SystemTime::now(), Instant::now());
        let spawned = spawn::spawn(&description, pipes)?;

        // Nothing can fail from here on: the process is in the table before anybody can miss it.
        let about = About {
            command: request.command_text(),
            directory: reported,
            owner: owner.clone(),
            background: request.background,
            started_at,
            started,
            sequence,
        };
        let settings = Settings {
            sizes: config.sizes(request.lossless),
            max_line_bytes: config.max_line_bytes,
            stop_grace: config.stop_grace,
            time_limit: request.time_limit,
            pool: Arc::clone(&house.pool),
            observer: Box::new(Registrar {
                house: Arc::downgrade(house),
                owner,
            }),
        };
        let streams = spawned.readers.len();
        let process = process::Inner::new(id, spawned.pid, streams, about, settings);
        admission.publish(&process);
        // Before its threads can tell of its end.
        house
            .events
            .tell(Event::Started(id), process.about.owner.as_deref());
        process.attend(crew, spawned.readers);
        Ok(Process::new(process))
    }

    /// The process with this id. One of another owner is not found.
    pub fn get(&self, id: Id) -> Result<Process, Error> {
        let house = self.house()?;
        let table = house.table.lock();
        match table.processes.get(&id) {
            Some(process) if self.view.sees(process.about.owner.as_deref()) => {
                Ok(Process::new(Arc::clone(process)))
            }
            _ => Err(Error::NotFound { id: id.to_string() }),
        }
    }

    /// The processes, running ones first, newest first, at most `limit` of them.
    pub fn list(&self, limit: Option<usize>) -> Result<Listing, Error> {
        let house = self.house()?;
        let seen = self.view.seen(&house.table.lock());
        let mut processes: Vec<Status> = seen.iter().map(process::Inner::status).collect();
        processes.sort_by_key(|status| (!status.is_running(), u64::MAX - status.sequence()));
        let total = processes.len();
        processes.truncate(limit.unwrap_or(total));
        Ok(Listing { processes, total })
    }

    /// Subscribes to what happens to the processes that this manager or scope sees, from now on.
    pub fn events(&self) -> Result<Events, Error> {
        self.house()?.events.subscribe(self.view.owner.clone())
    }

    /// Refuses new starts, ends every process that it sees together with all that these left behind, and waits for
    /// that. Ended processes stay readable while a handle exists.
    ///
    /// On a view this is for its owner's processes, and for starts through this view and its clones. Closing again
    /// changes nothing; a second caller waits for the first. Fails with [`Error::Io`] if the kernel did not end a
    /// process within ten seconds of KILL.
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
            Some(own) if own != owner => {
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

    fn owner_of(&self, request: &Request) -> Result<Option<OsString>, Error> {
        let owner = match &request.owner {
            Some(owner) => {
                self.check_owner(owner)?;
                Some(owner)
            }
            None => self.view.owner.as_ref(),
        };
        if let (Some(name), Some(owner)) = (&self.view.house.config.owner_variable, owner) {
            check_variable(name, owner)?;
        }
        Ok(owner.cloned())
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
    fn new(house: Arc<House>, owner: Option<OsString>) -> Self {
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
        let outcome = process::terminate(&seen, EndedBy::Close, house.config.close_grace);
        seen.iter().for_each(|process| process.abandon_output());
        if is_root {
            house.keeper.close();
            house.pool.close(Deadline::after(THREADS_PATIENCE));
            house.events.close();
            house.table.lock().closing = Closing::Done;
            house.settled.notify_all();
        }
        match outcome.left {
            0 => Ok(()),
            left => {
                let what = format!("{left} processes did not end after KILL");
                Err(Error::io(what, sys::timed_out()))
            }
        }
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
    fn is_here(&self) -> bool {
        self.host == std::process::id()
    }
}

/// A start on its way. Dropped before it is published, it leaves nothing in the table.
struct Admission<'a> {
    view: &'a View,
    /// The number of its spawn, once that is under way.
    spawning: Option<u64>,
    published: bool,
}

impl<'a> Admission<'a> {
    /// Takes a place among the live processes.
    fn new(view: &'a View) -> Result<Self, Error> {
        let mut table = view.house.table.lock();
        view.check_open(&table)?;
        let limit = view.house.config.max_processes;
        if table.live >= limit {
            let what = "max_processes";
            return Err(Error::Limit { what, limit });
        }
        table.live += 1;
        Ok(Admission {
            view,
            spawning: None,
            published: false,
        })
    }

    /// The last moment at which closing can prevent the start: one that comes later waits for the spawn and ends it.
    /// Gives the start its number.
    fn begin_spawn(&mut self, owner: Option<OsString>) -> Result<u64, Error> {
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
        self.end_spawn(&mut table);
    }

    fn end_spawn(&mut self, table: &mut Table) {
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
            self.end_spawn(&mut table);
        }
    }
}

/// Tells the house what happens to a process.
struct Registrar {
    house: Weak<House>,
    owner: Option<OsString>,
}

impl Registrar {
    fn tell(&self, event: Event) {
        if let Some(house) = self.house.upgrade() {
            house.events.tell(event, self.owner.as_deref());
        }
    }
}

impl Observer for Registrar {
    fn ended(&self, id: Id) {
        self.tell(Event::Ended(id));
    }

    fn output_closed(&self, id: Id) {
        self.tell(Event::OutputClosed(id));
    }

    fn done(&self, id: Id) {
        if let Some(house) = self.house.upgrade() {
            house.table.lock().live -= 1;
            house.keeper.add(id);
        }
    }

    fn stopped(&self, id: Id) {
        self.tell(Event::Stopped(id));
    }
}

/// Where a request runs, and the name of that place. `None` is the host's own directory.
fn working_directory(request: &Request, config: &Config) -> (Option<PathBuf>, PathBuf) {
    if let Some(directory) = &request.directory {
        return (Some(directory.clone()), directory.clone());
    }
    let configured = config.directory.clone();
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    let found = configured
        .filter(|directory| directory.is_dir())
        .or_else(|| home().filter(|directory| directory.is_dir()))
        .or_else(|| sys::user::home().filter(|directory| directory.is_dir()));
    match found {
        Some(directory) => (Some(directory.clone()), directory),
        None => (None, std::env::current_dir().unwrap_or_default()),
    }
}
