//! The status of a process: plain data, a copy of one moment.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::id::Id;

/// The state of a process: that of its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// The leader has not ended.
    Running,
    /// The leader has exited with this code.
    Exited(i32),
    /// A signal has ended the leader.
    Signaled {
        /// The number of the signal.
        signal: i32,
        /// Whether the leader has left a core dump.
        core_dumped: bool,
    },
    /// The leader has ended, and how is unknown, because the host has reaped it or ignores SIGCHLD.
    Lost,
}

/// What has ended a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndedBy {
    /// No call of this library: it ended by itself or by another program; or it has not ended.
    Nobody,
    /// A signal that was sent with `signal`: one that asks a process to end, or the one that has ended
    /// the leader.
    Signal,
    /// A stop.
    Stop,
    /// The time limit of its request.
    Limit,
    /// A cancel of its key.
    Cancel,
    /// A close of its manager or scope.
    Close,
}

/// The resources that a process has used, as the kernel counts them for the leader and the children that
/// it has waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Peak resident memory, in KiB.
    pub max_rss_kib: u64,
}

/// What is known of a process from its start on.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) command: OsString,
    pub(crate) directory: PathBuf,
    pub(crate) owner: Option<Arc<OsStr>>,
    pub(crate) background: bool,
    /// It was started with a key.
    pub(crate) keyed: bool,
    pub(crate) started_at: SystemTime,
    pub(crate) started: Instant,
    /// The time at which its time limit is reached.
    pub(crate) ends_at: Option<Instant>,
    /// Its number in the order of the starts of its manager.
    pub(crate) sequence: u64,
}

/// The status of a process at the moment of the call.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// Its id.
    pub id: Id,
    /// The pid of its leader, which is also its process group. Once the leader has ended, an unrelated
    /// process may have this number.
    pub pid: u32,
    /// Whether it runs, or how it ended.
    pub state: State,
    /// What has ended it.
    pub ended_by: EndedBy,
    /// Whether the leader, or a process that it left behind, can still write to its output.
    pub output_open: bool,
    /// The time of its start, by the wall clock.
    pub started_at: SystemTime,
    /// The time of its end, by the wall clock; `None` while it runs.
    pub ended_at: Option<SystemTime>,
    /// How long it has run, by the monotonic clock.
    pub duration: Duration,
    /// Bytes of output so far: of all streams together, kept or dropped.
    pub output_bytes: u64,
    /// The resources that its leader has used; zero while it runs.
    pub usage: Usage,
    pub(crate) about: Arc<About>,
}

impl Status {
    /// The same status without command and directory, whose size has no bound. For a status that is kept
    /// for long.
    pub(crate) fn without_texts(self) -> Self {
        let about = About {
            command: OsString::new(),
            directory: PathBuf::new(),
            owner: self.about.owner.clone(),
            ..*self.about
        };
        Status {
            about: Arc::new(about),
            ..self
        }
    }

    /// Whether the leader runs.
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// The exit code, if the leader has exited.
    pub fn exit_code(&self) -> Option<i32> {
        match self.state {
            State::Exited(code) => Some(code),
            _ => None,
        }
    }

    /// The command as it was requested. For a program without a shell: the program and its arguments,
    /// with spaces between them.
    pub fn command(&self) -> &OsStr {
        &self.about.command
    }

    /// The working directory that it was started in.
    pub fn directory(&self) -> &Path {
        &self.about.directory
    }

    /// Its owner.
    pub fn owner(&self) -> Option<&OsStr> {
        self.about.owner.as_deref()
    }

    /// Whether its request marked it as a background process.
    pub fn is_background(&self) -> bool {
        self.about.background
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.about.sequence
    }
}

/// The processes of a manager or scope. The status of each is taken after that of the one before.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Listing {
    /// Running ones first, newest first, up to the limit of the call.
    pub processes: Vec<Status>,
    /// The total number of processes.
    pub total: usize,
}

/// The result of stopping a process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stopped {
    /// The status after the stop. It is running only if the kernel has not ended it within ten seconds
    /// after KILL.
    pub status: Status,
    /// The number of processes outside of the leader's process group that were signalled.
    pub beyond_group: usize,
    /// The number of processes that have not ended within ten seconds after KILL.
    pub left: usize,
}
