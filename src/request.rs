//! Requests: what to start, and the checks that need only the request itself.
//!
//! A [`Request`] is plain data. One that passes [`Request::check`] can be passed to the kernel.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::hash::Hash;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::id::Id;

/// The maximum length of an argument or an environment variable, in bytes, without the NUL that ends it.
/// With the NUL it is the kernel's `MAX_ARG_STRLEN`, 131,072.
pub const MAX_ARGUMENT_BYTES: usize = 131_071;

/// The maximum length of a key of an idempotent start, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// A description of what to start.
///
/// It can be started any number of times. It is checked when it is started.
///
/// ```
/// use std::time::Duration;
/// use procmgr::Request;
///
/// let request = Request::new("make test")
///     .directory("/tmp")
///     .variable("CI", "1")
///     .time_limit(Duration::from_secs(600));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub(crate) form: Form,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) variables: Vec<(OsString, OsString)>,
    pub(crate) owner: Option<OsString>,
    pub(crate) background: bool,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) separate_streams: bool,
    pub(crate) lossless: bool,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) id: Option<Id>,
    pub(crate) start_timeout: Option<Duration>,
}

/// The two forms of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// A command for the shell.
    Shell(OsString),
    /// A program that runs without a shell.
    Program(OsString),
}

impl Request {
    /// A command for the manager's shell: `SHELL -c COMMAND`.
    pub fn new(command: impl Into<OsString>) -> Self {
        Request::of(Form::Shell(command.into()))
    }

    /// A program that runs without a shell. A name without a slash is searched for in the `PATH` of the
    /// new process.
    pub fn program(program: impl Into<OsString>) -> Self {
        Request::of(Form::Program(program.into()))
    }

    fn of(form: Form) -> Self {
        Request {
            form,
            arguments: Vec::new(),
            directory: None,
            variables: Vec::new(),
            owner: None,
            background: false,
            time_limit: None,
            separate_streams: false,
            lossless: false,
            key: None,
            id: None,
            start_timeout: None,
        }
    }

    /// Adds an argument. Of a shell command, the arguments are the positional parameters; the first one
    /// is `$0`.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds several arguments.
    pub fn arguments(self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        arguments.into_iter().fold(self, Self::argument)
    }

    /// The working directory, used as given. If it does not exist, the start fails.
    ///
    /// Default: that of [`Config::directory`](crate::Config::directory), else the home directory, else
    /// the host's working directory.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Sets an environment variable. If a name is set more than once, the last value counts.
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Tags the process with an owner (a chat, a tenant, a job). Default: the owner of the scope that
    /// starts it, else none.
    pub fn owner(mut self, owner: impl Into<OsString>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Marks the process as a background process. The mark is reported with the process and changes
    /// nothing else.
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Sets a time limit. When it is reached, the process is ended: TERM, the manager's stop grace, KILL. If
    /// its leader has ended before, what it left behind is ended, within a second of the limit. Default:
    /// `None`, no limit.
    pub fn time_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.time_limit = limit.into();
        self
    }

    /// Makes standard error a stream of its own. Otherwise both are one stream, in the order of the
    /// writes. The order between two separate streams is not known.
    pub fn separate_streams(mut self, separate: bool) -> Self {
        self.separate_streams = separate;
        self
    }

    /// Keeps every byte until a read has returned it. When all bytes that are kept are unread and no
    /// more fit, the process blocks in its next write, as on an ordinary pipe. For a process whose
    /// output is read to its end. If several callers read the stream, bytes before the highest cursor of
    /// any of them may be dropped.
    pub fn lossless(mut self, lossless: bool) -> Self {
        self.lossless = lossless;
        self
    }

