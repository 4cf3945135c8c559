//! What to start, and whether it can be: the checks that need nothing but the request itself.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::hash::Hash;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::id::Id;

/// The longest argument or variable that the kernel takes, in bytes, without the NUL that ends it
/// (`MAX_ARG_STRLEN` of Linux is 131,072 with it).
pub const MAX_ARGUMENT_BYTES: usize = 131_071;

/// The longest key of an idempotent start, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// What to start: a command, and how.
///
/// A request is a description and can be started any number of times. It is checked when it is started.
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
    /// A text for the shell.
    Shell(OsString),
    /// A program, without a shell.
    Program(OsString),
}

impl Request {
    /// A command for the manager's shell: `SHELL -c COMMAND`.
    pub fn new(command: impl Into<OsString>) -> Self {
        Request::of(Form::Shell(command.into()))
    }

    /// A program, run without a shell. A name without a slash is looked up in the `PATH` of the new process.
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

    /// Adds an argument. For a shell command these are its positional parameters: the first one is `$0`.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds several arguments.
    pub fn arguments(self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        arguments.into_iter().fold(self, Self::argument)
    }

    /// The directory to run in, used as given. Without one: the manager's, else the home directory, else the host's.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Sets an environment variable; the last value of a name counts.
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Tags the process with an owner (a chat, a tenant, a job).
    pub fn owner(mut self, owner: impl Into<OsString>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Marks the process as one that nobody waits for. Reported with the process; changes nothing else.
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Ends the process after this time: TERM, the manager's grace period, KILL. `None`, the default, is no limit.
    pub fn time_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.time_limit = limit.into();
        self
    }

    /// Keeps standard error apart from standard output, as a stream of its own. The order between the two is lost.
    pub fn separate_streams(mut self, separate: bool) -> Self {
        self.separate_streams = separate;
        self
    }

    /// Never drops a byte that no read has returned yet: when the kept bytes are all unread, the process waits in its
    /// next write, as on an ordinary pipe. For a process that somebody follows to its end.
    pub fn lossless(mut self, lossless: bool) -> Self {
        self.lossless = lossless;
        self
    }

    /// Makes the start idempotent: however often it is asked for with this key, one process is started, and every start
    /// with an equal request gives it. 1 to [`MAX_KEY_BYTES`] bytes. Keys of different owners are different keys.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The id that the process shall have, instead of a random one. One that is known already is a
    /// [conflict](Error::Conflict), unless key and request are the same.
    pub fn id(mut self, id: Id) -> Self {
        self.id = Some(id);
        self
    }

    /// How long a start with a key waits for another one that is starting the same key; then it fails with
    /// [`Error::StartPending`], and the other start goes on. `None`, the default, waits for as long as that takes.
    pub fn start_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.start_timeout = timeout.into();
        self
    }

    /// Everything that makes two requests the same one for a key, each part so that no two parts can be taken for
    /// others. The order of variables does not matter, nor does one that is set again.
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

    /// Refuses what no operating system could start.
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

    /// The command as one text: the command or program, and the arguments with spaces between them.
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

/// Refuses a variable that cannot stand in an environment.
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

/// Refuses what is longer than the kernel takes as one argument or one `NAME=VALUE`.
fn check_size(what: &'static str, name: &str, size: usize) -> Result<(), Error> {
    if size > MAX_ARGUMENT_BYTES {
        let reason = format!("{name} has {size} bytes, the limit is {MAX_ARGUMENT_BYTES}");
        return Err(Error::invalid(what, reason));
    }
    Ok(())
}
