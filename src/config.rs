//! What a manager is opened with.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::output::Sizes;
use crate::request::{check_text, check_variable};

/// The most that [`Config::head_bytes`] and [`Config::tail_bytes`] take: 1 GiB each.
pub const MAX_KEPT_BYTES: usize = 1 << 30;

/// An environment: names and values.
pub type Environment = BTreeMap<OsString, OsString>;

/// What a failed environment hook gives back.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

type Hook = Arc<dyn Fn(&mut Environment) -> Result<(), HookError> + Send + Sync>;
type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// How processes are started. All ways give a process that inherits nothing of the host that it should not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartMethod {
    /// The best that the system has.
    #[default]
    Automatic,
    /// A `posix_spawn` that cleans, which never forks. Needs glibc 2.34; a start fails with
    /// [`Error::Unsupported`] where that is missing.
    PosixSpawn,
    /// The standard library's, which forks when the host has something that a child must not inherit.
    Std,
}

/// How a manager works. The defaults are those of the reference system.
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
    /// The grace period between TERM and KILL, unless configured: 5 seconds.
    pub const DEFAULT_STOP_GRACE: Duration = Duration::from_secs(5);

    /// All defaults.
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

    /// The shell that runs commands, as `SHELL -c COMMAND` (`/bin/sh`).
    pub fn shell(mut self, shell: impl Into<PathBuf>) -> Self {
        self.shell = shell.into();
        self
    }

    /// Where requests without a directory run, if it is a directory then; else the home directory is used.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// The environment that every process gets to begin with, instead of the host's as it is when the manager is opened.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Sets a variable of the environment that every process gets to begin with. Without one that was
    /// [given](Config::environment) before, this takes the host's environment as it is now.
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment
            .get_or_insert_with(|| std::env::vars_os().collect())
            .insert(name.into(), value.into());
        self
    }

    /// A function that changes the environment before each start. It is given the fixed one, or the host's as it is at that
    /// moment: this is also the way to let processes see what the host has changed since the manager was opened. It runs on the thread that starts, and may be
    /// called by several at once. When it fails, or panics, the environment is used as it was before, and a warning
    /// given.
    pub fn environment_hook(
        mut self,
        hook: impl Fn(&mut Environment) -> Result<(), HookError> + Send + Sync + 'static,
    ) -> Self {
        self.environment_hook = Some(Arc::new(hook));
        self
    }

    /// The variable in which a process finds its owner (none).
    pub fn owner_variable(mut self, name: impl Into<OsString>) -> Self {
        self.owner_variable = Some(name.into());
        self
    }

    /// How processes are started, for those who must have one way ([`StartMethod::Automatic`]).
    pub fn start_method(mut self, method: StartMethod) -> Self {
        self.start_method = method;
        self
    }

    /// How many bytes at the beginning of each stream are kept (16 KiB).
    pub fn head_bytes(mut self, bytes: usize) -> Self {
        self.head_bytes = bytes;
        self
    }

    /// How many bytes at the end of each stream are kept (16 KiB; at least 1, so that the true end is always seen).
    pub fn tail_bytes(mut self, bytes: usize) -> Self {
        self.tail_bytes = bytes;
        self
    }

    /// The longest line in a snapshot, in bytes (2,048); 0 for no limit.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// How many processes may live at once (1,024). One lives while its leader runs or its output is open.
    pub fn max_processes(mut self, count: usize) -> Self {
        self.max_processes = count;
        self
    }

    /// How many ended processes are kept (1,024); the oldest are dropped first.
    pub fn max_ended(mut self, count: usize) -> Self {
        self.max_ended = count;
        self
    }

    /// How long an ended process is kept (5 minutes), from its end or, if that is later, the end of its output.
    pub fn keep_ended(mut self, time: Duration) -> Self {
        self.keep_ended = time;
        self
    }

    /// How long an ended process that was started with a key is kept (1 hour). What its key has started, and how that
    /// ended, is remembered after that.
    pub fn keep_keyed(mut self, time: Duration) -> Self {
        self.keep_keyed = time;
        self
    }

    /// The time between TERM and KILL when a time limit expires, and when a key is canceled (5 seconds).
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = grace;
        self
    }

    /// The time between TERM and KILL when the manager is closed (zero: KILL at once).
    pub fn close_grace(mut self, grace: Duration) -> Self {
        self.close_grace = grace;
        self
    }

    /// Is told, in one line, of what went wrong without failing a call. It runs on the thread that noticed.
    pub fn on_warning(mut self, warn: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.warn = Some(Arc::new(warn));
        self
    }

    pub(crate) fn warn(&self, text: &str) {
        if let Some(warn) = &self.warn {
            warn(text);
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
        // The environment may hold secrets, and closures have nothing to show.
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
