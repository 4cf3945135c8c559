//! The errors of the library. Each names what was wrong and has the operating system's error, if any.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::id::Id;
use crate::status::Status;

/// The error of a call.
///
/// The text of an error names the cause (which variable, which directory, which limit) and can be shown
/// to the person or model that made the request. [`os_error`](Error::os_error) returns the error number
/// of the operating system.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// An argument is invalid. Nothing was done.
    Invalid {
        /// Which argument.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The manager or the scope is closed.
    Closed,
    /// There is no process with this id, or it belongs to another owner.
    NotFound {
        /// The id that was asked for.
        id: String,
    },
    /// The process has ended and nothing of it is left.
    NotRunning {
        /// The process.
        id: Id,
    },
    /// The command could not be started. The start has left nothing behind.
    Spawn {
        /// The step that failed.
        step: Step,
        /// What the step worked on: a directory, a program.
        subject: String,
        /// The operating system's error.
        source: Arc<io::Error>,
    },
    /// A limit is reached.
    Limit {
        /// The name of the limit in [`Config`](crate::Config), or `keys` for [`MAX_KEYS`](crate::MAX_KEYS).
        what: &'static str,
        /// Its value.
        limit: usize,
    },
    /// The key, or the id that the request brings, belongs to a different request.
    Conflict,
    /// The key has started no process.
    UnknownKey,
    /// The process has not ended.
    StillRunning {
        /// The process.
        id: Id,
    },
    /// The key was canceled before it was started. It never ran, and will not.
    Canceled,
    /// The process was started with a key, has ended and was dropped.
    Expired {
        /// Its final status, without command and directory.
        status: Box<Status>,
    },
    /// Another caller is still starting this key, and the timeout has passed. That start continues.
    StartPending,
    /// A system call failed, outside of the start of a command.
    Io {
        /// What was tried.
        what: String,
        /// The operating system's error.
        source: Arc<io::Error>,
    },
    /// Called in a forked copy of the host, in which the library's threads do not exist.
    Forked,
    /// Not supported on this platform.
    Unsupported {
        /// What was asked for.
        what: String,
    },
}

/// The parts of a start that can fail. The order of the variants has no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Getting the reader and the reaper thread.
    Thread,
    /// Making the pipes for the output, or getting another file descriptor for the start.
    Pipe,
    /// Making the process (limits on processes and memory).
    Process,
    /// Entering the working directory.
    Directory,
    /// Executing the program.
    Execute,
}

impl Step {
    /// The step's name, in one lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Step::Thread => "thread",
            Step::Pipe => "pipe",
            Step::Process => "process",
            Step::Directory => "directory",
            Step::Execute => "execute",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Error {
    /// The operating system's error number (`errno`), if there is one.
    pub fn os_error(&self) -> Option<i32> {
        match self {
            Error::Spawn { source, .. } | Error::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// The step of the start that failed, if this is a failed start.
    pub fn step(&self) -> Option<Step> {
        match self {
            Error::Spawn { step, .. } => Some(*step),
            _ => None,
        }
    }

    pub(crate) fn invalid(what: &'static str, reason: impl Into<String>) -> Self {
        Error::Invalid {
            what,
            reason: reason.into(),
        }
    }

    pub(crate) fn expired(status: &Status) -> Self {
        Error::Expired {
            status: Box::new(status.clone()),
        }
    }

    pub(crate) fn spawn(step: Step, subject: impl Into<String>, source: io::Error) -> Self {
        Error::Spawn {
            step,
            subject: subject.into(),
            source: Arc::new(source),
        }
    }

    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Error::Io {
            what: what.into(),
            source: Arc::new(source),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid { what, reason } => write!(f, "invalid {what}: {reason}"),
            Error::Closed => f.write_str("the manager is closed"),
            Error::NotFound { id } => write!(f, "no process {id} here"),
            Error::NotRunning { id } => {
                write!(
                    f,
                    "process {id} is not running: it has ended and nothing of it is left"
                )
            }
            Error::Spawn {
                step,
                subject,
                source,
            } => match step {
                Step::Thread => write!(f, "cannot start: no thread for {subject}: {source}"),
                Step::Pipe => write!(f, "cannot start: no {subject}: {source}"),
                Step::Process => write!(f, "cannot start: no process for {subject}: {source}"),
                Step::Directory => {
                    write!(
                        f,
                        "cannot start: cannot enter directory {subject}: {source}"
                    )
                }
                Step::Execute => write!(f, "cannot start: cannot execute {subject}: {source}"),
            },
            Error::Limit { what, limit } => write!(f, "the limit {what} of {limit} is reached"),
            Error::Conflict => f.write_str("the key or the id belongs to a different request"),
            Error::UnknownKey => f.write_str("this key has started nothing here"),
            Error::StillRunning { id } => write!(f, "process {id} has not ended"),
            Error::Canceled => f.write_str("the key was canceled before it was started"),
            Error::Expired { status } => {
                write!(f, "process {} has ended and its output is gone", status.id)
            }
            Error::StartPending => {
                f.write_str("another caller is still starting this key: the outcome is open")
            }
            Error::Io { what, source } => write!(f, "{what}: {source}"),
            Error::Forked => f.write_str("called in a forked copy of the host"),
            Error::Unsupported { what } => write!(f, "not supported: {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Spawn { source, .. } | Error::Io { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}
