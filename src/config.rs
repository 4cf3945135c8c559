//! The options of a manager.
//!
//! A [`Config`] is plain data. [`Config::check`] accepts only values that the rest of the library can work
//! with.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::output::Sizes;
use crate::request::{check_text, check_variable};

/// The maximum of [`Config::head_bytes`] and of [`Config::tail_bytes`]: 1 GiB.
pub const MAX_KEPT_BYTES: usize = 1 << 30;

/// An environment: names and values of variables.
pub type Environment = BTreeMap<OsString, OsString>;

/// The error of an environment hook.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

type Hook = Arc<dyn Fn(&mut Environment) -> Result<(), HookError> + Send + Sync>;
type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// How processes are started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartMethod {
    /// By a `clone` that shares the host's memory until its `execve`. The host is never forked, so a start
    /// takes the same time in a host of any size. The process inherits no descriptor other than 0, 1 and 2,
    /// no blocked or ignored signal, and no controlling terminal.
    #[default]
    Automatic,
    /// By [`std::process::Command`] as it is, in a process group of its own. The process inherits what
    /// the host leaves it: blocked and ignored signals, the controlling terminal, descriptors without
    /// close-on-exec.
    Std,
}

/// The options of a manager.
///
/// ```
/// use std::time::Duration;
/// use procmgr::{Config, Manager};
///
/// let config = Config::new()
///     .max_processes(64)
///     .close_grace(Duration::from_secs(1));
/// let manager = Manager::open(config)?;
/// # Ok::<(), procmgr::Error>(())
/// ```
#[derive(Clone)]
pub struct Config {
    pub(crate) shell: PathBuf,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) environment: Option<Environment>,
    pub(crate) environment_hook: Option<Hook>,
    pub(crate) owner_variable: Option<OsString>,
    pub(crate) start_method: StartMethod,
    pub(crate) head_bytes: usize,
    pub(crate) tail_bytes: usize,
    pub(crate) max_line_bytes: usize,
    pub(crate) max_processes: usize,
    pub(crate) max_ended: usize,
    pub(crate) keep_ended: Duration,
    pub(crate) keep_keyed: Duration,
    pub(crate) stop_grace: Duration,
    pub(crate) close_grace: Duration,
    pub(crate) warn: Option<Warn>,
}

impl Config {
    /// The default of [`stop_grace`](Config::stop_grace), the time between TERM and KILL: 5 seconds.
    pub const DEFAULT_STOP_GRACE: Duration = Duration::from_secs(5);

    /// A configuration with all defaults.
    pub fn new() -> Self {
        Config {
            shell: PathBuf::from("/bin/sh"),
            directory: None,
            environment: None,
            environment_hook: None,
            owner_variable: None,
            start_method: StartMethod::Automatic,
            head_bytes: 16 << 10,
            tail_bytes: 16 << 10,
            max_line_bytes: 2_048,
            max_processes: 1_024,
            max_ended: 1_024,
            keep_ended: Duration::from_secs(5 * 60),
            keep_keyed: Duration::from_secs(60 * 60),
            stop_grace: Config::DEFAULT_STOP_GRACE,
            close_grace: Duration::ZERO,
            warn: None,
        }
    }

    /// The shell that runs commands, as `SHELL -c COMMAND`. Default: `/bin/sh`.
    pub fn shell(mut self, shell: impl Into<PathBuf>) -> Self {
        self.shell = shell.into();
        self
    }