    /// Makes the start idempotent: of all starts with this key, one starts a process, and every other
    /// start with an equal request returns that process.
    ///
    /// 1 to [`MAX_KEY_BYTES`] bytes. Keys of different owners are different keys.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the id of the process. Default: a random one. If the id is in use, the start fails with
    /// [`Error::Conflict`], unless key and request are the same.
    pub fn id(mut self, id: Id) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets how long a start waits while another caller starts the same key. After that it fails with
    /// [`Error::StartPending`], and the other start continues. Default: `None`, no limit.
    pub fn start_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.start_timeout = timeout.into();
        self
    }

    /// Everything that is compared when a key is started again. Two requests with equal fields are the
    /// same request. The order of variables does not count, and of a variable that is set more than once
    /// only the last value does.
    pub(crate) fn fields(&self) -> impl Hash + use<> {
        let bytes = |text: &OsStr| text.as_bytes().to_vec();
        let (form, command) = match &self.form {
            Form::Shell(command) => (0u8, bytes(command)),
            Form::Program(program) => (1, bytes(program)),
        };
        let arguments: Vec<_> = self.arguments.iter().map(|text| bytes(text)).collect();
        let directory = self.directory.as_ref().map(|path| bytes(path.as_os_str()));
        let variables: BTreeMap<_, _> = self
            .variables
            .iter()
            .map(|(name, value)| (bytes(name), bytes(value)))
            .collect();
        let flags = (self.background, self.separate_streams, self.lossless);
        (
            form,
            command,
            arguments,
            directory,
            variables,
            flags,
            self.time_limit,
            self.id,
        )
    }

    /// Refuses a request that cannot be started on any system.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let (what, command) = match &self.form {
            Form::Shell(command) => ("command", command),
            Form::Program(program) => ("program", program),
        };
        check_text(what, command)?;
        check_size(what, "it", command.len())?;
        for (index, argument) in self.arguments.iter().enumerate() {
            let number = index + 1;
            if argument.as_bytes().contains(&0) {
                let reason = format!("number {number} has a NUL byte");
                return Err(Error::invalid("argument", reason));
            }
            check_size("argument", &format!("number {number}"), argument.len())?;
        }
        if let Some(directory) = &self.directory {
            check_text("directory", directory.as_os_str())?;
        }
        for (name, value) in &self.variables {
            check_variable(name, value)?;
        }
        if let Some(owner) = &self.owner {
            check_text("owner", owner)?;
        }
        if let Some(key) = &self.key {
            check_key(key)?;
        }
        if self.time_limit == Some(Duration::ZERO) {
            return Err(Error::invalid("time limit", "it is zero"));
        }
        Ok(())
    }

    /// The command as one text: the command or program and the arguments, with spaces between them.
    pub(crate) fn command_text(&self) -> OsString {
        let (Form::Shell(command) | Form::Program(command)) = &self.form;
        let mut text = command.clone();
        for argument in &self.arguments {
            text.push(" ");
            text.push(argument);
        }
        text
    }
}

/// Refuses an empty text and one with a NUL byte.
pub(crate) fn check_text(what: &'static str, text: &OsStr) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::invalid(what, "it is empty"));
    }
    match text.as_bytes().iter().position(|byte| *byte == 0) {
        Some(at) => Err(Error::invalid(what, format!("it has a NUL byte at {at}"))),
        None => Ok(()),
    }
}

/// Refuses a key that is empty or too long.
pub(crate) fn check_key(key: &[u8]) -> Result<(), Error> {
    match key.len() {
        1..=MAX_KEY_BYTES => Ok(()),
        length => {
            let reason = format!("it has {length} bytes and not 1 to {MAX_KEY_BYTES}");
            Err(Error::invalid("key", reason))
        }
    }
}

/// Refuses an invalid environment variable.
pub(crate) fn check_variable(name: &OsStr, value: &OsStr) -> Result<(), Error> {
    let shown = name.to_string_lossy();
    if name.is_empty() {
        return Err(Error::invalid("variable", "its name is empty"));
    }
    if name.as_bytes().contains(&b'=') {
        let reason = format!("the name {shown:?} has an equals sign");
        return Err(Error::invalid("variable", reason));
    }
    if name.as_bytes().contains(&0) {
        let reason = format!("the name {shown:?} has a NUL byte");
        return Err(Error::invalid("variable", reason));
    }
    if value.as_bytes().contains(&0) {
        let reason = format!("the value of {shown:?} has a NUL byte");
        return Err(Error::invalid("variable", reason));
    }
    check_size("variable", &shown, name.len() + 1 + value.len())
}

/// Refuses an argument or a `NAME=VALUE` that is longer than the kernel accepts.
fn check_size(what: &'static str, name: &str, size: usize) -> Result<(), Error> {
    if size > MAX_ARGUMENT_BYTES {
        let reason = format!("{name} has {size} bytes, the limit is {MAX_ARGUMENT_BYTES}");
        return Err(Error::invalid(what, reason));
    }
    Ok(())
}