    /// The working directory of processes whose request names none. Default: none.
    ///
    /// If it is not a directory when a process is started, the process runs in the home directory
    /// (`$HOME` of the host, then the password database), else in the host's working directory.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// The base environment of processes. Default: a copy of the host's environment, taken when the
    /// manager is opened.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Sets a variable in the base environment of processes. The first call copies the host's
    /// environment, unless [`environment`](Config::environment) was called before.
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment
            .get_or_insert_with(|| std::env::vars_os().collect())
            .insert(name.into(), value.into());
        self
    }

    /// A function that changes the environment before each start. Default: none.
    ///
    /// It is given the base environment, or a new copy of the host's environment if none was configured.
    /// So it is also a way to pass on what the host has changed since the manager was opened. It runs on
    /// the thread that calls `start`, and may run on several threads at the same time. If it fails or
    /// panics, the environment is used without its changes, and a [warning](Config::on_warning) is
    /// given.
    pub fn environment_hook(
        mut self,
        hook: impl Fn(&mut Environment) -> Result<(), HookError> + Send + Sync + 'static,
    ) -> Self {
        self.environment_hook = Some(Arc::new(hook));
        self
    }

    /// The name of the environment variable that holds the owner of a process. Default: none.
    pub fn owner_variable(mut self, name: impl Into<OsString>) -> Self {
        self.owner_variable = Some(name.into());
        self
    }

    /// How processes are started. Default: [`StartMethod::Automatic`].
    pub fn start_method(mut self, method: StartMethod) -> Self {
        self.start_method = method;
        self
    }

    /// How many bytes of the beginning of each stream are kept. Default: 16 KiB.
    pub fn head_bytes(mut self, bytes: usize) -> Self {
        self.head_bytes = bytes;
        self
    }

    /// How many bytes of the end of each stream are kept. Default: 16 KiB. At least 1, so that the end
    /// of the output is always there.
    pub fn tail_bytes(mut self, bytes: usize) -> Self {
        self.tail_bytes = bytes;
        self
    }

    /// The length of the longest line in a snapshot, in bytes; 0 is no limit. Default: 2,048. Of a longer
    /// line the beginning and the end are shown, with ` ... [N bytes] ... ` between them.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// How many processes may be live at the same time. Default: 1,024.
    ///
    /// A process is live until its leader and its output have ended.
    pub fn max_processes(mut self, count: usize) -> Self {
        self.max_processes = count;
        self
    }

    /// How many ended processes are kept. The oldest are dropped first. Default: 1,024.
    pub fn max_ended(mut self, count: usize) -> Self {
        self.max_ended = count;
        self
    }

    /// How long an ended process is kept, from the end of its leader or, if that is later, of its
    /// output. Default: 5 minutes.
    pub fn keep_ended(mut self, time: Duration) -> Self {
        self.keep_ended = time;
        self
    }

    /// How long an ended process that was started with a key is kept. Default: 1 hour.
    ///
    /// After that, its output is dropped. Its key and its final status are remembered.
    pub fn keep_keyed(mut self, time: Duration) -> Self {
        self.keep_keyed = time;
        self
    }

    /// The time between TERM and KILL for a process that has reached its time limit and for one whose
    /// key is canceled. Default: 5 seconds.
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = grace;
        self
    }

    /// The time between TERM and KILL when the manager or a scope is closed. Default: zero, which sends
    /// KILL at once.
    pub fn close_grace(mut self, grace: Duration) -> Self {
        self.close_grace = grace;
        self
    }

    /// A function that receives a warning, one line of text, when something fails without failing a
    /// call. Default: none.
    ///
    /// It runs on the thread on which the failure was noticed.
    pub fn on_warning(mut self, warn: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.warn = Some(Arc::new(warn));
        self
    }

    pub(crate) fn warn(&self, text: &str) {
        if let Some(warn) = &self.warn {
            // The closure is the host's code: a panic in it stops nothing of the library.
            let _ = catch_unwind(AssertUnwindSafe(|| warn(text)));
        }
    }

    pub(crate) fn sizes(&self, lossless: bool) -> Sizes {
        Sizes {
            head: self.head_bytes,
            tail: self.tail_bytes,
            lossless,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_text("shell", self.shell.as_os_str())?;
        if let Some(directory) = &self.directory {
            check_text("directory", directory.as_os_str())?;
        }
        for (name, value) in self.environment.iter().flatten() {
            check_variable(name, value)?;
        }
        if let Some(name) = &self.owner_variable {
            check_variable(name, "".as_ref())?;
        }
        for (what, bytes, least) in [
            ("head_bytes", self.head_bytes, 0),
            ("tail_bytes", self.tail_bytes, 1),
        ] {
            if bytes < least || bytes > MAX_KEPT_BYTES {
                let reason = format!("{bytes} is not between {least} and {MAX_KEPT_BYTES}");
                return Err(Error::invalid(what, reason));
            }
        }
        if self.max_processes == 0 {
            return Err(Error::invalid("max_processes", "it is zero"));
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Config::new()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the environment, which may hold secrets, and without the closures.
        f.debug_struct("Config")
            .field("shell", &self.shell)
            .field("directory", &self.directory)
            .field("owner_variable", &self.owner_variable)
            .field("start_method", &self.start_method)
            .field("head_bytes", &self.head_bytes)
            .field("tail_bytes", &self.tail_bytes)
            .field("max_line_bytes", &self.max_line_bytes)
            .field("max_processes", &self.max_processes)
            .field("max_ended", &self.max_ended)
            .field("keep_ended", &self.keep_ended)
            .field("keep_keyed", &self.keep_keyed)
            .field("stop_grace", &self.stop_grace)
            .field("close_grace", &self.close_grace)
            .finish_non_exhaustive()
    }
}
